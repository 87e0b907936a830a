"""Page faults: first touch, copy on write, swap-in (``mm/memory.c``)."""

from __future__ import annotations

from ksmlab_core.mm._jit import inlined, jit
from ksmlab_core.mm.anon_vma import anon_vma_prepare
from ksmlab_core.mm.lru import add_page_to_unevictable_list, lru_add_drain, lru_cache_add_lru, page_evictable_in
from ksmlab_core.mm.mlock import clear_page_mlock, munlock_vma_page
from ksmlab_core.mm.mm_types import (
    COST_COPY,
    COST_FAULT,
    COW_COPIES,
    COW_KSM,
    DECIDED_PTE,
    DECISION,
    ITEM_ANON_VMAS,
    ITEM_STABLE,
    KSM_QUEUE,
    KSM_QUEUE_HEAD,
    KSM_RUN,
    LRU_ACTIVE_ANON,
    NONE,
    NR_NODES,
    PG_ANON_EXCLUSIVE,
    PG_DIRTY,
    PG_LRU,
    PG_MLOCKED,
    PG_SWAPBACKED,
    PG_SWAPCACHE,
    PG_UPTODATE,
    PGFAULT,
    PGMAJFAULT,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_SWAP,
    PTE_SWP_EXCLUSIVE,
    PTE_WRITE,
    PTE_YOUNG,
    QUEUE_SIZE,
    SW_BORN_YOUNG,
    SW_COPY_TEST_ROOT,
    SW_FREE_SWAP_ON_MERGE,
    SW_MLOCK_BY_MAPPING,
    SW_NEW_INACTIVE,
    SW_SWAPIN_EXCLUSIVE,
    SWAPIN_COPIES,
    SWAPIN_DEFERRED,
    SWAPIN_REMERGES,
    SWAPIN_SHARED,
    TICK,
    VM_LOCKED,
    VM_MERGEABLE,
    VM_WRITE,
    ZERO_PAGE,
)
from ksmlab_core.mm.numa import allocate_for, tree_of
from ksmlab_core.mm.page_alloc import (
    alloc_page,
    alloc_zeroed_page,
    get_page,
    page_anon,
    page_anon_vma,
    page_ksm,
    page_stable_node,
    put_page,
    trylock_page,
)
from ksmlab_core.mm.readahead import found_in_cache, read_around
from ksmlab_core.mm.rmap import (
    linear_page_index,
    mlock_vma_page,
    page_add_anon_rmap,
    page_add_new_anon_rmap,
    page_remove_rmap,
)
from ksmlab_core.mm.stable_tree import (
    is_ksmds,
    item_of_pte,
    remove_rmap_item_from_tree,
    stable_tree_append,
    stable_tree_insert,
    stable_tree_twin,
)
from ksmlab_core.mm.swap import (
    free_page_and_swap_cache,
    read_swap_cache_async,
    reuse_swap_page,
    swap_free,
    try_to_free_swap,
)
from ksmlab_core.mm.swapfile import vm_swap_full
from ksmlab_core.mm.zero_page import ksm_might_unmap_zero_page

VM_FAULT_MAJOR = 1
VM_FAULT_WRITE = 2  # the write has been taken care of by a copy or a reuse
VM_FAULT_OOM = 4
VM_FAULT_SIGBUS = 8
VM_FAULT_ERROR = VM_FAULT_OOM | VM_FAULT_SIGBUS

# What a swap-in policy may answer; the numbers are those of policy.Swapin.
SWAPIN_KERNEL = 0
SWAPIN_COPY = 1
SWAPIN_REMERGE = 2
SWAPIN_SHARE = 3
SWAPIN_DEFER = 4


@inlined
def install_pte(m, p, page, flags):
    """A present pte, born young where the architecture does that (R-OBJ-8)."""
    m.pte_flags[p] = PTE_PRESENT | flags | (PTE_YOUNG if m.sc[SW_BORN_YOUNG] else 0)
    m.pte_target[p] = page


@inlined
def _mkwrite(m, p):
    """PTE_WRITE if the area may be written at all."""
    return PTE_WRITE if m.vma.vm_flags[m.pte.vma[p]] & VM_WRITE else 0


