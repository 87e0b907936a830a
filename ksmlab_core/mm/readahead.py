"""Reading ahead by address, not by slot (``swap_vma_readahead``, 4.15): R-B-SWAPIN-4.

Where the swap area has no heads to move, a fault brings in the swap ptes around its own. An area remembers where its
last fault was, how wide the window was then, and how many of the pages read ahead have been wanted since; the next
window grows with these hits, and lies on the side to which the faults go.
"""

from __future__ import annotations

from ksmlab_core.mm._jit import inlined, jit
from ksmlab_core.mm.lru import lru_add_drain
from ksmlab_core.mm.mm_types import (
    COST_SWAP_LOOKUP,
    NONE,
    PAGE_CLUSTER,
    PG_READAHEAD,
    PTE_SWAP,
    SW_READ_AROUND,
    TICK,
)
from ksmlab_core.mm.page_alloc import put_page
from ksmlab_core.mm.rmap import address_of
from ksmlab_core.mm.swap import read_swap_cache_async, swapin_readahead

_MOST_HITS = 63
_PMD = 512  # ptes of one page table, which no window leaves


@jit
def _window(m, vma, address):
    """How many pages to read for a fault at an address."""
    v = m.vma
    most = 1 << m.sc[PAGE_CLUSTER]
    before = v.ra_address[vma]
    pages = v.ra_hits[vma] + 2
    if pages == 2:
        if address != before + 1 and address != before - 1:
            pages = 1
    else:
        wanted = pages
        pages = 4
        while pages < wanted:
            pages *= 2
    return max(min(pages, most), v.ra_window[vma] // 2)


@jit
def _read_window(m, p, vma, address, window):
    """Read the swap ptes of the window that are not cached; those besides `p` are marked as read ahead."""
    before = m.vma.ra_address[vma]
    if address == before + 1:
        first = address
    elif address == before - 1:
        first = address - window + 1
    else:
        first = address - (window - 1) // 2
    end = min(first + window, m.vma.vm_end[vma], address - address % _PMD + _PMD)
    first = max(first, m.vma.vm_start[vma], address - address % _PMD)
    for q in range(p + first - address, p + end - address):
        if not m.pte_flags[q] & PTE_SWAP:
            continue
        cached = m.slot.frame[m.pte_target[q]] != NONE
        page = read_swap_cache_async(m, m.pte_target[q])
        if page == NONE:
            continue
        if not cached and q != p:
            m.frame.pg[page] |= PG_READAHEAD
        put_page(m, page)


@jit
def _read_around_address(m, p, e):
    m.sc[TICK] += m.sc[COST_SWAP_LOOKUP]
    vma = m.pte.vma[p]
    address = address_of(m, p)
    if m.sc[PAGE_CLUSTER] > 0:
        window = _window(m, vma, address)
        if window > 1:
            _read_window(m, p, vma, address, window)
            lru_add_drain(m)
        m.vma.ra_address[vma] = address
        m.vma.ra_window[vma] = window
        m.vma.ra_hits[vma] = 0
    return read_swap_cache_async(m, e)


@inlined
def read_around(m, p, e):
    """The page of swap pte `p`, which names slot `e`, read with those around it; NONE without a frame."""
    return _read_around_address(m, p, e) if m.sc[SW_READ_AROUND] else swapin_readahead(m, e)


@jit
def found_in_cache(m, p, page):
    """A swap pte's page was in the swap cache; a hit, if it had been read ahead."""
    if m.frame.pg[page] & PG_READAHEAD:
        m.frame.pg[page] &= ~PG_READAHEAD
        vma = m.pte.vma[p]
        m.vma.ra_hits[vma] = min(m.vma.ra_hits[vma] + 1, _MOST_HITS)
        m.vma.ra_address[vma] = address_of(m, p)
