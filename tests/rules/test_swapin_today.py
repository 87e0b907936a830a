"""Swap-in, copy on write, swapoff and reclaim of 6.x: R-B-SWAPIN-1 to -3, R-B-COW-1, R-B-OFF-1, R-B-RECL-1 and -2."""

from __future__ import annotations

import pytest

from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm.errno import OK


@pytest.fixture
def now(machine):
    """A machine of 6.18 without smart_scan."""
    rig = machine(kernel="v6.18")
    assert rig.set_knob("smart_scan", 0) == OK
    return rig


def swapped_out(rig):
    """Visit everything until all is in its slot."""
    for _ in range(3):
        rig.unmap_to_swap()


def copies(rig):
    return int(rig.sc[t.SWAPIN_COPIES])


def exclusive(area, page=0):
    return area.rig.has(area.frame(page), t.PG_ANON_EXCLUSIVE)


def test_t_drv_2(now):
    """T-DRV-2 (profile B): upgrade in place, written and freed at once, stale node, copy, remerge, slot freed."""
    a, b = now.processes(2, content=7)
    now.scan_passes(1)
    assert now.counters() == (0, 0, 0, 2)
    second, used = b.frame(), now.used_frames()
    now.scan_passes(1)
    assert now.counters() == (1, 1, 0, 0)
    assert a.frame() == b.frame() == second
    assert (now.mapcount(second), now.count(second), now.used_frames()) == (2, 2, used - 1)
    now.unmap_to_swap(), now.shrink()
    assert now.used_frames() == 0
    assert now.sc[t.PSWPOUT] == 1
    assert now.counters() == (1, 1, 0, 0), "the node is stale, the counters do not know yet"
    slot = a.slot()
    assert now.refs(slot) == (2, False)
    now.scan_passes(1)
    assert now.counters() == (0, 0, 0, 0)
    a.read()
    f1 = a.frame()
    assert not a.is_writable()
    assert not exclusive(a)
    b.read()
    assert copies(now) == 1
    assert b.is_writable(), "writable although it was only read"
    assert exclusive(b)
    assert now.refs(slot) == (0, True)
    now.scan_passes(2)
    assert now.counters() == (1, 1, 0, 0)
    assert a.frame() == b.frame() != f1
    assert now.sc[t.SWAP_INUSE] == 0


def test_a_ksm_page_with_its_node_comes_back_as_it_is(now):
    """R-B-SWAPIN-1, R-B-SWAPIN-3: from the swap cache, while run is not 2."""
    a, b = now.merged()
    now.make_all_old()
    now.deactivate(), now.shrink()
    assert now.refs(a.slot()) == (2, True)
    a.read()
    assert a.is_ksm()
    assert copies(now) == 0
    assert not a.is_writable()
    a.write(8)
    assert (a.read(), b.read()) == ([8], [7])
    assert b.is_ksm()


def test_run_2_copies_ksm_pages(now):
    """R-B-SWAPIN-1, R-B-UNM-2: while run is 2 no KSM page is mapped; its node, which nobody maps, is gone as well."""
    a, b = now.merged()
    now.make_all_old()
    now.deactivate(), now.shrink()
    assert now.set_knob("run", 2) == OK
    assert now.nodes() == []
    a.read(), b.read()
    assert copies(now) == 2
    assert not a.is_ksm()
    assert a.frame() != b.frame()


def test_relatives_share_what_comes_from_swap(now):
    """R-B-SWAPIN-1: same root, same index: as it is; another index: a copy (R-CASE-c, R-CASE-d)."""
    a = now.process(content=7, mergeable=False)
    child = a.forked()
    swapped_out(now)
    a.read(), child.read()
    assert a.frame() == child.frame()
    assert copies(now) == 0
    twins = now.process(2, 9)
    now.scan_passes(2)
    swapped_out(now)
    now.scan_passes(1)
    assert twins.read() == [9, 9]
    assert copies(now) == 1
    assert twins.frame(0) != twins.frame(1)


def test_a_page_that_could_not_be_read_is_not_copied(now):
    """R-B-SWAPIN-1: not uptodate: as it is, and the fault reports it."""
    from ksmlab_core.mm.machine import BusError

    a, b = now.merged()
    swapped_out(now)
    now.scan_passes(1)
    now.fail("swap_read", 1)
    for area in (a, b):
        with pytest.raises(BusError):
            area.read()
    assert copies(now) == 0


def test_exclusive_swap_ptes(now):
    """R-B-SWAPIN-2, R-B-SWAPIN-3: a page's own user gets it back writable; not after a fork, nor from a KSM page."""
    a = now.process(content=7, mergeable=False)
    assert exclusive(a)
    swapped_out(now)
    assert a.flags() & t.PTE_SWP_EXCLUSIVE
    a.read()
    assert a.is_writable()
    assert exclusive(a)
    assert now.refs(int(now.m.frame.private[a.frame()])) == (0, True), "it keeps its slot"
    faults = int(now.sc[t.PGFAULT])
    a.write(8)
    assert now.sc[t.PGFAULT] == faults
    swapped_out(now)
    child = a.forked()
    assert not a.flags() & t.PTE_SWP_EXCLUSIVE
    assert a.read() == child.read() == [8]
    assert not a.is_writable()
    assert not exclusive(a)


def test_ksm_ptes_are_never_exclusive(now):
    """R-B-SWAPIN-3, R-B-OBJ-5."""
    a, b = now.merged()
    assert not exclusive(a)
    swapped_out(now)
    assert not (a.flags() | b.flags()) & t.PTE_SWP_EXCLUSIVE


