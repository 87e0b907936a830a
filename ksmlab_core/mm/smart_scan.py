"""Looking more seldom at pages that were looked at in vain (smart_scan, 6.7): R-B-SMART-1."""

from __future__ import annotations

from ksmlab_core.mm._jit import jit
from ksmlab_core.mm.mm_types import KSM_PAGES_SKIPPED, KSM_SMART_SCAN
from ksmlab_core.mm.page_alloc import page_ksm
from ksmlab_core.mm.stable_tree import remove_rmap_item_from_tree

NEVER_SKIPPED = 3  # the first encounters, in which a page gets its chance to be merged
OLDEST = 255


@jit
def skip_age(age):
    """How many encounters to let pass after a look in vain at this age."""
    if age <= 3:
        return 1
    if age <= 5:
        return 2
    return 4 if age <= 8 else 8


@jit
def should_skip_rmap_item(m, page, item):
    """Pass this page over in this pass? A KSM page never is, and does not age.

    A page passed over leaves the tree that it is in, so that it is not found there with contents of another pass.
    """
    if not m.sc[KSM_SMART_SCAN] or page_ksm(m, page):
        return False
    age = m.item.age[item]
    if age != OLDEST:
        m.item.age[item] = age + 1
    if age < NEVER_SKIPPED:
        return False
    if m.item.remaining_skips[item] == 0:
        m.item.remaining_skips[item] = skip_age(age)
        return False
    m.sc[KSM_PAGES_SKIPPED] += 1
    m.item.remaining_skips[item] -= 1
    remove_rmap_item_from_tree(m, item)
    return True
