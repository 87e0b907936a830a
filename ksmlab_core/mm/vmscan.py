"""Reclaim (``mm/vmscan.c``): the two lists, the per-page table R-RECL-4, and eviction of frames that a policy chose."""

from __future__ import annotations

from ksmlab_core.mm._jit import inlined, jit
from ksmlab_core.mm._memory import FETCH_AHEAD, prefetch
from ksmlab_core.mm.lru import isolate_lru_page, lru_add_drain, mlock_drain, page_evictable, putback_lru_page
from ksmlab_core.mm.mm_types import (
    COST_RECLAIM_PAGE,
    DEF_PRIORITY,
    LRU_ACTIVE_ANON,
    LRU_COUNT,
    LRU_INACTIVE_ANON,
    LRU_SAVED_SCAN,
    LRU_TAIL,
    NONE,
    NR_FRAMES,
    NR_FREE,
    PG_ACTIVE,
    PG_DIRTY,
    PG_LRU,
    PG_RECLAIM,
    PG_REFERENCED,
    PG_SWAPCACHE,
    PG_WRITEBACK,
    PGACTIVATE,
    PGDEACTIVATE,
    PGREFILL,
    PGSCAN_DIRECT,
    PGSTEAL,
    RECENT_ROTATED,
    RECENT_SCANNED,
    SCRATCH_SIZE,
    SW_NODE_HOLDS_REF,
    SW_SECOND_CHANCE,
    SW_SHRINK_FALLS_THROUGH,
    SWAP_CLUSTER_MAX,
    TICK,
)
from ksmlab_core.mm.page_alloc import (
    add_page_to_lru_list,
    del_page_from_lru_list,
    get_page,
    lru_of,
    page_anon,
    page_stable_node,
    put_page,
    trylock_page,
)
from ksmlab_core.mm.referenced import page_referenced, ptes_referenced, test_and_clear_referenced
from ksmlab_core.mm.rmap import (
    SWAP_AGAIN,
    SWAP_FAIL,
    SWAP_MLOCK,
    TTU_IGNORE_ACCESS,
    TTU_UNMAP,
    fetch_mapping_ahead,
    mlock_vma_page,
    try_to_unmap,
)
from ksmlab_core.mm.swap import (
    add_to_swap,
    delete_from_swap_cache,
    end_writeback,
    start_writeback,
    swap_writepage,
    try_to_free_swap,
)
from ksmlab_core.mm.swapfile import nr_swap_pages, vm_swap_full
from ksmlab_core.mm.workingset import workingset_age_nonresident, workingset_eviction

# What became of a page; the numbers are those of policy.Outcome.
PAGE_FREED = 0
PAGE_WRITTEN = 1
PAGE_UNMAPPED = 2
PAGE_ACTIVATED = 3
PAGE_CULLED = 4
PAGE_LOCKED = 5
PAGE_PINNED = 6
PAGE_NO_SWAP = 7
PAGE_KEPT = 8


# --------------------------------------------------------------------------------------------------------------
# The active list


@inlined
def _put_on_list(m, page, lru):
    m.frame.pg[page] |= PG_LRU
    add_page_to_lru_list(m, page, lru)


@inlined
def _fetch_tail_ahead(m, page, n):
    """Let the processor fetch what a visit to `page` and the n-1 pages in front of it on its list will need.

    A list can only be walked one miss after the other, so the walk runs ahead of the work; the page it came to.
    """
    while n > 0 and page != NONE:
        fetch_mapping_ahead(m, page)
        page = m.frame.lru_prev[page]
        n -= 1
    return page


@inlined
def _fetch_next(m, page):
    """The page in front of `page` on its list, being fetched; a hint, so a page that has left its list will do."""
    if page == NONE:
        return page
    page = m.frame.lru_prev[page]
    prefetch(m.frame.refcount, page)
    return page


