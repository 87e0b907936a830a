"""LRU lists, page batches and evictability (``mm/swap.c``, and the list half of ``mm/vmscan.c``)."""

from __future__ import annotations

from ksmlab_core.mm._jit import inlined, jit
from ksmlab_core.mm.mm_types import (
    LRU_ACTIVE_ANON,
    LRU_INACTIVE_ANON,
    LRU_UNEVICTABLE,
    MLOCK_BATCH,
    MLOCK_BATCH_COUNT,
    MLOCK_BATCH_SIZE,
    NR_MLOCK,
    PAGEVEC_SIZE,
    PG_ACTIVE,
    PG_LRU,
    PG_MLOCKED,
    PG_REFERENCED,
    PG_UNEVICTABLE,
    PGACTIVATE,
    PVEC,
    PVEC_ACTIVATE,
    PVEC_COUNT,
    PVEC_ROTATE,
    SW_ACTIVATE_BATCH,
    UNEVICTABLE_PGCULLED,
    UNEVICTABLE_PGMLOCKED,
    UNEVICTABLE_PGRESCUED,
    VM_LOCKED,
    VM_SPECIAL,
)
from ksmlab_core.mm.page_alloc import (
    add_page_to_lru_list,
    add_page_to_lru_tail,
    del_page_from_lru_list,
    get_page,
    lru_of,
    put_page,
)
from ksmlab_core.mm.workingset import workingset_age_nonresident


@inlined
def drain_lru_add(m, lru):
    """Move one batch (inactive or active) to its list, in the order in which the pages came (R-OBJ-15)."""
    n = m.sc[PVEC_COUNT + lru]
    m.sc[PVEC_COUNT + lru] = 0
    for i in range(n):
        page = m.sc[PVEC + lru * PAGEVEC_SIZE + i]
        m.frame.pg[page] |= PG_LRU
        if lru == LRU_ACTIVE_ANON:
            m.frame.pg[page] |= PG_ACTIVE
        add_page_to_lru_list(m, page, lru)
    for i in range(n):
        put_page(m, m.sc[PVEC + lru * PAGEVEC_SIZE + i])


@inlined
def pagevec_move_tail(m):
    """Move the pages whose writeback has ended to the tail of the inactive list."""
    n = m.sc[PVEC_COUNT + PVEC_ROTATE]
    m.sc[PVEC_COUNT + PVEC_ROTATE] = 0
    for i in range(n):
        page = m.sc[PVEC + PVEC_ROTATE * PAGEVEC_SIZE + i]
        if (m.frame.pg[page] & (PG_LRU | PG_ACTIVE | PG_UNEVICTABLE)) == PG_LRU:
            del_page_from_lru_list(m, page, LRU_INACTIVE_ANON)
            add_page_to_lru_tail(m, page, LRU_INACTIVE_ANON)
    for i in range(n):
        put_page(m, m.sc[PVEC + PVEC_ROTATE * PAGEVEC_SIZE + i])


@jit
def mlock_drain(m):
    """Let go of the pages in the batch of mlock and munlock; those that are locked move to the unevictable list."""
    n = m.sc[MLOCK_BATCH_COUNT]
    m.sc[MLOCK_BATCH_COUNT] = 0
    for i in range(n):
        page = m.sc[MLOCK_BATCH + i]
        if m.frame.pg[page] & (PG_MLOCKED | PG_UNEVICTABLE) == PG_MLOCKED and isolate_lru_page(m, page):
            putback_lru_page(m, page)
        put_page(m, page)


@jit
def mlock_batch_add(m, page):
    """A page was locked or unlocked: hold it until the batch is drained, where the kernel has one (R-B-MLOCK-1).

    What the kernel does at the drain to a page that was unlocked is done already.
    """
    if m.sc[MLOCK_BATCH_SIZE] == 0:
        return
    get_page(m, page)
    n = m.sc[MLOCK_BATCH_COUNT]
    m.sc[MLOCK_BATCH + n] = page
    m.sc[MLOCK_BATCH_COUNT] = n + 1
    if n + 1 == m.sc[MLOCK_BATCH_SIZE]:
        mlock_drain(m)


@inlined
def _activate_now(m, page):
    if (m.frame.pg[page] & (PG_LRU | PG_ACTIVE | PG_UNEVICTABLE)) == PG_LRU:
        del_page_from_lru_list(m, page, LRU_INACTIVE_ANON)
        m.frame.pg[page] |= PG_ACTIVE
        add_page_to_lru_list(m, page, LRU_ACTIVE_ANON)
        m.sc[PGACTIVATE] += 1