@jit
def _do_anonymous_page(m, p, write):
    """First touch: the zero page for a reader, a zeroed page of its own for a writer (R-OBJ-7)."""
    if not write:
        m.pte_flags[p] = PTE_PRESENT | PTE_YOUNG
        m.pte_target[p] = ZERO_PAGE
        return 0
    vma = m.pte.vma[p]
    anon_vma_prepare(m, vma)
    page = alloc_zeroed_page(m)
    if page == NONE:
        return VM_FAULT_OOM
    m.frame.pg[page] |= PG_UPTODATE
    m.mm.rss[m.vma.mm[vma]] += 1
    page_add_new_anon_rmap(m, page, p)
    writable = _mkwrite(m, p)
    install_pte(m, p, page, writable | PTE_DIRTY if writable else 0)
    return VM_FAULT_WRITE


@jit
def do_wp_page(m, p):
    """A write to a read-only pte: reuse the page if nobody else needs it, else copy (R-COW-1 to R-COW-3)."""
    old = m.pte_target[p]
    vma = m.pte.vma[p]
    if page_anon(m, old) and not page_ksm(m, old) and _may_reuse(m, old):
        m.pte_flags[p] |= PTE_YOUNG | PTE_DIRTY | _mkwrite(m, p)
        return VM_FAULT_WRITE
    anon_vma_prepare(m, vma)
    if old == ZERO_PAGE:
        new = alloc_zeroed_page(m)
    else:
        new = alloc_page(m)
    if new == NONE:
        return VM_FAULT_OOM
    if old == ZERO_PAGE:
        ksm_might_unmap_zero_page(m, p)
        m.mm.rss[m.vma.mm[vma]] += 1
    else:
        m.frame.content[new] = m.frame.content[old]
        m.sc[TICK] += m.sc[COST_COPY]
        m.sc[COW_COPIES] += 1
        if page_ksm(m, old):
            m.sc[COW_KSM] += 1
        if m.vma.vm_flags[vma] & VM_LOCKED and not m.sc[SW_MLOCK_BY_MAPPING]:
            clear_page_mlock(m, old)
    m.frame.pg[new] |= PG_UPTODATE
    page_add_new_anon_rmap(m, new, p)
    install_pte(m, p, new, PTE_DIRTY | _mkwrite(m, p))
    if old != ZERO_PAGE:
        page_remove_rmap(m, old)
        if m.vma.vm_flags[vma] & VM_LOCKED and m.sc[SW_MLOCK_BY_MAPPING]:
            munlock_vma_page(m, old)
        if m.sc[SW_FREE_SWAP_ON_MERGE]:
            free_page_and_swap_cache(m, old)
        else:
            put_page(m, old)
    return VM_FAULT_WRITE


@jit
def _may_reuse(m, page):
    """May the writer have this ordinary page to itself (R-REUSE-1, R-B-COW-1)?"""
    if not m.sc[SW_SWAPIN_EXCLUSIVE]:
        return reuse_swap_page(m, page)
    if m.frame.pg[page] & PG_ANON_EXCLUSIVE:
        return True
    if m.frame.refcount[page] > 3:
        return False
    if not m.frame.pg[page] & PG_LRU:
        lru_add_drain(m)
    cached = 1 if m.frame.pg[page] & PG_SWAPCACHE else 0
    if m.frame.refcount[page] > 1 + cached or not trylock_page(m, page):
        return False
    try_to_free_swap(m, page)
    if m.frame.refcount[page] != 1:
        return False
    m.frame.pg[page] |= PG_ANON_EXCLUSIVE
    return True


@jit
def unshare_page(m, p):
    """Give a pte that maps a KSM page, or a zero page of ksmd's, a page of its own, without a write (R-B-UNM-1)."""
    m.sc[PGFAULT] += 1
    m.sc[TICK] += m.sc[COST_FAULT]
    if m.sc[NR_NODES] > 1:
        allocate_for(m, m.pte.vma[p])
    result = do_wp_page(m, p)
    if result & VM_FAULT_WRITE:
        m.pte_flags[p] &= 0xFF ^ (PTE_DIRTY | PTE_WRITE)
    return result


# --------------------------------------------------------------------------------------------------------------
# Swap-in


@inlined
def swapin_needs_copy(m, page, p):
    """The copy test, exact: another anon_vma or another place in it (R-SWAPIN-3).

    Today's also copies a KSM page that has no node, or any while run is 2, and leaves to the fault a page that could
    not be read (R-B-SWAPIN-1). The root of an anon_vma is here the anon_vma itself, which forks share.
    """
    if m.sc[SW_COPY_TEST_ROOT]:
        if page_ksm(m, page):
            return page_stable_node(m, page) == NONE or m.sc[KSM_RUN] == 2
        if not m.frame.pg[page] & PG_UPTODATE:
            return False
    av = page_anon_vma(m, page)
    if av == NONE:
        return False
    return av != m.vma.anon_vma[m.pte.vma[p]] or m.frame.index[page] != linear_page_index(m, p)