def test_a_write_fault_gives_the_slot_back(now):
    """R-B-SWAPIN-2: a writer who is the page's only user needs no slot; n = 1."""
    a = now.process(content=7, mergeable=False)
    swapped_out(now)
    a.write(8)
    assert now.sc[t.SWAP_INUSE] == 0
    assert a.read() == [8]


def test_reuse(now):
    """R-B-COW-1: a page that is not exclusive is reused when nobody else refers to it, and is exclusive then."""
    a = now.process(content=7, mergeable=False)
    child = a.forked()
    frame = a.frame()
    assert not exclusive(a)
    child.exit()
    a.write(8)
    assert a.frame() == frame
    assert exclusive(a)
    other = a.forked()
    a.write(9)
    assert a.frame() != frame, "the child maps it too"
    frame = other.frame()
    other.pin()
    other.write(10)
    assert other.frame() != frame, "a reference more, and it is copied"


def test_cow_ksm_counts_writes_and_unshares(now):
    """R-B-COW-1, R-B-CTR-4: every copy of a KSM page, for a write or an unshare fault; never reused."""
    a, b = now.merged()
    a.write(8)
    assert now.sc[t.COW_KSM] == 1
    b.unmergeable()
    assert now.sc[t.COW_KSM] == 2
    assert not b.is_ksm()


def test_swapoff(now):
    """R-B-OFF-1: one read, a copy for each further process that is no relative; old ptes, copies exclusive."""
    areas = now.merged(4)
    swapped_out(now)
    now.scan_passes(1)
    assert now.swapoff() == OK
    assert (now.sc[t.PSWPIN], copies(now)) == (1, 3)
    assert len({area.frame() for area in areas}) == 4
    assert [area.is_young() for area in areas] == [False] * 4
    assert [area.is_writable() for area in areas] == [False] * 4
    assert sorted(exclusive(area) for area in areas) == [False, True, True, True]
    assert [area.read() for area in areas] == [[7]] * 4
    assert now.sc[t.SWAP_INUSE] == 0


def test_swapoff_without_memory(now):
    """R-B-OFF-1, R-B-SWAPIN-1: no frame for a page or a copy: ENOMEM, and swap stays on."""
    a, b = now.merged()
    swapped_out(now)
    now.scan_passes(1)
    now.fail("alloc_page", 2)
    assert now.swapoff() == 12
    assert now.sc[t.SWAP_ON] == 1
    assert a.read() == b.read() == [7]
    assert now.swapoff() == OK


def test_swapoff_maps_a_cached_ksm_page(now):
    """R-B-OFF-1: a KSM page that is in the swap cache with its node goes back to all of its ptes."""
    a, b = now.merged()
    now.make_all_old()
    now.deactivate(), now.shrink()
    assert now.swapoff() == OK
    assert a.frame() == b.frame()
    assert a.is_ksm()
    assert (now.sc[t.PSWPIN], copies(now)) == (0, 0)


@pytest.mark.parametrize(
    ("young", "referenced", "becomes"),
    [(0, False, "gone"), (0, True, "gone"), (1, False, "kept"), (1, True, "active"), (2, False, "active")],
)
def test_second_chance(now, young, referenced, becomes):
    """R-B-RECL-1: no use: reclaimed, whatever PG_referenced says; one use: kept and remembered, or active the second
    time; more than one: active.
    """
    areas = now.merged()
    frame = areas[0].frame()
    now.deactivate()
    now.make_all_old()
    for area in areas[:young]:
        now.m.pte_flags[area.ptes()] |= t.PTE_YOUNG
    now.m.frame.pg[frame] &= ~t.PG_REFERENCED
    if referenced:
        now.m.frame.pg[frame] |= t.PG_REFERENCED
    now.shrink()
    gone = areas[0].frame() == t.NONE
    seen = "gone" if gone else "active" if now.has(frame, t.PG_ACTIVE) else "kept"
    assert seen == becomes
    assert gone or now.has(frame, t.PG_REFERENCED)
    assert not any(area.is_young() for area in areas)


def test_deactivating_leaves_pg_referenced(now):
    """R-B-RECL-1: the active list's visit makes ptes old and asks nothing of the page flag."""
    a, _b = now.merged()
    frame = a.frame()
    now.m.frame.pg[frame] |= t.PG_REFERENCED
    now.shrink()
    assert now.has(frame, t.PG_ACTIVE)
    now.deactivate()
    assert not now.has(frame, t.PG_ACTIVE)
    assert now.has(frame, t.PG_REFERENCED)
    assert not a.is_young()


def test_unmapping_asks_nobody_again(now):
    """R-B-RECL-2: a young pte that reclaim for another cgroup does not count stops nothing, unlike T-DRV-8."""
    areas = now.merged(3)
    now.make_all_old()
    now.deactivate()
    now.m.pte_flags[areas[1].ptes()] |= t.PTE_YOUNG
    now.m.frame.pg[areas[0].frame()] &= ~t.PG_REFERENCED
    now.limit_to_memcg([areas[0].mm])
    now.shrink()
    assert [area.slot() != t.NONE for area in areas] == [True] * 3


def test_a_locked_area_keeps_its_page(now):
    """R-B-RECL-1, R-B-MLOCK-1: an mlocked page is culled; a merge under mlock locks the KSM page."""
    a, b = now.processes(2, content=7)
    a.mlock()
    now.scan_passes(2)
    assert a.frame() == b.frame()
    assert now.has(a.frame(), t.PG_MLOCKED)
    now.unmap_to_swap()
    assert a.is_ksm()
    assert b.is_ksm()
    a.munlock()
    assert not now.has(b.frame(), t.PG_MLOCKED)
    swapped_out(now)
    assert a.slot() == b.slot() != t.NONE
