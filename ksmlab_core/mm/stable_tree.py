"""The stable tree, its nodes and the items on them (``mm/ksm.c``): R-STAB, R-REM-1, R-CTR-1."""

from __future__ import annotations

from ksmlab_core.mm._jit import inlined, jit
from ksmlab_core.mm._memory import prefetch
from ksmlab_core.mm.mm_types import (
    COST_COMPARE,
    FAIL_RMAP_ITEM,
    FAIL_STABLE_NODE,
    FREE_ITEM,
    ITEM_AGES,
    ITEM_NONE,
    ITEM_STABLE,
    ITEM_UNSTABLE,
    KSM_COMPARES,
    KSM_ORPHANS,
    KSM_PAGES_SHARED,
    KSM_PAGES_SHARING,
    KSM_PAGES_UNSHARED,
    KSM_RMAP_ITEMS,
    MMF_VM_MERGEABLE,
    NODE_CHAIN,
    NODE_CONTENTS,
    NODE_PLAIN,
    NONE,
    NR_FREE_ITEMS,
    NR_FREE_NODES,
    NR_NODES,
    PAGE_MAPPING_FLAGS,
    PG_ANON_EXCLUSIVE,
    ROOT_STABLE,
    ROOT_UNSTABLE,
    SCAN_ADDRESS,
    SCAN_PREV,
    SCAN_SEQNR,
    SCAN_SLOT,
    SW_CHAIN_EQUAL,
    SW_FREE_NODE_ON_LAST_ITEM,
    SW_NODE_HOLDS_REF,
    SW_STALE_NODE_RESTARTS,
    TICK,
    VM_MERGEABLE,
)
from ksmlab_core.mm.numa import tree_of
from ksmlab_core.mm.page_alloc import fail_now, get_page, page_stable_node, put_page
from ksmlab_core.mm.rbtree import rb_erase, rb_link
from ksmlab_core.mm.rmap import address_of, pte_at
from ksmlab_core.mm.stable_chain import (
    chain_add_dup,
    collapse_chain,
    free_chain,
    give_node,
    is_only_dup,
    is_page_sharing_candidate,
    is_time_to_prune,
    make_chain,
    move_to_front,
    take_node,
    unlink_node,
)


@jit
def _memcmp(m, content, other):
    m.sc[KSM_COMPARES] += 1
    m.sc[TICK] += m.sc[COST_COMPARE]
    if content < other:
        return -1
    return 1 if content > other else 0


@inlined
def compare(m, content, page):
    """memcmp of a page's bytes with the given content: negative, 0 or positive."""
    return _memcmp(m, content, m.frame.content[page])


@inlined
def set_page_stable_node(m, page, node):
    """Make a page a KSM page; without a node it is an orphan (R-OBJ-9)."""
    m.frame.pg[page] = (m.frame.pg[page] & ~PG_ANON_EXCLUSIVE) | PAGE_MAPPING_FLAGS
    m.frame.mapping[page] = node


# --------------------------------------------------------------------------------------------------------------
# The keyhole: a node without a reference sees only whether its frame still names it (R-B-OBJ-2)


@jit
def is_stale(m, node):
    """Has the node's page been freed? Then its frame, used again or not, does not name the node any more."""
    return page_stable_node(m, m.node.kpage[node]) != node


@jit
def _free_stable_node(m, node):
    unlink_node(m, node)
    give_node(m, node)


@jit
def remove_node_from_stable_tree(m, node):
    """Prune a stale node: its items are left without a tree, and the counters catch up (R-B-OBJ-2)."""
    item = m.node.hlist[node]
    if item != NONE:
        m.sc[KSM_PAGES_SHARED] -= 1
        m.sc[KSM_PAGES_SHARING] -= m.node.nr_items[node] - 1
    while item != NONE:
        m.item.state[item] = ITEM_NONE
        item = m.item.hlist_next[item]
    _free_stable_node(m, node)


@jit
def _prune(m, node):
    """Prune a stale node met on the way down; where to go on: at the root anew, or nowhere, for it is rebalanced."""
    root = ROOT_STABLE + m.node.nid[node]
    remove_node_from_stable_tree(m, node)
    return m.sc[root] if m.sc[SW_STALE_NODE_RESTARTS] else NONE


