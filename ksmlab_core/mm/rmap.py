"""Reverse mapping: who maps a page, and taking it away from them (``mm/rmap.c``, and the rmap half of ksm.c)."""

from __future__ import annotations

from ksmlab_core.mm._jit import inlined, jit
from ksmlab_core.mm._memory import prefetch
from ksmlab_core.mm.lru import (
    add_page_to_unevictable_list,
    isolate_lru_page,
    lru_cache_add_lru,
    mlock_batch_add,
    page_evictable_in,
    putback_lru_page,
)
from ksmlab_core.mm.mm_types import (
    COST_UNMAP,
    FAIL_FALLBACK_VMA,
    FALLBACK_VMA_USED,
    LRU_ACTIVE_ANON,
    MLOCK_BATCH_SIZE,
    MM_HEAD,
    NONE,
    NR_ANON_PAGES,
    NR_MLOCK,
    PAGE_MAPPING_ANON,
    PAGE_MAPPING_FLAGS,
    PG_ANON_EXCLUSIVE,
    PG_DIRTY,
    PG_MLOCKED,
    PG_SWAPBACKED,
    PG_SWAPCACHE,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_SWAP,
    PTE_SWP_EXCLUSIVE,
    PTE_YOUNG,
    SW_NEW_INACTIVE,
    SW_RMAP_ANON_VMA,
    SW_SWAPIN_EXCLUSIVE,
    TICK,
    UNEVICTABLE_PGMLOCKED,
    VM_LOCKED,
)
from ksmlab_core.mm.page_alloc import (
    fail_now,
    page_anon,
    page_anon_vma,
    page_ksm,
    page_stable_node,
    put_page,
)
from ksmlab_core.mm.swap import swap_duplicate

SWAP_SUCCESS = 0
SWAP_AGAIN = 1
SWAP_FAIL = 2
SWAP_MLOCK = 3

TTU_UNMAP = 0
TTU_MIGRATION = 1
TTU_MUNLOCK = 2
TTU_ACTION_MASK = 0xFF
TTU_IGNORE_MLOCK = 1 << 8
TTU_IGNORE_ACCESS = 1 << 9


# --------------------------------------------------------------------------------------------------------------
# Addresses


@inlined
def find_vma(m, mm, address):
    """The first vma that ends above `address`; NONE if there is none. It may begin above it too."""
    vma = m.mm.mmap[mm]
    while vma != NONE and m.vma.vm_end[vma] <= address:
        vma = m.vma.vm_next[vma]
    return vma


@inlined
def pte_at(m, mm, address):
    """The pte of an address, or NONE where no vma is."""
    vma = find_vma(m, mm, address)
    if vma == NONE or m.vma.vm_start[vma] > address:
        return NONE
    return m.vma.pte_base[vma] + address - m.vma.vm_start[vma]


@jit
def address_of(m, p):
    """The vpn of a pte."""
    vma = m.pte.vma[p]
    return m.vma.vm_start[vma] + p - m.vma.pte_base[vma]


@jit
def linear_page_index(m, p):
    vma = m.pte.vma[p]
    return m.vma.vm_pgoff[vma] + p - m.vma.pte_base[vma]


@inlined
def vma_pte(m, page, vma):
    """The pte at which an ordinary anon page would be in this vma, or NONE when that is outside of it."""
    offset = m.frame.index[page] - m.vma.vm_pgoff[vma]
    if offset < 0 or offset >= m.vma.vm_end[vma] - m.vma.vm_start[vma]:
        return NONE
    return m.vma.pte_base[vma] + offset


@inlined
def fetch_mapping_ahead(m, page):
    """Let the processor fetch the pte and the slot of a page that reclaim will come to soon."""
    f = m.frame
    if f.pg[page] & PAGE_MAPPING_FLAGS == PAGE_MAPPING_ANON:
        vma = m.anon.first[f.mapping[page]]
        if vma != NONE:
            p = m.vma.pte_base[vma] + f.index[page] - m.vma.vm_pgoff[vma]
            prefetch(m.pte_flags, p)
            prefetch(m.pte_target, p)
            prefetch(m.pte.vma, p)
    prefetch(m.slot.refs, f.private[page])


@inlined
def page_check_address(m, page, p):
    """Does this pte map this page?"""
    return p != NONE and (m.pte_flags[p] & PTE_PRESENT) != 0 and m.pte_target[p] == page


# --------------------------------------------------------------------------------------------------------------
# Adding and removing mappings


@inlined
def _set_anon_rmap(m, page, p):
    m.frame.pg[page] = (m.frame.pg[page] & ~PAGE_MAPPING_FLAGS) | PAGE_MAPPING_ANON
    m.frame.mapping[page] = m.vma.anon_vma[m.pte.vma[p]]
    m.frame.index[page] = linear_page_index(m, p)


