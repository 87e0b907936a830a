"""Reclaim: which list is shrunk and what becomes of a page there (R-RECL-1 to R-RECL-8, X-1, X-10)."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from ksmlab_core.mm import mm_types as t


@cache
def entry(room: str, name: str) -> Any:
    """A function of floor 0 as something that can be called from here, compiled or not."""
    from importlib import import_module

    import numba

    from ksmlab_core.mm._memory import as_memory

    function = getattr(import_module(f"ksmlab_core.mm.{room}"), name)

    @numba.njit(error_model="numpy")
    def enter(memory: Any, *args: Any) -> Any:
        return function(as_memory(memory), *args)

    return enter


def free_pages(rig: Any, target: int) -> None:
    """One try_to_free_pages: priorities 12 to 0, until `target` frames are free."""
    from ksmlab_core.mm import doors

    doors.reclaim(*rig.machine.state.doors, doors.FREE_PAGES, target)
    rig.check()


def lock_all(rig: Any, frames: list[int], locked: bool) -> None:
    """Let somebody hold the page locks of many frames, so that visits keep them where they are."""
    for frame in frames:
        rig.machine.lock_page(frame, locked)


def set_flag(rig: Any, frame: int, flag: int, on: bool = True) -> None:
    """Set or clear a page flag by hand."""
    pg = rig.m.frame.pg
    pg[frame] = pg[frame] | flag if on else pg[frame] & ~flag


def mlocked_by_hand(rig: Any, frame: int) -> None:
    """Mark a page mlocked where it is, as one that was in a batch when it was locked."""
    set_flag(rig, frame, t.PG_MLOCKED)
    rig.sc[t.NR_MLOCK] += 1


def inactive_old(rig: Any, pages: int, content: int = 100) -> Any:
    """A process with `pages` different pages, all old and on the inactive list."""
    area = rig.process(pages, range(content, content + pages))
    area.make_old()
    rig.deactivate()
    rig.sc[t.PGREFILL] = 0
    return area


# -- which list ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gib", "inactive", "active", "low"),
    [
        (0, 10, 10, False),
        (0, 10, 11, True),
        (1, 10, 30, False),
        (1, 10, 31, True),
        (4, 10, 60, False),
        (4, 10, 61, True),
        (10, 10, 100, False),
        (10, 10, 101, True),
    ],
)
def test_inactive_list_is_low_by_a_ratio_that_grows_with_memory(
    rig: Any, gib: int, inactive: int, active: int, low: bool
) -> None:
    """R-RECL-1: low iff inactive * ratio < active, ratio = max(1, isqrt(10 * GiB))."""
    rig.sc[t.NR_FRAMES] = (gib << 18) or 4096
    rig.sc[t.LRU_COUNT + t.LRU_INACTIVE_ANON] = inactive
    rig.sc[t.LRU_COUNT + t.LRU_ACTIVE_ANON] = active
    assert bool(entry("vmscan", "inactive_anon_is_low")(*rig.machine.state.doors)) is low


@pytest.mark.parametrize(("inactive", "refilled"), [(40, False), (20, True)])
def test_active_list_is_shrunk_only_while_the_inactive_one_is_low(machine: Any, inactive: int, refilled: bool) -> None:
    """R-RECL-1: 30 active pages are left alone beside 40 inactive ones, and deactivated beside 20."""
    rig = machine(switches={"shrink_falls_through": False})
    area = inactive_old(rig, inactive)
    rig.process(30, range(500, 530))
    rig.drain()
    lock_all(rig, [area.frame(i) for i in range(inactive)], True)
    free_pages(rig, 256)
    assert bool(rig.sc[t.PGREFILL]) is refilled


@pytest.mark.parametrize(("pages", "moved"), [(8, 8), (40, 32)])
def test_a_zone_pass_ends_with_a_cluster_of_the_active_list(rig: Any, pages: int, moved: int) -> None:
    """R-RECL-1: inactive low: the end of each pass takes 32 active pages, whatever the saved quota is.

    8 pages never make a cluster of quota in one call; 40 are moved once, then 32 inactive against 8 are not low.
    """
    rig.process(pages, range(500, 500 + pages))
    rig.drain()
    free_pages(rig, 256)
    assert rig.sc[t.PGREFILL] == moved
    assert len(rig.lru(t.LRU_ACTIVE_ANON)) == pages - moved


@pytest.mark.parametrize(("falls_through", "scanned"), [(True, 256), (False, 128)])
def test_quota_of_an_active_list_that_need_not_shrink(machine: Any, falls_through: bool, scanned: int) -> None:
    """X-1 (R-RECL-1): at the seed the active quota is spent on the inactive list; 2.6.33 does nothing instead."""
    rig = machine(switches={"shrink_falls_through": falls_through})
    area = inactive_old(rig, 64)
    rig.process(40, range(500, 540))
    rig.drain()
    lock_all(rig, [area.frame(i) for i in range(64)], True)
    free_pages(rig, 256)
    assert rig.sc[t.PGREFILL] == 0
    # At priorities 1 and 0 the inactive quota makes two clusters, and so does the active one (38 and 40 pages).
    assert rig.sc[t.PGSCAN_DIRECT] == scanned


# -- priorities ---------------------------------------------------------------------------------------------------


def test_small_scans_are_saved_up_until_they_make_a_cluster(rig: Any) -> None:
    """R-RECL-2: one try_to_free_pages does nothing to a list of 10 pages; what it wanted to scan is kept."""
    area = inactive_old(rig, 10)
    free_pages(rig, 256)
    assert rig.sc[t.PGSCAN_DIRECT] == 0
    assert rig.sc[t.LRU_SAVED_SCAN + t.LRU_INACTIVE_ANON] == 1 + 2 + 5 + 10
    free_pages(rig, 256)
    # 18 + 1 + 2 + 5 + 10 = 36, a cluster at last: all ten pages are visited and unmapped.
    assert all(area.slot(i) != t.NONE for i in range(10))
    assert rig.sc[t.LRU_SAVED_SCAN + t.LRU_INACTIVE_ANON] == 0


def test_reclaim_stops_once_enough_is_free(machine: Any) -> None:
    """R-RECL-2: below priority 12 a pass ends as soon as it has freed what it was asked for, quota left or not."""
    rig = machine(frames=512, slots=256)
    inactive_old(rig, 200)
    rig.shrink()  # written: now 200 clean pages wait in the swap cache
    assert rig.sc[t.PGSTEAL] == 0
    free_pages(rig, int(rig.sc[t.NR_FREE]) + 1)
    # Priority 8 brings the saved quota to 47 = 25 + 12 + 6 + 3 + 1; its first cluster of 32 frees enough.
    assert rig.sc[t.PGSTEAL] == 32
    assert len(rig.lru(t.LRU_INACTIVE_ANON)) == 168


def test_without_swap_space_anon_lists_are_not_scanned(machine: Any) -> None:
    """R-RECL-2: no free slot, no scan of either list, however little memory is free."""
    rig = machine(slots=0)
    area = inactive_old(rig, 64)
    rig.process(100, range(500, 600))
    rig.drain()
    free_pages(rig, 256)
    assert (rig.sc[t.PGSCAN_DIRECT], rig.sc[t.PGREFILL]) == (0, 0)
    assert area.frame(0) in rig.lru(t.LRU_INACTIVE_ANON)


# -- the active list ----------------------------------------------------------------------------------------------


def test_young_pages_are_deactivated_too_and_lose_their_young_bits(rig: Any) -> None:
    """R-RECL-3: anon and KSM pages go to the inactive list referenced or not; only the statistic tells them apart."""
    plain, old = rig.process(1, 5), rig.process(1, 6).make_old()
    shared, other = rig.merged()
    set_flag(rig, old.frame(), t.PG_REFERENCED)
    shared.make_old(), other.read()
    plain.read()
    rig.deactivate()
    assert rig.lru(t.LRU_ACTIVE_ANON) == []
    assert {plain.frame(), old.frame(), shared.frame()} <= set(rig.lru(t.LRU_INACTIVE_ANON))
    assert not plain.is_young()
    assert not other.is_young()
    assert not rig.has(old.frame(), t.PG_REFERENCED)
    assert rig.sc[t.PGDEACTIVATE] == 3
    assert rig.sc[t.RECENT_ROTATED] == 3


def test_mlocked_page_met_on_the_active_list_goes_to_the_unevictable_one(rig: Any) -> None:
    """R-RECL-3: a page that is not evictable is put back, which means: to the unevictable list; its young bit stays."""
    area = rig.process(1, 5)
    rig.drain()
    mlocked_by_hand(rig, area.frame())
    rig.deactivate()
    assert rig.lru(t.LRU_UNEVICTABLE) == [area.frame()]
    assert area.is_young()
    assert rig.sc[t.PGDEACTIVATE] == 0


# -- the table R-RECL-4, row by row -------------------------------------------------------------------------------


def test_row_1_contended_page_is_kept(rig: Any) -> None:
    """R-RECL-4 #1: somebody holds the page lock: back to the inactive list, nothing changed; free again: unmapped."""
    area = inactive_old(rig, 1)
    frame = area.lock()
    before = area.state()
    rig.shrink()
    assert area.state() == before
    assert rig.lru(t.LRU_INACTIVE_ANON) == [frame]
    assert rig.sc[t.SWAP_INUSE] == 0
    rig.lock_page(frame, False)
    rig.shrink()
    assert area.slot() != t.NONE


