"""Taking a page away from those who map it (R-TTU-1 to R-TTU-6), and the swap count's limit (R-OBJ-13)."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from ksmlab_core.mm import mm_types as t

UNMAP, MIGRATION, MUNLOCK, IGNORE_ACCESS = 0, 1, 2, 1 << 9
SUCCESS, AGAIN, FAIL, MLOCK = 0, 1, 2, 3


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


def add_to_swap(rig: Any, frame: int) -> int:
    """Put a page into the swap cache, as reclaim does just before it unmaps; its slot."""
    assert entry("swap", "add_to_swap")(*rig.machine.state.doors, frame)
    return int(rig.m.frame.private[frame])


def try_to_unmap(rig: Any, frame: int, flags: int = UNMAP) -> int:
    """The kernel's function itself; SWAP_*."""
    result = int(entry("rmap", "try_to_unmap")(*rig.machine.state.doors, frame, flags))
    rig.check()
    return result


def newest_first(areas: list[Any]) -> list[Any]:
    """Sharers of one KSM page, the one merged last first: ksmd visits processes in the order of their making."""
    return areas[::-1]


def orphan(rig: Any) -> Any:
    """A process that maps a KSM page without a node."""
    a, _b = rig.merged()
    rig.unmap_to_swap()
    rig.scan_passes(1)
    a.read()
    assert rig.is_orphan(a.frame())
    return a


# -- R-TTU-1, -6: results -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ksm", [False, True])
def test_all_mappings_gone_is_success(rig: Any, ksm: bool) -> None:
    """R-TTU-1: KSM pages go by their items, others by their anon_vma; SUCCESS once mapcount is 0."""
    areas = rig.merged(3) if ksm else [parent := rig.process(1, 5), parent.forked()]
    rig.make_all_old()
    frame = areas[0].frame()
    slot = add_to_swap(rig, frame)
    assert try_to_unmap(rig, frame) == SUCCESS
    assert [area.slot() for area in areas] == [slot] * len(areas)
    assert rig.refs(slot) == (len(areas), True)


def test_mlock_is_not_turned_into_success(rig: Any) -> None:
    """R-TTU-1, R-TTU-4: a VM_LOCKED area stops it: the page is mlocked lazily, and stays mapped."""
    area = rig.process(1, 5).make_old()
    rig.drain()
    rig.m.vma.vm_flags[area.vma()] |= t.VM_LOCKED
    frame = area.frame()
    add_to_swap(rig, frame)
    assert try_to_unmap(rig, frame) == MLOCK
    assert area.frame() == frame
    assert rig.has(frame, t.PG_MLOCKED)
    assert rig.lru(t.LRU_UNEVICTABLE) == [frame]
    assert rig.sc[t.NR_MLOCK] == 1


def test_unlisted_mappers_leave_again(rig: Any) -> None:
    """R-TTU-6: every listed item done, a fork child remains: AGAIN."""
    a, b = rig.merged()
    child = a.forked()
    rig.make_all_old()
    slot = add_to_swap(rig, a.frame())
    assert try_to_unmap(rig, a.frame()) == AGAIN
    assert (a.slot(), b.slot(), child.slot()) == (slot, slot, t.NONE)


def test_ksm_page_is_never_answered_with_mlock(rig: Any) -> None:
    """R-TTU-6, R-TTU-3: the stand-in area has no flags: memory of a locked area is unmapped, the page not mlocked."""
    a, b = rig.merged()
    rig.make_all_old()
    for area in (a, b):
        rig.m.vma.vm_flags[area.vma()] |= t.VM_LOCKED
    frame = a.frame()
    add_to_swap(rig, frame)
    assert try_to_unmap(rig, frame) == SUCCESS
    assert not rig.has(frame, t.PG_MLOCKED)


# -- R-TTU-2: who may unmap a KSM page ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "result"),
    [(UNMAP, SUCCESS), (UNMAP | IGNORE_ACCESS, SUCCESS), (MIGRATION, FAIL), (MUNLOCK, FAIL)],
    ids=["unmap", "unmap-whatever-its-use", "migration", "munlock"],
)
def test_ksm_page_with_a_node_is_unmapped_by_reclaim_only(rig: Any, flags: int, result: int) -> None:
    """R-TTU-2: plain UNMAP walks; MIGRATION and MUNLOCK fail at once and touch nothing."""
    a, b = rig.merged()
    rig.make_all_old()
    frame = a.frame()
    add_to_swap(rig, frame)
    assert try_to_unmap(rig, frame, flags) == result
    assert (a.frame() == frame, b.frame() == frame) == ((result == FAIL,) * 2)


