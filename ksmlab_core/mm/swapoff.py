"""Giving a swap area up (``try_to_unuse`` of ``mm/swapfile.c``): R-OFF-1 to R-OFF-4."""

from __future__ import annotations

from ksmlab_core.mm._jit import jit
from ksmlab_core.mm.lru import activate_page
from ksmlab_core.mm.memory import install_pte
from ksmlab_core.mm.mm_types import (
    MM_HEAD,
    NONE,
    NR_FREE,
    PG_DIRTY,
    PG_SWAPCACHE,
    PG_WRITEBACK,
    PTE_SWAP,
    PTE_YOUNG,
    SWAP_MAX,
)
from ksmlab_core.mm.page_alloc import get_page, page_anon_vma, put_page
from ksmlab_core.mm.rmap import page_add_anon_rmap, vma_pte
from ksmlab_core.mm.swap import (
    delete_from_swap_cache,
    read_swap_cache_async,
    swap_free,
    swap_writepage,
)
from ksmlab_core.mm.swapfile import slot_in_use


@jit
def _unuse_pte(m, p, e, page):
    """Map the page where a swap pte names the slot: read-only and old; active if it is on a list (R-OFF-3, X-2)."""
    if not m.pte_flags[p] & PTE_SWAP or m.pte_target[p] != e:
        return False
    m.mm.rss[m.vma.mm[m.pte.vma[p]]] += 1
    get_page(m, page)
    install_pte(m, p, page, 0)
    m.pte_flags[p] &= 0xFF ^ PTE_YOUNG
    page_add_anon_rmap(m, page, p)
    swap_free(m, e)
    activate_page(m, page)
    return True


@jit
def _unuse_vma(m, vma, e, page):
    """Look for one swap pte of the slot where it can be (R-OFF-2)."""
    first = m.vma.pte_base[vma]
    last = first + m.vma.vm_end[vma] - m.vma.vm_start[vma]
    av = page_anon_vma(m, page)
    if av != NONE:
        first = vma_pte(m, page, vma) if av == m.vma.anon_vma[vma] else NONE
        if first == NONE:
            return False
        last = first + 1
    for p in range(first, last):
        if _unuse_pte(m, p, e, page):
            return True
    return False


@jit
def _unuse_mm(m, mm, e, page):
    """At most one pte per process and visit (R-OFF-1)."""
    vma = m.mm.mmap[mm]
    while vma != NONE:
        if m.vma.anon_vma[vma] != NONE and _unuse_vma(m, vma, e, page):
            return
        vma = m.vma.vm_next[vma]


@jit
def _sweep_mms(m, e, page, start_mm):
    """Visit the processes on mmlist once, the one that helped last first; where to start next."""
    count = m.slot.refs[e]
    if start_mm != MM_HEAD:
        _unuse_mm(m, start_mm, e, page)
    if m.slot.refs[e] == 0:
        return start_mm
    set_start = m.slot.refs[e] >= count
    new_start = start_mm
    mm = m.mm.list_next[start_mm]
    while m.slot.refs[e] > 0 and mm != start_mm:
        count = m.slot.refs[e]
        if mm == MM_HEAD:
            set_start = True
        else:
            _unuse_mm(m, mm, e, page)
        if set_start and m.slot.refs[e] < count:
            new_start = mm
            set_start = False
        mm = m.mm.list_next[mm]
    return new_start


@jit
def _unuse_slot(m, e, start_mm):
    """Empty one slot as far as one page can; (where to start next, False without a frame)."""
    page = read_swap_cache_async(m, e)
    if page == NONE:
        return start_mm, False
    if m.slot.refs[e] > 0:
        start_mm = _sweep_mms(m, e, page, start_mm)
    if m.slot.refs[e] > 0 and m.frame.pg[page] & PG_DIRTY and m.frame.pg[page] & PG_SWAPCACHE:
        # What remains will be read from the slot into another page, so the slot must hold the bytes.
        m.frame.pg[page] &= ~PG_DIRTY
        swap_writepage(m, page)
        m.frame.pg[page] &= ~PG_WRITEBACK
    if m.frame.pg[page] & PG_SWAPCACHE and m.frame.private[page] == e:
        delete_from_swap_cache(m, page)
    m.frame.pg[page] |= PG_DIRTY
    put_page(m, page)
    return start_mm, True


@jit
def try_to_unuse(m, first, start_mm, reserve):
    """Empty the slots from `first` on, around and around until none is in use (R-OFF-4).

    Stops early when fewer than `reserve` frames are free, or a page cannot be had. Returns (done, slot to go on at,
    where to start among the processes).
    """
    e = first
    rest = m.sc[SWAP_MAX]
    while rest > 0:
        if e >= m.sc[SWAP_MAX]:
            e = 1
        if slot_in_use(m, e):
            if m.sc[NR_FREE] < reserve:
                return False, e, start_mm
            start_mm, got = _unuse_slot(m, e, start_mm)
            if not got:
                return False, e, start_mm
            rest = m.sc[SWAP_MAX]
        rest -= 1
        e += 1
    return True, 0, MM_HEAD
