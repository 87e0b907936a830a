"""Page frames: taking, holding, letting go (``mm/page_alloc.c``), and what a page's mapping means."""

from __future__ import annotations

from ksmlab_core.mm._jit import inlined, jit
from ksmlab_core.mm.mm_types import (
    COST_ZERO_FILL,
    FAIL_ALLOC_PAGE,
    FREE_FRAME,
    LRU_COUNT,
    LRU_HEAD,
    LRU_TAIL,
    NEXT_INSERTED,
    NONE,
    NOW,
    NR_FREE,
    NR_MLOCK,
    NR_NODES,
    PAGE_MAPPING_ANON,
    PAGE_MAPPING_FLAGS,
    PG_ACTIVE,
    PG_LOCKED,
    PG_LRU,
    PG_MLOCKED,
    PG_UNEVICTABLE,
    PGALLOC,
    PGFREE,
    TICK,
    ZERO_FILLS,
    ZERO_PAGE,
)
from ksmlab_core.mm.numa import node_to_take_from, page_to_nid


@inlined
def fail_now(m, counter):
    """Count down to a failure that was asked for; True when this attempt is the one that fails."""
    left = m.sc[counter]
    if left == 0:
        return False
    m.sc[counter] = left - 1
    return left == 1


@inlined
def page_anon(m, page):
    return (m.frame.pg[page] & PAGE_MAPPING_ANON) != 0


@inlined
def page_ksm(m, page):
    return (m.frame.pg[page] & PAGE_MAPPING_FLAGS) == PAGE_MAPPING_FLAGS


@inlined
def page_anon_vma(m, page):
    """The anon_vma of an ordinary anon page; NONE for KSM pages and pages never mapped (R-OBJ-9)."""
    if (m.frame.pg[page] & PAGE_MAPPING_FLAGS) == PAGE_MAPPING_ANON:
        return m.frame.mapping[page]
    return NONE


@inlined
def page_stable_node(m, page):
    """The stable node of a KSM page; NONE for orphans and for pages that are not KSM."""
    if (m.frame.pg[page] & PAGE_MAPPING_FLAGS) == PAGE_MAPPING_FLAGS:
        return m.frame.mapping[page]
    return NONE


@inlined
def alloc_page(m):
    """A frame with one reference, or NONE when none is free or a failure was asked for."""
    if fail_now(m, FAIL_ALLOC_PAGE) or m.sc[NR_FREE] == 0:
        return NONE
    head = FREE_FRAME + (node_to_take_from(m) if m.sc[NR_NODES] > 1 else 0)
    page = m.sc[head]
    f = m.frame
    m.sc[head] = f.lru_next[page]
    m.sc[NR_FREE] -= 1
    m.sc[PGALLOC] += 1
    f.refcount[page] = 1
    f.mapcount[page] = 0
    f.pg[page] = 0
    f.mapping[page] = NONE
    f.index[page] = 0
    f.private[page] = NONE
    f.inserted[page] = max(m.sc[NEXT_INSERTED], m.sc[NOW])
    m.sc[NEXT_INSERTED] = f.inserted[page] + 1
    m.last_access[page] = m.sc[NOW]
    return page


@jit
def alloc_zeroed_page(m):
    page = alloc_page(m)
    if page != NONE:
        m.frame.content[page] = 0
        m.sc[ZERO_FILLS] += 1
        m.sc[TICK] += m.sc[COST_ZERO_FILL]
    return page


@inlined
def get_page(m, page):
    if page != ZERO_PAGE:
        m.frame.refcount[page] += 1


@inlined
def trylock_page(m, page):
    """False while somebody else holds the page lock (the `lock` step of a script)."""
    return (m.frame.pg[page] & PG_LOCKED) == 0


@inlined
def lru_of(m, page):
    """The LRU list that a page's flags put it on: unevictable, active or inactive."""
    pg = m.frame.pg[page]
    if pg & PG_UNEVICTABLE:
        return 2
    return 1 if pg & PG_ACTIVE else 0


@inlined
def add_page_to_lru_list(m, page, lru):
    """Put a page at the head of a list."""
    f = m.frame
    head = m.sc[LRU_HEAD + lru]
    f.lru_prev[page] = NONE
    f.lru_next[page] = head
    if head == NONE:
        m.sc[LRU_TAIL + lru] = page
    else:
        f.lru_prev[head] = page
    m.sc[LRU_HEAD + lru] = page
    m.sc[LRU_COUNT + lru] += 1


@inlined
def add_page_to_lru_tail(m, page, lru):
    f = m.frame
    tail = m.sc[LRU_TAIL + lru]
    f.lru_next[page] = NONE
    f.lru_prev[page] = tail
    if tail == NONE:
        m.sc[LRU_HEAD + lru] = page
    else:
        f.lru_next[tail] = page
    m.sc[LRU_TAIL + lru] = page
    m.sc[LRU_COUNT + lru] += 1


@inlined
def del_page_from_lru_list(m, page, lru):
    f = m.frame
    before = f.lru_prev[page]
    after = f.lru_next[page]
    if before == NONE:
        m.sc[LRU_HEAD + lru] = after
    else:
        f.lru_next[before] = after
    if after == NONE:
        m.sc[LRU_TAIL + lru] = before
    else:
        f.lru_prev[after] = before
    m.sc[LRU_COUNT + lru] -= 1


@inlined
def put_page(m, page):
    """Drop one reference; the last one frees the page, off its LRU list and out of NR_MLOCK."""
    if page == ZERO_PAGE:
        return
    f = m.frame
    f.refcount[page] -= 1
    if f.refcount[page] != 0:
        return
    if f.pg[page] & PG_LRU:
        del_page_from_lru_list(m, page, lru_of(m, page))
    if f.pg[page] & PG_MLOCKED:
        m.sc[NR_MLOCK] -= 1
    f.pg[page] = 0
    f.mapping[page] = NONE
    f.private[page] = NONE
    head = FREE_FRAME + (page_to_nid(m, page) if m.sc[NR_NODES] > 1 else 0)
    f.lru_next[page] = m.sc[head]
    m.sc[head] = page
    m.sc[NR_FREE] += 1
    m.sc[PGFREE] += 1
