"""Was a page used since reclaim last asked? (R-REF-1 to R-REF-5)."""

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


def page_referenced(rig: Any, frame: int, is_locked: bool) -> tuple[int, bool]:
    """The kernel's function itself: (references found, VM_LOCKED seen)."""
    referenced, locked = entry("referenced", "page_referenced")(*rig.machine.state.doors, frame, is_locked)
    rig.check()
    return int(referenced), bool(locked)


def mark(rig: Any, frame: int) -> None:
    """Set PG_referenced."""
    rig.m.frame.pg[frame] |= t.PG_REFERENCED


def orphan(rig: Any) -> tuple[Any, int]:
    """A process that maps a KSM page without a node: (its area, the frame)."""
    a, _b = rig.merged()
    rig.unmap_to_swap()
    rig.scan_passes(1)
    a.read()
    assert rig.is_orphan(a.frame())
    return a, a.frame()


# -- R-REF-1 ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ksm", [False, True])
def test_pg_referenced_counts_once_beside_the_ptes(rig: Any, ksm: bool) -> None:
    """R-REF-1: the result starts at 1 if PG_referenced was set, and the flag is cleared."""
    area = rig.merged()[0] if ksm else rig.process(1, 5)
    rig.make_all_old()
    area.read()
    mark(rig, area.frame())
    assert page_referenced(rig, area.frame(), True) == (2, False)
    assert page_referenced(rig, area.frame(), True) == (0, False)


def test_orphan_ksm_page_is_judged_by_pg_referenced_alone(rig: Any) -> None:
    """R-REF-1, R-REF-5: no node, no rmapping: its young pte neither counts nor is cleared."""
    area, frame = orphan(rig)
    assert area.is_young()
    assert page_referenced(rig, frame, True) == (0, False)
    mark(rig, frame)
    assert page_referenced(rig, frame, True) == (1, False)
    assert area.is_young()


def test_unmapped_page_is_judged_by_pg_referenced_alone(rig: Any) -> None:
    """R-REF-1: nothing maps K any more: only the flag counts, and the page lock is not even tried."""
    a, _b = rig.merged()
    frame = a.frame()
    rig.unmap_to_swap()
    rig.lock_page(frame, True)
    assert page_referenced(rig, frame, False) == (0, False)
    mark(rig, frame)
    assert page_referenced(rig, frame, False) == (1, False)


# -- R-REF-2 ------------------------------------------------------------------------------------------------------


def test_contended_ksm_page_counts_as_used_and_its_ptes_are_not_looked_at(rig: Any) -> None:
    """R-REF-2: without the page lock a KSM page needs a trylock; failing it adds 1 and lets young bits survive."""
    a, b = rig.merged()
    rig.make_all_old()
    assert page_referenced(rig, a.lock(), False) == (1, False)
    a.read(), b.read()
    assert page_referenced(rig, a.frame(), False) == (1, False)
    assert a.is_young()
    assert b.is_young()
    # Whoever holds the lock himself asks without trylock.
    assert page_referenced(rig, a.frame(), True) == (2, False)


def test_contended_ksm_page_keeps_its_young_bits_through_deactivation(rig: Any) -> None:
    """R-REF-2: seen from outside: shrink_active_list does not hold the lock; ordinary anon pages need none."""
    a, b = rig.merged()
    plain = rig.process(1, 5)
    a.lock(), plain.lock()
    rig.deactivate()
    assert a.is_young()
    assert b.is_young()
    assert not plain.is_young()
    assert rig.sc[t.RECENT_ROTATED] == 2
    assert {a.frame(), plain.frame()} == set(rig.lru(t.LRU_INACTIVE_ANON))


# -- R-REF-3 ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("young", [(), (0,), (1, 2), (0, 1, 2)])
def test_young_ptes_of_all_listed_sharers_count_and_are_cleared(rig: Any, young: tuple[int, ...]) -> None:
    """R-REF-3: one per young pte over the node's items."""
    areas = rig.merged(3)
    rig.make_all_old()
    for i in young:
        areas[i].read()
    assert page_referenced(rig, areas[0].frame(), True) == (len(young), False)
    assert not any(area.is_young() for area in areas)


