"""Locking pages in memory (``mm/mlock.c``)."""

from __future__ import annotations

from ksmlab_core.mm._jit import jit
from ksmlab_core.mm.lru import isolate_lru_page, mlock_batch_add, putback_lru_page
from ksmlab_core.mm.mm_types import (
    LRU_INACTIVE_ANON,
    MLOCK_BATCH_SIZE,
    NR_MLOCK,
    PG_ACTIVE,
    PG_LRU,
    PG_MLOCKED,
    PG_UNEVICTABLE,
    UNEVICTABLE_PGCLEARED,
    UNEVICTABLE_PGMUNLOCKED,
    UNEVICTABLE_PGRESCUED,
    UNEVICTABLE_PGSTRANDED,
)
from ksmlab_core.mm.page_alloc import add_page_to_lru_list, put_page
from ksmlab_core.mm.rmap import SWAP_MLOCK, try_to_munlock


@jit
def clear_page_mlock(m, page):
    """A page loses its lock because a VM_LOCKED vma stops mapping it, others or not (R-COW-3)."""
    if not m.frame.pg[page] & PG_MLOCKED:
        return
    m.frame.pg[page] &= ~PG_MLOCKED
    m.sc[NR_MLOCK] -= 1
    m.sc[UNEVICTABLE_PGCLEARED] += 1
    if isolate_lru_page(m, page):
        putback_lru_page(m, page)
    elif m.frame.pg[page] & PG_UNEVICTABLE:
        m.sc[UNEVICTABLE_PGSTRANDED] += 1


@jit
def munlock_vma_page(m, page):
    """A locked area maps a page no longer: unlock it, unless another VM_LOCKED vma is found to map it (R-MLOCK-3)."""
    _munlock_page(m, page)
    mlock_batch_add(m, page)


@jit
def _putback_munlocked(m, page):
    """Give a page that was unlocked back: where there is a batch it is this one, not that of the inactive list."""
    if m.sc[MLOCK_BATCH_SIZE] == 0 or m.frame.pg[page] & PG_MLOCKED:
        putback_lru_page(m, page)
        return
    if m.frame.pg[page] & PG_UNEVICTABLE:
        m.sc[UNEVICTABLE_PGRESCUED] += 1
    m.frame.pg[page] = (m.frame.pg[page] & ~(PG_ACTIVE | PG_UNEVICTABLE)) | PG_LRU
    add_page_to_lru_list(m, page, LRU_INACTIVE_ANON)
    put_page(m, page)


@jit
def _munlock_page(m, page):
    if not m.frame.pg[page] & PG_MLOCKED:
        return
    m.frame.pg[page] &= ~PG_MLOCKED
    m.sc[NR_MLOCK] -= 1
    if isolate_lru_page(m, page):
        if try_to_munlock(m, page) != SWAP_MLOCK:
            m.sc[UNEVICTABLE_PGMUNLOCKED] += 1
        _putback_munlocked(m, page)
    elif m.frame.pg[page] & PG_UNEVICTABLE:
        m.sc[UNEVICTABLE_PGSTRANDED] += 1
    else:
        m.sc[UNEVICTABLE_PGMUNLOCKED] += 1
