"""The steps of a script, carried out by real processes, the real ksmd and real reclaim."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ksmlab_core.errors import NotSteady, StepFailed
from ksmlab_core.host import pagemap, swap, worker
from ksmlab_core.host.cgroup import Group
from ksmlab_core.host.knobs import Knobs
from ksmlab_core.host.ksmd import NOTHING_TO_SCAN, Ksmd
from ksmlab_core.host.metrics import Metrics
from ksmlab_core.host.processes import Addresses, Area, Process, Processes, Words, stretches
from ksmlab_core.simulation.contents import Contents
from ksmlab_core.simulation.expectations import Expectations
from ksmlab_core.simulation.spans import spans

_ADVICE: Final = {
    "mergeable": worker.MADV_MERGEABLE,
    "unmergeable": worker.MADV_UNMERGEABLE,
    "dontneed": worker.MADV_DONTNEED,
}
STANDSTILL_S: Final = 3.0
"""How long nothing may move before reclaim is taken for stuck: longer than the kernel's statistics stay stale."""
_PAUSE_S: Final = 0.01
Span = tuple[int, int] | None


@dataclass
class Host:
    """The host made ready for one attempt at a run."""

    knobs: Knobs
    ksmd: Ksmd
    group: Group
    swap: str | None
    processes: Processes
    metrics: Metrics


