"""Reusing a page for a writer, and freeing swap slots (R-REUSE-1, R-FREE-1, R-FREE-2)."""

from __future__ import annotations

from typing import Any

import pytest

from ksmlab_core.mm import mm_types as t


def swapped(rig: Any, *areas: Any) -> None:
    """Everything unmapped, but still in the swap cache."""
    rig.unmap_to_swap()
    assert all(area.slot() != t.NONE for area in areas)
    assert rig.sc[t.NR_SWAPCACHE] > 0


def pages_elsewhere(rig: Any, pages: int) -> None:
    """Let another process fill that many slots."""
    other = rig.process(pages, range(500, 500 + pages))
    rig.drain()
    rig.evict(rig.machine.frames_of(other.ptes()))


# -- R-REUSE-1 ----------------------------------------------------------------------------------------------------


def test_only_user_of_a_cached_page_has_it_to_himself(rig: Any) -> None:
    """R-REUSE-1: mapcount 1 + swap count 0 == 1: out of the swap cache, dirty, reused by the writer."""
    area = rig.process(1, 5)
    swapped(rig, area)
    area.read()
    frame = area.frame()
    assert not rig.has(frame, t.PG_DIRTY)
    area.write(6)
    assert area.frame() == frame
    assert not rig.has(frame, t.PG_SWAPCACHE)
    assert rig.has(frame, t.PG_DIRTY)
    assert (rig.sc[t.SWAP_INUSE], rig.sc[t.COW_COPIES]) == (0, 0)


def test_swap_ptes_count_as_users(rig: Any) -> None:
    """R-REUSE-1: mapcount 1 + swap count 1 == 2: not reused, the slot stays."""
    parent = rig.process(1, 5)
    child = parent.forked()
    swapped(rig, parent, child)
    parent.read()
    frame = parent.frame()
    parent.write(6)
    assert parent.frame() != frame
    assert rig.refs(child.slot()) == (1, True)
    assert child.read() == [5]


def test_mapped_twice_is_not_reused(rig: Any) -> None:
    """R-REUSE-1: mapcount 2: the swap count is not even asked."""
    parent = rig.process(1, 5)
    child = parent.forked()
    parent.write(6)
    assert parent.frame() != child.frame()
    assert child.read() == [5]
    frame = child.frame()
    child.write(7)  # alone now
    assert child.frame() == frame


def test_ksm_page_is_never_reused(rig: Any) -> None:
    """R-REUSE-1, R-COW-1: KSM: no, even with a single mapper and no slot."""
    a, b = rig.merged()
    b.munmap()
    frame = a.frame()
    a.write(9)
    assert a.frame() != frame


def test_cached_ksm_page_is_not_reused_by_the_last_swap_pte(rig: Any) -> None:
    """R-REUSE-1: a write fault on a KSM page in the swap cache, mapcount 0 and swap count 1: still no."""
    a, b = rig.merged()
    frame = a.frame()
    swapped(rig, a, b)
    b.munmap()
    assert rig.refs(a.slot()) == (1, True)
    a.write(9)
    assert a.frame() != frame
    assert rig.state(frame) == "[KasdI,mc0,rc2,node]"


def test_page_under_writeback_is_reused_but_stays_in_the_cache(rig: Any) -> None:
    """R-REUSE-1: under writeback the answer is still yes, only the swap cache is not left (INV-13)."""
    area = rig.process(1, 5)
    swapped(rig, area)
    area.read()
    frame = area.frame()
    rig.m.frame.pg[frame] |= t.PG_WRITEBACK
    area.write(6)
    assert area.frame() == frame
    assert area.is_writable()
    assert rig.has(frame, t.PG_SWAPCACHE)
    assert rig.refs(1) == (0, True)
    rig.m.frame.pg[frame] &= ~t.PG_WRITEBACK


def test_fresh_copy_with_no_mapping_yet_is_reused(rig: Any) -> None:
    """R-REUSE-1: <= 1, not == 1: a swap-in copy has mapcount 0 and no slot, and is the writer's at once."""
    a, b = rig.merged()
    rig.unmap_to_swap()
    rig.scan_passes(1)
    rig.shrink(), rig.shrink()
    a.read()
    b.write(9)
    assert b.is_writable()
    assert rig.sc[t.COW_COPIES] == 0


def test_unmapped_page_out_of_swap_counts_as_reusable(rig: Any) -> None:
    """R-REUSE-1: asked by itself: no mapping, no slot: n == 0 is a yes too (before the seed it was a no)."""
    import numba

    from ksmlab_core.mm import swap
    from ksmlab_core.mm._memory import as_memory

    reuse_swap_page = swap.reuse_swap_page

    @numba.njit(error_model="numpy")
    def ask(memory: Any, page: int) -> bool:
        return reuse_swap_page(as_memory(memory), page)

    area = rig.process(1, 5)
    frame = area.pin()
    assert ask(*rig.machine.state.doors, frame)
    area.munmap()
    assert ask(*rig.machine.state.doors, frame)
    rig.unpin(frame)


# -- R-FREE-1 -----------------------------------------------------------------------------------------------------


def test_slot_that_is_named_is_not_freed(machine: Any) -> None:
    """R-FREE-1: swap full or not, a slot with a swap pte stays with its cached page."""
    rig = machine(slots=1)
    parent = rig.process(1, 5)
    child = parent.forked()
    swapped(rig, parent, child)
    parent.read()
    assert rig.refs(1) == (1, True)


