"""Locking memory and letting it go (R-MLOCK-1 to R-MLOCK-3)."""

from __future__ import annotations

from typing import Any

import pytest

from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm.errno import EAGAIN, OK


def read_only(rig: Any, area: Any) -> None:
    """Forbid writing to an area."""
    assert area.mprotect(False) == OK


# -- R-MLOCK-1 ----------------------------------------------------------------------------------------------------


def test_mlock_faults_everything_in_and_marks_it(rig: Any) -> None:
    """R-MLOCK-1: VM_LOCKED set, each page present for writing, mlocked and on the unevictable list."""
    area = rig.process(3)
    area.write(5, 1)
    assert area.mlock() == OK
    assert area.vm_flags() & t.VM_LOCKED
    assert all(area.is_writable(i) for i in range(3))
    assert sorted(rig.lru(t.LRU_UNEVICTABLE)) == sorted(area.frame(i) for i in range(3))
    assert rig.sc[t.NR_MLOCK] == 3
    assert area.read() == [0, 5, 0]


def test_mlock_of_a_writable_area_copies_ksm_pages(rig: Any) -> None:
    """R-MLOCK-1: faulting for write COWs; the KSM page is left to the others, unlocked."""
    a, b = rig.merged()
    frame = a.frame()
    a.mlock()
    assert a.frame() != frame
    assert rig.has(a.frame(), t.PG_MLOCKED)
    assert b.frame() == frame
    assert not rig.has(frame, t.PG_MLOCKED)
    assert rig.sc[t.COW_KSM] == 1


def test_mlock_of_a_read_only_area_locks_the_ksm_page_itself(rig: Any) -> None:
    """R-MLOCK-1: no write fault without VM_WRITE: K is marked mlocked."""
    a, b = rig.merged()
    read_only(rig, a)
    frame = a.frame()
    a.mlock()
    assert a.frame() == b.frame() == frame
    assert rig.has(frame, t.PG_MLOCKED)
    assert rig.lru(t.LRU_UNEVICTABLE) == [frame]
    assert rig.sc[t.NR_MLOCK] == 1


def test_mlock_brings_pages_back_from_swap(rig: Any) -> None:
    """R-MLOCK-1, R-SWAPIN-9: swap ptes are faulted in for write; the slots are given up."""
    area = rig.process(2, [5, 6])
    rig.unmap_to_swap(), rig.unmap_to_swap()
    area.mlock()
    assert area.slot(0) == area.slot(1) == t.NONE
    assert (rig.sc[t.NR_MLOCK], rig.sc[t.SWAP_INUSE]) == (2, 0)


def test_untouched_pages_of_a_read_only_area_stay_the_zero_page(rig: Any) -> None:
    """R-MLOCK-1, R-OBJ-7: a read fault installs the zero page, which is never marked."""
    area = rig.process(2)
    read_only(rig, area)
    area.mlock()
    assert area.frame() == t.ZERO_PAGE
    assert rig.sc[t.NR_MLOCK] == 0


def test_mlock_that_cannot_be_faulted_in(machine: Any) -> None:
    """R-MLOCK-1: no frame to be had: EAGAIN, what was locked so far stays."""
    rig = machine(frames=32, slots=0)
    rig.process(24, range(100, 124))
    area = rig.process(16)
    assert area.mlock() == EAGAIN
    assert area.vm_flags() & t.VM_LOCKED


# -- R-MLOCK-2 ----------------------------------------------------------------------------------------------------


def test_merge_moves_the_lock_to_the_ksm_page(rig: Any) -> None:
    """R-MLOCK-2, R-MERGE-7: two locked pages become one locked page: NR_MLOCK net -1, K unevictable."""
    areas = rig.processes(2, content=7)
    for area in areas:
        area.mlock()
    assert rig.sc[t.NR_MLOCK] == 2
    rig.scan_passes(2)
    assert areas[0].frame() == areas[1].frame()
    assert areas[0].state() == "[KadIUm,mc2,rc3,node]"
    assert rig.sc[t.NR_MLOCK] == 1


def test_page_that_the_merge_leaves_behind_is_unlocked(rig: Any) -> None:
    """R-MLOCK-2, R-MERGE-7, R-MERGE-6: a locked source stays in the swap cache, unmapped: it has lost its lock."""
    a = rig.process(1, 7)
    rig.unmap_to_swap()
    read_only(rig, a)
    a.read()
    a.mlock()
    source = a.frame()
    assert rig.has(source, t.PG_SWAPCACHE)
    assert rig.has(source, t.PG_MLOCKED)
    rig.process(1, 7)
    rig.scan_passes(2)
    rig.drain()
    assert a.is_ksm()
    assert not rig.has(source, t.PG_MLOCKED)
    assert source in rig.lru(t.LRU_INACTIVE_ANON)
    assert rig.has(a.frame(), t.PG_MLOCKED)
    assert rig.sc[t.NR_MLOCK] == 1


