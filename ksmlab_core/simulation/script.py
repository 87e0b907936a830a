"""Scripted workloads: the steps of an experiment file, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ksmlab_core.errors import InvariantViolated, StepFailed
from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm.errno import NAMES, NUMBERS, OK
from ksmlab_core.mm.machine import READ, TOUCH, BusError, NothingToScan, OutOfMemory
from ksmlab_core.simulation.contents import Contents
from ksmlab_core.simulation.engine import Engine
from ksmlab_core.simulation.expectations import Expectations
from ksmlab_core.simulation.rows import compare_row, describe_pages, row_now
from ksmlab_core.simulation.spans import runs, spans
from ksmlab_core.simulation.world import Area, Process

_VMA_FLAGS = {
    "shared": t.VM_SHARED | t.VM_MAYSHARE,
    "io": t.VM_IO,
    "nonlinear": t.VM_NONLINEAR,
    "locked": t.VM_LOCKED,
    "readonly": 0,
}
_FAILURES = {"node": "stable_node"}
Span = tuple[int, int] | None
Record = Callable[[str, bool], None]


class Script:
    """Carries steps out on an engine.

    Args:
        engine: machine, clock and policies.
        steps: the validated steps: kind, args, line.
        file: the experiment file, for messages.
        expectations: where comparisons are kept.
        record: takes a sample: (label, with every page's state).
    """

    def __init__(
        self, engine: Engine, steps: Sequence[Any], file: str, expectations: Expectations, record: Record
    ) -> None:
        self.engine, self.machine, self.world = engine, engine.machine, engine.world
        self.steps, self.file = steps, file
        self.expectations, self.record = expectations, record
        self._contents = Contents()
        self._row_before: Mapping[str, int] = {}
        self._holds: dict[tuple[Any, ...], list[int]] = {}
        self._line = 0

    def run(self, progress: Callable[[int, int | None], None] | None = None) -> None:
        """All steps; StepFailed names the one that could not be carried out."""
        for position, step in enumerate(self.steps):
            self._line = step.line
            self.step(step)
            if progress is not None:
                progress(position + 1, len(self.steps))

    def step(self, step: Any) -> None:
        """One step, and the check of the invariants behind it."""
        try:
            getattr(self, f"_do_{step.kind}")(**step.args)
            self.engine.do_due()
            self.engine.watch.after_step(f"step {step.kind!r} ({self.file}:{step.line})")
        except StepFailed as error:
            raise StepFailed(error.reason, step=step.kind, file=self.file, line=step.line) from None
        except OutOfMemory:
            raise self._failed(step, "out of memory: no frame is free and none can be reclaimed") from None
        except BusError:
            raise self._failed(step, "SIGBUS: the page could not be read from swap") from None
        except NothingToScan:
            what = "no process is registered with ksmd, so full_scans would never rise; advise an area mergeable first"
            raise self._failed(step, what) from None
        except InvariantViolated:
            raise

    def _failed(self, step: Any, reason: str) -> StepFailed:
        return StepFailed(reason, step=step.kind, file=self.file, line=step.line)

    # -- helpers ----------------------------------------------------------------------------------------------

    def _each(self, process: list[str], area: str, pages: Span) -> list[tuple[Process, Area, range]]:
        found = []
        for name in process:
            one = self.world.process(name)
            where = self.world.area(one, area)
            found.append((one, where, self.world.pages(one, where, pages)))
        return found

    def _returned(self, call: str, errno: int, want: int | str | None) -> None:
        """Compare what a call returned with what was expected; without expectation an error fails the step."""
        if want is None:
            if errno != OK:
                raise StepFailed(f"{call} returned {NAMES[errno]}")
            return
        wanted = NUMBERS[str(want)]
        self.expectations.compare_value(f"{call} returns", NAMES[wanted], NAMES[errno], at="", line=self._line)

    def _ranges(self, process: list[str], area: str, pages: Span) -> list[tuple[Process, Area, int, int, int]]:
        """(process, area, address, how many, first page number) of each mapped stretch."""
        out = []
        for one, where, numbers in self._each(process, area, pages):
            for start, count, at in runs(where.addresses[numbers.start : numbers.stop]):
                out.append((one, where, start, count, numbers.start + at))
        return out

    def _access(self, process: list[str], area: str, pages: Span, content: Callable[[int, int], Any]) -> None:
        for one, where, numbers in self._each(process, area, pages):
            if not where.modelled:
                raise StepFailed(f"area {area!r} is shared memory, which can be mapped and advised but not accessed")
            ptes = self.world.ptes(one, where, numbers)
            contents = content(numbers.start, numbers.stop)
            if pages is None:
                mapped = ptes >= 0
                ptes, contents = ptes[mapped], contents[mapped]
            elif (ptes < 0).any():
                raise StepFailed(f"page {numbers.start + int(np.argmin(ptes))} of area {area!r} is not mapped")
            if len(contents) and contents[0] != READ and not self._writable(ptes):
                raise StepFailed(f"area {area!r} of {one.name!r} is read-only: the write would be a SIGSEGV")
            self.engine.access(ptes, contents)

    def _writable(self, ptes: Any) -> bool:
        m = self.machine.state.m
        return bool((m.vma.vm_flags[m.pte.vma[ptes]] & t.VM_WRITE).all())

    # -- processes and areas ----------------------------------------------------------------------------------

    def _do_spawn(self, process: list[str]) -> None:
        for name in process:
            self.world.spawn(name)

    def _do_exit(self, process: list[str]) -> None:
        for name in process:
            self.world.exit(name)

    def _do_fork(self, process: str, child: str) -> None:
        self.world.fork(process, child)
        source, target = self.world.process(process), self.world.process(child)
        self.engine.watch.copied(self.world.all_ptes(source), self.world.all_ptes(target))

    def _do_prctl(self, process: list[str], merge: int, returns: int | str | None = None) -> None:
        for name in process:
            errno = self.machine.prctl_memory_merge(self.world.process(name).mm, bool(merge))
            self._returned("prctl", errno, returns)

    def _do_mmap(
        self,
        process: list[str],
        area: str,
        pages: int,
        advise: str | None,
        flags: list[str],
        node: int = t.NONE,
        measured: bool = True,
    ) -> None:
        bits = 0 if "readonly" in flags else t.VM_WRITE
        for flag in flags:
            bits |= _VMA_FLAGS[flag]
        for name in process:
            where = self.world.mmap(name, area, pages, bits & ~t.VM_LOCKED, node)
            where.measured = measured
            one = self.world.process(name)
            self.engine.watch.zeroed(self.world.ptes(one, where, range(pages)))
            if bits & t.VM_LOCKED:
                self._returned("mlock", self.machine.mlock(one.mm, int(where.addresses[0]), pages), None)
            if advise == "mergeable":
                self._returned("madvise", self.machine.madvise_mergeable(one.mm, int(where.addresses[0]), pages), None)

    def _do_munmap(self, process: list[str], area: str, pages: Span) -> None:
        for one, where, start, count, first in self._ranges(process, area, pages):
            self.machine.munmap(one.mm, start, count)
            where.addresses[first : first + count] = t.NONE

    def _do_madvise(
        self, process: list[str], area: str, advice: str, pages: Span, returns: int | str | None = None
    ) -> None:
        calls = {
            "mergeable": self.machine.madvise_mergeable,
            "unmergeable": self.machine.madvise_unmergeable,
            "dontneed": self._dontneed,
        }
        for one, where, numbers in self._each(process, area, pages):
            addresses = where.addresses[numbers.start : numbers.stop]
            if not (addresses >= 0).any():
                raise StepFailed(f"nothing of area {area!r} is mapped there")
            errno = OK if (addresses >= 0).all() else NUMBERS["ENOMEM"]
            for start, end in spans(addresses):
                result = calls[advice](one.mm, start, end - start)
                errno = result if result != OK else errno
                if errno not in (OK, NUMBERS["ENOMEM"]):
                    break
            self._returned("madvise", errno, returns)

    def _dontneed(self, mm: int, start: int, pages: int) -> int:
        """MADV_DONTNEED; what it lets go of reads as zero: all, or what lies before the first locked area."""
        ptes = self.machine.ptes(mm, start, pages)
        ptes = ptes[ptes >= 0]
        m = self.machine.state.m
        locked = np.flatnonzero(m.vma.vm_flags[m.pte.vma[ptes]] & t.VM_LOCKED)
        errno = self.machine.madvise_dontneed(mm, start, pages)
        self.engine.watch.zeroed(ptes[: locked[0]] if len(locked) else ptes)
        return errno

    def _do_mprotect(self, process: list[str], area: str, pages: Span, writable: bool) -> None:
        for one, _where, start, count, _first in self._ranges(process, area, pages):
            self._returned("mprotect", self.machine.mprotect(one.mm, start, count, writable), None)

    def _do_mlock(self, process: list[str], area: str, pages: Span, returns: int | str | None = None) -> None:
        for one, _where, start, count, _first in self._ranges(process, area, pages):
            self._returned("mlock", self.machine.mlock(one.mm, start, count), returns)

    def _do_munlock(self, process: list[str], area: str, pages: Span) -> None:
        for one, _where, start, count, _first in self._ranges(process, area, pages):
            self._returned("munlock", self.machine.munlock(one.mm, start, count), None)

    def _do_mremap(self, process: list[str], area: str, pages: Span) -> None:
        for one, where, start, count, first in self._ranges(process, area, pages):
            moved = self.machine.mremap(one.mm, start, count)
            if moved < 0:
                raise StepFailed(f"mremap returned {NAMES[-moved]}")
            where.addresses[first : first + count] = np.arange(moved, moved + count)

    # -- accesses ---------------------------------------------------------------------------------------------

    def _do_write(self, process: list[str], area: str, content: Any, pages: Span) -> None:
        self._access(process, area, pages, lambda first, end: self._contents.of(content, first, end))

    def _do_touch(self, process: list[str], area: str, pages: Span) -> None:
        self._access(process, area, pages, lambda first, end: np.full(end - first, TOUCH, np.int64))

    def _do_read(self, process: list[str], area: str, pages: Span) -> None:
        self._access(process, area, pages, lambda first, end: np.full(end - first, READ, np.int64))

    # -- ksmd, reclaim, swap ----------------------------------------------------------------------------------

    def _do_scan(self, passes: int | None = None, pages: int | None = None) -> None:
        if passes is not None:
            self.engine.scan_passes(passes)
        else:
            self.engine.scan_pages(pages or 0)

    def _do_reclaim(self, pages: int | None = None) -> None:
        self.engine.reclaim(pages)

    def _do_lru(self, action: str) -> None:
        if action == "deactivate":
            self.machine.deactivate()
        elif action == "shrink":
            self.machine.shrink()
        else:
            self.machine.drain()

    def _do_memcg(self, process: list[str] | None) -> None:
        mms = None if process is None else [self.world.process(name).mm for name in process]
        self.machine.limit_to_memcg(mms)

    def _do_swapoff(self) -> None:
        self._returned("swapoff", self.machine.swapoff(), None)

    def _do_swapon(self) -> None:
        self._returned("swapon", self.machine.swapon(), None)

    def _do_set(self, knobs: Mapping[str, int | str], returns: int | str | None = None) -> None:
        for name, value in knobs.items():
            knob = name.removeprefix("ksm.")
            errno = self.machine.set_knob(knob, value) if isinstance(value, (int, str)) else NUMBERS["EINVAL"]
            self.engine.knobs_changed()
            self._returned(f"write to {name}", errno, returns)

    def _do_sleep(self, ns: int) -> None:
        self.engine.sleep(ns)

    # -- levers -----------------------------------------------------------------------------------------------

    def _frames(self, process: list[str], area: str, pages: Span) -> list[int]:
        frames = []
        for one, where, numbers in self._each(process, area, pages):
            found = self.machine.frames_of(self.world.ptes(one, where, numbers))
            if (found <= t.ZERO_PAGE).any():
                raise StepFailed(f"page {numbers.start + int(np.argmin(found))} of area {area!r} is not present")
            frames += found.tolist()
        return frames

    def _do_pin(self, process: list[str], area: str, pages: Span) -> None:
        for page in self._frames(process, area, pages):
            self.machine.pin(page)
            self._held("pin", process, area, pages).append(page)

    def _held(self, how: str, process: list[str], area: str, pages: Span) -> list[int]:
        """The frames that a pin or lock of these pages took: it stays with the frame, wherever the address goes."""
        return self._holds.setdefault((how, tuple(process), area, tuple(pages or ())), [])

    def _do_unpin(self, process: list[str], area: str, pages: Span) -> None:
        frames = self._held("pin", process, area, pages)
        if not frames:
            raise StepFailed("these pages were not pinned by one `pin` step of the same pages")
        while frames:
            self.machine.unpin(frames.pop())

    def _do_lock(self, process: list[str], area: str, pages: Span) -> None:
        for page in self._frames(process, area, pages):
            self.machine.lock_page(page, True)
            self._held("lock", process, area, pages).append(page)

    def _do_unlock(self, process: list[str], area: str, pages: Span) -> None:
        frames = self._held("lock", process, area, pages)
        for page in frames or self._frames(process, area, pages):
            self.machine.lock_page(page, False)
        frames.clear()

    def _do_fail(self, **kinds: int) -> None:
        for kind, n in kinds.items():
            self.machine.fail(_FAILURES.get(kind, kind), n)

    # -- looking ----------------------------------------------------------------------------------------------

    def _do_sample(self, label: str, pages: bool = False) -> None:
        self.record(label, pages)

    def _do_expect(self, metrics: Mapping[str, Any]) -> None:
        now = self.engine.metrics()
        for metric, want in metrics.items():
            self.expectations.compare(metric, want, now, at="", line=self._line)

    def _do_measured(self, label: str, columns: Mapping[str, str], **more: Any) -> None:
        now = self.engine.metrics()
        pages = describe_pages(self.machine, self.world) if columns["pages"] not in ("", "~") else ""
        got = row_now(self.machine, self.world, now, self._row_before, pages)
        self._row_before = now
        for figure, want, found in compare_row(columns, got, more["except"]):
            self.expectations.compare_value(figure, want, found, at=label, line=self._line)