@jit
def _pick_dup(m, chain, may_prune):
    """The dup of a chain to go on with: one with room if there is one (R-B-MAX-3); NONE if the chain is gone.

    Stale dups that are met go. A whole walk, when it is time for one, finds the fullest dup with room. A chain of one
    dup collapses: then the node that is returned is in the tree itself.
    """
    whole = may_prune and is_time_to_prune(m, chain)
    keyhole = m.sc[SW_NODE_HOLDS_REF] == 0
    found = NONE
    dup = m.node.hlist[chain]
    while dup != NONE:
        after = m.node.rb_left[dup]
        if keyhole and is_stale(m, dup):
            remove_node_from_stable_tree(m, dup)
        elif found == NONE or _is_better(m, dup, found):
            found = dup
            if not whole and is_page_sharing_candidate(m, found, 0):
                break
        dup = after
    if found == NONE:
        free_chain(m, chain)
    elif is_only_dup(m, found):
        collapse_chain(m, chain, found)
    elif m.node.hlist[chain] != found and is_page_sharing_candidate(m, found, 1):
        move_to_front(m, chain, found)
    return found


@jit
def _is_better(m, dup, found):
    if not is_page_sharing_candidate(m, dup, 0):
        return False
    return not is_page_sharing_candidate(m, found, 0) or m.node.nr_items[dup] > m.node.nr_items[found]


# --------------------------------------------------------------------------------------------------------------
# The tree


@inlined
def stable_tree_search(m, content, tree):
    """The node to join of a KSM page of this content, or NONE (R-STAB-1, R-B-MAX-2).

    NONE too where a stale node ends the search.
    """
    keyhole = m.sc[SW_NODE_HOLDS_REF] == 0
    node = m.sc[ROOT_STABLE + tree]
    while node != NONE:
        prefetch(m.node.kpage, m.node.rb_left[node])
        prefetch(m.node.kpage, m.node.rb_right[node])
        found = node
        if m.node.kind[node] == NODE_CHAIN:
            found = _pick_dup(m, node, True)
            if found == NONE:
                node = m.sc[ROOT_STABLE + tree]
                continue
            if m.node.kind[found] == NODE_PLAIN:
                node = found
        elif keyhole and is_stale(m, node):
            node = _prune(m, node)
            continue
        order = compare(m, content, m.node.kpage[found])
        if order == 0:
            return found if is_page_sharing_candidate(m, found, 0) else NONE
        node = m.node.rb_left[node] if order < 0 else m.node.rb_right[node]
    return NONE


@jit
def stable_tree_twin(m, content, tree):
    """The node that a KSM page of this content has, or NONE. Unlike the search this changes nothing, stale or not."""
    node = m.sc[ROOT_STABLE + tree]
    while node != NONE:
        at_node = m.node.content[node] if m.sc[NODE_CONTENTS] else m.frame.content[m.node.kpage[node]]
        order = _memcmp(m, content, at_node)
        if order == 0:
            if m.node.kind[node] == NODE_CHAIN:
                return _dup_that_is_there(m, node)
            return NONE if is_stale(m, node) else node
        node = m.node.rb_left[node] if order < 0 else m.node.rb_right[node]
    return NONE


@jit
def _dup_that_is_there(m, chain):
    dup = m.node.hlist[chain]
    while dup != NONE and is_stale(m, dup):
        dup = m.node.rb_left[dup]
    return dup


@jit
def stable_tree_insert(m, kpage):
    """A new node for a KSM page (R-STAB-2, R-B-SCAN-7).

    NONE if its content is there already and the kernel knows no chains, a stale node was met and the kernel does not
    start again, or no node can be had.
    """
    keyhole = m.sc[SW_NODE_HOLDS_REF] == 0
    content = m.frame.content[kpage]
    tree = tree_of(m, kpage)
    parent = NONE
    left = False
    node = m.sc[ROOT_STABLE + tree]
    while node != NONE:
        found = node
        if m.node.kind[node] == NODE_CHAIN:
            found = _pick_dup(m, node, False)
            if found == NONE:
                node = m.sc[ROOT_STABLE + tree]
                parent = NONE
                continue
            if m.node.kind[found] == NODE_PLAIN:
                node = found
        elif keyhole and is_stale(m, node):
            node = _prune(m, node)
            if not m.sc[SW_STALE_NODE_RESTARTS]:
                return NONE
            parent = NONE
            continue
        order = compare(m, content, m.node.kpage[found])
        if order == 0:
            break
        parent = node
        left = order < 0
        node = m.node.rb_left[node] if left else m.node.rb_right[node]
    return _new_stable_node(m, kpage, tree, node, parent, left)


