"""Copying an address space (``kernel/fork.c``, ``copy_page_range``): R-FORK-1."""

from __future__ import annotations

from ksmlab_core.mm._jit import jit
from ksmlab_core.mm.mm_types import (
    NONE,
    PG_ANON_EXCLUSIVE,
    PTE_PRESENT,
    PTE_SWAP,
    PTE_SWP_EXCLUSIVE,
    PTE_WRITE,
    PTE_YOUNG,
    ZERO_PAGE,
)
from ksmlab_core.mm.page_alloc import get_page
from ksmlab_core.mm.rmap import join_mmlist
from ksmlab_core.mm.swap import swap_duplicate
from ksmlab_core.mm.zero_page import count_zero_page, is_ksm_zero_pte


@jit
def copy_pte_range(m, source, target, n, parent, child):
    """Let a child's ptes share what the parent's refer to: both sides read-only, the child's old.

    Returns how many ptes were copied: fewer than `n` when a swap count could not be continued.
    """
    for i in range(n):
        flags = m.pte_flags[source + i]
        what = m.pte_target[source + i]
        if flags & PTE_SWAP:
            if not swap_duplicate(m, what):
                return i
            flags &= 0xFF ^ PTE_SWP_EXCLUSIVE
            m.pte_flags[source + i] = flags
            join_mmlist(m, child, parent if m.mm.list_next[parent] != NONE else 0)
        elif flags & PTE_PRESENT:
            flags &= 0xFF ^ PTE_WRITE
            m.pte_flags[source + i] = flags
            flags &= 0xFF ^ PTE_YOUNG
            if what != ZERO_PAGE:
                get_page(m, what)
                m.frame.mapcount[what] += 1
                m.frame.pg[what] &= ~PG_ANON_EXCLUSIVE
                m.mm.rss[child] += 1
        m.pte_flags[target + i] = flags
        m.pte_target[target + i] = what
        if is_ksm_zero_pte(m, target + i):
            count_zero_page(m, target + i, 1)
    return n
