"""Generated workloads: a stream of events from a plugin, carried out on an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from ksmlab_core.errors import RunFailed
from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm.machine import BusError, OutOfMemory
from ksmlab_core.simulation.engine import Engine
from ksmlab_core.simulation.spans import runs
from ksmlab_core.simulation.world import Area, Process
from ksmlab_core.workload.events import Access, Discard, Event, Exit, Idle, Map, Mark, Spawn


class Stream:
    """Carries a workload's events out.

    Args:
        engine: machine, clock and policies.
        record: takes a sample under a label.
    """

    def __init__(self, engine: Engine, record: Callable[[str, bool], None]) -> None:
        self.engine, self.record = engine, record
        self._bases = np.empty(0, np.int64)  # first pte of each area by ordinal; NONE once its process is gone
        self._areas: list[tuple[Process, Area]] = []  # by ordinal

    def run(
        self, events: Iterable[Event], total: int | None, progress: Callable[[int, int | None], None] | None
    ) -> None:
        """All events; `total` accesses are expected, for progress."""
        done = 0
        for event in events:
            self._carry_out(event)
            if isinstance(event, Access):
                done += len(event)
                if progress is not None:
                    progress(done, total)

    def _carry_out(self, event: Event) -> None:
        engine = self.engine
        if isinstance(event, Access):
            self._access(event)
        elif isinstance(event, Spawn):
            engine.world.spawn(event.process)
        elif isinstance(event, Map):
            self._map(event)
        elif isinstance(event, Discard):
            self._discard(event)
        elif isinstance(event, Idle):
            engine.sleep(event.ns)
        elif isinstance(event, Exit):
            self._gone(engine.world.exit(event.process))
        elif isinstance(event, Mark):
            self.record(event.label, False)
        engine.do_due()
        engine.watch.after_step(f"workload event {type(event).__name__}")

    def _map(self, event: Map) -> None:
        engine = self.engine
        area = engine.world.mmap(event.process, event.area, event.pages, t.VM_WRITE)
        process = engine.world.process(event.process)
        ptes = engine.world.ptes(process, area, range(event.pages))
        engine.watch.zeroed(ptes)
        if event.mergeable:
            engine.machine.madvise_mergeable(process.mm, int(area.addresses[0]), event.pages)
        # A generated area is never split, so page i of it is pte base + i for as long as the process lives.
        self._bases = np.append(self._bases, int(ptes[0]))
        self._areas.append((process, area))

    def _discard(self, event: Discard) -> None:
        """madvise(MADV_DONTNEED) on each stretch of the pages."""
        process, area = self._areas[event.area]
        for start, count, _at in runs(area.addresses[event.page]):
            self.engine.machine.madvise_dontneed(process.mm, start, count)
        self.engine.watch.zeroed((self._bases[event.area] + event.page).astype(np.int32))

    def _gone(self, process: Process) -> None:
        for ordinal, (owner, _area) in enumerate(self._areas):
            if owner is process:
                self._bases[ordinal] = t.NONE

    def _access(self, event: Access) -> None:
        bases = self._bases[event.area]
        ptes = np.where(bases >= 0, bases + event.page, t.NONE).astype(np.int32)
        while True:
            try:
                self.engine.access(ptes, event.content, event.gap_ns)
                return
            except OutOfMemory as stop:
                raise RunFailed(self._no_memory()) from stop
            except BusError as stop:
                raise RunFailed("SIGBUS: a page could not be read from swap") from stop

    def _no_memory(self) -> str:
        sc = self.engine.machine.sc
        free_slots = int(sc[t.SWAP_MAX] - 1 - sc[t.SWAP_INUSE])
        swap = "there is no swap" if sc[t.SWAP_MAX] <= 1 else f"{free_slots} swap slots are free"
        return (
            f"out of memory at {self.engine.now} ns: {int(sc[t.NR_FREE])} of {int(sc[t.NR_FRAMES])} frames are free, "
            f"nothing more can be reclaimed, {swap}; give the machine more memory or swap"
        )
