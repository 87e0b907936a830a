"""A small machine for tests of single rules, with every invariant checked after each operation.

``machine()`` gives a `Rig`: the `Machine` itself, each of whose methods is followed by a check of INV-1 to INV-20
(with a shadow memory for INV-15), and helpers that speak of processes, areas and pages. An `Area` is a stretch of
pages of one process; its methods take page numbers from 0. A page's content is a number, 0 the zero page.

    a, b = rig.processes(2, content=7)    # two processes with an equal, mergeable page each
    rig.scan_passes(2)
    assert rig.counters() == (1, 1, 0, 0)
    assert a.frame() == b.frame()
    rig.drain()                           # the new KSM page leaves its page batch
    assert a.state() == "[KadA,mc2,rc3,node]"

Nothing here may import numba at collection: what compiles is imported inside fixtures and tests.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from ksmlab_core.mm import mm_types as t

RW = t.VM_WRITE


class Area:
    """Pages of one process, from vpn `start` on."""

    def __init__(self, rig: Rig, mm: int, start: int, pages: int) -> None:
        self.rig, self.mm, self.start, self.pages = rig, mm, start, pages

    # -- accesses ---------------------------------------------------------------------------------------------

    def ptes(self, pages: Sequence[int] | int | None = None) -> Any:
        """The ptes of some pages, or of all."""
        found = self.rig.machine.ptes(self.mm, self.start, self.pages)
        return found if pages is None else found[np.atleast_1d(pages)]

    def write(self, content: Sequence[int] | int, pages: Sequence[int] | int | None = None) -> Area:
        """Write one content, or one content per page."""
        ptes = self.ptes(pages)
        contents = np.broadcast_to(np.asarray(content, np.int64), ptes.shape).copy()
        return self._access(ptes, contents)

    def touch(self, pages: Sequence[int] | int | None = None) -> Area:
        """Write the content that is there already."""
        ptes = self.ptes(pages)
        return self._access(ptes, np.full(ptes.shape, -2, np.int64))

    def read(self, pages: Sequence[int] | int | None = None) -> list[int]:
        """Read pages, faulting them in; their contents."""
        ptes = self.ptes(pages)
        self._access(ptes, np.full(ptes.shape, -1, np.int64))
        return [int(content) for content in self.rig.machine.contents_of(ptes)]

    def _access(self, ptes: Any, contents: Any) -> Area:
        self.rig.machine.access_all(ptes, contents)
        self.rig.checker.written(ptes, contents)
        self.rig.check()
        return self

    # -- readings ---------------------------------------------------------------------------------------------

    def pte(self, page: int = 0) -> int:
        """The number of a page's pte."""
        return int(self.ptes(page)[0])

    def flags(self, page: int = 0) -> int:
        """PTE_* of a page."""
        return int(self.rig.m.pte_flags[self.pte(page)])

    def is_young(self, page: int = 0) -> bool:
        return bool(self.flags(page) & t.PTE_YOUNG)

    def is_writable(self, page: int = 0) -> bool:
        return bool(self.flags(page) & t.PTE_WRITE)

    def is_dirty(self, page: int = 0) -> bool:
        """Is the pte dirty?"""
        return bool(self.flags(page) & t.PTE_DIRTY)

    def frame(self, page: int = 0) -> int:
        """The frame that a page is in, or NONE."""
        return int(self.rig.machine.frames_of(self.ptes(page))[0])

    def slot(self, page: int = 0) -> int:
        """The swap slot that a page's pte names, or NONE."""
        p = self.pte(page)
        return int(self.rig.m.pte_target[p]) if self.rig.m.pte_flags[p] & t.PTE_SWAP else t.NONE

    def state(self, page: int = 0) -> str:
        """The page's frame in the notation of the measured tables, e.g. ``[KadA,mc2,rc3,node]``."""
        return self.rig.state(self.frame(page))

    def is_ksm(self, page: int = 0) -> bool:
        return self.frame(page) != t.NONE and self.rig.is_ksm(self.frame(page))

    def node(self, page: int = 0) -> int:
        """The stable node that the page's KSM page names, or NONE."""
        return int(self.rig.m.frame.mapping[self.frame(page)]) if self.is_ksm(page) else t.NONE

    def item(self, page: int = 0) -> int:
        """The rmap_item of a page's address, found by walking the process's list, or NONE."""
        for item in self.rig.items(self.mm):
            if self.rig.m.item.address[item] == self.start + page:
                return item
        return t.NONE

    def item_state(self, page: int = 0) -> int:
        """ITEM_* of the page's item; the item must exist."""
        item = self.item(page)
        assert item != t.NONE, f"page {page} has no item"
        return int(self.rig.m.item.state[item])

    def vma(self, page: int = 0) -> int:
        return int(self.rig.m.pte.vma[self.pte(page)])

    def vm_flags(self, page: int = 0) -> int:
        return int(self.rig.m.vma.vm_flags[self.vma(page)])

    # -- system calls -----------------------------------------------------------------------------------------

    def _span(self, pages: range | None) -> tuple[int, int, int]:
        pages = pages if pages is not None else range(self.pages)
        return self.mm, self.start + pages.start, len(pages)

    def mergeable(self, pages: range | None = None) -> int:
        """madvise(MADV_MERGEABLE)."""
        return self.rig.madvise_mergeable(*self._span(pages))

    def unmergeable(self, pages: range | None = None) -> int:
        """madvise(MADV_UNMERGEABLE)."""
        return self.rig.madvise_unmergeable(*self._span(pages))

    def dontneed(self, pages: range | None = None) -> int:
        """madvise(MADV_DONTNEED)."""
        ptes = self.ptes() if pages is None else self.ptes(list(pages))
        result = self.rig.machine.madvise_dontneed(*self._span(pages))
        if result == 0:
            self.rig.checker.zeroed(ptes)
        self.rig.check()
        return result

    def munmap(self, pages: range | None = None) -> int:
        return self.rig.munmap(*self._span(pages))

    def mlock(self, pages: range | None = None) -> int:
        return self.rig.mlock(*self._span(pages))

    def munlock(self, pages: range | None = None) -> int:
        return self.rig.munlock(*self._span(pages))

    def mprotect(self, writable: bool, pages: range | None = None) -> int:
        return self.rig.mprotect(*self._span(pages), writable)

    def mremap(self) -> Area:
        """Move the whole area; the area at its new place."""
        return Area(self.rig, self.mm, self.rig.mremap(self.mm, self.start, self.pages), self.pages)

    def forked(self) -> Area:
        """Fork the process; the same area in the child."""
        parent = self.ptes()
        child = self.rig.machine.fork(self.mm)
        assert child > 0, "fork failed"
        area = Area(self.rig, child, self.start, self.pages)
        self.rig.copy_shadow(self.mm, child)
        assert len(parent) == len(area.ptes())
        self.rig.check()
        return area

    def exit(self) -> None:
        """The whole process exits."""
        self.rig.exit(self.mm)

    # -- levers -----------------------------------------------------------------------------------------------

    def make_old(self, pages: Sequence[int] | int | None = None) -> Area:
        """Clear the accessed bits, as if nobody had used the pages for long."""
        self.rig.m.pte_flags[self.ptes(pages)] &= np.uint8(0xFF ^ t.PTE_YOUNG)
        return self

    def pin(self, page: int = 0) -> int:
        """Take a reference on the page's frame, as get_user_pages does; the frame."""
        frame = self.frame(page)
        self.rig.pin(frame)
        return frame

    def lock(self, page: int = 0) -> int:
        """Let somebody else hold the page lock of the page's frame; the frame."""
        frame = self.frame(page)
        self.rig.lock_page(frame, True)
        return frame


