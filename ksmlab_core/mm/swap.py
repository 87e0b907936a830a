"""Taking swap slots, and the swap cache (``mm/swapfile.c``, ``mm/swap_state.c``, ``mm/page_io.c``)."""

from __future__ import annotations

from ksmlab_core.mm._jit import inlined, jit
from ksmlab_core.mm.lru import lru_add_drain, lru_cache_add_lru, rotate_reclaimable_page
from ksmlab_core.mm.mm_types import (
    COST_SWAP_LOOKUP,
    COST_SWAP_READ,
    COST_SWAP_WRITE,
    FAIL_SWAP_CONTINUATION,
    FAIL_SWAP_READ,
    LRU_ACTIVE_ANON,
    LRU_INACTIVE_ANON,
    NONE,
    NR_SWAPCACHE,
    NR_WRITEBACK,
    PAGE_CLUSTER,
    PG_DIRTY,
    PG_RECLAIM,
    PG_SWAPBACKED,
    PG_SWAPCACHE,
    PG_UPTODATE,
    PG_WRITEBACK,
    PSWPIN,
    PSWPOUT,
    SLOT_CACHE,
    SLOT_CACHE_NEXT,
    SLOT_CACHE_NR,
    SLOT_IN_HAND,
    SLOT_MAP_MAX,
    SLOT_SHADOWS,
    SW_SLOT_CACHE,
    SWAP_CLUSTER_NEXT,
    SWAP_CLUSTER_NR,
    SWAP_HIGHEST,
    SWAP_INUSE,
    SWAP_LOWEST,
    SWAP_MAX,
    SWAP_SLOTS_CACHE_SIZE,
    SWAPFILE_CLUSTER,
    TICK,
    TIME_SWAP_WRITE,
)
from ksmlab_core.mm.page_alloc import (
    alloc_page,
    fail_now,
    get_page,
    page_ksm,
    put_page,
    trylock_page,
)
from ksmlab_core.mm.swap_slots import check_cache_active, free_swap_slot
from ksmlab_core.mm.swapfile import nr_swap_pages, slot_in_use, vm_swap_full
from ksmlab_core.mm.workingset import workingset_refault


@inlined
def _free_slot_if_unused(m, e):
    if not slot_in_use(m, e):
        free_swap_slot(m, e)


@inlined
def delete_from_swap_cache(m, page):
    """Take a page out of the swap cache: its slot loses the cache mark, the page the cache's reference."""
    e = m.frame.private[page]
    m.frame.pg[page] &= ~PG_SWAPCACHE
    m.frame.private[page] = NONE
    m.slot.frame[e] = NONE
    m.sc[NR_SWAPCACHE] -= 1
    _free_slot_if_unused(m, e)
    put_page(m, page)


@inlined
def try_to_free_swap(m, page):
    """Leave the swap cache if no swap pte names the slot any more; the page becomes dirty (R-FREE-1)."""
    pg = m.frame.pg[page]
    if not pg & PG_SWAPCACHE or pg & PG_WRITEBACK or m.slot.refs[m.frame.private[page]] != 0:
        return False
    delete_from_swap_cache(m, page)
    m.frame.pg[page] |= PG_DIRTY
    return True


@jit
def _find_empty_cluster(m):
    """The first SWAPFILE_CLUSTER free slots in a row, from the lowest free slot up; NONE if there are none."""
    run = 0
    for e in range(m.sc[SWAP_LOWEST], m.sc[SWAP_HIGHEST] + 1):
        run = 0 if slot_in_use(m, e) else run + 1
        if run == SWAPFILE_CLUSTER:
            return e - SWAPFILE_CLUSTER + 1
    return NONE


@jit
def _slot_is_free(m, e):
    """True if the slot is free, or can be freed because swap is full and only an unneeded cached page holds it."""
    if not slot_in_use(m, e):
        return True
    if m.slot.refs[e] != 0 or not vm_swap_full(m):
        return False
    page = m.slot.frame[e]
    if not trylock_page(m, page):
        return False
    get_page(m, page)
    try_to_free_swap(m, page)
    put_page(m, page)
    return not slot_in_use(m, e)