def test_row_1_contended_ksm_page_keeps_its_young_bits(rig: Any) -> None:
    """R-RECL-4 #1: the lock comes before page_referenced: a contended K is neither activated nor aged."""
    a, b = rig.merged()
    rig.deactivate()
    a.read()
    frame = a.lock()
    rig.shrink()
    assert a.is_young()
    assert rig.lru(t.LRU_INACTIVE_ANON) == [frame]
    rig.lock_page(frame, False)
    rig.shrink()
    assert rig.lru(t.LRU_ACTIVE_ANON) == [frame]
    assert b.frame() == frame


def test_row_2_mlocked_page_is_culled_and_gives_up_its_slot(rig: Any) -> None:
    """R-RECL-4 #2: mlocked: free the slot if nobody else names it, go to the unevictable list."""
    area = inactive_old(rig, 1)
    rig.shrink(), rig.shrink()
    area.read()
    assert rig.sc[t.SWAP_INUSE] == 1
    mlocked_by_hand(rig, area.frame())
    rig.shrink()
    assert area.state() == "[adIUm,mc1,rc1]"
    assert rig.lru(t.LRU_UNEVICTABLE) == [area.frame()]
    assert rig.sc[t.SWAP_INUSE] == 0
    assert rig.sc[t.UNEVICTABLE_PGCULLED] == 1