def test_items_that_do_not_map_the_page_do_not_end_the_walk_early(rig: Any) -> None:
    """R-REF-3: only a pte that is found lowers the count begun at mapcount: sharers behind are still asked."""
    areas = rig.merged(3)
    newest = max(areas, key=lambda area: rig.node_items(areas[0].node())[0] == area.item())
    others = [area for area in areas if area is not newest]
    newest.write(9)
    rig.make_all_old()
    for area in others:
        area.read()
    assert rig.mapcount(others[0].frame()) == 2
    assert page_referenced(rig, others[0].frame(), True) == (2, False)


def test_reclaim_for_a_memcg_asks_only_its_members(rig: Any) -> None:
    """R-REF-3: items of processes outside the group are skipped: not counted, not cleared; ordinary pages alike."""
    a, b = rig.merged()
    child = rig.process(1, 5).forked()
    child.read()
    rig.make_all_old()
    a.read(), b.read(), child.read()
    rig.limit_to_memcg([a.mm])
    assert page_referenced(rig, a.frame(), True) == (1, False)
    assert not a.is_young()
    assert b.is_young()
    assert page_referenced(rig, child.frame(), True) == (0, False)
    assert child.is_young()
    rig.limit_to_memcg(None)
    assert page_referenced(rig, a.frame(), True) == (1, False)
    assert page_referenced(rig, child.frame(), True) == (1, False)


# -- R-REF-4 ------------------------------------------------------------------------------------------------------


def test_vm_locked_is_seen_for_an_ordinary_page_only(rig: Any) -> None:
    """R-REF-4: the stand-in vma of the KSM walk has no flags: VM_LOCKED of the real one stays invisible."""
    a, b = rig.merged()
    plain = rig.process(1, 5)
    for area in (a, b, plain):
        rig.m.vma.vm_flags[area.vma()] |= t.VM_LOCKED
    assert page_referenced(rig, plain.frame(), True) == (0, True)
    assert plain.is_young()
    assert page_referenced(rig, a.frame(), True) == (2, False)


def test_sequential_read_hint_is_seen_for_an_ordinary_page_only(rig: Any) -> None:
    """R-REF-4: VM_SEQ_READ takes the weight from an ordinary page's young pte, not from a KSM page's."""
    a, b = rig.merged()
    plain = rig.process(1, 5)
    for area in (a, b, plain):
        rig.m.vma.vm_flags[area.vma()] |= t.VM_SEQ_READ
    assert page_referenced(rig, plain.frame(), True) == (0, False)
    assert not plain.is_young()
    assert page_referenced(rig, a.frame(), True) == (2, False)


@pytest.mark.parametrize("fails", [0, 1])
def test_fallback_vma_gives_the_same_result(rig: Any, fails: int) -> None:
    """R-REF-4: when the stand-in cannot be allocated, the one static fallback serves as well."""
    a, b = rig.merged()
    rig.make_all_old()
    b.read()
    rig.fail("fallback_vma", fails)
    assert page_referenced(rig, a.frame(), True) == (1, False)
    assert not b.is_young()
    assert rig.sc[t.FALLBACK_VMA_USED] == fails


# -- R-REF-5 ------------------------------------------------------------------------------------------------------


def test_unscanned_child_is_not_asked(rig: Any) -> None:
    """R-REF-5, R-FORK-2: no item, so its young bit neither counts nor is cleared until ksmd has passed."""
    a, _b = rig.merged()
    child = a.forked()
    rig.make_all_old()
    child.read()
    assert page_referenced(rig, a.frame(), True) == (0, False)
    assert child.is_young()
    rig.scan_passes(1)
    assert page_referenced(rig, a.frame(), True) == (1, False)
    assert not child.is_young()


def test_unscanned_child_of_an_ordinary_page_is_asked(rig: Any) -> None:
    """R-REF-5 by contrast: an ordinary page's mappings are found through the areas, whoever forked them."""
    parent = rig.process(1, 5)
    child = parent.forked()
    rig.make_all_old()
    child.read()
    assert page_referenced(rig, parent.frame(), True) == (1, False)
    assert not child.is_young()
