"""The stable tree: R-STAB-1, R-STAB-2; and the red-black trees themselves."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ksmlab_core.mm import mm_types as t

# -- R-STAB-1: search -----------------------------------------------------------------------------------------


def test_search_goes_by_content(rig):
    """R-STAB-1: each of many pages finds the node of its own content and no other."""
    contents = [40, 10, 70, 20, 60, 30, 50]
    a = rig.process(pages=7, content=contents)
    rig.process(pages=7, content=contents)
    rig.scan_passes(2)
    assert rig.counters() == (7, 7, 0, 0)
    c = rig.process(pages=8, content=[10, 20, 30, 40, 50, 60, 70, 45])
    rig.scan_passes(1)
    assert [c.node(page) for page in range(7)] == [a.node(page) for page in (1, 3, 5, 0, 6, 4, 2)]
    assert not c.is_ksm(7)
    assert rig.counters() == (7, 14, 0, 1)


def test_search_does_not_compare_a_page_that_has_a_node(rig):
    """R-STAB-1: its own node is the answer, whatever else is in the tree."""
    rig.process(pages=5, content=[1, 2, 3, 4, 5])
    a = rig.process(pages=5, content=[1, 2, 3, 4, 5])
    rig.scan_passes(2)
    child = a.forked()
    compares = int(rig.sc[t.KSM_COMPARES])
    rig.scan_passes(1)
    assert int(rig.sc[t.KSM_COMPARES]) == compares
    assert [child.item_state(page) for page in range(5)] == [t.ITEM_STABLE] * 5


def test_a_search_leaves_no_reference_behind(rig):
    """R-STAB-1: the reference on the found page is dropped whether the merge succeeds or not."""
    a, _b = rig.merged()
    page = a.frame()
    c = rig.process(content=7)
    rig.drain()
    c.pin()
    rig.scan_passes(1)
    assert rig.count(page) == 3


def test_a_node_whose_page_nobody_maps_is_still_found(rig):
    """R-STAB-1: pages cannot vanish under a node: one unmapped in the swap cache is joined by a newcomer."""
    c = rig.process(content=99)
    a, _b = rig.merged()
    page = a.frame()
    rig.unmap_to_swap()
    assert rig.mapcount(page) == 0
    c.write(7)
    rig.drain()
    rig.scan_pages(1)
    assert c.frame() == page
    assert rig.mapcount(page) == 1
    assert rig.counters() == (1, 2, 0, 0)


# -- R-STAB-2: insertion --------------------------------------------------------------------------------------


def test_insertion_links_refers_and_names(rig):
    """R-STAB-2: a new node in memcmp order, one reference on its page, and the page names the node."""
    a = rig.process(pages=3, content=[30, 10, 20])
    rig.process(pages=3, content=[30, 10, 20])
    rig.scan_passes(2)
    rig.drain()
    root = int(rig.sc[t.ROOT_STABLE])
    assert in_order(rig.m.node, root) == [a.node(1), a.node(2), a.node(0)]
    assert [rig.count(a.frame(page)) for page in range(3)] == [3, 3, 3]
    assert [int(rig.m.node.kpage[a.node(page)]) for page in range(3)] == [a.frame(page) for page in range(3)]


def test_inserting_equal_content_fails(rig, ksm):
    """R-STAB-2: the page stays what it was without a new reference, and so does the tree."""
    a, _b = rig.merged(content=7)
    spare = spare_page(rig, 7)
    nodes, free = rig.nodes(), int(rig.sc[t.NR_FREE_NODES])
    assert ksm.stable_tree_insert(rig.m, spare) == t.NONE
    assert rig.nodes() == nodes
    assert rig.sc[t.NR_FREE_NODES] == free
    assert rig.count(spare) == 1
    assert not rig.is_ksm(spare)
    rig.m.frame.content[spare] = 8
    assert ksm.stable_tree_insert(rig.m, spare) not in (t.NONE, a.node())
    assert rig.count(spare) == 2
    assert rig.is_ksm(spare)


def test_insertion_without_memory_fails(rig, ksm):
    """R-STAB-2: no node record, no node; nothing is left half done."""
    spare = spare_page(rig, 7)
    rig.machine.fail("stable_node", 1)
    assert ksm.stable_tree_insert(rig.m, spare) == t.NONE
    assert rig.count(spare) == 1
    assert int(rig.sc[t.ROOT_STABLE]) == t.NONE
    assert ksm.stable_tree_insert(rig.m, spare) != t.NONE


def test_items_are_appended_at_the_front(rig):
    """R-STAB-2: whoever walks a node's items meets the newest first."""
    areas = rig.processes(5, content=7)
    rig.scan_passes(2)
    items = [area.item() for area in areas]
    assert rig.node_items(areas[0].node()) == items[::-1]


def spare_page(rig, content):
    """A frame of this content that nobody but the caller holds."""
    page = int(rig.sc[t.FREE_FRAME])
    rig.sc[t.FREE_FRAME] = rig.m.frame.lru_next[page]
    rig.sc[t.NR_FREE] -= 1
    rig.m.frame.refcount[page] = 1
    rig.m.frame.content[page] = content
    return page


# -- the trees ------------------------------------------------------------------------------------------------


def in_order(columns, root):
    """The records of a tree from left to right, by recursion."""
    if root == t.NONE:
        return []
    left, right = int(columns.rb_left[root]), int(columns.rb_right[root])
    return [*in_order(columns, left), root, *in_order(columns, right)]