def test_row_4_page_under_writeback_is_kept(rig: Any) -> None:
    """R-RECL-4 #4: a page under writeback stays on the inactive list, its young pte unasked."""
    area = inactive_old(rig, 1)
    rig.shrink(), rig.shrink()
    area.read()
    set_flag(rig, area.frame(), t.PG_WRITEBACK)
    rig.shrink()
    assert rig.lru(t.LRU_INACTIVE_ANON) == [area.frame()]
    assert area.is_young()
    set_flag(rig, area.frame(), t.PG_WRITEBACK, False)
    rig.shrink()
    assert rig.lru(t.LRU_ACTIVE_ANON) == [area.frame()]


@pytest.mark.parametrize("how", ["young", "PG_referenced"])
def test_row_5_referenced_page_is_activated_without_a_slot(rig: Any, how: str) -> None:
    """R-RECL-4 #5: any use since the last visit activates a mapped page, before a slot is taken."""
    area = inactive_old(rig, 1)
    if how == "young":
        area.read()
    else:
        set_flag(rig, area.frame(), t.PG_REFERENCED)
    rig.shrink()
    assert rig.lru(t.LRU_ACTIVE_ANON) == [area.frame()]
    assert not area.is_young()
    assert not rig.has(area.frame(), t.PG_REFERENCED)
    assert (rig.sc[t.PGACTIVATE], rig.sc[t.SWAP_INUSE]) == (1, 0)


def test_row_5_does_not_save_a_page_of_a_locked_area(rig: Any) -> None:
    """R-RECL-4 #5, #10: VM_LOCKED seen: used or not, it is not activated; unmapping finds the lock and culls."""
    area = inactive_old(rig, 1)
    area.read()
    set_flag(rig, area.frame(), t.PG_REFERENCED)
    rig.m.vma.vm_flags[area.vma()] |= t.VM_LOCKED  # as after swap-in into a locked area: the page is not mlocked yet
    rig.shrink()
    assert rig.lru(t.LRU_UNEVICTABLE) == [area.frame()]
    assert rig.sc[t.NR_MLOCK] == 1
    assert rig.sc[t.PGACTIVATE] == 0


