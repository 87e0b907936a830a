"""Letting go of addresses: munmap, madvise(DONTNEED), exit (``zap_pte_range``), mlock and munlock of ranges."""

from __future__ import annotations

from ksmlab_core.mm._jit import jit
from ksmlab_core.mm.lru import lru_add_drain, mark_page_accessed, mlock_drain
from ksmlab_core.mm.memory import VM_FAULT_ERROR, VM_FAULT_WRITE, handle_mm_fault
from ksmlab_core.mm.mlock import munlock_vma_page
from ksmlab_core.mm.mm_types import (
    NONE,
    PG_DIRTY,
    PG_MLOCKED,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_SWAP,
    PTE_WRITE,
    SW_MLOCK_BY_MAPPING,
    VM_WRITE,
    ZERO_PAGE,
)
from ksmlab_core.mm.rmap import mlock_vma_page, page_remove_rmap
from ksmlab_core.mm.swap import free_page_and_swap_cache, free_swap_and_cache
from ksmlab_core.mm.zero_page import ksm_might_unmap_zero_page


@jit
def zap_pte_range(m, mm, first, last):
    """Clear the ptes `first` to `last`-1 (R-ZAP-1). Items are not touched: they are stale until ksmd passes."""
    for p in range(first, last):
        flags = m.pte_flags[p]
        what = m.pte_target[p]
        ksm_might_unmap_zero_page(m, p)
        m.pte_flags[p] = 0
        m.pte_target[p] = NONE
        if flags & PTE_SWAP:
            free_swap_and_cache(m, what)
        elif flags & PTE_PRESENT and what != ZERO_PAGE:
            m.mm.rss[mm] -= 1
            page_remove_rmap(m, what)
            free_page_and_swap_cache(m, what)


@jit
def munlock_pte_range(m, first, last):
    """Unlock the pages of a range (R-MLOCK-3)."""
    lru_add_drain(m)
    for p in range(first, last):
        if m.pte_flags[p] & PTE_PRESENT and m.pte_target[p] != ZERO_PAGE:
            munlock_vma_page(m, m.pte_target[p])
    mlock_drain(m)


@jit
def _make_present(m, p, write):
    """Fault until the pte is there as get_user_pages wants it; False on OOM or SIGBUS."""
    while True:
        flags = m.pte_flags[p]
        if flags & PTE_PRESENT and (not write or flags & PTE_WRITE):
            return True
        result = handle_mm_fault(m, p, write)
        if result & VM_FAULT_ERROR:
            return False
        if result & VM_FAULT_WRITE and not m.pte_flags[p] & PTE_WRITE:
            write = False


@jit
def _mlock_present(m, first, last):
    """Lock what is there already, before anything is faulted in."""
    for p in range(first, last):
        if m.pte_flags[p] & PTE_PRESENT and m.pte_target[p] != ZERO_PAGE:
            mlock_vma_page(m, m.pte_target[p])
    mlock_drain(m)


@jit
def mlock_pte_range(m, first, last):
    """Fault a range in, for write where it may be written, and lock its pages (R-MLOCK-1).

    Returns the pte to go on at: `last`, or the first one that could not be faulted in.
    """
    lru_add_drain(m)
    if m.sc[SW_MLOCK_BY_MAPPING]:
        _mlock_present(m, first, last)
    start = first
    while start < last:
        end = min(start + 16, last)
        for p in range(start, end):
            write = (m.vma.vm_flags[m.pte.vma[p]] & VM_WRITE) != 0
            if not _make_present(m, p, write):
                return p
            page = m.pte_target[p]
            if write and not m.pte_flags[p] & PTE_DIRTY:
                m.frame.pg[page] |= PG_DIRTY
            mark_page_accessed(m, page)
        lru_add_drain(m)
        for p in range(start, end):
            page = m.pte_target[p]
            if page != ZERO_PAGE and not m.frame.pg[page] & PG_MLOCKED:
                mlock_vma_page(m, page)
        start = end
    return last
