"""Locking pages in memory (``mm/mlock.c``)."""

from __future__ import annotations

from ksmlab_core.mm._jit import jit
from ksmlab_core.mm.lru import isolate_lru_page, putback_lru_page
from ksmlab_core.mm.mm_types import (
    NR_MLOCK,
    PG_MLOCKED,
    PG_UNEVICTABLE,
    UNEVICTABLE_PGCLEARED,
    UNEVICTABLE_PGMUNLOCKED,
    UNEVICTABLE_PGSTRANDED,
)
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
    """Unlock a page, unless another VM_LOCKED vma is found to map it (R-MLOCK-3)."""
    if not m.frame.pg[page] & PG_MLOCKED:
        return
    m.frame.pg[page] &= ~PG_MLOCKED
    m.sc[NR_MLOCK] -= 1
    if isolate_lru_page(m, page):
        if try_to_munlock(m, page) != SWAP_MLOCK:
            m.sc[UNEVICTABLE_PGMUNLOCKED] += 1
        putback_lru_page(m, page)
    elif m.frame.pg[page] & PG_UNEVICTABLE:
        m.sc[UNEVICTABLE_PGSTRANDED] += 1
    else:
        m.sc[UNEVICTABLE_PGMUNLOCKED] += 1