def test_row_5_page_in_nobodys_use_is_not_activated(rig: Any) -> None:
    """R-RECL-4 #5, #11: PG_referenced activates only what is mapped or in the swap cache; dirty and referenced: keep.

    Nothing else than the pin holds such a page, and the pin alone (#12) would keep it from being written too: between
    the steps of one machine #11 never decides by itself.
    """
    area = inactive_old(rig, 1)
    frame = area.pin()
    area.munmap()
    set_flag(rig, frame, t.PG_REFERENCED)
    rig.shrink()
    assert rig.lru(t.LRU_INACTIVE_ANON) == [frame]
    assert rig.sc[t.PGACTIVATE] == 0
    assert not rig.has(frame, t.PG_REFERENCED)
    # #6 and #7 came between: it has a slot that nobody names.
    assert rig.refs(int(rig.m.frame.private[frame])) == (0, True)
    rig.unpin(frame)


@pytest.mark.parametrize("ksm", [False, True])
def test_row_7_without_a_slot_a_page_is_activated(machine: Any, ksm: bool) -> None:
    """R-RECL-4 #7: add_to_swap fails: the page stays mapped and goes to the active list."""
    rig = machine(slots=0)
    area = rig.merged()[0] if ksm else rig.process(1, 5)
    rig.make_all_old()
    rig.deactivate()
    rig.shrink()
    assert rig.lru(t.LRU_ACTIVE_ANON) == [area.frame()]
    assert area.frame() != t.NONE
    assert not rig.has(area.frame(), t.PG_SWAPCACHE)


def test_row_7_surplus_pages_stay_when_swap_runs_out(machine: Any) -> None:
    """R-RECL-4 #7: of 10 pages and 6 slots, 6 go and 4 stay mapped and active."""
    rig = machine(slots=6)
    area = inactive_old(rig, 10)
    rig.shrink()
    assert [area.slot(i) != t.NONE for i in range(10)] == [True] * 6 + [False] * 4
    assert sorted(rig.lru(t.LRU_ACTIVE_ANON)) == sorted(area.frame(i) for i in range(6, 10))


def test_row_8_failed_unmapping_activates(rig: Any) -> None:
    """R-RECL-4 #8: an orphan KSM page cannot be unmapped (FAIL): active, and its slot stays 0+C."""
    a, b = rig.merged()
    rig.unmap_to_swap()
    rig.scan_passes(1)
    a.read()
    frame = a.frame()
    assert rig.is_orphan(frame)
    rig.unmap_to_swap()
    assert rig.lru(t.LRU_ACTIVE_ANON) == [frame]
    assert a.frame() == frame
    assert rig.refs(b.slot()) == (1, True)


def test_row_9_page_with_unknown_mappers_is_kept_inactive(rig: Any) -> None:
    """R-RECL-4 #9: AGAIN (an unscanned child still maps K): back to the inactive list, in the swap cache."""
    a, b = rig.merged()
    child = a.forked()
    rig.unmap_to_swap()
    frame = child.frame()
    assert rig.lru(t.LRU_INACTIVE_ANON) == [frame]
    assert (a.slot(), b.slot()) == (1, 1)
    assert rig.mapcount(frame) == 1


def test_row_12_pinned_dirty_page_is_not_written(rig: Any) -> None:
    """R-RECL-4 #12, R-RECL-6: pageout wants count 2 (isolation and cache); a pin makes it 3: kept, not written."""
    area = inactive_old(rig, 1)
    frame = area.pin()
    rig.shrink(), rig.shrink()
    assert area.slot() == 1
    assert rig.lru(t.LRU_INACTIVE_ANON) == [frame]
    assert rig.sc[t.PSWPOUT] == 0
    rig.unpin(frame)
    rig.shrink()
    assert rig.sc[t.PSWPOUT] == 1


def test_row_13_pinned_clean_page_is_not_freed(rig: Any) -> None:
    """R-RECL-4 #13: detaching from the swap cache wants count 2 as well."""
    area = inactive_old(rig, 1)
    frame = area.frame()
    rig.shrink()  # written, clean
    rig.pin(frame)
    assert rig.shrink() == 0
    assert rig.refs(1) == (1, True)
    rig.unpin(frame)
    assert rig.shrink() == 1