@jit
def _no_node_to_be_had(m):
    return fail_now(m, FAIL_STABLE_NODE) or m.sc[NR_FREE_NODES] == 0


@jit
def _new_stable_node(m, kpage, tree, equal, parent, left):
    """A node for `kpage` under `parent`, or in the chain of `equal`, a node or chain of its content; or NONE."""
    if equal != NONE and not m.sc[SW_CHAIN_EQUAL]:
        return NONE
    if _no_node_to_be_had(m):
        return NONE
    node = take_node(m)
    m.node.kpage[node] = kpage
    if m.sc[NODE_CONTENTS]:
        m.node.content[node] = m.frame.content[kpage]
    m.node.nid[node] = tree
    if equal == NONE:
        rb_link(m.node, m.sc, ROOT_STABLE + tree, node, parent, left)
    else:
        if m.node.kind[equal] != NODE_CHAIN:
            if _no_node_to_be_had(m):
                give_node(m, node)
                return NONE
            equal = make_chain(m, equal)
        chain_add_dup(m, node, equal)
    if m.sc[SW_NODE_HOLDS_REF]:
        get_page(m, kpage)
    set_page_stable_node(m, kpage, node)
    return node


@jit
def stable_tree_append(m, item, node):
    """List an item with a node, as its newest."""
    first = m.node.hlist[node]
    m.item.state[item] = ITEM_STABLE
    m.item.head[item] = node
    m.item.hlist_prev[item] = NONE
    m.item.hlist_next[item] = first
    if first != NONE:
        m.item.hlist_prev[first] = item
        m.sc[KSM_PAGES_SHARING] += 1
    else:
        m.sc[KSM_PAGES_SHARED] += 1
    m.node.hlist[node] = item
    m.node.nr_items[node] += 1


@jit
def _remove_stable(m, item):
    """Take an item off its node (R-REM-1).

    The last one may take the node along, which leaves the page an orphan. A stale node goes with all its items.
    """
    node = m.item.head[item]
    if not m.sc[SW_NODE_HOLDS_REF] and is_stale(m, node):
        remove_node_from_stable_tree(m, node)
        return
    before = m.item.hlist_prev[item]
    after = m.item.hlist_next[item]
    if before == NONE:
        m.node.hlist[node] = after
    else:
        m.item.hlist_next[before] = after
    if after != NONE:
        m.item.hlist_prev[after] = before
    m.node.nr_items[node] -= 1
    if m.node.hlist[node] != NONE:
        m.sc[KSM_PAGES_SHARING] -= 1
        return
    m.sc[KSM_PAGES_SHARED] -= 1
    if not m.sc[SW_FREE_NODE_ON_LAST_ITEM]:
        return
    page = m.node.kpage[node]
    m.frame.mapping[page] = NONE
    if m.frame.mapcount[page] > 0 or m.frame.refcount[page] > 1:
        m.sc[KSM_ORPHANS] += 1
    _free_stable_node(m, node)
    if m.sc[SW_NODE_HOLDS_REF]:
        put_page(m, page)


@jit
def remove_rmap_item_from_tree(m, item):
    """Take an item out of whichever tree it is in (R-REM-1, R-REM-2)."""
    state = m.item.state[item]
    if state == ITEM_STABLE:
        _remove_stable(m, item)
    elif state == ITEM_UNSTABLE:
        # An item of the pass before is in no tree any more: the root was emptied under it.
        if (m.sc[SCAN_SEQNR] - m.item.seqnr[item]) & 0xFF == 0:
            tree = m.item.nid[item] if m.sc[NR_NODES] > 1 else 0
            rb_erase(m.item, m.sc, ROOT_UNSTABLE + tree, item)
        m.sc[KSM_PAGES_UNSHARED] -= 1
    m.item.state[item] = ITEM_NONE