@pytest.mark.parametrize("flags", [UNMAP, UNMAP | IGNORE_ACCESS, MIGRATION, MUNLOCK])
def test_orphan_ksm_page_cannot_be_unmapped_at_all(rig: Any, flags: int) -> None:
    """R-TTU-2: no node, no items, no way to find its ptes: FAIL."""
    area = orphan(rig)
    area.make_old()
    frame = area.frame()
    assert try_to_unmap(rig, frame, flags) == FAIL
    assert area.frame() == frame


# -- R-TTU-3: the walk --------------------------------------------------------------------------------------------


def test_walk_goes_newest_first_and_stops_at_the_first_failure(rig: Any) -> None:
    """R-TTU-3, R-TTU-5: the middle one is young: the newest is a swap pte already, the oldest is never asked."""
    newest, middle, oldest = newest_first(rig.merged(3))
    rig.make_all_old()
    middle.read(), oldest.read()
    frame = newest.frame()
    slot = add_to_swap(rig, frame)
    assert try_to_unmap(rig, frame) == FAIL
    assert newest.slot() == slot
    assert (middle.frame(), oldest.frame()) == (frame, frame)
    assert not middle.is_young()
    assert oldest.is_young()


def test_items_whose_pte_maps_something_else_are_passed_over(rig: Any) -> None:
    """R-TTU-3, R-TTU-4: not mapping this page: AGAIN without effect, the walk goes on."""
    newest, middle, oldest = newest_first(rig.merged(3))
    newest.write(9)
    rig.make_all_old()
    other, frame = newest.frame(), middle.frame()
    slot = add_to_swap(rig, frame)
    assert try_to_unmap(rig, frame) == SUCCESS
    assert newest.frame() == other
    assert (middle.slot(), oldest.slot()) == (slot, slot)


@pytest.mark.parametrize("fails", [0, 1])
def test_unmapping_with_the_fallback_vma(rig: Any, fails: int) -> None:
    """R-TTU-3, R-REF-4: the static stand-in gives the same result as an allocated one."""
    a, b = rig.merged()
    rig.make_all_old()
    frame = a.frame()
    add_to_swap(rig, frame)
    rig.fail("fallback_vma", fails)
    assert try_to_unmap(rig, frame) == SUCCESS
    assert a.slot() == b.slot() != t.NONE
    assert rig.sc[t.FALLBACK_VMA_USED] == fails


# -- R-TTU-4: one pte ---------------------------------------------------------------------------------------------


def test_what_becomes_of_an_unmapped_pte(rig: Any) -> None:
    """R-TTU-4: pte := swap entry, count +1, rss -1, mapcount -1, count -1, and the process joins swapoff's list."""
    area = rig.process(1, 5).make_old()
    frame = area.frame()
    rig.drain()
    slot = add_to_swap(rig, frame)
    assert (rig.count(frame), rig.refs(slot), rig.rss(area.mm)) == (2, (0, True), 1)
    assert rig.m.mm.list_next[area.mm] == t.NONE
    assert try_to_unmap(rig, frame) == SUCCESS
    assert area.slot() == slot
    assert area.flags() == t.PTE_SWAP
    assert (rig.count(frame), rig.mapcount(frame), rig.refs(slot)) == (1, 0, (1, True))
    assert rig.rss(area.mm) == 0
    assert rig.m.mm.list_next[t.MM_HEAD] == area.mm


@pytest.mark.parametrize("ksm", [False, True])
def test_young_pte_stops_unmapping_and_is_cleared(rig: Any, ksm: bool) -> None:
    """R-TTU-4: young: clear it, FAIL; the next attempt succeeds."""
    area = rig.merged()[0] if ksm else rig.process(1, 5)
    rig.make_all_old()
    area.read()
    frame = area.frame()
    add_to_swap(rig, frame)
    assert try_to_unmap(rig, frame) == FAIL
    assert area.frame() == frame
    assert not area.is_young()
    assert try_to_unmap(rig, frame) == SUCCESS


def test_ignoring_access_unmaps_a_young_pte(rig: Any) -> None:
    """R-TTU-2, R-TTU-4: with the ignore-access flag the young bit does not matter."""
    a, b = rig.merged()
    a.read(), b.read()
    frame = a.frame()
    add_to_swap(rig, frame)
    assert try_to_unmap(rig, frame, UNMAP | IGNORE_ACCESS) == SUCCESS
    assert rig.mapcount(frame) == 0