@inlined
def page_add_anon_rmap(m, page, p):
    """One more pte maps the page; the first mapper of an ordinary page fixes where it belongs (R-RMAP-1)."""
    m.frame.mapcount[page] += 1
    first = m.frame.mapcount[page] == 1
    if first:
        m.sc[NR_ANON_PAGES] += 1
    if page_ksm(m, page):
        return
    if first:
        _set_anon_rmap(m, page, p)


@jit
def page_add_new_anon_rmap(m, page, p):
    """The first mapping of a new page; queues it for the active list, or locks it if the vma is VM_LOCKED."""
    m.frame.pg[page] |= PG_SWAPBACKED | (PG_ANON_EXCLUSIVE if m.sc[SW_SWAPIN_EXCLUSIVE] else 0)
    m.frame.mapcount[page] = 1
    m.sc[NR_ANON_PAGES] += 1
    _set_anon_rmap(m, page, p)
    if page_evictable_in(m, page, m.pte.vma[p]):
        lru_cache_add_lru(m, page, LRU_ACTIVE_ANON - m.sc[SW_NEW_INACTIVE])
    else:
        add_page_to_unevictable_list(m, page)


@inlined
def page_remove_rmap(m, page):
    m.frame.mapcount[page] -= 1
    if m.frame.mapcount[page] == 0 and page_anon(m, page):
        m.sc[NR_ANON_PAGES] -= 1


# --------------------------------------------------------------------------------------------------------------
# Where the ptes of a KSM page are (the rmap half of ksm.c)


@jit
def use_fallback_vma(m):
    """The stand-in vma of the seed is allocated, or the one static fallback is used (R-REF-4): same result."""
    if fail_now(m, FAIL_FALLBACK_VMA):
        m.sc[FALLBACK_VMA_USED] += 1


@inlined
def _linked(m, vma, anon_vma):
    """Is an area of the same root linked to this anon_vma? Those of a child are not linked to the parent's areas."""
    av = m.vma.last_anon_vma[vma]
    while av != anon_vma and av != NONE:
        av = m.anon.before[av]
    return av != NONE


@jit
def covering_vma(m, item, vma, forks):
    """`vma`, or the next of its anon_vma, that covers the item's address; NONE when there is no more.

    Of the item's process only, or (`forks`) of the others: children that ksmd may not have visited yet (R-B-OBJ-1).
    """
    address = m.item.address[item]
    while vma != NONE:
        inside = m.vma.vm_start[vma] <= address and address < m.vma.vm_end[vma]
        if inside and (m.vma.mm[vma] != m.item.mm[item]) == (forks != 0) and _linked(m, vma, m.item.anon_vma[item]):
            break
        vma = m.vma.anon_next[vma]
    return vma


@jit
def first_covering_vma(m, item, forks):
    return covering_vma(m, item, m.anon.first[m.anon.root[m.item.anon_vma[item]]], forks)


@jit
def pte_in(m, item, vma):
    return m.vma.pte_base[vma] + m.item.address[item] - m.vma.vm_start[vma]


# --------------------------------------------------------------------------------------------------------------
# Taking it away


@inlined
def join_mmlist(m, mm, after):
    """Put a process that has swap ptes on the ring that swapoff walks."""
    if m.mm.list_next[mm] != NONE:
        return
    n = m.mm.list_next[after]
    m.mm.list_next[mm] = n
    m.mm.list_prev[mm] = after
    m.mm.list_prev[n] = mm
    m.mm.list_next[after] = mm


@jit
def mlock_vma_page(m, page):
    """A locked area maps a page: mark it mlocked and move it to the unevictable list, at once or with others."""
    _mlock_page(m, page)
    mlock_batch_add(m, page)


@jit
def _mlock_page(m, page):
    if m.frame.pg[page] & PG_MLOCKED:
        return
    m.frame.pg[page] |= PG_MLOCKED
    m.sc[NR_MLOCK] += 1
    m.sc[UNEVICTABLE_PGMLOCKED] += 1
    if m.sc[MLOCK_BATCH_SIZE] == 0 and isolate_lru_page(m, page):
        putback_lru_page(m, page)


