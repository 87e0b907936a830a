"""Workload `snapshot`: real memory, captured by ``ksmlab capture``, with a stated model of its accesses.

Each captured process becomes a simulated one of the same name. All the pages it ever had become one area,
``anon``, in the order of their addresses with the gaps closed; its contents are the captured ones, so that
two pages are equal here when they were equal there, and the page of zeros is the page of zeros.

Time goes from snapshot to snapshot. The memory of the first one is written at the start (phase ``fill``); a
mark ``snapshot-N`` is set whenever the machine's memory holds what snapshot N found. Between two snapshots:

* Writes: each page that is new or holds something else in the later snapshot is written once with what it
  holds there. **This is a lower bound**: a page rewritten several times in between, or rewritten with the
  bytes it had, counts once or not at all. `rewrites` adds writes of passing contents to find out how much
  a result depends on that.
* Reads are not in a capture; they are a model. Each process reads ``reads`` times the pages it had in the
  earlier snapshot. A share `hot_reads` of them goes to its hot pages, by the zipf law: first those that
  changed around that time, then a random `hot` share of all its pages, the same throughout. The other reads
  go evenly to all.
* All these accesses come in random order, spread evenly over the captured interval.

A process that appears later is spawned then, and one that exited ends with its last interval. Pages that the
process gave back in an interval are given back (as with MADV_DONTNEED) at its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationInfo, field_validator

from ksmlab_core.capture.format import State
from ksmlab_core.capture.reader import Change, Snapshot, read_capture
from ksmlab_core.capture.summary import ProcessState
from ksmlab_core.errors import CaptureRejected
from ksmlab_core.policy import Field, Workload, hookimpl
from ksmlab_core.workload.content import content_ids
from ksmlab_core.workload.events import READ, Access, Discard, Event, Exit, Idle, Map, Mark, Spawn, chunked
from ksmlab_core.workload.sampling import AliasTable, zipf_weights
from ksmlab_core.workload.units import Duration

Pages = npt.NDArray[np.int32]
Contents = npt.NDArray[np.int64]
Columns = tuple[Pages, Pages, Contents]
"""Area, page and content of some accesses."""


class Captured(Workload):
    """Captured memory of real processes: contents and writes as found, reads by a stated model."""

    name = "snapshot"

    class Params(Workload.Params):
        """The capture, and what it does not say."""

        capture: str = Field(description="capture file, relative to the experiment file")
        interval: Duration | None = Field(None, description="time between two snapshots; default: as captured")
        fill: Duration = Field(10**9, description="computing time in which the first snapshot is written")
        reads: float = Field(1.0, ge=0, le=10**6, description="reads per page and interval")
        hot: float = Field(0.1, ge=0, le=1, description="share of each process's pages that is always hot")
        hot_reads: float = Field(0.8, ge=0, le=1, description="share of the reads that go to hot pages")
        skew: float = Field(0.99, ge=0, le=8, description="exponent of the zipf law among the hot pages")
        rewrites: int = Field(
            0, ge=0, le=1000, description="writes of passing contents to each changed page, before its last"
        )

        @field_validator("capture")
        @classmethod
        def _is_whole(cls, name: str, info: ValidationInfo) -> str:
            """Refuse a bad capture while the experiment file is read, before any run."""
            base_dir = (info.context or {}).get("base_dir")
            refusal = _refusal_of(base_dir / name) if base_dir is not None else None
            if refusal:
                raise ValueError(refusal)
            return name

    params: Params

    def __init__(self, params: Any, rng: np.random.Generator, base_dir: Path | None = None) -> None:
        """Open the capture and look through it once.

        Raises:
            CaptureRejected: The file is missing, torn, foreign or too new.
        """
        super().__init__(params, rng, base_dir)
        self._capture = read_capture(self.path(self.params.capture))
        self._processes = [_Process(name) for name in self._capture.header.processes]
        self._accesses = self._look_through()
        self._areas = self._passing = 0

    def events(self) -> Iterator[Event]:
        """Fill with the first snapshot, then go from each to the next."""
        before = 0
        for snapshot in self._capture:
            if snapshot.number == 1:
                yield from self._fill(snapshot)
            else:
                length = snapshot.time_ns - before if self.params.interval is None else self.params.interval
                yield from self._interval(snapshot, length)
            before = snapshot.time_ns
            yield Mark(f"snapshot-{snapshot.number}")

    def duration_hint(self) -> int:
        """Accesses of the whole capture."""
        return self._accesses

    def _look_through(self) -> int:
        """Give every process its area's pages; how many accesses there will be."""
        states = [ProcessState() for _ in self._processes]
        ever = [state.page for state in states]
        accesses = 0
        for snapshot in self._capture:
            if snapshot.number > 1:
                accesses += sum(self._reads(len(state.page)) for state in states)
            for change in snapshot.changes:
                writes = 1 if snapshot.number == 1 else 1 + self.params.rewrites
                accesses += len(change.page) * writes
                states[change.process].apply(change)
                ever[change.process] = np.union1d(ever[change.process], change.page)
        for process, pages in zip(self._processes, ever, strict=True):
            process.begin(pages)
        return accesses

    def _reads(self, pages: int) -> int:
        return round(self.params.reads * pages)

    def _spawn(self, snapshot: Snapshot) -> Iterator[Event]:
        """Processes whose first pages are in this snapshot."""
        for change in snapshot.changes:
            process = self._processes[change.process]
            if process.area is None and len(change.page):
                process.area, self._areas = self._areas, self._areas + 1
                process.order = self.rng.permutation(len(process.pages))
                yield Spawn(process.name)
                yield Map(process.name, "anon", len(process.pages))

    def _fill(self, snapshot: Snapshot) -> Iterator[Event]:
        yield from self._spawn(snapshot)
        yield Mark("fill")
        columns = _joined([self._processes[change.process].apply(change) for change in snapshot.changes])
        yield from _spread(columns, self.params.fill)

    def _interval(self, snapshot: Snapshot, length_ns: int) -> Iterator[Event]:
        yield from self._spawn(snapshot)
        for process in self._processes:
            process.changed_before, process.changed = process.changed, [np.empty(0, np.int32)]
        reads = [(process, process.present.copy()) for process in self._processes if process.area is not None]
        writes = [self._processes[change.process].apply(change) for change in snapshot.changes]
        columns = _joined([self._read(process, present) for process, present in reads] + writes)
        yield from self._shuffled(columns, length_ns)
        for change in snapshot.changes:
            process = self._processes[change.process]
            if process.area is None:
                continue
            if change.state is State.EXITED:
                process.area = None
                yield Exit(process.name)
            elif len(change.removed):
                yield Discard(process.area, np.searchsorted(process.pages, change.removed).astype(np.int32))

    def _read(self, process: _Process, present: npt.NDArray[np.bool_]) -> Columns:
        """The reads of one process in one interval, from the pages that it had before."""
        n = self._reads(int(present.sum()))
        if not n:
            return process.columns(np.empty(0, np.int32), READ)
        hot = process.hot(present, self.params.hot)
        to_hot = round(n * self.params.hot_reads) if len(hot) else 0
        page = self.rng.choice(np.flatnonzero(present).astype(np.int32), n - to_hot)
        if to_hot:
            table = AliasTable(zipf_weights(len(hot), self.params.skew))
            page = np.concatenate((page, hot[table.draw(self.rng, to_hot)]))
        return process.columns(page, READ)

    def _shuffled(self, columns: Columns, length_ns: int) -> Iterator[Access | Idle]:
        """Accesses in random order, each write after the passing contents that `rewrites` asks for."""
        area, page, content = columns
        times = np.where(content == READ, 1, 1 + self.params.rewrites)
        source = self.rng.permutation(np.repeat(np.arange(len(area)), times))
        shuffled = content[source]
        last = np.zeros(len(area), np.int64)
        last[source] = np.arange(len(source))
        passing = np.flatnonzero((shuffled != READ) & (last[source] != np.arange(len(source))))
        first, self._passing = self._passing, self._passing + len(passing)
        shuffled[passing] = content_ids("snapshot-passing", np.arange(first, self._passing))
        yield from _spread((area[source], page[source], shuffled), length_ns)