@jit
def get_swap_page(m):
    """A free slot, counted as used, or NONE: clusters first, then the next free one after the last, once around."""
    sc = m.sc
    if nr_swap_pages(m) <= 0:
        return NONE
    e = sc[SWAP_CLUSTER_NEXT]
    if sc[SWAP_CLUSTER_NR] == 0:
        if nr_swap_pages(m) >= SWAPFILE_CLUSTER:
            start = _find_empty_cluster(m)
            if start != NONE:
                e = start
        sc[SWAP_CLUSTER_NR] = SWAPFILE_CLUSTER - 1
    else:
        sc[SWAP_CLUSTER_NR] -= 1
    if e > sc[SWAP_HIGHEST]:
        e = sc[SWAP_LOWEST]
    start = e
    found = NONE
    while e <= sc[SWAP_HIGHEST] and found == NONE:
        if _slot_is_free(m, e):
            found = e
        e += 1
    e = sc[SWAP_LOWEST]
    while e < start and found == NONE:
        if _slot_is_free(m, e):
            found = e
        e += 1
    if found == NONE:
        return NONE
    sc[SWAP_INUSE] += 1
    if found == sc[SWAP_LOWEST]:
        sc[SWAP_LOWEST] += 1
    if found == sc[SWAP_HIGHEST]:
        sc[SWAP_HIGHEST] -= 1
    if nr_swap_pages(m) == 0:
        sc[SWAP_LOWEST] = sc[SWAP_MAX]
        sc[SWAP_HIGHEST] = 0
    sc[SWAP_CLUSTER_NEXT] = found + 1
    return found


@jit
def _refill_swap_slots_cache(m):
    sc = m.sc
    sc[SLOT_CACHE_NEXT] = 0
    n = 0
    while n < SWAP_SLOTS_CACHE_SIZE:
        e = get_swap_page(m)
        if e == NONE:
            break
        m.slot.refs[e] = SLOT_IN_HAND
        sc[SLOT_CACHE + n] = e
        n += 1
    sc[SLOT_CACHE_NR] = n


@jit
def _take_slot_in_hand(m):
    sc = m.sc
    if not check_cache_active(m):
        return NONE
    if sc[SLOT_CACHE_NR] == 0:
        _refill_swap_slots_cache(m)
    if sc[SLOT_CACHE_NR] == 0:
        return NONE
    e = sc[SLOT_CACHE + sc[SLOT_CACHE_NEXT]]
    sc[SLOT_CACHE_NEXT] += 1
    sc[SLOT_CACHE_NR] -= 1
    m.slot.refs[e] = 0
    return e


@inlined
def alloc_swap_slot(m):
    """A slot for a page, from those in hand where some are kept (R-RECL-5); NONE when there is none."""
    e = _take_slot_in_hand(m) if m.sc[SW_SLOT_CACHE] else NONE
    return get_swap_page(m) if e == NONE else e


@jit
def swap_before(m, n):
    """Take and give back `n` slots, as a machine has that has swapped before."""
    for _ in range(n):
        e = alloc_swap_slot(m)
        if e != NONE:
            free_swap_slot(m, e)


@inlined
def _add_to_swap_cache(m, page, e):
    get_page(m, page)
    m.frame.pg[page] |= PG_SWAPCACHE
    m.frame.private[page] = e
    m.slot.frame[e] = page
    m.sc[NR_SWAPCACHE] += 1


@jit
def add_to_swap(m, page):
    """Give an anon page a slot and put it into the swap cache, dirty; False when no slot is left (R-RECL-5)."""
    e = alloc_swap_slot(m)
    if e == NONE:
        return False
    _add_to_swap_cache(m, page, e)
    m.frame.pg[page] |= PG_DIRTY
    return True


@inlined
def swap_duplicate(m, e):
    """One more swap pte names the slot; False when the count would need a continuation that cannot be had."""
    if m.slot.refs[e] >= SLOT_MAP_MAX and fail_now(m, FAIL_SWAP_CONTINUATION):
        return False
    m.slot.refs[e] += 1
    return True


@inlined
def swap_free(m, e):
    """One swap pte fewer names the slot."""
    m.slot.refs[e] -= 1
    _free_slot_if_unused(m, e)


@jit
def free_swap_and_cache(m, e):
    """A swap pte is zapped: as `swap_free`, and a cached page that nobody needs loses the slot (R-FREE-2)."""
    m.slot.refs[e] -= 1
    if m.slot.refs[e] == 0 and m.slot.frame[e] != NONE:
        page = m.slot.frame[e]
        if not trylock_page(m, page):
            return
        writeback = (m.frame.pg[page] & PG_WRITEBACK) != 0
        if not writeback and (m.frame.mapcount[page] == 0 or vm_swap_full(m)):
            get_page(m, page)
            delete_from_swap_cache(m, page)
            m.frame.pg[page] |= PG_DIRTY
            put_page(m, page)
        return
    _free_slot_if_unused(m, e)