@inlined
def _try_to_unmap_one(m, page, p, vm_flags, flags):
    """Turn one pte of the page into a swap pte (R-TTU-4)."""
    if not page_check_address(m, page, p):
        return SWAP_AGAIN
    if not flags & TTU_IGNORE_MLOCK:
        munlock = flags & TTU_ACTION_MASK == TTU_MUNLOCK
        if vm_flags & VM_LOCKED:
            if munlock:
                _mlock_page(m, page)
            else:
                mlock_vma_page(m, page)
            return SWAP_MLOCK
        if munlock:
            return SWAP_AGAIN
    if not flags & TTU_IGNORE_ACCESS and m.pte_flags[p] & PTE_YOUNG:
        m.pte_flags[p] &= 0xFF ^ PTE_YOUNG
        return SWAP_FAIL
    if not m.frame.pg[page] & PG_SWAPCACHE:
        return SWAP_FAIL
    e = m.frame.private[page]
    if not swap_duplicate(m, e):
        return SWAP_FAIL
    if m.pte_flags[p] & PTE_DIRTY:
        m.frame.pg[page] |= PG_DIRTY
    mm = m.vma.mm[m.pte.vma[p]]
    join_mmlist(m, mm, MM_HEAD)
    m.mm.rss[mm] -= 1
    alone = (m.frame.pg[page] & PG_ANON_EXCLUSIVE) != 0
    m.frame.pg[page] &= ~PG_ANON_EXCLUSIVE
    m.pte_flags[p] = PTE_SWAP | (PTE_SWP_EXCLUSIVE if alone else 0)
    m.pte_target[p] = e
    m.sc[TICK] += m.sc[COST_UNMAP]
    page_remove_rmap(m, page)
    put_page(m, page)
    return SWAP_AGAIN


@jit
def _try_to_unmap_at_items(m, page, node, flags):
    """Over the node's items, newest first, as if every vma had no flags (R-TTU-2, R-TTU-3)."""
    if flags & TTU_ACTION_MASK != TTU_UNMAP:
        return SWAP_FAIL
    use_fallback_vma(m)
    result = SWAP_AGAIN
    item = m.node.hlist[node]
    while item != NONE:
        p = pte_at(m, m.item.mm[item], m.item.address[item])
        result = _try_to_unmap_one(m, page, p, 0, flags)
        if result != SWAP_AGAIN or m.frame.mapcount[page] == 0:
            break
        item = m.item.hlist_next[item]
    return result


@jit
def _try_to_unmap_in_vmas(m, page, node, flags):
    """Over the real vmas of the node's items, newest first, then over those of fork children (R-B-OBJ-1)."""
    for forks in range(2):
        item = m.node.hlist[node]
        while item != NONE:
            vma = first_covering_vma(m, item, forks)
            while vma != NONE:
                result = _try_to_unmap_one(m, page, pte_in(m, item, vma), m.vma.vm_flags[vma], flags)
                if result != SWAP_AGAIN or m.frame.mapcount[page] == 0:
                    return result
                vma = covering_vma(m, item, m.vma.anon_next[vma], forks)
            item = m.item.hlist_next[item]
    return SWAP_AGAIN


@jit
def _try_to_unmap_ksm(m, page, flags):
    """Unmap a KSM page, or look for a lock on it (TTU_MUNLOCK); an orphan's ptes cannot be found."""
    node = page_stable_node(m, page)
    if node == NONE:
        return SWAP_FAIL
    if m.sc[SW_RMAP_ANON_VMA]:
        return _try_to_unmap_in_vmas(m, page, node, flags)
    return _try_to_unmap_at_items(m, page, node, flags)


@inlined
def _try_to_unmap_anon(m, page, flags):
    result = SWAP_AGAIN
    av = page_anon_vma(m, page)
    if av == NONE:
        return result
    vma = m.anon.first[av]
    while vma != NONE:
        result = _try_to_unmap_one(m, page, vma_pte(m, page, vma), m.vma.vm_flags[vma], flags)
        if result != SWAP_AGAIN or m.frame.mapcount[page] == 0:
            break
        vma = m.vma.anon_next[vma]
    return result


@inlined
def try_to_unmap(m, page, flags):
    """Turn all ptes of a page into swap ptes, as far as the rules let it (R-TTU-1 to R-TTU-6)."""
    result = _try_to_unmap_ksm(m, page, flags) if page_ksm(m, page) else _try_to_unmap_anon(m, page, flags)
    if result != SWAP_MLOCK and m.frame.mapcount[page] == 0:
        result = SWAP_SUCCESS
    return result


@jit
def try_to_munlock(m, page):
    """Is the page mapped by another VM_LOCKED vma? Then it is mlocked again (R-MLOCK-3)."""
    if page_ksm(m, page):
        return _try_to_unmap_ksm(m, page, TTU_MUNLOCK)
    av = page_anon_vma(m, page)
    if av == NONE:
        return SWAP_AGAIN
    vma = m.anon.first[av]
    while vma != NONE:
        if m.vma.vm_flags[vma] & VM_LOCKED and page_check_address(m, page, vma_pte(m, page, vma)):
            _mlock_page(m, page)
            return SWAP_MLOCK
        vma = m.vma.anon_next[vma]
    return SWAP_AGAIN