class Rig:
    """A `Machine` (reached by attribute) that is checked after each of its methods, and its processes."""

    def __init__(self, machine: Any, checker: Any) -> None:
        self.machine, self.checker = machine, checker

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.machine, name)
        if not callable(found):
            return found

        def checked(*args: Any, **kwargs: Any) -> Any:
            result = found(*args, **kwargs)
            self.check()
            return result

        return checked

    def check(self) -> None:
        """Assert that no invariant is violated."""
        violations = list(self.checker.violations())
        assert not violations, "\n".join(str(violation) for violation in violations)

    # -- processes --------------------------------------------------------------------------------------------

    def process(
        self,
        pages: int = 1,
        content: Sequence[int] | int | None = None,
        *,
        mergeable: bool = True,
        flags: int = RW,
        mm: int | None = None,
    ) -> Area:
        """A new process (or one more area of process `mm`), advised mergeable, with its pages written if asked."""
        mm = self.machine.spawn() if mm is None else mm
        area = Area(self, mm, self.machine.mmap(mm, pages, flags), pages)
        self.checker.zeroed(area.ptes())
        if mergeable:
            assert area.mergeable() == 0
        if content is not None:
            area.write(content)
        return area

    def processes(
        self, n: int, pages: int = 1, content: Sequence[int] | int | None = None, **kwargs: Any
    ) -> list[Area]:
        """`n` alike processes."""
        return [self.process(pages, content, **kwargs) for _ in range(n)]

    def copy_shadow(self, parent: int, child: int) -> None:
        """Note that a child holds what its parent holds."""
        vma = self.m.vma
        for area in self.machine.vmas(parent):
            span = int(vma.vm_start[area]), int(vma.vm_end[area] - vma.vm_start[area])
            self.checker.copied(self.machine.ptes(parent, *span), self.machine.ptes(child, *span))

    # -- readings ---------------------------------------------------------------------------------------------

    @property
    def m(self) -> Any:
        """The records, each field a plain array."""
        return self.machine.state.m

    def counters(self) -> tuple[int, int, int, int]:
        """(pages_shared, pages_sharing, pages_unshared, pages_volatile)."""
        counters = self.machine.ksm_counters()
        shared, sharing = counters["pages_shared"], counters["pages_sharing"]
        return shared, sharing, counters["pages_unshared"], counters["pages_volatile"]

    def full_scans(self) -> int:
        return int(self.machine.ksm_counters()["full_scans"])

    def state(self, frame: int) -> str:
        """A frame in the notation of the measured tables."""
        from ksmlab_core.simulation.rows import page_state

        return page_state(self.machine, frame)

    def is_ksm(self, frame: int) -> bool:
        return (int(self.m.frame.pg[frame]) & t.PAGE_MAPPING_FLAGS) == t.PAGE_MAPPING_FLAGS

    def is_orphan(self, frame: int) -> bool:
        """Is the frame a KSM page without a stable node?"""
        return self.is_ksm(frame) and int(self.m.frame.mapping[frame]) == t.NONE

    def count(self, frame: int) -> int:
        """Its refcount."""
        return int(self.m.frame.refcount[frame])

    def mapcount(self, frame: int) -> int:
        return int(self.m.frame.mapcount[frame])

    def has(self, frame: int, flag: int) -> bool:
        """Has the frame a PG_* flag?"""
        return bool(int(self.m.frame.pg[frame]) & flag)

    def refs(self, slot: int) -> tuple[int, bool]:
        """(swap ptes that name a slot, is a page in the swap cache under it?)."""
        return int(self.m.slot.refs[slot]), int(self.m.slot.frame[slot]) != t.NONE

    def lru(self, which: int) -> list[int]:
        """The frames of an LRU list, head first."""
        out, frame = [], int(self.sc[t.LRU_HEAD + which])
        while frame != t.NONE:
            out.append(frame)
            frame = int(self.m.frame.lru_next[frame])
        return out

    def batch(self, which: int) -> list[int]:
        """The frames in a page batch, oldest first."""
        first = t.PVEC + which * t.PAGEVEC_SIZE
        return [int(frame) for frame in self.sc[first : first + int(self.sc[t.PVEC_COUNT + which])]]

    def used_frames(self) -> int:
        return int(self.sc[t.NR_FRAMES] - self.sc[t.NR_FREE])

    def items(self, mm: int) -> list[int]:
        """The rmap_items of a process, in the order of its list."""
        out, item = [], int(self.m.mm.rmap_list[mm])
        while item != t.NONE:
            out.append(item)
            item = int(self.m.item.rmap_next[item])
        return out

    def node_items(self, node: int) -> list[int]:
        """The items of a stable node, newest first."""
        out, item = [], int(self.m.node.hlist[node])
        while item != t.NONE:
            out.append(item)
            item = int(self.m.item.hlist_next[item])
        return out

    def nodes(self) -> list[int]:
        """The stable nodes that exist."""
        return [
            int(node) for node in np.flatnonzero((self.m.node.kpage != t.NONE) & (self.m.node.kind != t.NODE_CHAIN))
        ]

    def slots_ring(self) -> list[int]:
        """The registered processes, in the order of the list from its head."""
        out, mm = [], int(self.m.mm.slot_next[t.MM_HEAD])
        while mm != t.MM_HEAD:
            out.append(mm)
            mm = int(self.m.mm.slot_next[mm])
        return out

    def rss(self, mm: int) -> int:
        return int(self.m.mm.rss[mm])

    # -- more than one step -----------------------------------------------------------------------------------

    def merged(self, n: int = 2, content: int = 7, **kwargs: Any) -> list[Area]:
        """`n` processes whose one page each has been merged into one KSM page; the page batches are empty."""
        areas = self.processes(n, content=content, **kwargs)
        self.drain()
        self.scan_passes(2)
        self.drain()
        assert self.counters()[:2] == (1, n - 1)
        return areas

    def make_all_old(self) -> None:
        """Clear every accessed bit."""
        self.m.pte_flags[: self.machine.nr_ptes] &= np.uint8(0xFF ^ t.PTE_YOUNG)

    def unmap_to_swap(self) -> None:
        """Make everything old and inactive, then visit the inactive list once, as reclaim does."""
        self.make_all_old()
        self.deactivate()
        self.shrink()