def test_dirty_pte_makes_the_page_dirty(rig: Any) -> None:
    """R-TTU-4: clean in the swap cache, written through a pte since: the write moves to the page, and to disk."""
    area = rig.process(1, 5).make_old()
    rig.deactivate(), rig.shrink(), rig.shrink()
    area.read()
    frame = area.frame()
    rig.m.frame.pg[frame] |= t.PG_WRITEBACK  # a writer reuses a page under writeback without leaving the cache
    area.write(6)
    rig.m.frame.pg[frame] &= ~t.PG_WRITEBACK
    assert area.frame() == frame
    assert rig.has(frame, t.PG_SWAPCACHE)
    assert not rig.has(frame, t.PG_DIRTY)
    rig.unmap_to_swap()
    rig.shrink()
    assert rig.sc[t.PSWPOUT] == 2
    assert area.read() == [6]


def test_swap_count_continues_beyond_its_byte(machine: Any) -> None:
    """R-OBJ-13, R-TTU-4: 64 sharers: the count goes on in extra pages above 0x3e."""
    rig = machine(frames=512)
    areas = rig.merged(64)
    frame = areas[0].frame()
    rig.unmap_to_swap()
    assert rig.refs(areas[0].slot()) == (64, True)
    assert rig.mapcount(frame) == 0


def test_failing_continuation_restores_the_pte(machine: Any) -> None:
    """R-TTU-4, R-TTU-5, R-OBJ-13: at 0x3e references the extra page cannot be had: pte as it was, FAIL, K active."""
    rig = machine(frames=512)
    areas = newest_first(rig.merged(64))
    frame = areas[0].frame()
    rig.make_all_old()
    flags = areas[62].flags()
    rig.fail("swap_continuation", 1)
    rig.deactivate()
    rig.shrink()
    assert [area.slot() != t.NONE for area in areas] == [True] * 62 + [False] * 2
    assert areas[62].flags() == flags
    assert areas[62].frame() == frame
    assert rig.refs(areas[0].slot()) == (62, True)
    assert rig.lru(t.LRU_ACTIVE_ANON) == [frame]
    assert rig.rss(areas[62].mm) == 1
    # Nothing is lost: the next round has its page.
    rig.unmap_to_swap()
    assert rig.refs(areas[0].slot()) == (64, True)


# -- R-TTU-5: half way --------------------------------------------------------------------------------------------


def test_memcg_reclaim_unmaps_half_way(rig: Any) -> None:
    """T-DRV-8, second half (R-REF-3, R-TTU-3 to -5): the filter hides i2's young bit, unmapping does not.

    A slot is taken, i3 becomes a swap pte, i2's young bit stops the unmapping: FAIL, K active, mapcount 2, e 1+C.
    """
    i3, i2, i1 = newest_first(rig.merged(3))
    rig.deactivate()
    rig.make_all_old()
    i2.read()
    rig.limit_to_memcg([i1.mm, i3.mm])
    frame = i2.frame()
    rig.shrink()
    assert i3.slot() != t.NONE
    assert rig.refs(i3.slot()) == (1, True)
    assert rig.state(frame) == "[KasdA,mc2,rc4,node]"
    assert not i2.is_young()
    assert (i2.frame(), i1.frame()) == (frame, frame)
    assert rig.counters() == (1, 2, 0, 0)


def test_global_reclaim_would_not_even_begin(rig: Any) -> None:
    """T-DRV-8, first half (R-REF-3, R-RECL-4 #5): page_referenced sees i2: activated, no slot, nothing unmapped."""
    i3, i2, i1 = newest_first(rig.merged(3))
    rig.deactivate()
    rig.make_all_old()
    i2.read()
    rig.shrink()
    assert rig.sc[t.SWAP_INUSE] == 0
    assert rig.state(i2.frame()) == "[KadA,mc3,rc4,node]"
    assert i3.frame() == i1.frame() == i2.frame()


def test_processes_unmapped_half_way_fault_back_without_io(rig: Any) -> None:
    """R-TTU-5, R-CASE-e1: the page stayed in the swap cache: a minor fault maps it again."""
    i3, i2, i1 = newest_first(rig.merged(3))
    rig.deactivate()
    rig.make_all_old()
    i2.read()
    rig.limit_to_memcg([i1.mm, i3.mm])
    rig.shrink()
    assert i3.read() == [7]
    assert i3.frame() == i2.frame()
    assert (rig.sc[t.PGMAJFAULT], rig.sc[t.PSWPIN]) == (0, 0)
    assert rig.mapcount(i2.frame()) == 3