def black_height(columns, n, parent=t.NONE):
    """Black records on every way down; asserts the red-black rules on the way."""
    if n == t.NONE:
        return 1
    assert columns.rb_parent[n] == parent
    red = columns.rb_color[n] == 0
    children = int(columns.rb_left[n]), int(columns.rb_right[n])
    if red:
        assert all(child == t.NONE or columns.rb_color[child] == 1 for child in children), "red under red"
    left, right = (black_height(columns, child, n) for child in children)
    assert left == right, "unequal numbers of black records"
    return left + (0 if red else 1)


@functools.cache
def calls(kind):
    """rb_link and rb_erase over one kind of record, as entries for this test; and the scalar of the tree's root."""
    import numba

    from ksmlab_core.mm._memory import as_memory
    from ksmlab_core.mm.rbtree import rb_erase, rb_link

    root = KINDS[kind]

    def link_item(memory, n, parent, left):
        m = as_memory(memory)
        rb_link(m.item, m.sc, root, n, parent, left)

    def erase_item(memory, n):
        m = as_memory(memory)
        rb_erase(m.item, m.sc, root, n)

    def link_node(memory, n, parent, left):
        m = as_memory(memory)
        rb_link(m.node, m.sc, root, n, parent, left)

    def erase_node(memory, n):
        m = as_memory(memory)
        rb_erase(m.node, m.sc, root, n)

    pair = (link_item, erase_item) if kind == "item" else (link_node, erase_node)
    return [numba.njit(call) for call in pair]


KINDS = {"item": t.ROOT_UNSTABLE, "node": t.ROOT_STABLE}


class Tree:
    """A tree over numbered records of one kind; a record's key is its number in `keys`."""

    def __init__(self, kind):
        from ksmlab_core.mm.state import State

        self.state, self.root, self.keys = State(1, 0), KINDS[kind], {}
        self.columns, self.sc = getattr(self.state.m, kind), self.state.m.sc
        self.link, self.cut = calls(kind)

    def insert(self, n, key):
        parent, left, at = t.NONE, False, int(self.sc[self.root])
        while at != t.NONE:
            parent, left = at, key < self.keys[at]
            at = int(self.columns.rb_left[at] if left else self.columns.rb_right[at])
        self.keys[n] = key
        self.link(*self.state.doors, n, parent, left)

    def erase(self, n):
        del self.keys[n]
        self.cut(*self.state.doors, n)

    def check(self):
        root = int(self.sc[self.root])
        assert [self.keys[n] for n in in_order(self.columns, root)] == sorted(self.keys.values())
        black_height(self.columns, root)
        assert root == t.NONE or self.columns.rb_color[root] == 1


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=200, deadline=None)
@given(steps=st.lists(st.tuples(st.integers(0, 31), st.integers(0, 1000)), max_size=120))
def test_trees_stay_sorted_and_balanced(kind, steps):
    """R-STAB-2, R-UNST-2, R-REM-1: against a sorted list, with the red-black rules after each insertion and removal."""
    tree = Tree(kind)
    for n, key in steps:
        if n in tree.keys:
            tree.erase(n)
        else:
            tree.insert(n, key)
        tree.check()
    assert set(tree.keys) == set(in_order(tree.columns, int(tree.sc[tree.root])))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ["up", "down", "zigzag"])
def test_trees_stay_flat(kind, order):
    """R-STAB-2: 63 keys in a row make a tree no deeper than twice its black height, and empty again without a trace."""
    tree = Tree(kind)
    keys = {"up": range(63), "down": range(63, 0, -1), "zigzag": [k if k % 2 else -k for k in range(63)]}[order]
    for n, key in enumerate(keys):
        tree.insert(n, key)
        tree.check()
    assert depth(tree.columns, int(tree.sc[tree.root])) <= 12
    for n in itertools.chain(range(0, 63, 2), range(1, 63, 2)):
        tree.erase(n)
        tree.check()
    assert tree.sc[tree.root] == t.NONE


def depth(columns, n):
    if n == t.NONE:
        return 0
    return 1 + max(depth(columns, int(columns.rb_left[n])), depth(columns, int(columns.rb_right[n])))


@settings(max_examples=60, deadline=None)
@given(
    contents=st.lists(st.integers(1, 40), min_size=2, max_size=24),
    changes=st.lists(st.tuples(st.integers(0, 23), st.integers(1, 40)), max_size=12),
)
def test_the_machines_own_trees_are_in_order(contents, changes):
    """R-STAB-1, R-UNST-2: after passes over random contents, changed and passed over again, both trees keep order."""
    from ksmlab_core.mm.machine import Machine

    machine = Machine(frames=256, slots=0, costs="free")
    machine.set_knob("max_kernel_pages", 0)
    mm = machine.spawn()
    start = machine.mmap(mm, len(contents))
    ptes = machine.ptes(mm, start, len(contents))
    machine.madvise_mergeable(mm, start, len(contents))
    machine.access_all(ptes, np.array(contents, np.int64))
    machine.scan_passes(2)
    for page, content in changes:
        machine.access_all(ptes[[page % len(contents)]], np.array([content], np.int64))
    machine.scan_passes(3)
    columns = machine.state.m
    nodes = in_order(columns.node, int(machine.sc[t.ROOT_STABLE]))
    stable = [int(columns.frame.content[columns.node.kpage[node]]) for node in nodes]
    items = in_order(columns.item, int(machine.sc[t.ROOT_UNSTABLE]))
    unstable = [int(machine.contents_of(machine.ptes(mm, int(columns.item.address[item]), 1))[0]) for item in items]
    final = machine.contents_of(ptes).tolist()
    assert stable == sorted({content for content in final if final.count(content) > 1} | set(stable))
    assert unstable == sorted({content for content in final if final.count(content) == 1} - set(stable))
    black_height(columns.node, int(machine.sc[t.ROOT_STABLE]))
    black_height(columns.item, int(machine.sc[t.ROOT_UNSTABLE]))