@inlined
def _activate_page_drain(m):
    n = m.sc[PVEC_COUNT + PVEC_ACTIVATE]
    m.sc[PVEC_COUNT + PVEC_ACTIVATE] = 0
    for i in range(n):
        _activate_now(m, m.sc[PVEC + PVEC_ACTIVATE * PAGEVEC_SIZE + i])
    for i in range(n):
        put_page(m, m.sc[PVEC + PVEC_ACTIVATE * PAGEVEC_SIZE + i])


@inlined
def lru_add_drain(m):
    drain_lru_add(m, LRU_INACTIVE_ANON)
    drain_lru_add(m, LRU_ACTIVE_ANON)
    pagevec_move_tail(m)
    if m.sc[PVEC_COUNT + PVEC_ACTIVATE]:
        _activate_page_drain(m)
    if m.sc[MLOCK_BATCH_COUNT] > 0:
        mlock_drain(m)


@inlined
def pagevec_add(m, page, batch):
    """Put a page into a batch; True when the batch is now full. The batch holds a reference."""
    get_page(m, page)
    n = m.sc[PVEC_COUNT + batch]
    m.sc[PVEC + batch * PAGEVEC_SIZE + n] = page
    m.sc[PVEC_COUNT + batch] = n + 1
    return n + 1 == PAGEVEC_SIZE


@inlined
def lru_cache_add_lru(m, page, lru):
    """Queue a page for the inactive or active list."""
    m.frame.pg[page] &= ~(PG_ACTIVE | PG_UNEVICTABLE)
    if pagevec_add(m, page, lru):
        drain_lru_add(m, lru)


@jit
def add_page_to_unevictable_list(m, page):
    m.frame.pg[page] |= PG_UNEVICTABLE | PG_LRU
    add_page_to_lru_list(m, page, LRU_UNEVICTABLE)


@jit
def rotate_reclaimable_page(m, page):
    """After writeback: the page can be freed at the next visit, so it goes to the inactive tail (R-RECL-7)."""
    if (m.frame.pg[page] & (PG_LRU | PG_ACTIVE | PG_UNEVICTABLE)) == PG_LRU and pagevec_add(m, page, PVEC_ROTATE):
        pagevec_move_tail(m)


@jit
def activate_page(m, page):
    """To the head of the active list, if it is on the inactive one; a page in a batch stays where it is (X-2).

    Later kernels gather such pages in a batch of their own first.
    """
    if not m.sc[SW_ACTIVATE_BATCH]:
        _activate_now(m, page)
    elif (m.frame.pg[page] & (PG_LRU | PG_ACTIVE | PG_UNEVICTABLE)) == PG_LRU and pagevec_add(m, page, PVEC_ACTIVATE):
        _activate_page_drain(m)


@jit
def mark_page_accessed(m, page):
    pg = m.frame.pg[page]
    if (pg & (PG_ACTIVE | PG_UNEVICTABLE | PG_REFERENCED | PG_LRU)) == (PG_REFERENCED | PG_LRU):
        activate_page(m, page)
        m.frame.pg[page] &= ~PG_REFERENCED
        workingset_age_nonresident(m)
    elif not pg & PG_REFERENCED:
        m.frame.pg[page] |= PG_REFERENCED


@inlined
def page_evictable(m, page):
    return (m.frame.pg[page] & PG_MLOCKED) == 0


@inlined
def page_evictable_in(m, page, vma):
    """As `page_evictable`, for a page about to be mapped into `vma`: a locked one marks it mlocked."""
    if not page_evictable(m, page):
        return False
    if (m.vma.vm_flags[vma] & (VM_LOCKED | VM_SPECIAL)) != VM_LOCKED:
        return True
    m.frame.pg[page] |= PG_MLOCKED
    m.sc[NR_MLOCK] += 1
    m.sc[UNEVICTABLE_PGMLOCKED] += 1
    mlock_batch_add(m, page)
    return False


@inlined
def isolate_lru_page(m, page):
    """Take a page off its list, with a reference; False if it is on none."""
    if not m.frame.pg[page] & PG_LRU:
        return False
    get_page(m, page)
    del_page_from_lru_list(m, page, lru_of(m, page))
    m.frame.pg[page] &= ~PG_LRU
    return True


@jit
def putback_lru_page(m, page):
    """Give an isolated page back to the list that it now belongs on, and drop the isolation's reference."""
    active = (m.frame.pg[page] & PG_ACTIVE) != 0
    was_unevictable = (m.frame.pg[page] & PG_UNEVICTABLE) != 0
    m.frame.pg[page] &= ~(PG_ACTIVE | PG_UNEVICTABLE)
    if page_evictable(m, page):
        lru_cache_add_lru(m, page, LRU_ACTIVE_ANON if active else LRU_INACTIVE_ANON)
        if was_unevictable:
            m.sc[UNEVICTABLE_PGRESCUED] += 1
    else:
        add_page_to_unevictable_list(m, page)
        if not was_unevictable:
            m.sc[UNEVICTABLE_PGCULLED] += 1
    put_page(m, page)