@jit
def shrink_active_list(m, nr_pages):
    """Move up to `nr_pages` from the active tail to the inactive head, used or not (R-RECL-3)."""
    lru_add_drain(m)
    n = min(nr_pages, m.sc[LRU_COUNT + LRU_ACTIVE_ANON])
    m.sc[PGREFILL] += n
    m.sc[RECENT_SCANNED] += n
    ahead = NONE
    if FETCH_AHEAD:
        ahead = _fetch_tail_ahead(m, m.sc[LRU_TAIL + LRU_ACTIVE_ANON], min(n, SWAP_CLUSTER_MAX))
    for _ in range(n):
        if FETCH_AHEAD:
            ahead = _fetch_next(m, ahead)
        page = m.sc[LRU_TAIL + LRU_ACTIVE_ANON]
        isolate_lru_page(m, page)
        m.sc[TICK] += m.sc[COST_RECLAIM_PAGE]
        if not page_evictable(m, page):
            putback_lru_page(m, page)
            continue
        if _mapping_inuse(m, page):
            if m.sc[SW_SECOND_CHANCE]:
                referenced, _locked = ptes_referenced(m, page, False)
            else:
                referenced, _locked = page_referenced(m, page, False)
            if referenced:
                m.sc[RECENT_ROTATED] += 1
        m.frame.pg[page] &= ~PG_ACTIVE
        m.sc[PGDEACTIVATE] += 1
        _put_on_list(m, page, LRU_INACTIVE_ANON)
        put_page(m, page)
    return n


@jit
def inactive_anon_is_low(m):
    """R-RECL-1; the ratio is what the kernel takes for memory of this size."""
    gib = (m.sc[NR_FRAMES] * 4096) >> 30
    ratio = 1
    while gib > 0 and (ratio + 1) * (ratio + 1) <= 10 * gib:
        ratio += 1
    return m.sc[LRU_COUNT + LRU_INACTIVE_ANON] * ratio < m.sc[LRU_COUNT + LRU_ACTIVE_ANON]


# --------------------------------------------------------------------------------------------------------------
# One page of the inactive list


@inlined
def _mapping_inuse(m, page):
    return m.frame.mapcount[page] > 0 or (m.frame.pg[page] & PG_SWAPCACHE) != 0


@inlined
def _activate(m, page):
    if m.frame.pg[page] & PG_SWAPCACHE and vm_swap_full(m):
        try_to_free_swap(m, page)
    m.frame.pg[page] |= PG_ACTIVE
    m.sc[PGACTIVATE] += 1
    return PAGE_ACTIVATED


@jit
def _check_references(m, page):
    """May reclaim go on with a page that was used? PAGE_FREED if so, else what becomes of it (R-B-RECL-1).

    One use through one pte is remembered and forgiven once: most pages are used once, by whom brought them in.
    """
    young, locked = ptes_referenced(m, page, True)
    used = test_and_clear_referenced(m, page)
    if locked:
        mlock_vma_page(m, page)
        return _cull_mlocked(m, page)
    if young == 0:
        return PAGE_FREED
    m.frame.pg[page] |= PG_REFERENCED
    return _activate(m, page) if used or young > 1 else PAGE_KEPT


@jit
def _cull_mlocked(m, page):
    if m.frame.pg[page] & PG_SWAPCACHE:
        try_to_free_swap(m, page)
    putback_lru_page(m, page)
    return PAGE_CULLED


@inlined
def _pageout(m, page):
    """Write a dirty page; True when reclaim may go on to free it (R-RECL-6, R-RECL-7)."""
    if m.frame.refcount[page] != 2:
        return False
    m.frame.pg[page] = (m.frame.pg[page] & ~PG_DIRTY) | PG_RECLAIM
    swap_writepage(m, page)
    if m.frame.pg[page] & PG_WRITEBACK:
        start_writeback(m, page)
        return False
    m.frame.pg[page] &= ~PG_RECLAIM
    return not m.frame.pg[page] & PG_DIRTY


@inlined
def _why_kept(m, page):
    """What keeps an unmapped page: its stable node (R-RECL-6), somebody's reference, or only the order of visits."""
    if m.sc[SW_NODE_HOLDS_REF] and page_stable_node(m, page) != NONE:
        return PAGE_UNMAPPED
    return PAGE_PINNED if m.frame.refcount[page] > 2 else PAGE_KEPT


@inlined
def _free_isolated(m, page):
    """Take a clean page that only the swap cache and reclaim hold out of the cache, and free it (R-RECL-4 #13, #14)."""
    if not m.frame.pg[page] & PG_SWAPCACHE or m.frame.refcount[page] != 2 or m.frame.pg[page] & PG_DIRTY:
        return _why_kept(m, page)
    workingset_eviction(m, m.frame.private[page])
    delete_from_swap_cache(m, page)
    put_page(m, page)
    m.sc[PGSTEAL] += 1
    return PAGE_FREED


