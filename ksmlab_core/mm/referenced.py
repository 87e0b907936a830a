"""Was a page used since reclaim last asked (``page_referenced`` of ``mm/rmap.c``)?"""

from __future__ import annotations

from ksmlab_core.mm._jit import inlined, jit
from ksmlab_core.mm.mm_types import (
    COST_REFERENCED,
    MEMCG_RECLAIM,
    MMF_IN_MEMCG,
    NONE,
    PG_REFERENCED,
    PTE_YOUNG,
    SW_RMAP_ANON_VMA,
    TICK,
    VM_LOCKED,
    VM_SEQ_READ,
)
from ksmlab_core.mm.page_alloc import page_anon, page_ksm, page_stable_node, trylock_page
from ksmlab_core.mm.rmap import (
    covering_vma,
    first_covering_vma,
    page_check_address,
    pte_at,
    pte_in,
    use_fallback_vma,
    vma_pte,
)


@inlined
def _in_reclaimed_memcg(m, mm):
    return m.sc[MEMCG_RECLAIM] == 0 or (m.mm.mm_flags[mm] & MMF_IN_MEMCG) != 0


@inlined
def _clear_young(m, p):
    m.sc[TICK] += m.sc[COST_REFERENCED]
    young = (m.pte_flags[p] & PTE_YOUNG) != 0
    m.pte_flags[p] &= 0xFF ^ PTE_YOUNG
    return young


@jit
def _page_referenced_in_vmas(m, page, node):
    """(young ptes, VM_LOCKED seen) over the real vmas of the node's items, then over those of fork children."""
    mapcount = m.frame.mapcount[page]
    referenced = 0
    for forks in range(2):
        item = m.node.hlist[node]
        while item != NONE and mapcount > 0:
            vma = first_covering_vma(m, item, forks)
            while vma != NONE and mapcount > 0:
                p = pte_in(m, item, vma)
                if _in_reclaimed_memcg(m, m.vma.mm[vma]) and page_check_address(m, page, p):
                    if m.vma.vm_flags[vma] & VM_LOCKED:
                        return referenced, True
                    young = _clear_young(m, p)
                    if young and not m.vma.vm_flags[vma] & VM_SEQ_READ:
                        referenced += 1
                    mapcount -= 1
                vma = covering_vma(m, item, m.vma.anon_next[vma], forks)
            item = m.item.hlist_next[item]
    return referenced, False


@jit
def _page_referenced_ksm(m, page):
    """(young ptes, VM_LOCKED seen) of a KSM page; an orphan's ptes cannot be found."""
    node = page_stable_node(m, page)
    if node == NONE:
        return 0, False
    if m.sc[SW_RMAP_ANON_VMA]:
        return _page_referenced_in_vmas(m, page, node)
    return _page_referenced_at_items(m, page, node), False


@jit
def _page_referenced_at_items(m, page, node):
    """Young ptes among those that the node's items describe (R-REF-3, R-REF-5); real vmas stay unseen (R-REF-4)."""
    use_fallback_vma(m)
    mapcount = m.frame.mapcount[page]
    referenced = 0
    item = m.node.hlist[node]
    while item != NONE and mapcount > 0:
        mm = m.item.mm[item]
        if _in_reclaimed_memcg(m, mm):
            p = pte_at(m, mm, m.item.address[item])
            if page_check_address(m, page, p):
                referenced += _clear_young(m, p)
                mapcount -= 1
        item = m.item.hlist_next[item]
    return referenced


@inlined
def _page_referenced_anon(m, page):
    """(young ptes, VM_LOCKED seen) over the vmas of the page's anon_vma."""
    mapcount = m.frame.mapcount[page]
    referenced = 0
    locked = False
    vma = m.anon.first[m.frame.mapping[page]]
    while vma != NONE and mapcount > 0:
        if _in_reclaimed_memcg(m, m.vma.mm[vma]):
            p = vma_pte(m, page, vma)
            if page_check_address(m, page, p):
                if m.vma.vm_flags[vma] & VM_LOCKED:
                    return referenced, True
                young = _clear_young(m, p)
                if young and not m.vma.vm_flags[vma] & VM_SEQ_READ:
                    referenced += 1
                mapcount -= 1
        vma = m.vma.anon_next[vma]
    return referenced, locked


@inlined
def page_referenced(m, page, is_locked):
    """(how often the page was used since last asked, VM_LOCKED seen); clears what it counts (R-REF-1, R-REF-2)."""
    used = test_and_clear_referenced(m, page)
    young, locked = ptes_referenced(m, page, is_locked)
    return used + young, locked


@inlined
def test_and_clear_referenced(m, page):
    """1 if PG_referenced was set."""
    used = (m.frame.pg[page] & PG_REFERENCED) != 0
    m.frame.pg[page] &= ~PG_REFERENCED
    return 1 if used else 0


@inlined
def ptes_referenced(m, page, is_locked):
    """(young ptes of the page, VM_LOCKED seen); makes them old."""
    referenced = 0
    locked = False
    if m.frame.mapcount[page] == 0 or m.frame.mapping[page] == NONE:
        return referenced, locked
    if page_ksm(m, page):
        if not is_locked and not trylock_page(m, page):
            return referenced + 1, locked
        young, locked = _page_referenced_ksm(m, page)
        referenced += young
    elif page_anon(m, page):
        young, locked = _page_referenced_anon(m, page)
        referenced += young
    return referenced, locked
