"""Workload `clones`: machines booted from one base image that drift apart, sleep, and wake all at once.

Every machine has one area ``ram``: first its image pages (page i holds the same in every machine), then its
zero pages, then pages of its own. The phases, each sampled under its name:

* ``boot``: the boot storm. Every machine writes all its pages, ascending, all machines in turn by bursts.
* ``idle-1``: each machine reads and writes its small working set now and then. Meanwhile an update changes
  some image pages to the same new content in every machine, and each machine overwrites some image pages
  with content of its own: the drift. Reclaim has the time to swap out what nobody touches.
* ``wake-1``: the wake-up storm. Every machine accesses most of its pages in an order of its own, all
  machines in turn by bursts.

``idle`` and ``wake`` repeat `cycles` times (``idle-2``, ``wake-2``, ...). A phase lasts as long as its
parameter says, plus what the machine's faults take: its accesses are spread evenly over that time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from pydantic import model_validator

from ksmlab_core.policy import Field, Workload, hookimpl
from ksmlab_core.workload.content import ZERO, content_ids
from ksmlab_core.workload.events import CHUNK, READ, TOUCH, Access, Event, Idle, Map, Mark, Spawn
from ksmlab_core.workload.units import Duration

Pages = npt.NDArray[np.int32]
Contents = npt.NDArray[np.int64]


class Clones(Workload):
    """Machines from one image: boot storm, idle time in which they drift apart, wake-up storm."""

    name = "clones"

    class Params(Workload.Params):
        """The machines, what they hold, and what happens in each phase."""

        machines: int = Field(8, ge=1, le=2**15, description="machines that boot from the image")
        pages: int = Field(4096, ge=1, le=2**30, description="pages of each machine")
        image: float = Field(0.6, ge=0, le=1, description="share of the pages that come from the base image")
        zero: float = Field(0.15, ge=0, le=1, description="share of the pages that hold zeros after the boot")
        burst: int = Field(32, ge=1, le=CHUNK, description="accesses of one machine before it is another's turn")
        boot: Duration = Field(2 * 10**9, description="computing time of the boot storm")
        cycles: int = Field(1, ge=0, le=1000, description="how often the machines idle and wake up")
        idle: Duration = Field(10 * 10**9, description="computing time of one idle phase")
        idle_rate: float = Field(200, ge=0, le=10**9, description="accesses per second of each idle machine")
        idle_set: float = Field(0.05, ge=0, le=1, description="share of the pages that an idle machine uses")
        idle_writes: float = Field(0.1, ge=0, le=1, description="share of the idle accesses that write new content")
        update: float = Field(
            0.02, ge=0, le=1, description="share of the image that each idle phase replaces by the same"
        )
        drift: float = Field(
            0.05, ge=0, le=1, description="share of the image that each machine makes its own, per idle phase"
        )
        wake: Duration = Field(10**9, description="computing time of one wake-up storm")
        wake_set: float = Field(0.8, ge=0, le=1, description="share of its pages that a waking machine accesses")
        wake_writes: float = Field(0.2, ge=0, le=1, description="share of the wake-up accesses that are writes")
        touch: float = Field(
            0.5, ge=0, le=1, description="share of the wake-up writes that leave the bytes as they are"
        )

        @model_validator(mode="after")
        def _shares_fit(self) -> Clones.Params:
            if self.image + self.zero > 1 + 1e-9:
                raise ValueError("image and zero add up to more than 1")
            return self

    params: Params

    def events(self) -> Iterator[Event]:
        """Boot, then idle and wake-up in turn."""
        p = self.params
        self._unique = 0
        self._image = min(round(p.image * p.pages), p.pages)
        for machine in range(p.machines):
            yield Spawn(f"vm{machine}")
            yield Map(f"vm{machine}", "ram", p.pages)
        # Only now: more pages than this computer can simulate have been refused.
        self._hot = self._permutations(round(p.idle_set * p.pages))
        yield Mark("boot")
        yield from self._boot()
        for cycle in range(1, p.cycles + 1):
            yield Mark(f"idle-{cycle}")
            yield from self._idle(cycle)
            yield Mark(f"wake-{cycle}")
            yield from self._wake()

    def duration_hint(self) -> int:
        """Accesses of all phases."""
        p = self.params
        image = min(round(p.image * p.pages), p.pages)
        idle = self._idle_accesses() + round(p.update * image) + round(p.drift * image)
        return p.machines * (p.pages + p.cycles * (idle + round(p.wake_set * p.pages)))

    def _idle_accesses(self) -> int:
        """Accesses to its working set that one machine makes in one idle phase."""
        has_set = round(self.params.idle_set * self.params.pages) > 0
        return round(self.params.idle_rate * self.params.idle / 1e9) if has_set else 0

    def _permutations(self, n: int, of: int | None = None) -> Pages:
        """For each machine, `n` different page numbers below `of` in an order of its own."""
        below = self.params.pages if of is None else of
        rows = [self.rng.permutation(below)[:n] for _ in range(self.params.machines)]
        return np.array(rows, dtype=np.int32).reshape(self.params.machines, n)

    def _new_contents(self, n: int) -> Contents:
        """`n` contents that no page has held before."""
        first, self._unique = self._unique, self._unique + n
        return content_ids("unique", np.arange(first, self._unique))

    def _boot(self) -> Iterator[Access | Idle]:
        p = self.params
        zero = min(round(p.zero * p.pages), p.pages - self._image)
        page = np.broadcast_to(np.arange(p.pages, dtype=np.int32), (p.machines, p.pages))
        content = np.full((p.machines, p.pages), ZERO, np.int64)
        content[:, : self._image] = content_ids("clones-image", np.arange(self._image), within=(0,))
        own = content[:, self._image + zero :]
        own[:] = self._new_contents(own.size).reshape(own.shape)
        return _in_turn(page, content, p.burst, p.boot)

    def _idle(self, cycle: int) -> Iterator[Access | Idle]:
        """Working set, update and drift of every machine, shuffled together."""
        p = self.params
        updated = self.rng.permutation(self._image)[: round(p.update * self._image)].astype(np.int32)
        drifted = self._permutations(round(p.drift * self._image), self._image)
        picks = self.rng.integers(0, max(self._hot.shape[1], 1), (p.machines, self._idle_accesses()))
        used = np.take_along_axis(self._hot, picks, axis=1)
        page = np.hstack((used, np.broadcast_to(updated, (p.machines, len(updated))), drifted))
        content = np.full(page.shape, READ, np.int64)
        writes = self.rng.random(used.shape) < p.idle_writes
        content[:, : used.shape[1]][writes] = self._new_contents(int(writes.sum()))
        common = slice(used.shape[1], used.shape[1] + len(updated))
        content[:, common] = content_ids("clones-image", updated, within=(cycle,))
        content[:, common.stop :] = self._new_contents(drifted.size).reshape(drifted.shape)
        order = self.rng.permuted(np.broadcast_to(np.arange(page.shape[1]), page.shape), axis=1)
        page, content = np.take_along_axis(page, order, axis=1), np.take_along_axis(content, order, axis=1)
        return _in_turn(page, content, 1, p.idle)

    def _wake(self) -> Iterator[Access | Idle]:
        p = self.params
        page = self._permutations(round(p.wake_set * p.pages))
        content = np.full(page.shape, READ, np.int64)
        draw = self.rng.random(page.shape)
        content[draw < p.wake_writes] = TOUCH
        new = draw < p.wake_writes * (1 - p.touch)
        content[new] = self._new_contents(int(new.sum()))
        return _in_turn(page, content, p.burst, p.wake)


def _in_turn(page: Pages, content: Contents, burst: int, duration_ns: int) -> Iterator[Access | Idle]:
    """All machines' accesses (one row each), a burst of each machine at a time, spread over a duration."""
    machines, length = page.shape
    if not length:
        yield Idle(duration_ns)
        return
    gap_ns = duration_ns // (machines * length)
    machine = np.broadcast_to(np.arange(machines, dtype=np.int32)[:, None], page.shape)
    turns = max(CHUNK // (machines * burst), 1)
    for start in range(0, length, turns * burst):
        block = slice(start, start + turns * burst)
        order = _burst_order(machines, len(page[0, block]), burst)
        area, pages = machine[:, block].ravel()[order], page[:, block].ravel()[order]
        contents = content[:, block].ravel()[order]
        for cut in range(0, len(order), CHUNK):
            part = slice(cut, cut + CHUNK)
            yield Access(area[part], pages[part], contents[part], gap_ns)


def _burst_order(machines: int, length: int, burst: int) -> npt.NDArray[np.int64]:
    """Where in the row-major (machines, length) table each access comes from, a burst per machine in turn."""
    turns = -(-length // burst)
    position = np.arange(turns * burst).reshape(turns, 1, burst)
    row = np.arange(machines).reshape(1, machines, 1)
    inside = np.broadcast_to(position < length, (turns, machines, burst))
    return (row * length + position)[inside]


@hookimpl
def ksmlab_workloads() -> list[type[Workload]]:
    """Register the workload."""
    return [Clones]
