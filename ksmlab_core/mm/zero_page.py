"""Ptes that ksmd merged with the zero page (use_zero_pages, 4.12): R-B-ZERO-1.

Such a pte maps the zero page read-only and is marked dirty, which no other pte of the zero page is; so it can be told
from one that a read fault installed. Before 6.6 it was not marked, and nobody counted.
"""

from __future__ import annotations

from ksmlab_core.mm._jit import jit
from ksmlab_core.mm.mm_types import (
    KSM_ZERO_PAGES,
    PTE_DIRTY,
    PTE_PRESENT,
    SW_MARK_ZERO_PAGES,
    ZERO_PAGE,
)


@jit
def is_ksm_zero_pte(m, p):
    """Does ksmd's merging let this pte map the zero page?"""
    both = PTE_PRESENT | PTE_DIRTY
    return (m.pte_flags[p] & both) == both and m.pte_target[p] == ZERO_PAGE


@jit
def count_zero_page(m, p, difference):
    """One more (or fewer) KSM zero pte, in all and in the process of pte `p`."""
    m.sc[KSM_ZERO_PAGES] += difference
    m.mm.ksm_zero_pages[m.vma.mm[m.pte.vma[p]]] += difference


@jit
def ksm_map_zero_page(m, p):
    """Mark a pte that maps the zero page as ksmd's doing."""
    if m.sc[SW_MARK_ZERO_PAGES]:
        m.pte_flags[p] |= PTE_DIRTY
        count_zero_page(m, p, 1)


@jit
def ksm_might_unmap_zero_page(m, p):
    """A pte is about to map something else, or nothing."""
    if is_ksm_zero_pte(m, p):
        count_zero_page(m, p, -1)