@inlined
def shrink_page(m, page, ignore_access):
    """The table R-RECL-4 for one isolated page; PAGE_*. A page culled or freed is no longer isolated.

    `ignore_access` is set for pages that a policy chose: then neither young bits nor PG_referenced save them.
    """
    m.sc[TICK] += m.sc[COST_RECLAIM_PAGE]
    if not trylock_page(m, page):
        return PAGE_LOCKED
    if not page_evictable(m, page):
        return _cull_mlocked(m, page)
    if m.frame.pg[page] & PG_WRITEBACK:
        return PAGE_KEPT
    referenced = 0
    if m.sc[SW_SECOND_CHANCE]:
        if not ignore_access:
            outcome = _check_references(m, page)
            if outcome != PAGE_FREED:
                return outcome
    elif not ignore_access:
        referenced, locked = page_referenced(m, page, True)
        if referenced and _mapping_inuse(m, page) and not locked:
            return _activate(m, page)
    if page_anon(m, page) and not m.frame.pg[page] & PG_SWAPCACHE and not add_to_swap(m, page):
        _activate(m, page)
        return PAGE_NO_SWAP
    if m.frame.mapcount[page] > 0:
        late = m.sc[SW_SECOND_CHANCE] != 0
        result = try_to_unmap(m, page, TTU_UNMAP | (TTU_IGNORE_ACCESS if ignore_access or late else 0))
        if result == SWAP_FAIL or (late and result == SWAP_AGAIN):
            return _activate(m, page)
        if result == SWAP_AGAIN:
            return PAGE_KEPT
        if result == SWAP_MLOCK:
            return _cull_mlocked(m, page)
    if m.frame.pg[page] & PG_DIRTY and (referenced or not _pageout(m, page)):
        return PAGE_WRITTEN if m.frame.pg[page] & PG_WRITEBACK else _why_kept(m, page)
    return _free_isolated(m, page)


@inlined
def _putback_kept(m, page):
    """Give a page that reclaim kept or activated back to its list."""
    if not page_evictable(m, page):
        putback_lru_page(m, page)
        return
    lru = lru_of(m, page)
    if lru == LRU_ACTIVE_ANON:
        m.sc[RECENT_ROTATED] += 1
        workingset_age_nonresident(m)
    _put_on_list(m, page, lru)
    put_page(m, page)


@inlined
def _isolate_inactive(m):
    """Up to a cluster of pages from the inactive tail, oldest first, into the end of scratch; how many."""
    base = m.sc[SCRATCH_SIZE] - SWAP_CLUSTER_MAX
    n = 0
    while n < SWAP_CLUSTER_MAX and m.sc[LRU_COUNT + LRU_INACTIVE_ANON] > 0:
        page = m.sc[LRU_TAIL + LRU_INACTIVE_ANON]
        get_page(m, page)
        del_page_from_lru_list(m, page, LRU_INACTIVE_ANON)
        m.frame.pg[page] &= ~PG_LRU
        m.scratch[base + n] = page
        n += 1
        if FETCH_AHEAD:
            fetch_mapping_ahead(m, page)
    return n


@jit
def shrink_inactive_list(m, max_scan):
    """Visit at least `max_scan` pages of the inactive list, a cluster at a time; pages freed.

    Like the kernel it takes whole clusters, so the last one may meet pages that an earlier one put back.
    """
    lru_add_drain(m)
    base = m.sc[SCRATCH_SIZE] - SWAP_CLUSTER_MAX
    freed = 0
    scanned = 0
    while scanned < max_scan:
        n = _isolate_inactive(m)
        if n == 0:
            break
        scanned += n
        m.sc[RECENT_SCANNED] += n
        m.sc[PGSCAN_DIRECT] += n
        ahead = m.sc[LRU_TAIL + LRU_INACTIVE_ANON]
        for i in range(n):
            if FETCH_AHEAD:
                ahead = _fetch_next(m, ahead)
            page = m.scratch[base + i]
            outcome = shrink_page(m, page, False)
            if outcome == PAGE_FREED:
                freed += 1
            if outcome == PAGE_FREED or outcome == PAGE_CULLED:
                m.scratch[base + i] = NONE
        for i in range(n):
            if m.scratch[base + i] != NONE:
                _putback_kept(m, m.scratch[base + i])
    return freed


