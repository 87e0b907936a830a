"""The cursor: R-SCAN-1 to R-SCAN-10."""

from __future__ import annotations

import pytest

from ksmlab_core.mm import mm_types as t


def scanned(rig):
    return int(rig.sc[t.KSM_PAGES_SCANNED])


# -- R-SCAN-1, R-SCAN-2: what a look costs, and in which order ------------------------------------------------


def test_only_present_anon_pages_of_mergeable_areas_cost_budget(rig):
    """R-SCAN-1: holes, zero pages, areas without anon_vma or advice and empty processes are free of charge."""
    rig.process()
    a = rig.process(pages=8)
    a.read(0)
    a.write(5, 3)
    a.write(6, 7)
    rig.process(pages=4, content=9, mergeable=False, mm=a.mm)
    rig.process(pages=4, mm=a.mm)
    b = rig.process(content=7)
    done, _used, _reason = rig.ksmd(3)
    assert done == 3
    assert [area.item(page) != t.NONE for area, page in ((a, 3), (a, 7), (b, 0))] == [True] * 3
    assert int(rig.sc[t.KSM_RMAP_ITEMS]) == 3


def test_swapped_pages_cost_nothing(rig):
    """R-SCAN-1: an address whose pte is a swap entry is passed over."""
    a = rig.process(pages=2, content=[5, 6])
    rig.unmap_to_swap()
    a.read(1)
    assert rig.ksmd(1)[0] == 1
    assert a.item(0) == t.NONE
    assert a.item(1) != t.NONE


def test_a_merged_page_that_is_skipped_still_costs_one(rig):
    """R-SCAN-1: three pages of which two are KSM pages: a budget of 2 does not reach the third."""
    rig.process(pages=2, content=7)
    c = rig.process(content=9)
    rig.scan_passes(2)
    assert rig.counters() == (1, 1, 1, 0)
    seqnr = int(rig.m.item.seqnr[c.item()])
    before = scanned(rig)
    assert rig.ksmd(2)[0] == 2
    assert scanned(rig) == before + 2
    assert int(rig.m.item.seqnr[c.item()]) == seqnr
    rig.ksmd(1)
    assert int(rig.m.item.seqnr[c.item()]) == seqnr + 1


def test_the_order_is_list_then_area_then_address(rig):
    """R-SCAN-2: process by process as registered, areas and pages of each ascending."""
    a, b = rig.process(pages=2), rig.process(pages=2)
    a2 = rig.process(pages=2, mm=a.mm)
    for area in (a2, b, a):
        area.write([1, 2])
    order = [(a, 0), (a, 1), (a2, 0), (a2, 1), (b, 0), (b, 1)]
    for n in range(len(order)):
        assert [area.item(page) != t.NONE for area, page in order] == [True] * n + [False] * (len(order) - n)
        rig.ksmd(1)
    assert rig.slots_ring() == [a.mm, b.mm]


# -- R-SCAN-3 to R-SCAN-7: passes -----------------------------------------------------------------------------


def test_a_pass_begins_with_an_empty_unstable_tree(rig):
    """R-SCAN-3: the root is forgotten when the cursor leaves the head, while the items keep their mark."""
    a = rig.process(pages=3, content=[1, 2, 3])
    rig.scan_passes(2)
    assert int(rig.sc[t.ROOT_UNSTABLE]) != t.NONE
    rig.ksmd(1)
    assert int(rig.sc[t.ROOT_UNSTABLE]) == a.item(0)
    assert rig.m.item.rb_left[a.item(0)] == rig.m.item.rb_right[a.item(0)] == t.NONE
    assert [a.item_state(page) for page in range(3)] == [t.ITEM_UNSTABLE] * 3