def test_row_14_clean_page_leaves_the_swap_cache_and_is_freed(rig: Any) -> None:
    """R-RECL-4 #14: slot keeps its swap pte and loses the cache mark, the frame is free, PGSTEAL counts it."""
    area = inactive_old(rig, 1)
    frame = area.frame()
    assert rig.shrink() == 0
    assert rig.refs(1) == (1, True)
    assert rig.shrink() == 1
    assert rig.refs(1) == (1, False)
    assert rig.count(frame) == 0
    assert rig.sc[t.PGSTEAL] == 1
    assert area.read() == [100]


@pytest.mark.parametrize(("slots", "freed"), [(8, True), (14, False)])
def test_activation_frees_an_unneeded_slot_when_swap_is_full(machine: Any, slots: int, freed: bool) -> None:
    """R-RECL-4 last line: activated, its slot named by nobody: freed iff free slots * 2 < slots (vm_swap_full)."""
    rig = machine(slots=slots)
    area = inactive_old(rig, 1)
    rig.shrink(), rig.shrink()
    area.read()
    assert rig.refs(1) == (0, True)  # one slot of many used: the swap-in left it
    rest = rig.process(6, range(200, 206))
    rig.drain()
    rig.evict(rig.machine.frames_of(rest.ptes()))
    assert rig.sc[t.SWAP_INUSE] == 7
    rig.shrink()
    assert area.frame() in rig.lru(t.LRU_ACTIVE_ANON)
    assert rig.refs(1) == (0, not freed)


def test_activation_keeps_a_slot_that_is_named(machine: Any) -> None:
    """R-RECL-4 last line: with swap full a slot that a swap pte names stays with the activated page."""
    rig = machine(slots=1)
    a, b = rig.merged()
    child = a.forked()
    rig.unmap_to_swap()
    assert rig.refs(1) == (2, True)
    child.read()
    set_flag(rig, child.frame(), t.PG_REFERENCED)
    rig.shrink()
    assert rig.lru(t.LRU_ACTIVE_ANON) == [child.frame()]
    assert rig.refs(b.slot()) == (2, True)


@pytest.mark.parametrize(("used", "full"), [(4, False), (5, True)])
def test_swap_is_full_when_less_than_half_is_free(machine: Any, used: int, full: bool) -> None:
    """R-RECL-4 (vm_swap_full): of 8 slots, half free is not full, one less is: then a swap-in frees its slot."""
    rig = machine(slots=8)
    area = inactive_old(rig, used)
    rig.shrink(), rig.shrink()
    assert rig.sc[t.SWAP_INUSE] == used
    area.read(0)
    assert rig.sc[t.SWAP_INUSE] == (used - 1 if full else used)


# -- slot, write, free --------------------------------------------------------------------------------------------


def test_page_gets_a_slot_with_no_references_and_becomes_dirty(rig: Any) -> None:
    """R-RECL-5: add_to_swap: slot 0+C, one reference by the cache, PG_dirty set (only the pte was dirty before)."""
    area = inactive_old(rig, 1)
    area.read()
    rig.limit_to_memcg([])  # hides the young bit from page_referenced, not from unmapping
    frame = area.frame()
    assert not rig.has(frame, t.PG_DIRTY)
    rig.shrink()
    assert area.state() == "[asdA,mc1,rc2]"
    assert rig.refs(int(rig.m.frame.private[frame])) == (0, True)
    assert rig.m.slot.frame[int(rig.m.frame.private[frame])] == frame


def test_ksm_page_with_a_node_is_unmapped_but_neither_written_nor_freed(rig: Any) -> None:
    """R-RECL-6, INV-16: the node's reference makes the count 3 in pageout; K circulates on the inactive list."""
    a, b = rig.merged()
    frame = a.frame()
    rig.unmap_to_swap()
    assert rig.state(frame) == "[KasdI,mc0,rc2,node]"
    for _ in range(5):
        rig.deactivate()
        assert rig.shrink() == 0
    assert rig.state(frame) == "[KasdI,mc0,rc2,node]"
    assert rig.lru(t.LRU_INACTIVE_ANON) == [frame]
    assert rig.refs(a.slot()) == (2, True)
    assert rig.sc[t.PSWPOUT] == 0
    assert rig.counters() == (1, 1, 0, 0)
    assert b.slot() == a.slot()


