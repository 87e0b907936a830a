"""Fork (R-FORK-1, R-FORK-2)."""

from __future__ import annotations

from typing import Any

import pytest

from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm.errno import ENOMEM

# -- R-FORK-1 -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mergeable", [True, False])
def test_child_of_a_registered_parent_is_registered(rig: Any, mergeable: bool) -> None:
    """R-FORK-1: MMF_VM_MERGEABLE: the child gets a slot (behind the cursor) and the area's VM_MERGEABLE."""
    parent = rig.process(1, 5, mergeable=mergeable)
    child = parent.forked()
    assert rig.slots_ring() == ([parent.mm, child.mm] if mergeable else [])
    assert bool(child.vm_flags() & t.VM_MERGEABLE) is mergeable


def test_without_a_slot_fork_fails(rig: Any) -> None:
    """R-FORK-1: the slot's allocation fails: ENOMEM, no child, no trace; an unregistered parent needs none."""
    parent, plain = rig.process(1, 5), rig.process(1, 6, mergeable=False)
    rig.fail("mm_slot", 1)
    assert plain.forked().frame() == plain.frame()
    before = parent.state()
    assert rig.fork(parent.mm) == -ENOMEM
    assert parent.state() == before
    assert parent.is_writable()
    assert rig.slots_ring() == [parent.mm]


def test_child_is_not_locked(rig: Any) -> None:
    """R-FORK-1: VM_LOCKED is not inherited; the page stays mlocked for the parent."""
    parent = rig.process(1, 5)
    parent.mlock()
    child = parent.forked()
    assert parent.vm_flags() & t.VM_LOCKED
    assert not child.vm_flags() & t.VM_LOCKED
    assert rig.has(child.frame(), t.PG_MLOCKED)
    assert rig.sc[t.NR_MLOCK] == 1


@pytest.mark.parametrize("ksm", [False, True])
def test_present_page_is_shared_read_only(rig: Any, ksm: bool) -> None:
    """R-FORK-1: both sides write-protected, the child's pte old, count +1, mapcount +1, the child's rss 1."""
    parent = rig.merged()[0] if ksm else rig.process(1, 5)
    frame = parent.frame()
    mapcount, count = rig.mapcount(frame), rig.count(frame)
    child = parent.forked()
    assert child.frame() == parent.frame() == frame
    assert not parent.is_writable()
    assert not child.is_writable()
    assert parent.is_young()
    assert not child.is_young()
    assert (rig.mapcount(frame), rig.count(frame)) == (mapcount + 1, count + 1)
    assert rig.rss(child.mm) == 1


def test_pages_keep_their_own_contents_after_writes(rig: Any) -> None:
    """R-FORK-1: write protection on both sides: neither sees the other's writes."""
    parent = rig.process(2, [5, 6])
    child = parent.forked()
    parent.write(8, 0)
    child.write(9, 1)
    assert parent.read() == [8, 6]
    assert child.read() == [5, 9]


def test_swap_pte_is_copied_with_its_count(rig: Any) -> None:
    """R-FORK-1: swap_map count +1, and the child joins swapoff's list right behind its parent."""
    parent = rig.process(1, 5)
    rig.unmap_to_swap()
    child = parent.forked()
    assert child.slot() == parent.slot()
    assert rig.refs(parent.slot()) == (2, True)
    assert rig.rss(child.mm) == 0
    assert rig.m.mm.list_next[parent.mm] == child.mm


def test_untouched_and_zero_pages_are_not_counted(rig: Any) -> None:
    """R-FORK-1, R-OBJ-7: none and zero-page ptes are copied without a count."""
    parent = rig.process(3)
    parent.read(0)
    parent.write(5, 1)
    child = parent.forked()
    assert [child.frame(i) for i in range(3)] == [t.ZERO_PAGE, parent.frame(1), t.NONE]
    assert rig.rss(child.mm) == 1


def test_fork_that_cannot_continue_a_swap_count(machine: Any) -> None:
    """R-FORK-1, R-OBJ-13: the count is at 0x3e and no extra page is to be had: fork fails and leaves no trace."""
    rig = machine()
    parent = rig.process(1, 5)
    for _ in range(61):
        rig.machine.fork(parent.mm)
    for mm in range(parent.mm + 1, rig.nr_mms):
        rig.copy_shadow(parent.mm, mm)
    rig.unmap_to_swap()
    assert rig.refs(parent.slot()) == (62, True)
    rig.fail("swap_continuation", 1)
    assert rig.fork(parent.mm) == -ENOMEM
    assert rig.refs(parent.slot()) == (62, True)
    child = parent.forked()
    assert rig.refs(child.slot()) == (63, True)


def test_no_items_are_copied(rig: Any) -> None:
    """R-FORK-1: the child begins without items; counters do not move."""
    a, _b = rig.merged()
    child = a.forked()
    assert rig.items(child.mm) == []
    assert rig.counters() == (1, 1, 0, 0)


# -- R-FORK-2 -----------------------------------------------------------------------------------------------------


def test_unscanned_child_keeps_the_page_mapped(rig: Any) -> None:
    """R-FORK-2, T-DRV-3: its pte is unknown to the node: two swap ptes, mapcount 1, AGAIN, kept."""
    a, b = rig.merged()
    child = a.forked()
    frame = child.frame()
    for _ in range(3):
        rig.unmap_to_swap()
    assert (a.slot(), b.slot(), child.frame()) == (1, 1, frame)
    assert rig.state(frame) == "[KasdI,mc1,rc3,node]"
    assert rig.refs(1) == (2, True)


def test_pass_after_that_breaks_the_child_to_a_private_page(rig: Any) -> None:
    """R-FORK-2, T-DRV-3: both items go before the child's slot is reached: an orphan by then, copied."""
    a, b = rig.merged()
    child = a.forked()
    rig.unmap_to_swap()
    rig.scan_passes(1)
    assert not child.is_ksm()
    assert rig.counters() == (0, 0, 0, 1)
    assert a.slot() == b.slot() != t.NONE


def test_visited_child_is_listed_without_a_comparison(rig: Any) -> None:
    """R-FORK-2: its page has a node already: appended directly, sharing +1; then all three can be unmapped."""
    a, b = rig.merged()
    child = a.forked()
    compares = int(rig.sc[t.KSM_COMPARES])
    rig.scan_passes(1)
    assert rig.counters() == (1, 2, 0, 0)
    assert rig.sc[t.KSM_COMPARES] == compares
    rig.unmap_to_swap()
    assert a.slot() == b.slot() == child.slot()
    assert rig.refs(1) == (3, True)