class Script:
    """Carries validated steps out.

    Args:
        host: the host.
        spec: the run.
        expectations: where comparisons are kept.
        record: takes a sample: (label, metrics).
    """

    def __init__(
        self, host: Host, spec: Any, expectations: Expectations, record: Callable[[str, dict[str, int]], None]
    ) -> None:
        self.host, self.file, self.steps = host, spec.file, spec.workload["script"]
        self.expectations, self.record = expectations, record
        self._contents = Contents()
        self._run = spec.ksm.get("run", 0)
        self._swapping = host.swap is not None
        self._line = 0

    def run(self, progress: Callable[[int, int | None], None] | None = None) -> None:
        """All steps; StepFailed names the one that could not be carried out."""
        for position, step in enumerate(self.steps):
            self._line = step.line
            try:
                getattr(self, f"_do_{step.kind}")(**step.args)
            except StepFailed as error:
                raise StepFailed(error.reason, step=step.kind, file=self.file, line=step.line) from None
            except NotSteady as error:
                raise NotSteady(f"{self.file}:{step.line}: {step.kind}: {error}") from None
            if progress is not None:
                progress(position + 1, len(self.steps))

    def metrics(self) -> dict[str, int]:
        """Every metric now. ksmd runs during scans and sleeps only, so `ksm.run` is what the script says."""
        return {**self.host.metrics.read(), "ksm.run": self._run}

    # -- helpers ----------------------------------------------------------------------------------------------

    def _each(self, process: list[str], area: str, pages: Span) -> Iterator[tuple[Process, Area, int, int]]:
        """(process, area, first page number, last + 1) of each area that a step means."""
        for name in process:
            one = self.host.processes.live[name]
            where = one.areas[area]
            first, last = (0, len(where.addresses) - 1) if pages is None else pages
            yield one, where, first, last + 1

    def _ranges(self, process: list[str], area: str, pages: Span) -> Iterator[tuple[Process, Area, int, int, int]]:
        """(process, area, address, pages, first page number) of each mapped stretch."""
        for one, where, first, end in self._each(process, area, pages):
            for start, count, at in stretches(where, first, end):
                yield one, where, start, count, at

    def _returned(self, call: str, number: int, want: int | str | None) -> None:
        """Compare what a call returned with what was expected; without expectation an error fails the step."""
        name = errno.errorcode.get(number, str(number)) if number else "0"
        if want is not None:
            self.expectations.compare_value(f"{call} returns", str(want), name, at="", line=self._line)
        elif number:
            raise StepFailed(f"{call} returned {name}")

    def _must(self, call: str, process: Process, command: str, **arguments: Any) -> None:
        self._returned(call, process.call(command, **arguments)[0]["errno"], None)

    # -- processes and areas ----------------------------------------------------------------------------------

    def _do_spawn(self, process: list[str]) -> None:
        for name in process:
            self.host.processes.spawn(name)

    def _do_exit(self, process: list[str]) -> None:
        for name in process:
            self.host.processes.exit(name)

    def _do_fork(self, process: str, child: str) -> None:
        self.host.processes.fork(self.host.processes.live[process], child)

    def _do_mmap(
        self,
        process: list[str],
        area: str,
        pages: int,
        advise: str | None,
        flags: list[str],
        measured: bool = True,
    ) -> None:
        shared = "shared" in flags
        for name in process:
            one = self.host.processes.live[name]
            start = one.room(pages)
            writable = "readonly" not in flags
            self._must("mmap", one, "map", start=start, pages=pages, writable=writable, shared=shared)
            addresses = np.arange(start, start + pages, dtype=np.int64)
            one.areas[area] = Area(addresses, np.zeros(pages, np.uint64), accessible=not shared)
            if "locked" in flags:
                self._must("mlock", one, "lock", start=start, pages=pages)
            if advise:
                self._returned("madvise", self._advise(one, one.areas[area], addresses, advise), None)

    def _do_munmap(self, process: list[str], area: str, pages: Span) -> None:
        for one, where, start, count, at in self._ranges(process, area, pages):
            self._must("munmap", one, "unmap", start=start, pages=count)
            where.addresses[at : at + count] = -1

    def _do_madvise(
        self, process: list[str], area: str, advice: str, pages: Span, returns: int | str | None = None
    ) -> None:
        for one, where, first, end in self._each(process, area, pages):
            addresses = where.addresses[first:end]
            if not (addresses >= 0).any():
                raise StepFailed(f"nothing of area {area!r} is mapped there")
            number = self._advise(one, where, addresses, advice)
            if advice == "dontneed":
                where.contents[first:end] = 0
                where.known = where.known and number == 0
            self._returned("madvise", number, returns)

    def _advise(self, process: Process, area: Area, addresses: Addresses, advice: str) -> int:
        """The call, over each part of an area that lies as it was mapped; what it returned."""
        number = 0 if (addresses >= 0).all() else errno.ENOMEM
        for start, end in spans(addresses):
            answer, _ = process.call("advise", start=start, pages=end - start, advice=_ADVICE[advice])
            number = answer["errno"] or number
            if number not in (0, errno.ENOMEM):
                break
            process.registered |= advice == "mergeable"
        return number

    def _do_mprotect(self, process: list[str], area: str, pages: Span, writable: bool) -> None:
        for one, _, start, count, _ in self._ranges(process, area, pages):
            self._must("mprotect", one, "protect", start=start, pages=count, writable=writable)

    def _do_mlock(self, process: list[str], area: str, pages: Span, returns: int | str | None = None) -> None:
        for one, _, start, count, _ in self._ranges(process, area, pages):
            self._returned("mlock", one.call("lock", start=start, pages=count)[0]["errno"], returns)

    def _do_munlock(self, process: list[str], area: str, pages: Span) -> None:
        for one, _, start, count, _ in self._ranges(process, area, pages):
            self._must("munlock", one, "unlock", start=start, pages=count)

    def _do_mremap(self, process: list[str], area: str, pages: Span) -> None:
        for one, where, start, count, at in self._ranges(process, area, pages):
            to = one.room(count)
            self._must("mremap", one, "move", start=start, pages=count, to=to)
            where.addresses[at : at + count] = np.arange(to, to + count)

    # -- accesses ---------------------------------------------------------------------------------------------

    def _accessed(self, process: list[str], area: str, pages: Span) -> Iterator[tuple[Process, Area, int, int]]:
        for one, where, first, end in self._each(process, area, pages):
            if not where.accessible:
                raise StepFailed(f"area {area!r} is shared memory, which can be mapped and advised but not accessed")
            yield one, where, first, end

    def _do_write(self, process: list[str], area: str, content: Any, pages: Span) -> None:
        for one, where, first, end in self._accessed(process, area, pages):
            where.contents[first:end] = words(self._contents.of(content, first, end))
            where.known |= end - first == len(where.contents)
            for start, count, at in stretches(where, first, end):
                one.call("fill", where.contents[at : at + count].tobytes(), start=start, pages=count)

    def _do_touch(self, process: list[str], area: str, pages: Span) -> None:
        """A write of what is there, without reading it first: that would be another fault."""
        for one, where, first, end in self._accessed(process, area, pages):
            if not where.known:
                raise StepFailed(f"what area {area!r} holds is not known since a call on it failed; write it first")
            for start, count, at in stretches(where, first, end):
                one.call("poke", where.contents[at : at + count].tobytes(), start=start, pages=count)

    def _do_read(self, process: list[str], area: str, pages: Span) -> None:
        """Read, and see whether the kernel still gives what was written."""
        for one, where, first, end in self._accessed(process, area, pages):
            for start, count, at in stretches(where, first, end):
                _, data = one.call("peek", start=start, pages=count)
                different = np.flatnonzero(np.frombuffer(data, np.uint64) != where.contents[at : at + count])
                if where.known and len(different):
                    raise StepFailed(f"page {at + int(different[0])} of area {area!r} does not hold what was written")

    # -- ksmd, reclaim, swap ----------------------------------------------------------------------------------

    def _do_scan(self, passes: int | None = None, pages: int | None = None) -> None:
        if not any(process.registered for process in self.host.processes.live.values()):
            raise StepFailed(NOTHING_TO_SCAN)
        self.host.group.drain()
        if passes is not None:
            self.host.ksmd.passes(passes)
        else:
            self.host.ksmd.pages(pages or 0)

    def _do_reclaim(self, pages: int | None = None) -> None:
        """Rounds of reclaim until everything that can go has gone.

        One does not do: young bits give a page another round, a page in a CPU's batch cannot be taken, and a page that
        is written to swap is freed a round later. Until then a KSM page in the swap cache would answer faults without
        a copy, so frames count as gone only when they have left the swap cache.

        A KSM page some of whose ptes reclaim does not find stays for good, in the swap cache: from the items of a child
        it does not come to the pte of its parent.
        """
        if not self._swapping:
            return  # nothing can be evicted, and other swap space of the host is not ours to use
        frames = self._frames()
        before, moved = np.empty(0, np.uint64), time.monotonic()
        while True:
            self.host.group.reclaim()
            mapped = pagemap.reclaimable(self._frames())
            cached = pagemap.swapcached(frames)
            left = np.concatenate([mapped, cached])
            if not len(left):
                return
            if not np.array_equal(left, before):
                before, moved = left, time.monotonic()
            elif time.monotonic() - moved > STANDSTILL_S:
                if np.isin(cached, mapped).all() and pagemap.not_unmapped(mapped):
                    return
                raise NotSteady(f"reclaim is stuck: {len(np.unique(left))} page frames stay in memory")
            time.sleep(_PAUSE_S)

    def _do_memcg(self, process: list[str] | None) -> None:
        """Nothing to be done: the run's own memory cgroup holds every process that there is."""

    def _frames(self) -> pagemap.Entries:
        """The frames that processes map."""
        return pagemap.frames(self.host.metrics.places().values())

    def _do_swapoff(self) -> None:
        self._swap("swapoff", swap.swapoff)
        self._swapping = False

    def _do_swapon(self) -> None:
        self._swap("swapon", swap.swapon)
        self._swapping = True

    def _swap(self, call: str, do: Callable[[str], None]) -> None:
        if self.host.swap is None:
            raise StepFailed("this machine has no swap")
        try:
            do(self.host.swap)
        except OSError as error:
            self._returned(call, error.errno or 0, None)

    def _do_set(self, knobs: Mapping[str, Any], returns: int | str | None = None) -> None:
        for name, value in knobs.items():
            number = self._set(name.removeprefix("ksm."), value)
            self._returned(f"write to {name}", number, returns)

    def _set(self, knob: str, value: Any) -> int:
        """Write a knob; ksmd itself is let run by scans and sleeps only."""
        if knob == "run" and value == self._run:
            return 0  # what is there already; a second 2 unmerges nothing, and ours is a 0 since the first
        try:
            if knob != "run" or value not in (0, 1):
                self.host.knobs.write(knob, value)
            if knob == "run":
                self._run = value
                if value != 1:
                    self.host.knobs.write("run", 0)
        except OSError as error:
            return error.errno or 0
        return 0

    def _do_sleep(self, ns: int) -> None:
        """Let time pass; ksmd works meanwhile if the script has it running."""
        if self._run != 1:
            time.sleep(ns / 1e9)
            return
        self.host.knobs.write("run", 1)
        try:
            time.sleep(ns / 1e9)
        finally:
            self.host.knobs.write("run", 0)

    # -- looking ----------------------------------------------------------------------------------------------

    def _do_sample(self, label: str, pages: bool = False) -> None:
        self.record(label, self.metrics())

    def _do_expect(self, metrics: Mapping[str, Any]) -> None:
        now = self.metrics()
        for metric, want in metrics.items():
            self.expectations.compare(metric, want, now, at="", line=self._line)


def words(numbers: np.ndarray[Any, np.dtype[np.int64]]) -> Words:
    """The first words of pages with these content numbers: as bytes they sort as the numbers do."""
    return numbers.astype(np.uint64).byteswap() if _LITTLE else numbers.astype(np.uint64)


_LITTLE: Final = np.little_endian