def test_an_equal_page_of_the_pass_before_is_not_found(rig):
    """R-SCAN-3: both halves of a pair must be seen, unchanged, in one pass."""
    a, b = rig.process(content=7), rig.process(content=8)
    rig.scan_passes(2)
    b.write(7)
    rig.scan_passes(1)
    assert rig.counters() == (0, 0, 1, 1)
    a.write(9)
    rig.scan_passes(1)
    assert rig.counters() == (0, 0, 1, 1)
    assert not a.is_ksm()


def test_a_look_out_of_turn_between_passes_begins_the_next_one(rig):
    """R-SCAN-3, R-REM-2: what it puts into the unstable tree is in the tree of the pass whose number it carries."""
    a = rig.process(pages=6, content=[50, 30, 70, 20, 40, 60])
    rig.scan_passes(1)
    a.write(21, 3)
    rig.scan_passes(1)
    rig.m.queue[int(rig.sc[t.KSM_QUEUE_HEAD])] = a.pte(3)
    rig.sc[t.KSM_QUEUE] = 1
    assert rig.ksmd(1)[0] == 1
    assert int(rig.sc[t.ROOT_UNSTABLE]) == a.item(3)
    for _page in range(6):
        rig.scan_pages(1)
    assert [a.item_state(page) for page in range(6)] == [t.ITEM_UNSTABLE] * 6
    assert rig.full_scans() == 2


def test_a_look_out_of_turn_needs_a_registered_process(rig):
    """R-SCAN-3: with nobody registered a queued page is dropped and no pass begins."""
    a = rig.process(content=7, mergeable=False)
    rig.m.queue[int(rig.sc[t.KSM_QUEUE_HEAD])] = a.pte()
    rig.sc[t.KSM_QUEUE] = 1
    assert rig.ksmd(5)[0] == 0
    assert int(rig.sc[t.KSM_QUEUE]) == 0
    assert rig.sc[t.SCAN_SLOT] == t.MM_HEAD


def test_without_slots_no_pass_ends(rig):
    """R-SCAN-3: seqnr does not move, even after the last process has left."""
    a = rig.process(content=7)
    rig.scan_passes(1)
    a.exit()
    rig.scan_passes(1)
    assert rig.full_scans() == 2
    assert rig.slots_ring() == []
    assert rig.ksmd(10)[0] == 0
    assert rig.full_scans() == 2


def test_items_on_the_way_are_removed_equal_ones_used_missing_ones_made(rig):
    """R-SCAN-4: at each address that is returned."""
    a = rig.process(pages=4, content=[1, 2, 3, 4])
    rig.scan_passes(2)
    kept, dropped = a.item(3), [a.item(page) for page in (1, 2)]
    a.dontneed(range(1, 3))
    rig.ksmd(1)
    assert rig.items(a.mm) == [a.item(0), *dropped, kept]
    rig.ksmd(1)
    assert rig.items(a.mm) == [a.item(0), kept]
    assert rig.counters() == (0, 0, 2, 0)
    a.write(9, 2)
    rig.scan_passes(2)
    assert rig.items(a.mm) == [a.item(0), a.item(2), kept]
    assert a.item(3) == kept


def test_a_missing_item_record_ends_the_batch(rig):
    """R-SCAN-4: the allocation fails, the batch is over; the next one goes on at the same address."""
    from ksmlab_core.mm.ksm import SCAN_NO_ITEM

    a = rig.process(pages=4, content=[1, 2, 3, 4])
    rig.fail("rmap_item", 2)
    assert rig.ksmd(4) == (1, 0, SCAN_NO_ITEM)
    assert rig.items(a.mm) == [a.item(0)]
    assert rig.ksmd(3)[0] == 3
    assert [a.item(page) != t.NONE for page in range(4)] == [True] * 4


def test_a_dead_address_loses_its_item_at_the_next_higher_one(rig):
    """R-SCAN-5: not when it is passed, but when a higher address of that process is returned."""
    a = rig.process(pages=6, content=[1, 2, 3, 4, 5, 6])
    rig.scan_passes(2)
    a.dontneed(range(2, 3))
    rig.ksmd(2)
    assert a.item(2) != t.NONE
    rig.ksmd(1)
    assert a.item(2) == t.NONE
    assert a.item(3) != t.NONE


