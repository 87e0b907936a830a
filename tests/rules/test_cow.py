"""Write faults on read-only ptes (R-COW-1 to R-COW-3)."""

from __future__ import annotations

from typing import Any

import pytest

from ksmlab_core.mm import mm_types as t


def locked_sharers(rig: Any, n: int = 2) -> list[Any]:
    """Processes whose one mlocked page each was merged: their KSM page is mlocked."""
    areas = rig.processes(n, content=7)
    for area in areas:
        assert area.mlock() == 0
    rig.scan_passes(2)
    assert areas[0].state() == f"[KadIUm,mc{n},rc{n + 1},node]"
    return areas


# -- R-COW-1 ------------------------------------------------------------------------------------------------------


def test_ordinary_page_of_one_user_is_reused(rig: Any) -> None:
    """R-COW-1: mapped once, in no swap slot: pte dirty and writable, the same frame."""
    parent = rig.process(1, 5)
    child = parent.forked()
    child.exit()
    frame = parent.frame()
    assert not parent.is_writable()
    parent.write(6)
    assert parent.frame() == frame
    assert parent.is_writable()
    assert parent.is_dirty()
    assert rig.sc[t.COW_COPIES] == 0


def test_contended_ordinary_page_is_waited_for(rig: Any) -> None:
    """R-COW-1: do_wp_page locks an ordinary page, it does not give up on the reuse when somebody holds the lock."""
    parent = rig.process(1, 5)
    parent.forked().exit()
    frame = parent.lock()
    parent.write(6)
    assert parent.frame() == frame


@pytest.mark.parametrize("sharers", [1, 2, 3])
def test_ksm_page_is_always_copied(rig: Any, sharers: int) -> None:
    """R-COW-1: never reused, not even by its only mapper."""
    areas = rig.merged(3)
    for area in areas[sharers:]:
        area.exit()
    frame = areas[0].frame()
    assert rig.mapcount(frame) == sharers
    areas[0].write(9)
    assert areas[0].frame() != frame
    assert (rig.sc[t.COW_COPIES], rig.sc[t.COW_KSM]) == (1, 1)
    assert not rig.has(frame, t.PG_LOCKED)


# -- R-COW-2 ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ksm", [False, True])
def test_the_copy(rig: Any, ksm: bool) -> None:
    """R-COW-2: uptodate, swapbacked, of this area by mapping and index, active; the old page -1 in both counts."""
    if ksm:
        area, _b = rig.merged()
    else:
        area = rig.process(1, 7)
        area.forked()
    rig.drain()
    old, rss = area.frame(), rig.rss(area.mm)
    mapcount, count = rig.mapcount(old), rig.count(old)
    area.write(9)
    new = area.frame()
    rig.drain()
    assert area.state() == "[aA,mc1,rc1]"
    assert rig.has(new, t.PG_UPTODATE)
    assert rig.has(new, t.PG_SWAPBACKED)
    assert rig.m.frame.mapping[new] == rig.m.vma.anon_vma[area.vma()]
    assert rig.m.frame.index[new] == area.start
    assert area.flags() == t.PTE_PRESENT | t.PTE_YOUNG | t.PTE_DIRTY | t.PTE_WRITE
    assert (rig.mapcount(old), rig.count(old)) == (mapcount - 1, count - 1)
    assert rig.rss(area.mm) == rss


def test_copy_in_an_area_that_may_not_be_written_is_dirty_but_read_only(rig: Any) -> None:
    """R-COW-2, R-BRK-1: breaking copies without VM_WRITE too; the pte is writable only with it."""
    a, b = rig.merged()
    frame = a.frame()
    a.mprotect(False)
    assert a.unmergeable() == 0
    assert a.frame() != frame
    assert a.is_dirty()
    assert not a.is_writable()
    b.unmergeable()
    assert b.is_writable()


def test_copied_pages_keep_their_bytes(rig: Any) -> None:
    """R-COW-2: what is not overwritten is copied: touching writes the value that was there."""
    a, b = rig.merged()
    rig.process(20, 99).exit()  # so that free frames hold other bytes
    a.touch()
    assert a.frame() != b.frame()
    assert (a.read(), b.read()) == ([7], [7])


def test_no_frame_for_the_copy(rig: Any) -> None:
    """R-COW-2: OOM leaves everything as it was."""
    from ksmlab_core.mm import doors

    a, _b = rig.merged()
    before = a.state()
    rig.fail("alloc_page", 1)
    assert rig._call(doors.FAULT, a.pte(), 1) == 4
    assert a.state() == before


# -- R-COW-3 ------------------------------------------------------------------------------------------------------


def test_copy_in_a_locked_area_unlocks_the_old_page_for_everybody(rig: Any) -> None:
    """R-COW-3: PG_mlocked is cleared on K (NR_MLOCK -1), K goes to the inactive list, though b is VM_LOCKED too."""
    a, b = locked_sharers(rig)
    frame = a.frame()
    assert rig.sc[t.NR_MLOCK] == 1
    a.write(9)
    rig.drain()
    assert rig.state(frame) == "[KadI,mc1,rc2,node]"
    assert rig.lru(t.LRU_INACTIVE_ANON) == [frame]
    assert a.state() == "[aIUm,mc1,rc1]"  # the copy has the lock of its own area
    assert rig.sc[t.NR_MLOCK] == 1
    assert b.vm_flags() & t.VM_LOCKED
    assert rig.sc[t.UNEVICTABLE_PGCLEARED] == 1


def test_memory_of_a_locked_area_can_then_be_swapped_out(rig: Any) -> None:
    """R-COW-3, R-REF-4, R-TTU-4: the seed's hole: b is VM_LOCKED, and its page leaves memory."""
    a, b = locked_sharers(rig)
    a.write(9)
    rig.unmap_to_swap()
    assert b.slot() != t.NONE


def test_a_later_merge_under_lock_restores_it(rig: Any) -> None:
    """R-COW-3, R-MERGE-7: until some later merge into that page under VM_LOCKED."""
    a, b = locked_sharers(rig)
    a.write(9)
    c = rig.process(1, 7)
    c.mlock()
    rig.scan_passes(1)
    assert c.frame() == b.frame()
    assert rig.has(b.frame(), t.PG_MLOCKED)
    assert b.frame() in rig.lru(t.LRU_UNEVICTABLE)


def test_copy_in_an_unlocked_area_leaves_the_lock(rig: Any) -> None:
    """R-COW-3: only a VM_LOCKED area that stops mapping the page takes its lock away."""
    a, b = locked_sharers(rig)
    c = rig.process(1, 7)
    rig.scan_passes(1)
    assert c.frame() == a.frame()
    c.write(9)
    assert rig.has(b.frame(), t.PG_MLOCKED)
    assert rig.sc[t.NR_MLOCK] == 1
