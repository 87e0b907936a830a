"""Processes and their areas: what system calls do around the page tables (``mm/mmap.c``, ``madvise.c``, ``fork.c``).

These are the rare, wide operations. They move whole ranges of ptes as numpy slices and leave per-page work to the
doors. Addresses are page numbers ("vpn"); areas never touch, so that none merges with another by accident.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ksmlab_core.mm import doors, prctl
from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm._jit import plain
from ksmlab_core.mm.anon_vma import anon_vma_clone, anon_vma_fork, anon_vma_unlink, mergeable_vmas
from ksmlab_core.mm.errno import EAGAIN, EINVAL, ENOMEM, OK
from ksmlab_core.mm.page_alloc import fail_now
from ksmlab_core.mm.state import State

NO_ADVICE_FLAGS = prctl.INCOMPATIBLE | t.VM_MERGEABLE
FIRST_VPN = 16
GAP = 16  # pages between two areas
_NOTHING_READ = {"ra_address": 0, "ra_window": 0, "ra_hits": 4}  # of an area that nothing was swapped in to


class AddressSpaces:
    """All processes of a machine: their areas, and the ptes behind them."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.nr_mms = 1  # row 0 is the sentinel
        self.nr_vmas = 0
        self.nr_ptes = 0
        self._free_vmas: list[int] = []
        self._free_ptes: list[tuple[int, int]] = []  # (first, count)

    # -- doors ------------------------------------------------------------------------------------------------

    def _call(self, what: int, a: int = 0, b: int = 0, c: int = 0, d: int = 0, e: int = 0) -> int:
        self.state.reserve_anon_vmas(self.nr_vmas)  # mlock faults pages in; each area needs one at most
        return int(doors.syscall(*self.state.doors, what, a, b, c, d, e))

    def make_room(self, frames: int) -> bool:
        """Free frames until `frames` are free; False when nothing more can be freed."""
        raise NotImplementedError

    def _drain(self) -> None:
        doors.reclaim(*self.state.doors, doors.DRAIN, 0)

    # -- ptes -------------------------------------------------------------------------------------------------

    def _take_ptes(self, n: int) -> int:
        for i, (first, count) in enumerate(self._free_ptes):
            if count >= n:
                if count == n:
                    del self._free_ptes[i]
                else:
                    self._free_ptes[i] = (first + n, count - n)
                return first
        first = self.nr_ptes
        self.nr_ptes += n
        self.state.reserve_ptes(self.nr_ptes)
        return first

    def _give_ptes(self, first: int, n: int) -> None:
        a = self.state.arrays
        a["pte"]["vma"][first : first + n] = t.NONE
        a["pte"]["rmap_item"][first : first + n] = t.NONE
        a["pte_flags"][first : first + n] = 0
        a["pte_target"][first : first + n] = t.NONE
        self._free_ptes.append((first, n))

    # -- areas ------------------------------------------------------------------------------------------------

    def vmas(self, mm: int) -> Iterator[int]:
        """The areas of a process, ascending."""
        vma = int(self.state.m.mm.mmap[mm])
        while vma != t.NONE:
            after = int(self.state.m.vma.vm_next[vma])
            yield vma
            vma = after

    def _new_vma(self) -> int:
        if self._free_vmas:
            return self._free_vmas.pop()
        row = self.state.new_row("vma", self.nr_vmas)
        self.nr_vmas += 1
        return row

    def _insert_vma(self, mm: int, vma: int) -> None:
        """Link an area into its process by address."""
        m = self.state.m
        start = m.vma.vm_start[vma]
        before, after = t.NONE, int(m.mm.mmap[mm])
        while after != t.NONE and m.vma.vm_start[after] < start:
            before, after = after, int(m.vma.vm_next[after])
        m.vma.vm_next[vma] = after
        if before == t.NONE:
            m.mm.mmap[mm] = vma
        else:
            m.vma.vm_next[before] = vma

    def _remove_vma(self, mm: int, vma: int) -> None:
        m = self.state.m
        if m.mm.mmap[mm] == vma:
            m.mm.mmap[mm] = m.vma.vm_next[vma]
        else:
            before = next(v for v in self.vmas(mm) if m.vma.vm_next[v] == vma)
            m.vma.vm_next[before] = m.vma.vm_next[vma]
        if m.vma.anon_vma[vma] != t.NONE:
            anon_vma_unlink(m, vma)
        m.vma.mm[vma] = t.NONE
        m.vma.anon_vma[vma] = t.NONE
        self._free_vmas.append(vma)

    def _fill_vma(self, vma: int, **fields: int) -> None:
        row = self.state.arrays["vma"]
        for name, value in fields.items():
            row[name][vma] = value

    def _claim_ptes(self, vma: int) -> None:
        """Let the ptes of an area point back at it."""
        m = self.state.m
        first = int(m.vma.pte_base[vma])
        m.pte.vma[first : first + int(m.vma.vm_end[vma] - m.vma.vm_start[vma])] = vma

    def _split(self, mm: int, vma: int, address: int) -> int:
        """Cut an area at an address inside it; the upper part."""
        upper = self._new_vma()
        m = self.state.m
        offset = address - int(m.vma.vm_start[vma])
        self._fill_vma(
            upper,
            mm=mm,
            vm_start=address,
            vm_end=int(m.vma.vm_end[vma]),
            vm_pgoff=int(m.vma.vm_pgoff[vma]) + offset,
            vm_flags=int(m.vma.vm_flags[vma]),
            node=int(m.vma.node[vma]),
            **_NOTHING_READ,
            pte_base=int(m.vma.pte_base[vma]) + offset,
        )
        m.vma.vm_end[vma] = address
        self._insert_vma(mm, upper)
        anon_vma_clone(m, upper, vma)
        self._claim_ptes(upper)
        return upper

    def _isolate_range(self, mm: int, start: int, end: int) -> list[int]:
        """The areas that make up [start, end), cut at its ends; addresses without an area are left out."""
        m = self.state.m
        found = []
        for vma in list(self.vmas(mm)):
            low, high = int(m.vma.vm_start[vma]), int(m.vma.vm_end[vma])
            if high <= start or low >= end:
                continue
            if low < start:
                vma = self._split(mm, vma, start)
                m = self.state.m
            if high > end:
                self._split(mm, vma, end)
                m = self.state.m
            found.append(vma)
        return found

    def _rejoin(self, mm: int, start: int, end: int) -> None:
        """Make one of neighbouring areas in and around [start, end) that differ in nothing any more (``vma_merge``)."""
        low = t.NONE
        for vma in list(self.vmas(mm)):
            m = self.state.m
            if m.vma.vm_start[vma] > end:
                return
            if m.vma.vm_end[vma] >= start and low != t.NONE and mergeable_vmas(m, low, vma):
                m.vma.vm_end[low] = m.vma.vm_end[vma]
                if m.vma.anon_vma[low] == t.NONE:
                    anon_vma_clone(m, low, vma)
                self._remove_vma(mm, vma)
                self._claim_ptes(low)
            else:
                low = vma

    def _parts(self, mm: int, start: int, end: int) -> list[tuple[int, int, int]]:
        """(area, first pte, last pte + 1) of what is mapped in [start, end), nothing being cut."""
        m = self.state.m
        parts = []
        for vma in self.vmas(mm):
            low = max(start, int(m.vma.vm_start[vma]))
            high = min(end, int(m.vma.vm_end[vma]))
            if low < high:
                base = int(m.vma.pte_base[vma] - m.vma.vm_start[vma])
                parts.append((vma, base + low, base + high))
        return parts

    def _covered(self, mm: int, start: int, end: int) -> bool:
        return sum(last - first for _vma, first, last in self._parts(mm, start, end)) == end - start

    def ptes(self, mm: int, start: int, pages: int) -> np.ndarray[Any, np.dtype[np.int32]]:
        """The pte of each page of a range; NONE where nothing is mapped."""
        out = np.full(pages, t.NONE, np.int32)
        m = self.state.m
        for vma, first, last in self._parts(mm, start, start + pages):
            base = int(m.vma.pte_base[vma] - m.vma.vm_start[vma])
            out[first - base - start : last - base - start] = np.arange(first, last)
        return out

    # -- processes --------------------------------------------------------------------------------------------

    def spawn(self) -> int:
        """A new process without areas."""
        mm = self.state.new_row("mm", self.nr_mms)
        self.nr_mms += 1
        row = self.state.m.mm
        row.users[mm] = 1
        row.next_free[mm] = FIRST_VPN
        return mm

    def alive(self, mm: int) -> bool:
        """Has the process not exited?"""
        return bool(self.state.m.mm.users[mm])

    def mmap(self, mm: int, pages: int, flags: int = t.VM_WRITE, node: int = t.NONE) -> int:
        """A new private anonymous area (VM_*), its pages from one NUMA node if they can be had there; its address."""
        m = self.state.m
        start = int(m.mm.next_free[mm])
        m.mm.next_free[mm] = start + pages + GAP
        vma, base = self._new_vma(), self._take_ptes(pages)
        self._fill_vma(
            vma,
            mm=mm,
            vm_start=start,
            vm_end=start + pages,
            vm_pgoff=start,
            vm_flags=flags & ~t.VM_LOCKED,
            anon_vma=t.NONE,
            node=node,
            **_NOTHING_READ,
            pte_base=base,
        )
        self._insert_vma(mm, vma)
        self._claim_ptes(vma)
        prctl.add_vma(self, mm, vma)
        if flags & t.VM_LOCKED:
            self.mlock(mm, start, pages)
        return start

    def munmap(self, mm: int, start: int, pages: int) -> int:
        """Unmap a range; 0."""
        vmas = self._isolate_range(mm, start, start + pages)
        for vma in vmas:
            self._munlock_vma(vma)
        self._drain()
        for vma in vmas:
            self._unmap_vma(mm, vma)
        return OK

    def _extent(self, vma: int) -> tuple[int, int]:
        m = self.state.m
        first = int(m.vma.pte_base[vma])
        return first, first + int(m.vma.vm_end[vma] - m.vma.vm_start[vma])

    def _unmap_vma(self, mm: int, vma: int) -> None:
        first, last = self._extent(vma)
        self._call(doors.ZAP, mm, first, last)
        self._remove_vma(mm, vma)
        self._give_ptes(first, last - first)

    def mprotect(self, mm: int, start: int, pages: int, writable: bool) -> int:
        """Allow or forbid writing to a range; 0 or ENOMEM. Later kernels fault in what is locked and may be written."""
        if not self._covered(mm, start, start + pages):
            return ENOMEM
        for vma in self._isolate_range(mm, start, start + pages):
            m = self.state.m
            first, last = self._extent(vma)
            if writable:
                locked = int(m.vma.vm_flags[vma]) & (t.VM_LOCKED | t.VM_WRITE) == t.VM_LOCKED
                m.vma.vm_flags[vma] |= t.VM_WRITE
                if locked and m.sc[t.SW_MLOCK_POPULATES]:
                    self._resume(doors.MLOCK, first, last)  # a page that cannot be had is had when it is written
            else:
                m.vma.vm_flags[vma] &= ~t.VM_WRITE
                m.pte_flags[first:last] &= np.uint8(0xFF ^ t.PTE_WRITE)
        self._rejoin(mm, start, start + pages)
        return OK

    def mremap(self, mm: int, start: int, pages: int) -> int:
        """Move a range to a new address; that address, or -ENOMEM (R-ADV-5)."""
        parts = self._isolate_range(mm, start, start + pages)
        for vma in parts:
            if self.state.m.vma.vm_flags[vma] & t.VM_MERGEABLE and self.unmerge_vma(vma) != OK:
                return -ENOMEM
        m = self.state.m
        target = int(m.mm.next_free[mm])
        m.mm.next_free[mm] = target + pages + GAP
        for vma in parts:
            self._move_vma(mm, vma, target - start)
        self._drain()
        return target

    def _move_vma(self, mm: int, vma: int, distance: int) -> None:
        """Give an area a new address; its ptes and its linear index stay as they are."""
        new = self._new_vma()
        m = self.state.m
        first, last = self._extent(vma)
        untouched = m.vma.anon_vma[vma] == t.NONE
        self._fill_vma(
            new,
            mm=mm,
            vm_start=int(m.vma.vm_start[vma]) + distance,
            vm_end=int(m.vma.vm_end[vma]) + distance,
            vm_pgoff=int(m.vma.vm_pgoff[vma]) + (distance if untouched else 0),
            vm_flags=int(m.vma.vm_flags[vma]),
            node=int(m.vma.node[vma]),
            **_NOTHING_READ,
            pte_base=first,
        )
        self._insert_vma(mm, new)
        anon_vma_clone(m, new, vma)
        self._remove_vma(mm, vma)
        self._claim_ptes(new)
        m.pte.rmap_item[first:last] = t.NONE  # the items are of the old address, where nothing is any more

    # -- advice -----------------------------------------------------------------------------------------------

    def madvise_mergeable(self, mm: int, start: int, pages: int) -> int:
        """MADV_MERGEABLE on a range: 0, ENOMEM over gaps, EAGAIN without a slot (R-ADV-1, R-ADV-2, R-ADV-4)."""
        if pages == 0:
            return OK
        for vma, _first, _last in self._parts(mm, start, start + pages):
            m = self.state.m
            if m.vma.vm_flags[vma] & NO_ADVICE_FLAGS:
                continue
            if not m.mm.mm_flags[mm] & t.MMF_VM_MERGEABLE and not self.ksm_enter(mm):
                return EAGAIN
            low = max(start, int(m.vma.vm_start[vma]))
            high = min(start + pages, int(m.vma.vm_end[vma]))
            for part in self._isolate_range(mm, low, high):
                self.state.m.vma.vm_flags[part] |= t.VM_MERGEABLE
        self._rejoin(mm, start, start + pages)
        return OK if self._covered(mm, start, start + pages) else ENOMEM

    def ksm_enter(self, mm: int) -> bool:
        """Register a process with ksmd; False when no slot can be had."""
        if plain(fail_now)(self.state.m, t.FAIL_MM_SLOT):
            return False
        self._call(doors.KSM_ENTER, mm)
        return True

    def madvise_unmergeable(self, mm: int, start: int, pages: int) -> int:
        """MADV_UNMERGEABLE: break first, then clear the flag (R-ADV-3)."""
        if pages == 0:
            return OK
        for vma, _first, _last in self._parts(mm, start, start + pages):
            m = self.state.m
            if not m.vma.vm_flags[vma] & t.VM_MERGEABLE:
                continue
            low = max(start, int(m.vma.vm_start[vma]))
            high = min(start + pages, int(m.vma.vm_end[vma]))
            for part in self._isolate_range(mm, low, high):
                if self.unmerge_vma(part) != OK:
                    return EAGAIN
                self.state.m.vma.vm_flags[part] &= ~t.VM_MERGEABLE
        self._rejoin(mm, start, start + pages)
        return OK if self._covered(mm, start, start + pages) else ENOMEM

    def unmerge_vma(self, vma: int) -> int:
        """Break every present KSM page of an area; 0 or ENOMEM."""
        if self.state.m.vma.anon_vma[vma] == t.NONE:
            return OK
        first, last = self._extent(vma)
        return self._resume(doors.UNMERGE, first, last)

    def _resume(self, what: int, first: int, last: int) -> int:
        """Carry out a step that may need frames, making room where it stops; 0 or ENOMEM."""
        stuck = t.NONE
        while first < last:
            first = self._call(what, first, last)
            if first < last:
                asked_for = self.state.m.sc[t.NR_FREE] > 0  # an allocation failed, but not for want of frames
                if asked_for or first == stuck or not self.make_room(16):
                    return ENOMEM
                stuck = first
        return OK

    def madvise_dontneed(self, mm: int, start: int, pages: int) -> int:
        """MADV_DONTNEED: zap the range; EINVAL in a locked area, ENOMEM over gaps."""
        for vma, first, last in self._parts(mm, start, start + pages):
            if self.state.m.vma.vm_flags[vma] & (t.VM_LOCKED | t.VM_HUGETLB | t.VM_PFNMAP):
                return EINVAL
            self._drain()
            self._call(doors.ZAP, mm, first, last)
        return OK if self._covered(mm, start, start + pages) else ENOMEM

    # -- locking ----------------------------------------------------------------------------------------------

    def mlock(self, mm: int, start: int, pages: int) -> int:
        """Lock a range and fault it in (R-MLOCK-1); 0, ENOMEM over gaps, EAGAIN when it cannot be faulted in."""
        self._drain()
        gaps = not self._covered(mm, start, start + pages)
        for vma in self._isolate_range(mm, start, start + pages):
            m = self.state.m
            if m.vma.vm_flags[vma] & t.VM_SPECIAL:
                continue
            if m.vma.vm_flags[vma] & t.VM_LOCKED and not m.sc[t.SW_MLOCK_POPULATES]:
                continue
            m.vma.vm_flags[vma] |= t.VM_LOCKED
            first, last = self._extent(vma)
            self.make_room(min(last - first, int(m.sc[t.NR_FRAMES]) // 2))
            if self._resume(doors.MLOCK, first, last) != OK:
                return EAGAIN
        self._rejoin(mm, start, start + pages)
        return ENOMEM if gaps else OK

    def munlock(self, mm: int, start: int, pages: int) -> int:
        """Unlock a range (R-MLOCK-3); 0 or ENOMEM over gaps."""
        gaps = not self._covered(mm, start, start + pages)
        for vma in self._isolate_range(mm, start, start + pages):
            self._munlock_vma(vma)
        self._rejoin(mm, start, start + pages)
        return ENOMEM if gaps else OK

    def _munlock_vma(self, vma: int) -> None:
        m = self.state.m
        if m.vma.vm_flags[vma] & t.VM_LOCKED:
            m.vma.vm_flags[vma] &= ~t.VM_LOCKED
            self._call(doors.MUNLOCK, *self._extent(vma))

    # -- fork and exit ----------------------------------------------------------------------------------------

    def fork(self, parent: int) -> int:
        """A child that shares every page; its number, or -ENOMEM (R-FORK-1)."""
        child = self.spawn()
        m = self.state.m
        m.mm.next_free[child] = m.mm.next_free[parent]
        registered = bool(m.mm.mm_flags[parent] & t.MMF_VM_MERGEABLE)
        if registered and not self.ksm_enter(child) and not m.sc[t.SW_FORK_BEST_EFFORT]:
            m.mm.users[child] = 0
            return -ENOMEM
        m.mm.mm_flags[child] |= m.mm.mm_flags[parent] & t.MMF_VM_MERGE_ANY
        m.mm.mm_flags[child] |= m.mm.mm_flags[parent] & t.MMF_IN_MEMCG
        for vma in list(self.vmas(parent)):
            if not self._copy_vma(parent, child, vma):
                self.exit(child)
                return -ENOMEM
        return child

    def _copy_vma(self, parent: int, child: int, source: int) -> bool:
        vma = self._new_vma()
        first, last = self._extent(source)
        base = self._take_ptes(last - first)
        m = self.state.m
        self._fill_vma(
            vma,
            mm=child,
            vm_start=int(m.vma.vm_start[source]),
            vm_end=int(m.vma.vm_end[source]),
            vm_pgoff=int(m.vma.vm_pgoff[source]),
            vm_flags=int(m.vma.vm_flags[source]) & ~t.VM_LOCKED,
            anon_vma=t.NONE,
            node=int(m.vma.node[source]),
            **_NOTHING_READ,
            pte_base=base,
        )
        self._insert_vma(child, vma)
        self._claim_ptes(vma)
        if m.vma.anon_vma[source] == t.NONE:
            return True
        self.state.reserve_anon_vmas(1)
        anon_vma_fork(self.state.m, vma, source)
        return self._call(doors.COPY_PTES, first, base, last - first, parent, child) == last - first

    def exit(self, mm: int) -> None:
        """The process goes: ksmd's records of it stay until ksmd passes (R-EXIT-1, R-ZAP-1)."""
        m = self.state.m
        m.mm.users[mm] = 0
        self._call(doors.KSM_EXIT, mm)
        for vma in list(self.vmas(mm)):
            self._munlock_vma(vma)
        self._drain()
        for vma in list(self.vmas(mm)):
            self._unmap_vma(mm, vma)
        m = self.state.m
        before, after = int(m.mm.list_prev[mm]), int(m.mm.list_next[mm])
        if after != t.NONE:
            m.mm.list_next[before] = after
            m.mm.list_prev[after] = before
            m.mm.list_next[mm] = m.mm.list_prev[mm] = t.NONE