# --------------------------------------------------------------------------------------------------------------
# The kernel's own choice of pages


@jit
def _shrink_list(m, lru, nr):
    """One cluster of one list (R-RECL-1; the seed's fall-through from active to inactive, X-1)."""
    if lru == LRU_ACTIVE_ANON:
        if inactive_anon_is_low(m):
            shrink_active_list(m, nr)
            return 0
        if not m.sc[SW_SHRINK_FALLS_THROUGH]:
            return 0
    return shrink_inactive_list(m, nr)


@jit
def _nr_scan_try_batch(m, lru, nr):
    """Small scans are saved up until they make a cluster (R-RECL-2)."""
    m.sc[LRU_SAVED_SCAN + lru] += nr
    nr = m.sc[LRU_SAVED_SCAN + lru]
    if nr < SWAP_CLUSTER_MAX:
        return 0
    m.sc[LRU_SAVED_SCAN + lru] = 0
    return nr


@jit
def shrink_zone(m, priority, nr_to_reclaim):
    """One pass at one priority over both anon lists; pages freed (R-RECL-2)."""
    freed = 0
    if nr_swap_pages(m) > 0:
        inactive = _nr_scan_try_batch(m, LRU_INACTIVE_ANON, m.sc[LRU_COUNT + LRU_INACTIVE_ANON] >> priority)
        active = _nr_scan_try_batch(m, LRU_ACTIVE_ANON, m.sc[LRU_COUNT + LRU_ACTIVE_ANON] >> priority)
        while inactive > 0 or active > 0:
            if inactive > 0:
                nr = min(inactive, SWAP_CLUSTER_MAX)
                inactive -= nr
                freed += _shrink_list(m, LRU_INACTIVE_ANON, nr)
            if active > 0:
                nr = min(active, SWAP_CLUSTER_MAX)
                active -= nr
                freed += _shrink_list(m, LRU_ACTIVE_ANON, nr)
            if freed >= nr_to_reclaim and priority < DEF_PRIORITY:
                break
        if inactive_anon_is_low(m):
            shrink_active_list(m, SWAP_CLUSTER_MAX)
    end_writeback(m)
    return freed


@jit
def try_to_free_pages(m, target):
    """Shrink from priority 12 to 0 until `target` frames are free; frames freed (R-RECL-2)."""
    before = m.sc[NR_FREE]
    mlock_drain(m)
    for priority in range(DEF_PRIORITY, -1, -1):
        if m.sc[NR_FREE] >= target:
            break
        shrink_zone(m, priority, max(SWAP_CLUSTER_MAX, target - m.sc[NR_FREE]))
    return m.sc[NR_FREE] - before


# --------------------------------------------------------------------------------------------------------------
# A policy's choice of pages


_AHEAD = 8  # victims; their frames are fetched twice as far ahead


@jit
def _fetch_victim_ahead(m, pages, i):
    """Let the processor fetch what the victims behind number `i` will need."""
    if i + 2 * _AHEAD < pages.size:
        page = pages[i + 2 * _AHEAD]
        prefetch(m.frame.pg, page)
        prefetch(m.frame.lru_next, page)
    if i + _AHEAD < pages.size:
        fetch_mapping_ahead(m, pages[i + _AHEAD])


@jit
def evict(m, pages, outcomes):
    """Take the frames that a policy chose away from their users, write them and free them; what became of each.

    A dirty frame is written and, its write over, visited once more; frames that cannot be freed go back to the head of
    the inactive list (or where their flags put them).
    """
    lru_add_drain(m)
    for i in range(min(_AHEAD, pages.size)):
        fetch_mapping_ahead(m, pages[i])
    for visit in range(2):
        for i in range(pages.size):
            page = pages[i]
            if FETCH_AHEAD and visit == 0:
                _fetch_victim_ahead(m, pages, i)
            if visit == 1 and outcomes[i] != PAGE_WRITTEN:
                continue
            if m.frame.refcount[page] == 0 or not isolate_lru_page(m, page):
                outcomes[i] = PAGE_KEPT
                continue
            m.frame.pg[page] &= ~PG_ACTIVE
            outcomes[i] = shrink_page(m, page, True)
            if outcomes[i] != PAGE_FREED and outcomes[i] != PAGE_CULLED:
                _putback_kept(m, page)
        end_writeback(m)
        lru_add_drain(m)
