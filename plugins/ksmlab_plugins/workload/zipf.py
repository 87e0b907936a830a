"""Workload `zipf`: processes that access their pages by popularity, with a chosen mix of contents.

First every process writes all its pages once, ascending (phase ``fill``). Then accesses follow (phase
``run``): a process is drawn evenly, a page of it by the zipf law. All processes have the same popular page
numbers, spread over the area; what a page holds is independent of how popular it is.

Contents. Each process has exactly ``round(share * pages)`` pages of each kind, at places of its own:

* zero: filled with zeros.
* shared: the k-th shared page of a process holds group ``k % groups``. With the default number of groups
  every process holds each group once; fewer groups make copies within a process too.
* volatile: ``volatile_rate`` of all accesses rewrite one of these, drawn evenly, with new content.
* own: the rest, each unlike any other page.

A write leaves the page's bytes as they are with chance `touch` (the kernel breaks the sharing all the same,
and ksmd can merge again), and gives the page content of its own otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from pydantic import model_validator

from ksmlab_core.policy import Field, Workload, hookimpl
from ksmlab_core.workload.content import ZERO, content_ids
from ksmlab_core.workload.events import CHUNK, READ, TOUCH, Access, Event, Idle, Map, Mark, Spawn, chunked
from ksmlab_core.workload.sampling import AliasTable, zipf_weights
from ksmlab_core.workload.units import Duration


class Zipf(Workload):
    """Accesses by the zipf law over pages that are partly zero, shared, volatile or unlike any other."""

    name = "zipf"

    class Params(Workload.Params):
        """The size of the workload, its accesses and its contents."""

        processes: int = Field(8, ge=1, le=2**15, description="processes, each with one area")
        pages: int = Field(4096, ge=1, le=2**30, description="pages of each process")
        accesses: int = Field(200_000, ge=0, le=2**53, description="accesses after the fill")
        skew: float = Field(0.99, ge=0, le=8, description="exponent of the zipf law; 0 makes all pages equal")
        write_ratio: float = Field(0.1, ge=0, le=1, description="share of the accesses that are writes")
        touch: float = Field(0.5, ge=0, le=1, description="share of the writes that leave the bytes as they are")
        zero: float = Field(0.05, ge=0, le=1, description="share of the pages that hold zeros")
        shared: float = Field(0.4, ge=0, le=1, description="share of the pages whose content others hold too")
        groups: int | None = Field(
            None, ge=1, description="distinct shared contents; default: the shared pages of one process"
        )
        volatile: float = Field(0.05, ge=0, le=1, description="share of the pages that keep changing")
        volatile_rate: float = Field(
            0.02,
            ge=0,
            le=1,
            description="share of the accesses that rewrite a volatile page with new content",
        )
        gap: Duration = Field(10_000, description="computing time before each access")
        settle: Duration = Field(0, description="rest between the fill and the first access")

        @model_validator(mode="after")
        def _shares_fit(self) -> Zipf.Params:
            if self.zero + self.shared + self.volatile > 1 + 1e-9:
                raise ValueError("zero, shared and volatile add up to more than 1")
            if self.write_ratio + self.volatile_rate > 1 + 1e-9:
                raise ValueError("write_ratio and volatile_rate add up to more than 1")
            return self

    params: Params

    def events(self) -> Iterator[Event]:
        """Spawn, fill, settle, run."""
        for process in range(self.params.processes):
            yield Spawn(f"p{process}")
            yield Map(f"p{process}", "heap", self.params.pages)
        self._unique = 0
        yield Mark("fill")
        volatile = []
        for process in range(self.params.processes):
            content, changing = self._contents()
            volatile.append(changing + process * self.params.pages)
            yield from chunked(process, np.arange(self.params.pages), content, self.params.gap)
        if self.params.settle:
            yield Idle(self.params.settle)
        yield Mark("run")
        yield from self._run(np.concatenate(volatile))

    def duration_hint(self) -> int:
        """Accesses of the fill and of the run."""
        return self.params.processes * self.params.pages + self.params.accesses

    def _contents(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """What one process's pages hold at first, and which of them are volatile."""
        p = self.params
        zero, shared, volatile = _counts(p.pages, (p.zero, p.shared, p.volatile))
        place = self.rng.permutation(p.pages)
        content = np.empty(p.pages, np.int64)
        content[place[:zero]] = ZERO
        group = np.arange(shared) % (p.groups or max(shared, 1))
        content[place[zero : zero + shared]] = content_ids("zipf-shared", group)
        content[place[zero + shared :]] = self._new_contents(p.pages - zero - shared)
        return content, np.sort(place[zero + shared : zero + shared + volatile])

    def _new_contents(self, n: int) -> npt.NDArray[np.int64]:
        """`n` contents that no page has held before."""
        first, self._unique = self._unique, self._unique + n
        return content_ids("unique", np.arange(first, self._unique))

    def _run(self, volatile: npt.NDArray[np.int64]) -> Iterator[Access]:
        p = self.params
        popularity = np.empty(p.pages)
        popularity[self.rng.permutation(p.pages)] = zipf_weights(p.pages, p.skew)
        table = AliasTable(popularity)
        limits = self._limits(bool(volatile.size))
        for start in range(0, p.accesses, CHUNK):
            n = min(CHUNK, p.accesses - start)
            area = self.rng.integers(0, p.processes, n, dtype=np.int32)
            page = table.draw(self.rng, n)
            yield Access(area, page, self._write(area, page, volatile, limits), p.gap)

    def _limits(self, any_volatile: bool) -> tuple[int, int, int]:
        """Below which limit 32 random bits mean: volatile rewrite, new content, touch."""
        p = self.params
        rewrite = p.volatile_rate if any_volatile else 0.0
        new = rewrite + p.write_ratio * (1 - p.touch)
        shares = (rewrite, new, rewrite + p.write_ratio)
        first, second, third = (round(min(share, 1.0) * 2**32) for share in shares)
        return first, second, third

    def _write(
        self,
        area: npt.NDArray[np.int32],
        page: npt.NDArray[np.int32],
        volatile: npt.NDArray[np.int64],
        limits: tuple[int, int, int],
    ) -> npt.NDArray[np.int64]:
        """Decide which accesses write what; volatile rewrites move to a volatile page, in place."""
        draw = self.rng.integers(0, 2**32, len(area), dtype=np.uint32)
        content = np.full(len(area), READ, np.int64)
        written = np.flatnonzero(draw < limits[2])
        kind = draw[written]
        new = written[kind < limits[1]]
        content[written] = TOUCH
        content[new] = self._new_contents(len(new))
        rewrite = written[kind < limits[0]]
        if len(rewrite):
            target = volatile[self.rng.integers(0, len(volatile), len(rewrite))]
            area[rewrite], page[rewrite] = np.divmod(target, self.params.pages)
        return content


def _counts(pages: int, shares: tuple[float, ...]) -> list[int]:
    """Whole pages for each share, never more than `pages` in all."""
    counts = list[int]()
    for share in shares:
        counts.append(min(round(share * pages), pages - sum(counts)))
    return counts


@hookimpl
def ksmlab_workloads() -> list[type[Workload]]:
    """Register the workload."""
    return [Zipf]
