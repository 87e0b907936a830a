"""Workload `trace`: the requests of a cache trace as accesses to pages.

One process asks for the trace's objects in their order. The first request for an object writes a page of its own,
unlike any other; later ones read it, or rewrite it with new content for a share `write_ratio` of them. The k-th
distinct object is page k, counted through areas of `AREA` pages that are mapped as they are needed. Times and sizes of
the trace are left aside: a request is one page, and `gap` of computing time precedes it.

Traces of block devices, key-value stores and web caches say nothing of contents, so nothing merges here. They are for
comparing reclaim policies on access patterns that others have measured, with others' implementations.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import ValidationInfo, model_validator

from ksmlab_core.errors import TraceRejected
from ksmlab_core.policy import Field, Workload, hookimpl
from ksmlab_core.workload.content import content_ids
from ksmlab_core.workload.events import READ, Access, Event, Map, Mark, Spawn
from ksmlab_core.workload.numbering import Numbering
from ksmlab_core.workload.trace_file import Format, format_of, requests
from ksmlab_core.workload.units import Duration

AREA: Final = 1 << 16
"""Pages of an area."""


class Trace(Workload):
    """Requests of an access trace (libCacheSim's oracleGeneral, or csv; also zstd), one page an object."""

    name = "trace"

    class Params(Workload.Params):
        """The file, and how it is read."""

        file: str = Field(description="trace file, relative to the experiment file")
        format: Format | None = Field(None, description="oracleGeneral or csv; default: by the file's name")
        column: int = Field(2, ge=1, le=1000, description="column of a csv file that holds the object, from 1")
        delimiter: str = Field(",", min_length=1, max_length=1, description="what stands between columns of a csv file")
        header: bool = Field(False, description="whether a csv file begins with a line of names")
        requests: int | None = Field(None, ge=1, description="requests to take; default: all")
        write_ratio: float = Field(0.0, ge=0, le=1, description="share of the later requests that write new content")
        gap: Duration = Field(1000, description="computing time before each request")

        @model_validator(mode="after")
        def _file_is_there(self, info: ValidationInfo) -> Trace.Params:
            """Refuse a file that is not there, or of unknown format, while the experiment file is read."""
            base_dir = (info.context or {}).get("base_dir")
            if base_dir is not None:
                path = base_dir / self.file
                if not path.is_file():
                    raise ValueError(f"{path}: no such file")
                try:
                    _ = self.format or format_of(path)
                except TraceRejected as refusal:
                    raise ValueError(str(refusal)) from None
            return self

    params: Params

    def events(self) -> Iterator[Event]:
        """Spawn, then requests; areas as they are needed."""
        p, path = self.params, self.path(self.params.file)
        numbering = Numbering()
        areas = written = done = 0
        yield Spawn("trace")
        yield Mark("run")
        stream = requests(path, p.format or format_of(path), column=p.column, delimiter=p.delimiter, header=p.header)
        for objects in stream:
            objects = objects if p.requests is None else objects[: p.requests - done]
            known = len(numbering)
            numbers = numbering.numbers(objects)
            for area in range(areas, -(-len(numbering) // AREA)):
                yield Map("trace", f"objects-{area}", AREA)
            areas = -(-len(numbering) // AREA)
            content, written = self._contents(numbers, known, written)
            yield Access((numbers // AREA).astype(np.int32), (numbers % AREA).astype(np.int32), content, p.gap)
            done += len(objects)
            if done == p.requests:
                return

    def duration_hint(self) -> int | None:
        """Requests, if the file says so."""
        path = self.path(self.params.file)
        kind = self.params.format or format_of(path)
        if kind != "oracleGeneral" or path.name.endswith(".zst"):
            return self.params.requests
        held = path.stat().st_size // 24
        return held if self.params.requests is None else min(held, self.params.requests)

    def _contents(self, numbers: npt.NDArray[np.int64], known: int, written: int) -> tuple[npt.NDArray[np.int64], int]:
        """What each request writes, the first ones of objects from number `known` on; how many writes there were."""
        first = np.zeros(len(numbers), np.bool_)
        new, where = np.unique(numbers, return_index=True)
        first[where[new >= known]] = True
        writes = first | (self.rng.random(len(numbers)) < self.params.write_ratio)
        count = int(writes.sum())
        content = np.full(len(numbers), READ, np.int64)
        content[writes] = content_ids("trace", np.arange(written, written + count))
        return content, written + count


@hookimpl
def ksmlab_workloads() -> list[type[Workload]]:
    """Register the workload."""
    return [Trace]