def _refusal_of(path: Path) -> str | None:
    """Why a capture cannot be used, as far as can be told without expanding all of it; None if it can."""
    try:
        found = path.stat()
    except OSError as error:
        return error.strerror or str(error)
    return _refusal_of_version(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=64)
def _refusal_of_version(path: Path, _size: int, _changed_ns: int) -> str | None:
    """As `_refusal_of`; the points of a sweep that share a file look at it once."""
    try:
        read_capture(path)
    except CaptureRejected as error:
        return error.reason
    return None


class _Process:
    """One captured process on its way through the snapshots.

    Attributes:
        name: Its name.
        pages: All page numbers it ever has, ascending; a page's position is its page in the area.
        area: Ordinal of its area; None before it is spawned and after it exits.
        order: Its pages from the hottest to the coldest, drawn once.
        present: Which pages the snapshot before had.
        changed: Pages written in this interval.
        changed_before: Pages written in the interval before.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.area: int | None = None
        self.order: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self.changed = self.changed_before = [np.empty(0, np.int32)]

    def begin(self, pages: npt.NDArray[np.uint64]) -> None:
        """Lay out the area."""
        self.pages = pages
        self.present = np.zeros(len(pages), bool)

    def apply(self, change: Change) -> Columns:
        """Bring it up to a snapshot; the writes that do it."""
        self.present[np.searchsorted(self.pages, change.removed)] = False
        page = np.searchsorted(self.pages, change.page).astype(np.int32)
        self.present[page] = True
        self.changed.append(page)
        return self.columns(page, change.content)

    def columns(self, page: Pages, content: Contents | int) -> Columns:
        """Columns of accesses to some pages of its area."""
        area = np.full(len(page), -1 if self.area is None else self.area, np.int32)
        return area, page, np.broadcast_to(np.asarray(content, np.int64), page.shape)

    def hot(self, present: npt.NDArray[np.bool_], share: float) -> Pages:
        """Present pages, the hottest first: those changed lately, then a share of all, always the same."""
        lately = np.zeros(len(self.pages), bool)
        lately[np.concatenate(self.changed + self.changed_before)] = True
        always = np.zeros(len(self.pages), bool)
        always[self.order[: round(share * len(self.pages))]] = True
        by_heat = self.order[present[self.order]]
        chosen = by_heat[lately[by_heat]], by_heat[always[by_heat] & ~lately[by_heat]]
        return np.concatenate(chosen).astype(np.int32)


def _joined(parts: list[Columns]) -> Columns:
    """One after the other, as one."""
    if not parts:
        return np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64)
    areas, pages, contents = zip(*parts, strict=True)
    return np.concatenate(areas), np.concatenate(pages), np.concatenate(contents)


def _spread(columns: Columns, length_ns: int) -> Iterator[Access | Idle]:
    """Accesses spread evenly over some time."""
    accesses = len(columns[0])
    if not accesses:
        yield Idle(length_ns)
        return
    yield from chunked(*columns, gap_ns=length_ns // accesses)


@hookimpl
def ksmlab_workloads() -> list[type[Workload]]:
    """Register the workload."""
    return [Captured]
