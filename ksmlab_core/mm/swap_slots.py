"""Slots kept in hand (``mm/swap_slots.c``, 4.11 to 6.14): R-RECL-5, INV-20.

A processor takes slots from the swap area 64 at a time, and gives them back 64 at a time; what it holds in between is
in use as far as SwapFree goes. Too little free swap ends this until there is more. The machine has one processor here.
"""

from __future__ import annotations

from ksmlab_core.mm._jit import inlined, jit
from ksmlab_core.mm.mm_types import (
    SLOT_CACHE,
    SLOT_CACHE_ACTIVE,
    SLOT_CACHE_ENABLED,
    SLOT_CACHE_NEXT,
    SLOT_CACHE_NR,
    SLOT_CACHE_NR_RETURNED,
    SLOT_CACHE_RETURNED,
    SLOT_IN_HAND,
    SW_SLOT_CACHE,
    SWAP_SLOTS_CACHE_SIZE,
)
from ksmlab_core.mm.swapfile import nr_swap_pages, swap_entry_free

_ACTIVATE = 5 * SWAP_SLOTS_CACHE_SIZE
_DEACTIVATE = 2 * SWAP_SLOTS_CACHE_SIZE


@inlined
def _give_back_returned(m):
    for i in range(m.sc[SLOT_CACHE_NR_RETURNED]):
        swap_entry_free(m, m.sc[SLOT_CACHE_RETURNED + i])
    m.sc[SLOT_CACHE_NR_RETURNED] = 0


@jit
def drain_swap_slots_cache(m):
    """Give all slots in hand back."""
    first = SLOT_CACHE + m.sc[SLOT_CACHE_NEXT]
    for i in range(m.sc[SLOT_CACHE_NR]):
        swap_entry_free(m, m.sc[first + i])
    m.sc[SLOT_CACHE_NEXT] = 0
    m.sc[SLOT_CACHE_NR] = 0
    _give_back_returned(m)


@jit
def check_cache_active(m):
    """Is there enough free swap to keep slots in hand? Looked at when one is asked for."""
    if not m.sc[SLOT_CACHE_ENABLED]:
        return False
    free = nr_swap_pages(m)
    if not m.sc[SLOT_CACHE_ACTIVE]:
        m.sc[SLOT_CACHE_ACTIVE] = free > _ACTIVATE
    elif free < _DEACTIVATE:
        m.sc[SLOT_CACHE_ACTIVE] = 0
        drain_swap_slots_cache(m)
    return m.sc[SLOT_CACHE_ACTIVE] != 0


@inlined
def _return_slot(m, e):
    if not (m.sc[SLOT_CACHE_ACTIVE] and m.sc[SLOT_CACHE_ENABLED]):
        swap_entry_free(m, e)
        return
    if m.sc[SLOT_CACHE_NR_RETURNED] == SWAP_SLOTS_CACHE_SIZE:
        _give_back_returned(m)
    m.slot.refs[e] = SLOT_IN_HAND
    m.sc[SLOT_CACHE_RETURNED + m.sc[SLOT_CACHE_NR_RETURNED]] = e
    m.sc[SLOT_CACHE_NR_RETURNED] += 1


@inlined
def free_swap_slot(m, e):
    """A slot that nobody uses any more goes back, at once or with others."""
    if m.sc[SW_SLOT_CACHE]:
        _return_slot(m, e)
    else:
        swap_entry_free(m, e)