@jit
def copy_swapped_in(m, page, p):
    """A private copy of a swap-cache page, off the swap cache; the lookup's reference goes (R-SWAPIN-5)."""
    new = alloc_page(m)
    if new != NONE:
        m.frame.content[new] = m.frame.content[page]
        m.sc[TICK] += m.sc[COST_COPY]
        m.sc[SWAPIN_COPIES] += 1
        m.frame.pg[new] |= PG_DIRTY | PG_UPTODATE | PG_SWAPBACKED
        if page_evictable_in(m, new, m.pte.vma[p]):
            lru_cache_add_lru(m, new, LRU_ACTIVE_ANON - m.sc[SW_NEW_INACTIVE])
        else:
            add_page_to_unevictable_list(m, new)
    put_page(m, page)
    return new


@inlined
def _take_decision(m, p):
    """The policy's answer for this pte, used once; SWAPIN_KERNEL where none was given."""
    if m.sc[DECIDED_PTE] != p:
        return SWAPIN_KERNEL
    m.sc[DECIDED_PTE] = NONE
    return m.sc[DECISION]


@jit
def may_share(m, page, p):
    """Could this swap-cache page become a KSM page at once? Only one that was read well and that nobody has mapped."""
    fresh = m.frame.mapcount[page] == 0 and not page_anon(m, page) and (m.frame.pg[page] & PG_UPTODATE) != 0
    return fresh and is_ksmds(m, p)


@jit
def _join_node(m, p, node):
    """List this pte's item with the node, so that reclaim can find the pte."""
    item = item_of_pte(m, p)
    if item == NONE or (m.item.state[item] == ITEM_STABLE and m.item.head[item] == node):
        return
    remove_rmap_item_from_tree(m, item)
    if m.sc[ITEM_ANON_VMAS]:
        m.item.anon_vma[item] = m.vma.own_anon_vma[m.pte.vma[p]]
    stable_tree_append(m, item, node)


@jit
def _do_remerge(m, p, page, node):
    """Map the KSM page of equal content in place of the page that came from swap."""
    e = m.pte_target[p]
    kpage = m.node.kpage[node]
    get_page(m, kpage)
    m.sc[SWAPIN_REMERGES] += 1
    m.mm.rss[m.vma.mm[m.pte.vma[p]]] += 1
    # The item first: leaving its old node must not take away the one that is being joined.
    _join_node(m, p, node)
    install_pte(m, p, kpage, 0)
    page_add_anon_rmap(m, kpage, p)
    swap_free(m, e)
    if m.frame.mapcount[page] == 0:
        try_to_free_swap(m, page)
    put_page(m, page)


@jit
def _share(m, p, page):
    """Make the page just read a KSM page with a node, so that the next sharer can map it as it is."""
    if item_of_pte(m, p) == NONE:
        return  # a node must not be without an item
    node = stable_tree_insert(m, page)
    if node != NONE:
        m.sc[SWAPIN_SHARED] += 1
        _join_node(m, p, node)


@jit
def _do_swap_page(m, p, write):
    """Bring a page back from swap, in the order of R-SWAPIN-9."""
    e = m.pte_target[p]
    vma = m.pte.vma[p]
    decision = _take_decision(m, p)
    result = 0
    if m.slot.frame[e] != NONE:
        page = read_swap_cache_async(m, e)
        found_in_cache(m, p, page)
    else:
        page = read_around(m, p, e)
        if page == NONE:
            return VM_FAULT_OOM
        result = VM_FAULT_MAJOR
        m.sc[PGMAJFAULT] += 1
    if decision == SWAPIN_REMERGE and m.frame.pg[page] & PG_UPTODATE:
        node = stable_tree_twin(m, m.frame.content[page], tree_of(m, page))
        if node != NONE:
            _do_remerge(m, p, page, node)
            return (result | do_wp_page(m, p)) if write else result
    if decision == SWAPIN_SHARE and may_share(m, page, p):
        _share(m, p, page)
    copy = decision == SWAPIN_COPY or decision == SWAPIN_DEFER or swapin_needs_copy(m, page, p)
    if copy:
        page = copy_swapped_in(m, page, p)
        if page == NONE:
            return VM_FAULT_OOM
        if decision == SWAPIN_DEFER:  # whoever decided so has made room
            m.queue[(m.sc[KSM_QUEUE_HEAD] + m.sc[KSM_QUEUE]) % m.sc[QUEUE_SIZE]] = p
            m.sc[KSM_QUEUE] += 1
            m.sc[SWAPIN_DEFERRED] += 1
    if not m.frame.pg[page] & PG_UPTODATE:
        put_page(m, page)
        return VM_FAULT_SIGBUS
    if m.sc[SW_SWAPIN_EXCLUSIVE]:
        return _map_swapped_in(m, p, e, page, copy, write, result)
    m.mm.rss[m.vma.mm[vma]] += 1
    flags = 0
    if write and reuse_swap_page(m, page):
        flags = PTE_DIRTY | _mkwrite(m, p)
        write = False
        result |= VM_FAULT_WRITE
    install_pte(m, p, page, flags)
    page_add_anon_rmap(m, page, p)
    swap_free(m, e)
    if vm_swap_full(m) or m.vma.vm_flags[vma] & VM_LOCKED or m.frame.pg[page] & PG_MLOCKED:
        try_to_free_swap(m, page)
    if write:
        result |= do_wp_page(m, p)
        if result & VM_FAULT_ERROR:
            result &= VM_FAULT_ERROR
    return result


