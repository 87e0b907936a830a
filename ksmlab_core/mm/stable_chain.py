"""Several KSM pages of one content (max_page_sharing, 4.13): R-B-MAX-1 to R-B-MAX-3.

A content that more ptes share than one page may have gets further pages, each with a node, a *dup*. Their place in the
stable tree is taken by a *chain*, a node that has no page. Both lie in the same table as other nodes and use the fields
that they do not need otherwise:

==========  =====================  =====================
field       chain                  dup
==========  =====================  =====================
hlist       its first dup          its newest item
nr_items    ms of the last prune   its items
rb_parent   as a node of the tree  its chain
rb_left     as a node of the tree  the next dup
rb_right    as a node of the tree  the dup before, NONE
==========  =====================  =====================
"""

from __future__ import annotations

from ksmlab_core.mm._jit import jit
from ksmlab_core.mm.mm_types import (
    FREE_NODE,
    KSM_CHAINS_PRUNE_MILLISECS,
    KSM_MAX_PAGE_SHARING,
    KSM_STABLE_NODE_CHAINS,
    KSM_STABLE_NODE_DUPS,
    NODE_CHAIN,
    NODE_DUP,
    NODE_PLAIN,
    NONE,
    NOW,
    NR_FREE_NODES,
    ROOT_STABLE,
    TICK,
    ZERO_PAGE,
)
from ksmlab_core.mm.rbtree import rb_erase, rb_replace

_MILLISECOND = 1_000_000
_MOST_MS = 0x7FFFFFFF


@jit
def is_page_sharing_candidate(m, node, more):
    """May `more` + 1 further items join a node? A page that nobody shares any more is about to go (R-B-MAX-1)."""
    limit = m.sc[KSM_MAX_PAGE_SHARING]
    if limit == 0:
        return True
    return m.node.nr_items[node] > 0 and m.node.nr_items[node] + more < limit


@jit
def take_node(m):
    """A record of the free list."""
    node = m.sc[FREE_NODE]
    m.sc[FREE_NODE] = m.node.hlist[node]
    m.sc[NR_FREE_NODES] -= 1
    m.node.kind[node] = NODE_PLAIN
    m.node.hlist[node] = NONE
    m.node.nr_items[node] = 0
    return node


@jit
def give_node(m, node):
    """Back to the free list."""
    m.node.kpage[node] = NONE
    m.node.kind[node] = NODE_PLAIN
    m.node.hlist[node] = m.sc[FREE_NODE]
    m.sc[FREE_NODE] = node
    m.sc[NR_FREE_NODES] += 1


@jit
def chain_add_dup(m, node, chain):
    """Put a node at the head of a chain."""
    first = m.node.hlist[chain]
    m.node.kind[node] = NODE_DUP
    m.node.rb_parent[node] = chain
    m.node.rb_left[node] = first
    m.node.rb_right[node] = NONE
    if first != NONE:
        m.node.rb_right[first] = node
    m.node.hlist[chain] = node
    m.sc[KSM_STABLE_NODE_DUPS] += 1


@jit
def _chain_del_dup(m, node):
    chain, after, before = m.node.rb_parent[node], m.node.rb_left[node], m.node.rb_right[node]
    if before == NONE:
        m.node.hlist[chain] = after
    else:
        m.node.rb_left[before] = after
    if after != NONE:
        m.node.rb_right[after] = before
    m.node.kind[node] = NODE_PLAIN
    m.sc[KSM_STABLE_NODE_DUPS] -= 1


@jit
def unlink_node(m, node):
    """Take a node with a page out of its chain, or out of the tree."""
    if m.node.kind[node] == NODE_DUP:
        _chain_del_dup(m, node)
    else:
        rb_erase(m.node, m.sc, ROOT_STABLE + m.node.nid[node], node)


@jit
def _milliseconds(m):
    return ((m.sc[NOW] + m.sc[TICK]) // _MILLISECOND) & _MOST_MS


@jit
def make_chain(m, node):
    """A chain in a node's place in the tree, with the node as its first dup. The caller knows that a record is free."""
    chain = take_node(m)
    m.node.kind[chain] = NODE_CHAIN
    m.node.kpage[chain] = ZERO_PAGE
    m.node.nid[chain] = m.node.nid[node]
    m.node.content[chain] = m.node.content[node]
    m.node.nr_items[chain] = _milliseconds(m)
    m.sc[KSM_STABLE_NODE_CHAINS] += 1
    rb_replace(m.node, m.sc, ROOT_STABLE + m.node.nid[node], node, chain)
    chain_add_dup(m, node, chain)
    return chain


@jit
def free_chain(m, chain):
    """A chain that has lost its last dup goes."""
    rb_erase(m.node, m.sc, ROOT_STABLE + m.node.nid[chain], chain)
    give_node(m, chain)
    m.sc[KSM_STABLE_NODE_CHAINS] -= 1


@jit
def is_only_dup(m, node):
    return m.node.rb_left[node] == NONE and m.node.rb_right[node] == NONE


@jit
def collapse_chain(m, chain, node):
    """The only dup left takes its chain's place in the tree."""
    _chain_del_dup(m, node)
    rb_replace(m.node, m.sc, ROOT_STABLE + m.node.nid[chain], chain, node)
    give_node(m, chain)
    m.sc[KSM_STABLE_NODE_CHAINS] -= 1


@jit
def move_to_front(m, chain, node):
    """Let the next search find a dup with room at once."""
    _chain_del_dup(m, node)
    chain_add_dup(m, node, chain)


@jit
def is_time_to_prune(m, chain):
    """Is the chain's last whole walk long enough ago (R-B-MAX-3)? Then this is the next."""
    now = _milliseconds(m)
    if now < m.node.nr_items[chain] + m.sc[KSM_CHAINS_PRUNE_MILLISECS]:
        return False
    m.node.nr_items[chain] = now
    return True
