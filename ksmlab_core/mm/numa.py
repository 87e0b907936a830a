"""NUMA nodes: where frames come from, and which tree a page belongs to (merge_across_nodes, 3.9): R-B-NUMA-1."""

from __future__ import annotations

from ksmlab_core.mm._jit import jit
from ksmlab_core.mm.mm_types import ALLOC_NODE, FREE_FRAME, KSM_ONE_TREE_PER_NODE, NONE, NR_FRAMES, NR_NODES


@jit
def page_to_nid(m, page):
    """The node that a frame belongs to."""
    return (page - 1) * m.sc[NR_NODES] // m.sc[NR_FRAMES]


@jit
def node_to_take_from(m):
    """The node that was asked for, or the next one behind it that has a free frame; some node has one."""
    node = m.sc[ALLOC_NODE]
    while m.sc[FREE_FRAME + node] == NONE:
        node = (node + 1) % m.sc[NR_NODES]
    return node


@jit
def allocate_for(m, vma):
    """Let the next allocations come from the node that an area's pages belong on."""
    m.sc[ALLOC_NODE] = max(m.vma.node[vma], 0)


@jit
def tree_of(m, page):
    """The number of the trees that a page is looked for in: its node's, or 0 while pages merge across nodes."""
    return page_to_nid(m, page) if m.sc[KSM_ONE_TREE_PER_NODE] else 0