def test_a_dead_address_at_the_end_loses_its_item_with_the_end_of_the_process(rig):
    """R-SCAN-5, R-SCAN-6: no higher address comes; all items past the cursor go when the process is left."""
    a, b = rig.process(pages=3, content=[1, 2, 3]), rig.process(content=9)
    rig.scan_passes(2)
    a.dontneed(range(1, 3))
    rig.ksmd(1)
    assert len(rig.items(a.mm)) == 3
    rig.ksmd(1)
    assert rig.items(a.mm) == [a.item(0)]
    assert b.item() != t.NONE
    assert rig.slots_ring() == [a.mm, b.mm]


@pytest.mark.parametrize("lost", ["swapped", "unmergeable", "unmapped"])
def test_why_an_item_dies(rig, lost):
    """R-SCAN-5: a swap pte, an area without advice or without mapping all mean that the address is not returned."""
    a = rig.process(pages=3, content=[1, 2, 3])
    rig.scan_passes(1)
    if lost == "swapped":
        a.make_old(1)
        rig.deactivate()
        rig.shrink()
        rig.make_all_old()
        a.read([0, 2])
        assert a.slot(1) != t.NONE
    elif lost == "unmergeable":
        a.unmergeable(range(1, 2))
    else:
        a.munmap(range(1, 2))
    assert len(rig.items(a.mm)) == 3
    rig.scan_passes(1)
    assert [a.item(page) != t.NONE for page in range(3)] == [True, False, True]


def test_a_process_without_mergeable_areas_is_dropped_in_passing(rig):
    """R-SCAN-6: its slot and items go, the flag is cleared, and the same call goes on to the next process."""
    a, b = rig.processes(2, content=7)
    rig.scan_passes(1)
    a.unmergeable()
    assert rig.ksmd(1)[0] == 1
    assert rig.slots_ring() == [b.mm]
    assert rig.items(a.mm) == []
    assert not rig.m.mm.mm_flags[a.mm] & t.MMF_VM_MERGEABLE
    assert b.item_state() == t.ITEM_UNSTABLE


def test_a_mergeable_area_without_pages_keeps_its_process(rig):
    """R-SCAN-6: the address has moved past the empty area, so the slot stays."""
    a = rig.process(pages=3)
    rig.process(content=7)
    rig.scan_passes(2)
    assert a.mm in rig.slots_ring()


def test_an_exiting_process_is_dropped_in_passing(rig):
    """R-SCAN-6: also when its areas are still there."""
    a, b = rig.processes(2, content=7)
    rig.scan_passes(1)
    rig.m.mm.users[a.mm] = 0
    rig.scan_passes(1)
    assert rig.slots_ring() == [b.mm]
    assert rig.items(a.mm) == []


def test_a_process_that_starts_to_exit_under_the_cursor_is_dropped(rig):
    """R-SCAN-6: the cursor is in its middle; at the next call all its items go and the slot with them."""
    a, b = rig.process(pages=3, content=[1, 2, 3]), rig.process(content=7)
    rig.scan_passes(1)
    rig.ksmd(2)
    a.exit()
    assert len(rig.items(a.mm)) == 3
    assert rig.ksmd(1)[0] == 1
    assert rig.items(a.mm) == []
    assert rig.slots_ring() == [b.mm]
    assert rig.sc[t.SCAN_SLOT] == b.mm


@pytest.mark.parametrize(("budget", "batches"), [(3, 4), (5, 3), (9, 2), (10, 2), (11, 1), (20, 1)])
@pytest.mark.parametrize("merged", [False, True])
def test_a_pass_takes_floor_of_pages_over_budget_plus_one_batches(rig, budget, batches, merged):
    """R-SCAN-7: reaching the head ends the batch even with budget left; merged pages cost as others do (R-SCAN-1)."""
    from ksmlab_core.mm.ksm import SCAN_PASS_END

    rig.process(pages=10, content=7 if merged else range(1, 11))
    rig.scan_passes(3)
    looked = []
    while rig.full_scans() == 3:
        done, _used, reason = rig.ksmd(budget)
        looked.append(done)
    assert len(looked) == batches
    assert sum(looked) == 10
    assert reason == SCAN_PASS_END