@jit
def free_page_and_swap_cache(m, page):
    """What the mmu gather does with a page whose pte was zapped: free its slot if it was the last user."""
    if m.frame.pg[page] & PG_SWAPCACHE and m.frame.mapcount[page] == 0 and trylock_page(m, page):
        try_to_free_swap(m, page)
    put_page(m, page)


@jit
def reuse_swap_page(m, page):
    """May a writer have this page to itself? Frees the slot when the writer is its only user (R-REUSE-1)."""
    if page_ksm(m, page):
        return False
    n = m.frame.mapcount[page]
    if n <= 1 and m.frame.pg[page] & PG_SWAPCACHE:
        n += m.slot.refs[m.frame.private[page]]
        if n == 1 and not m.frame.pg[page] & PG_WRITEBACK:
            delete_from_swap_cache(m, page)
            m.frame.pg[page] |= PG_DIRTY
    return n <= 1


@inlined
def _swap_readpage(m, page, e):
    """Read the slot; an asked-for I/O error leaves the page not uptodate (R-SWAPIN-8)."""
    m.sc[PSWPIN] += 1
    m.sc[TICK] += m.sc[COST_SWAP_READ]
    m.frame.content[page] = m.slot.content[e]
    if not fail_now(m, FAIL_SWAP_READ):
        m.frame.pg[page] |= PG_UPTODATE


@inlined
def read_swap_cache_async(m, e):
    """The slot's page, read if it is not cached, with a reference for the caller; NONE without a frame or a slot."""
    if m.slot.frame[e] != NONE:
        page = m.slot.frame[e]
        get_page(m, page)
        return page
    if m.slot.refs[e] <= 0:
        return NONE
    page = alloc_page(m)
    if page == NONE:
        return NONE
    m.frame.pg[page] |= PG_SWAPBACKED
    _add_to_swap_cache(m, page, e)
    if m.sc[SLOT_SHADOWS] and workingset_refault(m, e):
        lru_cache_add_lru(m, page, LRU_ACTIVE_ANON)
    else:
        lru_cache_add_lru(m, page, LRU_INACTIVE_ANON)
    _swap_readpage(m, page, e)
    return page


@inlined
def swapin_readahead(m, e):
    """Read the aligned window of slots in use without a gap around `e`, then `e` itself (R-SWAPIN-1)."""
    m.sc[TICK] += m.sc[COST_SWAP_LOOKUP]
    order = m.sc[PAGE_CLUSTER]
    if order > 0:
        base = (e >> order) << order
        end = min(base + (1 << order), m.sc[SWAP_MAX])
        base = max(base, 1)
        last = e + 1
        while last < end and slot_in_use(m, last):
            last += 1
        first = e
        while first > base and slot_in_use(m, first - 1):
            first -= 1
        if last - first > 1:
            for offset in range(first, last):
                page = read_swap_cache_async(m, offset)
                if page == NONE:
                    break
                put_page(m, page)
    lru_add_drain(m)
    return read_swap_cache_async(m, e)


@inlined
def swap_writepage(m, page):
    """Write a page to its slot, or leave the cache when nobody refers to the slot any more (R-RECL-7)."""
    if try_to_free_swap(m, page):
        return
    e = m.frame.private[page]
    m.slot.content[e] = m.frame.content[page]
    m.sc[PSWPOUT] += 1
    m.sc[TIME_SWAP_WRITE] += m.sc[COST_SWAP_WRITE]
    m.frame.pg[page] |= PG_WRITEBACK


@jit
def end_swap_write(m, page):
    m.frame.pg[page] &= ~PG_WRITEBACK
    if m.frame.pg[page] & PG_RECLAIM:
        m.frame.pg[page] &= ~PG_RECLAIM
        rotate_reclaimable_page(m, page)


@jit
def start_writeback(m, page):
    """Remember a page whose write is under way until the step ends (`end_writeback`)."""
    m.scratch[m.sc[NR_WRITEBACK]] = page
    m.sc[NR_WRITEBACK] += 1


@jit
def end_writeback(m):
    """Let every write that is under way finish, in the order in which they were started."""
    n = m.sc[NR_WRITEBACK]
    m.sc[NR_WRITEBACK] = 0
    for i in range(n):
        end_swap_write(m, m.scratch[i])