def test_freeing_a_slot_leaves_the_page_dirty(machine: Any) -> None:
    """R-FREE-1: success: out of the cache and dirty, since no slot holds its bytes any more."""
    rig = machine(slots=1)
    area = rig.process(1, 5)
    swapped(rig, area)
    area.read()
    assert rig.refs(1) == (0, False)
    assert rig.has(area.frame(), t.PG_DIRTY)
    rig.unmap_to_swap(), rig.shrink()
    assert area.read() == [5]


def test_slot_of_a_page_under_writeback_is_not_freed(machine: Any) -> None:
    """R-FREE-1: under writeback: no."""
    rig = machine(slots=1)
    area = rig.process(1, 5)
    swapped(rig, area)
    frame = int(rig.m.slot.frame[1])
    rig.m.frame.pg[frame] |= t.PG_WRITEBACK
    area.read()
    assert rig.refs(1) == (0, True)
    rig.m.frame.pg[frame] &= ~t.PG_WRITEBACK


# -- R-FREE-2 -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["munmap", "dontneed", "exit"])
def test_zapping_the_last_swap_pte_of_a_cached_page_frees_both(rig: Any, how: str) -> None:
    """R-FREE-2: exactly +C remains, the page is unmapped: out of the cache, so slot and frame are free."""
    area = rig.process(1, 5)
    frame = area.frame()
    swapped(rig, area)
    getattr(area, how)()
    assert rig.sc[t.SWAP_INUSE] == 0
    assert rig.count(frame) == 0


def test_zapping_one_of_two_swap_ptes_only_lowers_the_count(rig: Any) -> None:
    """R-FREE-2: count -1, nothing else while another pte names the slot."""
    a, b = rig.merged()
    swapped(rig, a, b)
    a.munmap()
    assert rig.refs(b.slot()) == (1, True)
    assert b.read() == [7]


def test_zapping_the_last_swap_pte_without_a_cached_page_frees_the_slot(rig: Any) -> None:
    """R-FREE-2: nothing is cached: the count alone decides."""
    area = rig.process(1, 5)
    swapped(rig, area)
    rig.shrink()
    assert rig.refs(1) == (1, False)
    area.munmap()
    assert rig.sc[t.SWAP_INUSE] == 0


def test_zapping_leaves_a_contended_page_in_the_cache(rig: Any) -> None:
    """R-FREE-2: the page lock is taken: the slot stays 0+C until reclaim comes by."""
    area = rig.process(1, 5)
    swapped(rig, area)
    frame = int(rig.m.slot.frame[1])
    rig.lock_page(frame, True)
    area.munmap()
    assert rig.refs(1) == (0, True)
    rig.lock_page(frame, False)
    rig.shrink()
    assert rig.sc[t.SWAP_INUSE] == 0


def test_zapping_leaves_a_page_under_writeback_in_the_cache(rig: Any) -> None:
    """R-FREE-2: not while the write is under way."""
    area = rig.process(1, 5)
    swapped(rig, area)
    frame = int(rig.m.slot.frame[1])
    rig.m.frame.pg[frame] |= t.PG_WRITEBACK
    area.munmap()
    assert rig.refs(1) == (0, True)
    rig.m.frame.pg[frame] &= ~t.PG_WRITEBACK


@pytest.mark.parametrize(("others", "freed"), [(0, False), (4, True)])
def test_zapping_beside_a_mapping_frees_the_slot_only_when_swap_is_full(machine: Any, others: int, freed: bool) -> None:
    """R-FREE-2: the cached page is mapped elsewhere: the slot goes iff vm_swap_full; the page becomes dirty then."""
    rig = machine(slots=8)
    parent = rig.process(1, 5)
    child = parent.forked()
    swapped(rig, parent, child)
    parent.read()
    frame = parent.frame()
    pages_elsewhere(rig, others)
    child.munmap()
    assert rig.refs(1) == (0, not freed)
    assert rig.has(frame, t.PG_DIRTY) is freed
    assert parent.read() == [5]


def test_zapping_the_last_mapping_of_a_cached_page_frees_its_slot(rig: Any) -> None:
    """R-FREE-2: a present pte of a swap-cache page goes: if it was the last mapping, the slot is tried too."""
    area = rig.process(1, 5)
    swapped(rig, area)
    area.read()
    frame = area.frame()
    assert rig.refs(1) == (0, True)
    area.munmap()
    assert rig.sc[t.SWAP_INUSE] == 0
    rig.drain()
    assert rig.count(frame) == 0


def test_zapping_one_of_two_mappings_keeps_the_slot(rig: Any) -> None:
    """R-FREE-2: not the last mapping: the slot, named by nobody, stays with the cached page."""
    parent = rig.process(1, 5)
    child = parent.forked()
    swapped(rig, parent, child)
    parent.read(), child.read()
    assert rig.refs(1) == (0, True)
    parent.munmap()
    assert rig.refs(1) == (0, True)
    child.munmap()
    assert rig.sc[t.SWAP_INUSE] == 0


def test_zapping_a_mapping_keeps_the_slot_for_others(rig: Any) -> None:
    """R-FREE-2: still named by a swap pte: the slot stays."""
    parent = rig.process(1, 5)
    child = parent.forked()
    third = child.forked()
    swapped(rig, parent, child, third)
    parent.read(), child.read()
    parent.munmap()
    assert rig.refs(1) == (1, True)  # child still maps the page
    child.munmap()
    assert rig.refs(1) == (1, True)  # third's swap pte still names the slot
    assert third.read() == [5]