# --------------------------------------------------------------------------------------------------------------
# Items: one list per process, ascending address (R-OBJ-2, R-OBJ-4)


@jit
def new_rmap_item(m, mm, address, before):
    """A new item behind `before` (NONE: first of the process), or NONE when none can be had."""
    if fail_now(m, FAIL_RMAP_ITEM) or m.sc[NR_FREE_ITEMS] == 0:
        return NONE
    t = m.item
    item = m.sc[FREE_ITEM]
    m.sc[FREE_ITEM] = t.rmap_next[item]
    m.sc[NR_FREE_ITEMS] -= 1
    m.sc[KSM_RMAP_ITEMS] += 1
    t.mm[item] = mm
    t.address[item] = address
    t.oldchecksum[item] = 0
    t.state[item] = ITEM_NONE
    t.changes[item] = 0
    if m.sc[ITEM_AGES]:
        t.age[item] = 0
        t.remaining_skips[item] = 0
    t.last_look[item] = NONE
    if before == NONE:
        t.rmap_next[item] = m.mm.rmap_list[mm]
        m.mm.rmap_list[mm] = item
    else:
        t.rmap_next[item] = t.rmap_next[before]
        t.rmap_next[before] = item
    p = pte_at(m, mm, address)
    if p != NONE:
        m.pte.rmap_item[p] = item
    return item


@jit
def free_rmap_item(m, item, before):
    """Give back an item that is in no tree; `before` is the one that links to it (NONE: the process)."""
    t = m.item
    mm = t.mm[item]
    p = pte_at(m, mm, t.address[item])
    if p != NONE and m.pte.rmap_item[p] == item:
        m.pte.rmap_item[p] = NONE
    if before == NONE:
        m.mm.rmap_list[mm] = t.rmap_next[item]
    else:
        t.rmap_next[before] = t.rmap_next[item]
    t.mm[item] = NONE
    t.rmap_next[item] = m.sc[FREE_ITEM]
    m.sc[FREE_ITEM] = item
    m.sc[NR_FREE_ITEMS] += 1
    m.sc[KSM_RMAP_ITEMS] -= 1


@jit
def _item_below(m, p, mm, address):
    """The item of the process with the greatest address below this one, or NONE. Near ptes are asked first."""
    first = m.vma.pte_base[m.pte.vma[p]]
    q = p - 1
    while q >= first:
        if m.pte.rmap_item[q] != NONE:
            item = m.pte.rmap_item[q]
            # Items of addresses that lost their area may lie between.
            while m.item.rmap_next[item] != NONE and m.item.address[m.item.rmap_next[item]] < address:
                item = m.item.rmap_next[item]
            return item
        q -= 1
    item = NONE
    after = m.mm.rmap_list[mm]
    while after != NONE and m.item.address[after] < address:
        item = after
        after = m.item.rmap_next[after]
    return item


@jit
def is_ksmds(m, p):
    """Is this pte in a mergeable area of a process that is registered? (Fork may have failed to register a child.)"""
    vma = m.pte.vma[p]
    return (m.vma.vm_flags[vma] & VM_MERGEABLE) != 0 and (m.mm.mm_flags[m.vma.mm[vma]] & MMF_VM_MERGEABLE) != 0


@jit
def item_of_pte(m, p):
    """The item of a pte, made if there is none; NONE when none can be had. For visits out of address order."""
    if m.pte.rmap_item[p] != NONE:
        return m.pte.rmap_item[p]
    if not is_ksmds(m, p):
        return NONE
    mm = m.vma.mm[m.pte.vma[p]]
    address = address_of(m, p)
    below = _item_below(m, p, mm, address)
    item = new_rmap_item(m, mm, address, below)
    # Behind the cursor's place, the cursor goes on from the new item.
    if item != NONE and m.sc[SCAN_SLOT] == mm and below == m.sc[SCAN_PREV] and address < m.sc[SCAN_ADDRESS]:
        m.sc[SCAN_PREV] = item
    return item