@pytest.mark.parametrize("how", ["pass", "run 2"])
def test_ksm_page_goes_once_its_node_is_gone(rig: Any, how: str) -> None:
    """R-RECL-6, R-RECL-7: after a pass, or run=2, K is an orphan: the first visit writes it, the second frees it."""
    a, b = rig.merged()
    frame = a.frame()
    rig.unmap_to_swap()
    if how == "pass":
        rig.scan_passes(1)
    else:
        rig.set_knob("run", 2)
    assert rig.state(frame) == "[KasdI,mc0,rc1,orph]"
    assert rig.shrink() == 0
    assert rig.sc[t.PSWPOUT] == 1
    assert rig.shrink() == 1
    assert rig.count(frame) == 0
    assert rig.refs(1) == (2, False)
    assert (a.read(), b.read()) == ([7], [7])


def test_write_clears_dirty_and_the_page_waits_at_the_tail(rig: Any) -> None:
    """R-RECL-7: PSWPOUT +1, slot written, clean; after the I/O a reclaimed page is rotated to the inactive tail."""
    late = rig.process(1, 5).make_old()
    rig.drain()
    early = rig.process(1, 6).make_old()
    rig.deactivate()
    # Deactivation began with `late`: it is at the tail and is visited first. `early` stays behind it at the head.
    assert rig.lru(t.LRU_INACTIVE_ANON) == [early.frame(), late.frame()]
    kept, written = late.lock(), early.frame()
    rig.shrink()
    rig.drain()
    assert rig.lru(t.LRU_INACTIVE_ANON) == [kept, written]  # put back in the order kept, written; then rotated
    assert rig.state(written) == "[asI,mc0,rc1]"
    assert rig.m.slot.content[early.slot()] == 6
    assert rig.sc[t.PSWPOUT] == 1
    assert not rig.has(written, t.PG_WRITEBACK)


def test_page_whose_slot_nobody_names_leaves_the_cache_instead_of_being_written(rig: Any) -> None:
    """R-RECL-7: no swap references: dropped from the cache and not written; with nobody left to hold it, it is free."""
    a, b = rig.merged()
    frame = a.frame()
    rig.unmap_to_swap()
    a.munmap(), b.munmap()
    rig.shrink()  # a new slot without references
    assert rig.refs(int(rig.m.frame.private[frame])) == (0, True)
    rig.scan_passes(1)
    assert rig.state(frame) == "[KasdI,mc0,rc1,orph]"
    assert rig.shrink() == 0  # not reclaim's doing: it went with the isolation's reference
    assert (rig.sc[t.PSWPOUT], rig.sc[t.PGSTEAL], rig.sc[t.SWAP_INUSE]) == (0, 0, 0)
    assert rig.count(frame) == 0


def test_unmapped_ksm_page_with_pg_referenced_is_activated_once(rig: Any) -> None:
    """R-RECL-8: in the swap cache and PG_referenced: activated by #5; the next round keeps it inactive."""
    a, _b = rig.merged()
    frame = a.frame()
    rig.unmap_to_swap()
    set_flag(rig, frame, t.PG_REFERENCED)
    rig.shrink()
    assert rig.state(frame) == "[KasdA,mc0,rc2,node]"
    rig.deactivate()
    rig.shrink()
    assert rig.state(frame) == "[KasdI,mc0,rc2,node]"


def test_unmapped_ksm_page_that_lost_its_slot_gets_a_new_one(rig: Any) -> None:
    """X-10 (R-RECL-6, R-EXIT-1): exits zap all swap ptes and free the slot; the next visit takes a fresh one, 0+C."""
    a, b = rig.merged()
    frame = a.frame()
    rig.unmap_to_swap()
    a.exit(), b.exit()
    assert rig.sc[t.SWAP_INUSE] == 0
    assert rig.state(frame) == "[KadI,mc0,rc1,node]"
    rig.shrink()
    assert rig.sc[t.SWAP_INUSE] == 1
    assert rig.state(frame) == "[KasdI,mc0,rc2,node]"
    assert rig.refs(int(rig.m.frame.private[frame])) == (0, True)
    assert rig.sc[t.PSWPOUT] == 0
    rig.scan_passes(1)
    rig.shrink()
    assert rig.count(frame) == 0
    assert rig.sc[t.SWAP_INUSE] == 0
