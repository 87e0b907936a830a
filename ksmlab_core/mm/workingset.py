"""A page back soon after its eviction is one that is needed (``mm/workingset.c``; for anonymous pages since 5.9).

The LRU has a clock that every eviction and every activation moves on. A slot remembers when its page was evicted; a
page that is read back before the clock has moved on by more than there are active pages and pages of files begins on
the active list.
"""

from __future__ import annotations

from ksmlab_core.mm._jit import inlined
from ksmlab_core.mm.mm_types import (
    LRU_ACTIVE_ANON,
    LRU_COUNT,
    NONE,
    NONRESIDENT_AGE,
    NR_FILE_PAGES,
    SLOT_SHADOWS,
)
from ksmlab_core.mm.swapfile import nr_swap_pages

_EVICTION_MASK = 0x7FFFFFFF


@inlined
def workingset_age_nonresident(m):
    """The clock moves on by one page."""
    m.sc[NONRESIDENT_AGE] += 1


@inlined
def workingset_eviction(m, e):
    """The slot's page is being evicted."""
    if m.sc[SLOT_SHADOWS]:
        m.slot.shadow[e] = m.sc[NONRESIDENT_AGE] & _EVICTION_MASK
    workingset_age_nonresident(m)


@inlined
def workingset_refault(m, e):
    """The slot's page is being read: True if it comes back early enough to be active."""
    shadow = m.slot.shadow[e]
    if shadow == NONE:
        return False
    m.slot.shadow[e] = NONE
    distance = (m.sc[NONRESIDENT_AGE] - shadow) & _EVICTION_MASK
    in_need = m.sc[NR_FILE_PAGES]
    if nr_swap_pages(m) > 0:
        in_need += m.sc[LRU_COUNT + LRU_ACTIVE_ANON]
    if distance > in_need:
        return False
    workingset_age_nonresident(m)
    return True
