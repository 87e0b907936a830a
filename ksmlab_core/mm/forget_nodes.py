"""Forgetting the stable nodes that are left when everything is unmerged (``remove_all_stable_nodes``): R-B-UNM-2."""

from __future__ import annotations

from ksmlab_core.mm._jit import jit
from ksmlab_core.mm.mm_types import NODE_CHAIN, NONE
from ksmlab_core.mm.stable_chain import free_chain
from ksmlab_core.mm.stable_tree import is_stale, remove_node_from_stable_tree


@jit
def remove_all_stable_nodes(m, records):
    """Forget every node whose page nobody maps, and the chains that this empties; how many nodes are left."""
    left = 0
    for node in range(records):
        if m.node.kpage[node] == NONE or m.node.kind[node] == NODE_CHAIN:
            continue
        if is_stale(m, node):
            remove_node_from_stable_tree(m, node)
        elif m.frame.mapcount[m.node.kpage[node]] == 0:
            m.frame.mapping[m.node.kpage[node]] = NONE
            remove_node_from_stable_tree(m, node)
        else:
            left += 1
    for node in range(records):
        if m.node.kpage[node] != NONE and m.node.kind[node] == NODE_CHAIN and m.node.hlist[node] == NONE:
            free_chain(m, node)
    return left
