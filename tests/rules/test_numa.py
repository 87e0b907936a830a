"""NUMA nodes and merge_across_nodes: R-B-NUMA-1."""

from __future__ import annotations

import pytest

from ksmlab_core.mm.errno import OK

KNOBS = ["merge_across_nodes"]


@pytest.fixture
def two(machine):
    """Two nodes with 64 frames each."""
    return machine(frames=128, knobs=KNOBS, nodes=2)


def on_node(rig, node, pages=1, content=7):
    """A process whose pages are to be on a node."""
    area = rig.process(pages)
    rig.m.vma.node[area.vma()] = node
    return area.write(content)


def nid(rig, frame):
    return (frame - 1) * 2 // 128


def test_frames_come_from_the_node_asked_for(two):
    """R-B-NUMA-1: each node has a row of frames; a full node is helped out by the next."""
    a, b = on_node(two, 0, 3), on_node(two, 1, 3)
    assert [a.frame(page) <= 64 for page in range(3)] == [True] * 3
    assert [b.frame(page) > 64 for page in range(3)] == [True] * 3
    c = on_node(two, 1, 70, range(70))
    assert sum(c.frame(page) > 64 for page in range(70)) == 61
    c.exit()
    assert two.used_frames() == 6
    assert on_node(two, 1).frame() > 64


def test_across_nodes_by_default(two):
    """R-B-NUMA-1, selftest -N -m 1: equal pages of two nodes share one page."""
    on_node(two, 0), on_node(two, 1)
    two.scan_passes(2)
    assert two.counters() == (1, 1, 0, 0)


def test_one_pair_of_trees_per_node(two):
    """R-B-NUMA-1, selftest -N -m 0: with merge_across_nodes=0 neither tree of a node knows the other's pages."""
    assert two.set_knob("merge_across_nodes", 0) == OK
    on_node(two, 0), on_node(two, 1)
    two.scan_passes(3)
    assert two.counters() == (0, 0, 2, 0)
    a, b = on_node(two, 0), on_node(two, 1)
    two.scan_passes(2)
    assert two.counters() == (2, 2, 0, 0)
    assert a.frame() <= 64 < b.frame()


@pytest.mark.parametrize(("across", "shared"), [(1, 1), (0, 2)])
def test_ksm06(two, across, shared):
    """LTP ksm06: k pages on each of m nodes: 1 / k*m-1, or m / k*m-m."""
    two.set_knob("merge_across_nodes", across)
    on_node(two, 0, 20), on_node(two, 1, 20)
    two.scan_passes(3)
    assert two.counters() == (shared, 40 - shared, 0, 0)


def test_changing_over_in_mid_pass(two):
    """R-B-NUMA-1: items already in the unstable tree stay in the one they are in; nothing breaks."""
    area = on_node(two, 1, 6, range(1, 7))
    two.scan_passes(1)
    two.scan_pages(3)
    assert two.counters() == (0, 0, 3, 3)
    assert two.set_knob("merge_across_nodes", 0) == OK
    two.scan_passes(2)
    assert two.counters() == (0, 0, 6, 0)
    area.exit()
    two.scan_passes(1)
    assert two.counters() == (0, 0, 0, 0)


def test_children_take_their_parents_place(two):
    """R-B-NUMA-1: fork and mremap keep the placement."""
    a = on_node(two, 1)
    child = a.forked()
    child.write(8)
    assert child.frame() > 64
    moved = a.mremap()
    moved.dontneed()
    moved.write(9)
    assert moved.frame() > 64