@jit
def _should_try_to_free_swap(m, page, vma, write):
    """Is the slot of no more use? Not to a writer who is the page's only user (R-B-SWAPIN-2)."""
    if not m.frame.pg[page] & PG_SWAPCACHE:
        return False
    if vm_swap_full(m) or m.vma.vm_flags[vma] & VM_LOCKED or m.frame.pg[page] & PG_MLOCKED:
        return True
    return write and not page_ksm(m, page) and m.frame.refcount[page] == 2


@jit
def _map_swapped_in(m, p, e, page, copied, write, result):
    """Map a page that came from swap, in today's order: the slot first, and writable if it is one's own (R-B-SWAPIN-2).

    Its own are a copy, the page of a swap pte that was marked so, and one that nobody else refers to.
    """
    vma = m.pte.vma[p]
    exclusive = copied or (m.pte_flags[p] & PTE_SWP_EXCLUSIVE) != 0
    if write and not copied and not page_ksm(m, page) and not m.frame.pg[page] & PG_LRU:
        lru_add_drain(m)
    swap_free(m, e)
    if _should_try_to_free_swap(m, page, vma, write):
        try_to_free_swap(m, page)
    m.mm.rss[m.vma.mm[vma]] += 1
    flags = 0
    if not page_ksm(m, page) and (exclusive or m.frame.refcount[page] == 1):
        m.frame.pg[page] |= PG_ANON_EXCLUSIVE
        flags = _mkwrite(m, p)
        if write:
            flags |= PTE_DIRTY
            write = False
            result |= VM_FAULT_WRITE
    install_pte(m, p, page, flags)
    page_add_anon_rmap(m, page, p)
    if m.vma.vm_flags[vma] & VM_LOCKED and m.sc[SW_MLOCK_BY_MAPPING]:
        mlock_vma_page(m, page)
    if write:
        result |= do_wp_page(m, p)
        if result & VM_FAULT_ERROR:
            result &= VM_FAULT_ERROR
    return result


@jit
def handle_mm_fault(m, p, write):
    """Resolve a fault at a pte; VM_FAULT_* bits."""
    m.sc[PGFAULT] += 1
    m.sc[TICK] += m.sc[COST_FAULT]
    if m.sc[NR_NODES] > 1:
        allocate_for(m, m.pte.vma[p])
    flags = m.pte_flags[p]
    if flags & PTE_SWAP:
        return _do_swap_page(m, p, write)
    if not flags & PTE_PRESENT:
        return _do_anonymous_page(m, p, write)
    if write and not flags & PTE_WRITE:
        return do_wp_page(m, p)
    m.pte_flags[p] |= PTE_YOUNG | (PTE_DIRTY if write else 0)
    return 0


@jit
def swapin_is_a_question(m, p):
    """May the page of this swap pte be needed in more than one place, now or as a KSM page?

    True when another pte names the slot, when the kernel would copy, or when the cached page is or was shared.
    """
    e = m.pte_target[p]
    if m.slot.refs[e] > 1:
        return True
    if m.slot.frame[e] == NONE:
        return (m.vma.vm_flags[m.pte.vma[p]] & VM_MERGEABLE) != 0
    page = m.slot.frame[e]
    return m.frame.mapcount[page] > 0 or swapin_needs_copy(m, page, p) or page_stable_node(m, page) != NONE