# -- R-SCAN-8: registration -----------------------------------------------------------------------------------


def test_registration_with_the_cursor_on_the_head_goes_to_the_tail(rig):
    """R-SCAN-8: so it is visited last, in the pass that is about to begin."""
    areas = rig.processes(3, content=7)
    assert rig.slots_ring() == [area.mm for area in areas]
    rig.scan_passes(1)
    late = rig.process(content=8)
    assert rig.slots_ring() == [*(area.mm for area in areas), late.mm]
    rig.scan_passes(1)
    assert late.item() != t.NONE


def test_registration_in_mid_pass_goes_just_before_the_cursor(rig):
    """R-SCAN-8: behind where the cursor goes, so that the new process waits for the next pass."""
    a, b, c = rig.processes(3, pages=2, content=[1, 2])
    rig.ksmd(3)
    assert rig.sc[t.SCAN_SLOT] == b.mm
    late = rig.process(content=8)
    assert rig.slots_ring() == [a.mm, late.mm, b.mm, c.mm]
    rig.scan_passes(1)
    assert late.item() == t.NONE
    assert rig.full_scans() == 1
    rig.scan_passes(1)
    assert late.item() != t.NONE


def test_a_fork_in_mid_pass_registers_behind_the_cursor_too(rig):
    """R-SCAN-8: the child of a registered process."""
    a, b = rig.processes(2, pages=2, content=[1, 2])
    rig.ksmd(3)
    child = a.forked()
    assert rig.slots_ring() == [a.mm, child.mm, b.mm]


# -- R-SCAN-9, R-SCAN-10: what is skipped ---------------------------------------------------------------------


def test_a_listed_ksm_page_is_left_alone(rig):
    """R-SCAN-9: neither checksum nor comparison, pass after pass."""
    rig.merged()
    before = int(rig.sc[t.KSM_CHECKSUMS]), int(rig.sc[t.KSM_COMPARES]), int(rig.sc[t.KSM_MERGES])
    rig.scan_passes(3)
    assert (int(rig.sc[t.KSM_CHECKSUMS]), int(rig.sc[t.KSM_COMPARES]), int(rig.sc[t.KSM_MERGES])) == before
    assert rig.counters() == (1, 1, 0, 0)


def test_a_ksm_page_whose_item_is_not_listed_is_looked_at(rig):
    """R-SCAN-9: a fork child's KSM page has no stable item, so it goes through R-CMP and joins."""
    a, _b = rig.merged()
    child = a.forked()
    rig.scan_passes(1)
    assert child.item_state() == t.ITEM_STABLE
    assert rig.counters() == (1, 2, 0, 0)


def test_a_stable_item_whose_page_is_ordinary_again_is_looked_at(rig):
    """R-SCAN-9: the address was written; the item leaves its node in the same visit."""
    a, _b = rig.merged()
    a.write(9)
    rig.scan_passes(1)
    assert a.item_state() == t.ITEM_NONE
    assert rig.counters() == (1, 0, 0, 1)


def test_the_last_mapper_keeps_its_ksm_page(rig):
    """R-SCAN-10: no unsharing at mapcount 1: 1/0/0/0 for good, read-only, and a write still copies."""
    a, b = rig.merged()
    b.exit()
    page = a.frame()
    rig.scan_passes(5)
    assert rig.counters() == (1, 0, 0, 0)
    assert a.frame() == page
    assert rig.mapcount(page) == 1
    assert not a.is_writable()
    a.write(8)
    assert a.frame() != page
    rig.scan_passes(1)
    assert rig.counters() == (0, 0, 0, 1)