def with_knobs(kernel: Any, knobs: Sequence[str]) -> Any:
    """A kernel with some knobs of later kernels added."""
    from ksmlab_core.mm.profile import KNOBS, KSM_COUNTERS, PROCESS_COUNTERS

    if not knobs:
        return kernel
    more = {**kernel.knobs, **{name: KNOBS[name] for name in knobs}}
    return dataclasses.replace(kernel, knobs=more, ksm_counters=KSM_COUNTERS, process_counters=PROCESS_COUNTERS)


@pytest.fixture
def machine() -> Any:
    """A maker of machines: ``machine(frames=256, slots=64, switches=None, kernel="seed", drained=True)``: a `Rig`.

    `knobs` adds knobs of later kernels to those of the kernel, all of their counters with them.
    """
    from ksmlab_core.mm.invariants import Checker
    from ksmlab_core.mm.machine import Machine
    from ksmlab_core.mm.profile import profile

    def make(
        frames: int = 256,
        slots: int = 64,
        switches: dict[str, Any] | None = None,
        knobs: Sequence[str] = (),
        kernel: str = "seed",
        **kwargs: Any,
    ) -> Rig:
        named = with_knobs(profile(kernel).with_switches(switches or {}), knobs)
        made = Machine(named, frames=frames, slots=slots, **{"costs": "free", **kwargs})
        return Rig(made, Checker(made))

    return make


@pytest.fixture
def rig(machine: Any) -> Rig:
    """The usual machine: 256 frames, 64 slots, batches drained."""
    return machine()


@pytest.fixture
def ksm() -> Any:
    """The room of ksmd, for tests that call one of its functions by hand: only where it is not compiled."""
    import numba

    if not numba.config.DISABLE_JIT:
        pytest.skip("calls one function of the floor by hand, which only plain Python can (NUMBA_DISABLE_JIT=1)")
    from ksmlab_core.mm import ksm

    return ksm
