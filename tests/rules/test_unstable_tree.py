"""The unstable tree: R-UNST-1 to R-UNST-3."""

from __future__ import annotations

import pytest

from ksmlab_core.mm import mm_types as t


def staged(rig, contents):
    """Processes with these contents, whose checksums are known: the next pass inserts them.

    Others' pages are in the first frames, so that a slot's number taken for a frame's would name a live page.
    """
    rig.process(pages=8, content=99, mergeable=False)
    areas = [rig.process(content=content) for content in contents]
    rig.scan_passes(1)
    return areas


def kill(rig, area, how):
    """Take the page of an item that is in the tree away."""
    if how == "exiting":
        rig.m.mm.users[area.mm] = 0
    elif how == "unmapped":
        area.munmap()
    elif how == "not mergeable":
        area.unmergeable()
    elif how == "given back":
        area.dontneed()
    elif how == "swapped":
        area.make_old()
        evict(rig, area)
    else:
        area.dontneed()
        area.read()
        assert area.frame() == t.ZERO_PAGE


def evict(rig, area):
    """Unmap the one page of an area, as a reclaim policy would ask."""
    import numpy as np

    rig.drain()
    rig.evict(np.array([area.frame()], np.int32))
    assert area.slot() != t.NONE


WAYS = ["exiting", "unmapped", "not mergeable", "given back", "swapped", "zero page"]


@pytest.mark.parametrize("how", WAYS)
def test_a_dead_record_on_the_path_aborts_the_search(rig, how):
    """R-UNST-1: the page behind it is neither compared nor inserted, and stays volatile for this pass."""
    root, _low, late = staged(rig, [50, 20, 70])
    rig.scan_pages(2)
    kill(rig, root, how)
    rig.scan_pages(1)
    assert late.item_state() == t.ITEM_NONE
    assert rig.counters() == (0, 0, 2, 1)


@pytest.mark.parametrize("how", WAYS)
def test_a_dead_twin_is_not_merged_with(rig, how):
    """R-UNST-1: an equal page that is gone by now is no partner."""
    root, _low, twin = staged(rig, [50, 20, 50])
    rig.scan_pages(2)
    kill(rig, root, how)
    rig.scan_pages(1)
    assert not twin.is_ksm()
    assert twin.item_state() == t.ITEM_NONE
    assert rig.counters() == (0, 0, 2, 1)


def test_an_area_above_the_hole_is_not_taken_for_the_lost_one(rig):
    """R-UNST-1: the process has a mergeable area at higher addresses; the lost address is still in none."""
    rig.process(pages=40, content=99, mergeable=False)
    root = rig.process(content=50)
    rig.process(content=20, mm=root.mm)
    late = rig.process(content=70)
    rig.scan_passes(1)
    rig.scan_pages(2)
    root.munmap()
    rig.scan_pages(1)
    assert late.item_state() == t.ITEM_NONE
    assert rig.counters() == (0, 0, 2, 1)


def test_records_off_the_path_may_be_dead(rig):
    """R-UNST-1: only those that are met matter."""
    root, low, high = staged(rig, [50, 20, 70])
    rig.scan_pages(2)
    kill(rig, low, "given back")
    rig.scan_pages(1)
    assert high.item_state() == t.ITEM_UNSTABLE
    assert root.item_state() == t.ITEM_UNSTABLE


def test_the_very_same_page_on_the_path_aborts_the_search(rig):
    """R-UNST-1: a page shared by fork meets itself, and its second item is not inserted."""
    a = rig.process(content=7)
    child = a.forked()
    rig.scan_passes(2)
    assert a.frame() == child.frame()
    assert (a.item_state(), child.item_state()) == (t.ITEM_UNSTABLE, t.ITEM_NONE)
    assert rig.counters() == (0, 0, 1, 1)


def test_equal_contents_are_returned_not_inserted(rig):
    """R-UNST-2: the tree holds one of each content; a pinned twin shows it, as the merge then fails."""
    a, b = staged(rig, [7, 7])
    rig.drain()
    b.pin()
    rig.scan_passes(1)
    assert a.item_state() == t.ITEM_UNSTABLE
    assert b.item_state() == t.ITEM_NONE
    assert rig.counters() == (0, 0, 1, 1)


def test_a_leaf_is_inserted_with_the_number_of_the_pass(rig):
    """R-UNST-2: unshared + 1, tagged with the low byte of seqnr."""
    a, b = staged(rig, [7, 9])
    rig.scan_pages(2)
    assert [int(rig.m.item.seqnr[area.item()]) for area in (a, b)] == [1, 1]
    assert rig.counters() == (0, 0, 2, 0)
    rig.scan_passes(3)
    assert [int(rig.m.item.seqnr[area.item()]) for area in (a, b)] == [3, 3]


def test_the_search_goes_by_contents_of_now(rig):
    """R-UNST-1: a tree page written since its insertion is met with its new contents."""
    root, late = staged(rig, [50, 70])
    rig.scan_pages(1)
    root.write(70)
    rig.scan_pages(1)
    assert root.frame() == late.frame()
    assert rig.counters() == (1, 1, 0, 0)


def test_a_changed_record_misleads_only_for_the_pass(rig):
    """R-UNST-3: a root moved past its children hides a pair; the next pass finds it, and no harm is done."""
    root, low, twin = staged(rig, [50, 20, 20])
    rig.scan_pages(2)
    root.write(10)
    rig.scan_pages(1)
    assert [area.is_ksm() for area in (root, low, twin)] == [False] * 3
    assert rig.counters() == (0, 0, 3, 0)
    rig.scan_passes(1)
    rig.scan_passes(1)
    assert low.frame() == twin.frame()
    assert rig.counters() == (1, 1, 0, 1)


def test_one_dead_root_suppresses_everything_behind_it_until_the_next_pass(rig):
    """R-UNST-3: nothing is inserted and no pair found, though all else is well."""
    root, *others = staged(rig, [50, 60, 61, 62, 60])
    rig.scan_pages(1)
    kill(rig, root, "given back")
    rig.scan_pages(4)
    assert [area.item_state() for area in others] == [t.ITEM_NONE] * 4
    assert rig.counters() == (0, 0, 1, 4)
    rig.scan_passes(2)
    assert others[0].frame() == others[3].frame()
    assert rig.counters() == (1, 1, 2, 0)