def test_one_locked_sharer_is_enough(rig: Any) -> None:
    """R-MLOCK-2: whichever of the two areas is VM_LOCKED, K ends mlocked."""
    a, b = rig.processes(2, content=7)
    a.mlock()
    rig.scan_passes(2)
    assert rig.has(a.frame(), t.PG_MLOCKED)
    assert a.frame() == b.frame()
    assert rig.lru(t.LRU_UNEVICTABLE) == [a.frame()]


# -- R-MLOCK-3 ----------------------------------------------------------------------------------------------------


def test_munlock_of_an_ordinary_page(rig: Any) -> None:
    """R-MLOCK-3: PG_mlocked cleared, NR_MLOCK -1, evictable again."""
    area = rig.process(1, 5)
    area.mlock()
    area.munlock()
    rig.drain()
    assert not rig.has(area.frame(), t.PG_MLOCKED)
    assert rig.sc[t.NR_MLOCK] == 0
    assert area.frame() in rig.lru(t.LRU_INACTIVE_ANON)
    assert rig.sc[t.UNEVICTABLE_PGMUNLOCKED] == 1
    assert not area.vm_flags() & t.VM_LOCKED


def test_munlock_finds_another_locked_area_of_an_ordinary_page(rig: Any) -> None:
    """R-MLOCK-3: fork relatives lock one page; try_to_munlock answers MLOCK and the page stays locked."""
    parent = rig.process(1, 5)
    read_only(rig, parent)
    child = parent.forked()
    parent.mlock(), child.mlock()
    assert parent.frame() == child.frame()
    parent.munlock()
    assert rig.has(child.frame(), t.PG_MLOCKED)
    assert rig.lru(t.LRU_UNEVICTABLE) == [child.frame()]
    assert rig.sc[t.NR_MLOCK] == 1
    assert rig.sc[t.UNEVICTABLE_PGMUNLOCKED] == 0


def test_munlock_of_a_ksm_page_forgets_the_other_locks(rig: Any) -> None:
    """R-MLOCK-3, R-TTU-2: for K it always gets FAIL: counted as munlocked and evictable, though b is VM_LOCKED."""
    a, b = rig.merged()
    read_only(rig, a), read_only(rig, b)
    a.mlock(), b.mlock()
    frame = a.frame()
    assert rig.sc[t.NR_MLOCK] == 1
    a.munlock()
    rig.drain()
    assert b.vm_flags() & t.VM_LOCKED
    assert not rig.has(frame, t.PG_MLOCKED)
    assert (rig.sc[t.NR_MLOCK], rig.sc[t.UNEVICTABLE_PGMUNLOCKED]) == (0, 1)
    assert frame in rig.lru(t.LRU_INACTIVE_ANON)
    # Together with R-REF-4 and R-TTU-4: locked memory can be swapped out.
    rig.unmap_to_swap()  # mlock had marked it PG_referenced: activated once
    rig.unmap_to_swap()
    assert b.slot() != t.NONE


@pytest.mark.parametrize("how", ["munmap", "exit"])
def test_unmapping_a_locked_area_unlocks_its_pages(rig: Any, how: str) -> None:
    """R-MLOCK-3: munmap and exit munlock first; nothing stays counted."""
    a, b = rig.merged()
    read_only(rig, a)
    a.mlock()
    frame = a.frame()
    getattr(a, how)()
    rig.drain()
    assert rig.sc[t.NR_MLOCK] == 0
    assert not rig.has(frame, t.PG_MLOCKED)
    assert b.frame() == frame


def test_a_page_that_a_merge_locks_moves_when_the_batch_is_drained(machine: Any) -> None:
    """R-MERGE-7, R-B-MLOCK-1: mlocked at once, unevictable after a drain, as T10-mlock-after of 6.1 shows."""
    rig = machine(kernel="v6.1")
    a, b = rig.merged()
    a.mlock()
    rig.scan_passes(1)
    assert a.frame() == b.frame()
    assert (rig.has(a.frame(), t.PG_MLOCKED), rig.has(a.frame(), t.PG_UNEVICTABLE)) == (True, False)
    rig.drain()
    assert rig.has(a.frame(), t.PG_UNEVICTABLE)


def test_what_is_there_is_locked_before_it_is_looked_at(machine: Any) -> None:
    """R-MLOCK-1, R-B-MLOCK-1: mlock marks a page as used; one that is unevictable by then is not made active."""
    rig = machine(kernel="v6.1")
    a, _b = rig.merged()
    a.mprotect(False)
    assert rig.has(a.frame(), t.PG_REFERENCED)
    a.mlock()
    assert rig.has(a.frame(), t.PG_REFERENCED)
    a.munlock()
    assert (rig.has(a.frame(), t.PG_REFERENCED), rig.has(a.frame(), t.PG_ACTIVE)) == (True, False)
