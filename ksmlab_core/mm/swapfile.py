"""The swap area's slots: how many are free, and giving one back (``mm/swapfile.c``)."""

from __future__ import annotations

from ksmlab_core.mm._jit import inlined
from ksmlab_core.mm.mm_types import (
    NONE,
    SLOT_NEVER_WRITTEN,
    SLOT_SHADOWS,
    SWAP_HIGHEST,
    SWAP_INUSE,
    SWAP_LOWEST,
    SWAP_MAX,
    SWAP_ON,
)


@inlined
def nr_swap_pages(m):
    """Free slots."""
    return m.sc[SWAP_MAX] - 1 - m.sc[SWAP_INUSE] if m.sc[SWAP_ON] else 0


@inlined
def vm_swap_full(m):
    """Less than half of the swap space is free (R-RECL-4)."""
    total = m.sc[SWAP_MAX] - 1 if m.sc[SWAP_ON] else 0
    return nr_swap_pages(m) * 2 < total


@inlined
def slot_in_use(m, e):
    """True of a slot in hand too (swap_slots.py): nobody else gets it."""
    return m.slot.refs[e] != 0 or m.slot.frame[e] != NONE


@inlined
def swap_entry_free(m, e):
    """Give a slot that nobody uses back to the swap area."""
    m.slot.refs[e] = 0
    m.slot.content[e] = SLOT_NEVER_WRITTEN
    if m.sc[SLOT_SHADOWS]:
        m.slot.shadow[e] = NONE
    m.sc[SWAP_INUSE] -= 1
    if e < m.sc[SWAP_LOWEST]:
        m.sc[SWAP_LOWEST] = e
    if e > m.sc[SWAP_HIGHEST]:
        m.sc[SWAP_HIGHEST] = e
