"""Taking an item out of its tree: R-REM-1, R-REM-2."""

from __future__ import annotations

import itertools

import pytest

from ksmlab_core.mm import mm_types as t


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_items_leave_their_node_in_any_order(rig, order):
    """R-REM-1: first, middle or last of the list: sharing - 1, the others keep their order."""
    areas = rig.merged(n=4)
    node, items = areas[0].node(), {i: area.item() for i, area in enumerate(areas)}
    for left, leaver in enumerate(order):
        areas[leaver].write(9 + leaver)
        rig.scan_passes(1)
        del items[leaver]
        assert rig.node_items(node) == list(items.values())[::-1]
        assert areas[leaver].item_state() == t.ITEM_NONE
        assert rig.counters() == (1, 2 - left, left, 1)
        assert int(rig.m.node.nr_items[node]) == 3 - left


def test_the_last_item_takes_the_node_and_leaves_an_orphan(rig):
    """R-REM-1: shared - 1, the node's reference dropped, the page still a KSM page but without a node."""
    a, _b = rig.merged()
    page = a.frame()
    rig.unmap_to_swap()
    assert rig.count(page) == 2
    rig.scan_passes(1)
    assert rig.is_orphan(page)
    assert rig.count(page) == 1
    assert rig.nodes() == []
    assert int(rig.sc[t.ROOT_STABLE]) == t.NONE
    assert rig.counters() == (0, 0, 0, 0)


def test_a_page_that_only_its_node_held_is_freed_with_it(rig):
    """R-REM-1: both mappers have written: the node's was the last reference."""
    a, b = rig.merged()
    page, used = a.frame(), rig.used_frames()
    a.write(1)
    b.write(2)
    assert rig.used_frames() == used + 2
    rig.scan_passes(1)
    assert rig.count(page) == 0
    assert rig.used_frames() == used + 1


def test_a_freed_node_is_erased_from_the_middle_of_the_tree(rig):
    """R-REM-1: the others are still found by their contents."""
    areas = [rig.process(pages=5, content=[10, 20, 30, 40, 50]) for _ in range(2)]
    rig.scan_passes(2)
    for area in areas:
        area.write([100, 101], [1, 3])
    rig.scan_passes(1)
    c = rig.process(pages=5, content=[10, 20, 30, 40, 50])
    rig.scan_passes(1)
    assert [c.is_ksm(page) for page in range(5)] == [True, False, True, False, True]


def test_an_item_of_this_pass_is_erased_from_the_tree(rig):
    """R-REM-2: age 0: a process that exits under ksmd's hands takes its items out of the middle of the tree."""
    a = rig.process(pages=3, content=[50, 30, 70])
    b = rig.process(content=20)
    c = rig.process(pages=2, content=[40, 60])
    rig.scan_passes(1)
    rig.scan_pages(4)
    assert sorted(tree_items(rig)) == sorted([*rig.items(a.mm), b.item()])
    a.exit()
    rig.scan_pages(2)
    assert rig.counters() == (0, 0, 3, 0)
    assert rig.items(a.mm) == []
    assert sorted(tree_items(rig)) == sorted([b.item(), c.item(0), c.item(1)])


def test_merging_takes_the_tree_item_out_of_the_tree(rig):
    """R-REM-2: age 0: the partner from the unstable tree leaves it, and what hung below stays reachable."""
    areas = [rig.process(content=content) for content in (50, 30, 70, 20, 40, 30)]
    rig.scan_passes(1)
    rig.scan_pages(6)
    assert rig.counters() == (1, 1, 4, 0)
    reachable = tree_items(rig)
    assert sorted(reachable) == sorted(areas[i].item() for i in (0, 2, 3, 4))


def tree_items(rig):
    """The items that can be reached from the unstable root."""
    out, stack = [], [int(rig.sc[t.ROOT_UNSTABLE])]
    while stack:
        item = stack.pop()
        if item != t.NONE:
            out.append(item)
            stack += [int(rig.m.item.rb_left[item]), int(rig.m.item.rb_right[item])]
    return out


def test_an_item_of_the_pass_before_is_in_no_tree(rig):
    """R-REM-2: age 1: nothing is erased, as its links are of a tree that was dropped; unshared - 1 all the same."""
    a = rig.process(pages=5, content=[50, 30, 70, 20, 40])
    rig.scan_passes(2)
    rig.scan_pages(2)
    a.write(90, 2)
    rig.scan_pages(1)
    assert a.item_state(2) == t.ITEM_NONE
    assert sorted(tree_items(rig)) == sorted([a.item(0), a.item(1)])
    assert rig.counters() == (0, 0, 4, 1)


@pytest.mark.parametrize("start", [254, 255, 256, 511])
def test_the_age_survives_the_wrap_of_the_tag(rig, start):
    """R-REM-2: ages are modulo 256, and the tag holds only the low 8 bits of seqnr (R-OBJ-4)."""
    a, b = rig.process(pages=3, content=[50, 30, 70]), rig.process(content=60)
    rig.scan_passes(1)
    rig.sc[t.SCAN_SEQNR] = start
    rig.checker._last_seqnr = start
    for seqnr in range(start, start + 3):
        rig.scan_pages(3)
        assert {int(rig.m.item.seqnr[a.item(page)]) for page in range(3)} == {seqnr & 0xFF}
        assert sorted(tree_items(rig)) == sorted(a.item(page) for page in range(3))
        rig.scan_passes(1)
        assert rig.counters() == (0, 0, 4, 0)
    assert b.item_state() == t.ITEM_UNSTABLE


@pytest.mark.parametrize("seqnr", [255, 256, 257, 1000])
def test_a_partner_is_erased_beyond_256_passes_too(rig, seqnr):
    """R-REM-2: age 0 is equality of the low 8 bits."""
    areas = [rig.process(content=content) for content in (50, 30, 70, 30)]
    rig.scan_passes(1)
    rig.sc[t.SCAN_SEQNR] = seqnr
    rig.checker._last_seqnr = seqnr
    rig.scan_pages(4)
    assert rig.counters() == (1, 1, 2, 0)
    assert sorted(tree_items(rig)) == sorted([areas[0].item(), areas[2].item()])


def test_an_item_of_this_pass_leaves_the_tree_when_its_page_goes(rig):
    """R-REM-2: with run=2 in the middle of a pass, age-0 and age-1 items are both removed cleanly."""
    a = rig.process(pages=6, content=[50, 30, 70, 20, 40, 60])
    rig.scan_passes(2)
    rig.scan_pages(3)
    assert {int(rig.m.item.seqnr[item]) for item in rig.items(a.mm)} == {1, 2}
    assert rig.set_knob("run", 2) == 0
    assert rig.counters() == (0, 0, 0, 0)
    assert int(rig.sc[t.ROOT_UNSTABLE]) == t.NONE
    rig.scan_passes(2)
    assert rig.counters() == (0, 0, 6, 0)
