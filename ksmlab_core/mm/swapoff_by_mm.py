"""Giving a swap area up pte by pte (``try_to_unuse`` since 5.1): R-B-OFF-1.

The processes on mmlist are walked, their ptes in order; each swap pte gets its page, or a copy of it where a swap-in
would copy. One round does; what is left in the swap cache behind it serves nobody and is let go.
"""

from __future__ import annotations

from ksmlab_core.mm._jit import jit
from ksmlab_core.mm.memory import copy_swapped_in, install_pte, swapin_needs_copy
from ksmlab_core.mm.mm_types import (
    MM_HEAD,
    NONE,
    NR_FREE,
    PG_ANON_EXCLUSIVE,
    PG_UPTODATE,
    PTE_SWAP,
    PTE_SWP_EXCLUSIVE,
    PTE_YOUNG,
    SW_MLOCK_BY_MAPPING,
    SW_SWAPIN_EXCLUSIVE,
    SWAP_INUSE,
    SWAP_MAX,
    VM_LOCKED,
)
from ksmlab_core.mm.page_alloc import get_page, page_ksm, put_page
from ksmlab_core.mm.rmap import mlock_vma_page, page_add_anon_rmap
from ksmlab_core.mm.swap import read_swap_cache_async, swap_free, swapin_readahead, try_to_free_swap


@jit
def _unuse_pte(m, p, page):
    """Map the page, or a copy of it, where a swap pte is: read-only and old; False without a frame for the copy."""
    vma = m.pte.vma[p]
    alone = (m.pte_flags[p] & PTE_SWP_EXCLUSIVE) != 0
    mapped = page
    if swapin_needs_copy(m, page, p):
        get_page(m, page)  # the copy takes one reference away
        mapped = copy_swapped_in(m, page, p)
        if mapped == NONE:
            return False
        alone = True
    else:
        get_page(m, page)
    e = m.pte_target[p]
    m.mm.rss[m.vma.mm[vma]] += 1
    install_pte(m, p, mapped, 0)
    m.pte_flags[p] &= 0xFF ^ PTE_YOUNG
    page_add_anon_rmap(m, mapped, p)
    if alone and m.sc[SW_SWAPIN_EXCLUSIVE] and not page_ksm(m, mapped):
        m.frame.pg[mapped] |= PG_ANON_EXCLUSIVE
    if m.vma.vm_flags[vma] & VM_LOCKED and m.sc[SW_MLOCK_BY_MAPPING]:
        mlock_vma_page(m, mapped)
    swap_free(m, e)
    return True


@jit
def _unuse_swap_pte(m, p):
    """Bring one swap pte's page back; False without a frame."""
    e = m.pte_target[p]
    page = read_swap_cache_async(m, e) if m.slot.frame[e] != NONE else swapin_readahead(m, e)
    if page == NONE:
        return False
    done = not m.frame.pg[page] & PG_UPTODATE or _unuse_pte(m, p, page)
    try_to_free_swap(m, page)
    put_page(m, page)
    return done


@jit
def _unuse_mm(m, mm, reserve):
    vma = m.mm.mmap[mm]
    while vma != NONE:
        if m.vma.anon_vma[vma] != NONE:
            first = m.vma.pte_base[vma]
            for p in range(first, first + m.vma.vm_end[vma] - m.vma.vm_start[vma]):
                if m.pte_flags[p] & PTE_SWAP and (m.sc[NR_FREE] < reserve or not _unuse_swap_pte(m, p)):
                    return False
        vma = m.vma.vm_next[vma]
    return True


@jit
def _free_what_is_cached(m):
    for e in range(1, m.sc[SWAP_MAX]):
        page = m.slot.frame[e]
        if page != NONE:
            get_page(m, page)
            try_to_free_swap(m, page)
            put_page(m, page)


@jit
def unuse_by_mm(m, reserve):
    """Empty the swap area; False when a frame was wanting, or a page could not be read."""
    mm = m.mm.list_next[MM_HEAD]
    while mm != MM_HEAD and m.sc[SWAP_INUSE] > 0:
        if not _unuse_mm(m, mm, reserve):
            return False
        mm = m.mm.list_next[mm]
    _free_what_is_cached(m)
    return m.sc[SWAP_INUSE] == 0
