"""Advice: R-ADV-1 to R-ADV-5."""

from __future__ import annotations

import pytest

from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm.errno import EAGAIN, ENOMEM, OK

IGNORED = {
    "shared": t.VM_SHARED,
    "mayshare": t.VM_MAYSHARE,
    "pfnmap": t.VM_PFNMAP,
    "io": t.VM_IO,
    "dontexpand": t.VM_DONTEXPAND,
    "reserved": t.VM_RESERVED,
    "hugetlb": t.VM_HUGETLB,
    "insertpage": t.VM_INSERTPAGE,
    "nonlinear": t.VM_NONLINEAR,
    "mixedmap": t.VM_MIXEDMAP,
    "sao": t.VM_SAO,
}


def registered(rig, area):
    return bool(rig.m.mm.mm_flags[area.mm] & t.MMF_VM_MERGEABLE)


@pytest.mark.parametrize("flag", IGNORED.values(), ids=IGNORED)
def test_areas_that_cannot_be_merged_are_silently_ignored(rig, flag):
    """R-ADV-1, R-ADV-4: the call returns 0, but neither the area is flagged nor the process registered."""
    a = rig.process(mergeable=False, flags=t.VM_WRITE | flag)
    assert a.mergeable() == OK
    assert not a.vm_flags() & t.VM_MERGEABLE
    assert not registered(rig, a)


@pytest.mark.parametrize("flag", [0, t.VM_LOCKED, t.VM_SEQ_READ], ids=["plain", "locked", "seqread"])
def test_other_flags_do_not_hinder_advice(rig, flag):
    """R-ADV-1: VM_LOCKED and VM_SEQ_READ are not on the list, and a read-only area can be advised too."""
    for write in (t.VM_WRITE, 0):
        a = rig.process(mergeable=False, flags=write | flag)
        assert a.mergeable() == OK
        assert a.vm_flags() & t.VM_MERGEABLE


def test_advice_on_a_mergeable_area_does_nothing(rig):
    """R-ADV-1: VM_MERGEABLE itself is on the list: no second registration that could fail, and no split."""
    a = rig.process(pages=3, content=7)
    rig.fail("mm_slot", 1)
    assert a.mergeable(range(1, 2)) == OK
    assert rig.slots_ring() == [a.mm]
    assert len(list(rig.machine.vmas(a.mm))) == 1


def test_a_process_is_registered_once(rig):
    """R-ADV-2: by its first advised area; a second area finds the flag set and allocates nothing."""
    a = rig.process()
    rig.fail("mm_slot", 1)
    second = rig.process(mm=a.mm)
    assert second.vm_flags() & t.VM_MERGEABLE
    assert rig.slots_ring() == [a.mm]


def test_registration_without_memory_fails(rig):
    """R-ADV-2, R-ADV-4: no mm_slot gives EAGAIN, and the area stays as it was."""
    a = rig.process(mergeable=False)
    rig.fail("mm_slot", 1)
    assert a.mergeable() == EAGAIN
    assert not a.vm_flags() & t.VM_MERGEABLE
    assert not registered(rig, a)
    assert a.mergeable() == OK
    assert registered(rig, a)


def test_advice_on_a_part_splits_the_area(rig):
    """R-ADV-2: only the pages advised are mergeable; the halves are areas of their own."""
    a = rig.process(pages=6, mergeable=False)
    assert a.mergeable(range(2, 4)) == OK
    assert [bool(a.vm_flags(page) & t.VM_MERGEABLE) for page in range(6)] == [False, False, True, True, False, False]
    assert len({a.vma(page) for page in range(6)}) == 3
    a.write(7)
    rig.scan_passes(2)
    assert [a.is_ksm(page) for page in range(6)] == [False, False, True, True, False, False]


def test_areas_that_differ_in_mergeability_stay_apart(rig):
    """R-ADV-2: no anon_vma is shared between a mergeable half and one that is not."""
    a = rig.process(pages=2, mergeable=False)
    a.mergeable(range(1))
    a.write(7)
    assert rig.m.vma.anon_vma[a.vma(0)] != rig.m.vma.anon_vma[a.vma(1)]


def test_unmergeable_on_an_area_that_is_not_mergeable_does_nothing(rig):
    """R-ADV-3: 0, and a KSM page that came into such an area by another way stays."""
    a, b = rig.merged()
    rig.unmap_to_swap()
    a.unmergeable()
    a.read()
    assert a.is_ksm()
    assert a.unmergeable() == OK
    assert a.is_ksm()
    b.read()
    assert b.frame() == a.frame()


def test_unmergeable_breaks_and_clears_but_leaves_ksmds_books(rig):
    """R-ADV-3: every present KSM page becomes private; items and counters stay until ksmd's next pass."""
    a = rig.process(pages=3, content=7)
    b = rig.process(content=7)
    rig.scan_passes(2)
    assert rig.counters() == (1, 3, 0, 0)
    assert a.unmergeable(range(2)) == OK
    assert [a.is_ksm(page) for page in range(3)] == [False, False, True]
    assert [bool(a.vm_flags(page) & t.VM_MERGEABLE) for page in range(3)] == [False, False, True]
    assert rig.counters() == (1, 3, 0, 0)
    assert a.item_state(0) == t.ITEM_STABLE
    rig.scan_passes(1)
    assert rig.counters() == (1, 1, 0, 0)
    assert a.item(0) == t.NONE
    assert b.is_ksm()


def test_unmergeable_does_not_see_swapped_pages(rig):
    """R-ADV-3: so the KSM page comes back into an area that is mergeable no longer."""
    a, _b = rig.merged()
    rig.unmap_to_swap()
    slot = a.slot()
    assert a.unmergeable() == OK
    assert a.slot() == slot
    assert not a.vm_flags() & t.VM_MERGEABLE
    assert a.read() == [7]
    assert a.is_ksm()


def test_unmergeable_without_memory_keeps_the_flag(rig):
    """R-ADV-3, R-ADV-4: breaking comes first; when it fails the area stays mergeable, and EAGAIN comes back."""
    a, _b = rig.merged()
    rig.machine.room_maker = lambda frames: None
    rig.machine.sc[t.NR_RESERVE] = 0
    page = a.frame()
    assert fill_memory_and(rig, a.unmergeable) == EAGAIN
    assert a.vm_flags() & t.VM_MERGEABLE
    assert a.frame() == page


def fill_memory_and(rig, call):
    """Carry out a call while no frame is free."""
    hog = rig.process(pages=int(rig.sc[t.NR_FREE]), content=99, mergeable=False)
    assert rig.sc[t.NR_FREE] == 0
    result = call()
    hog.exit()
    return result


@pytest.mark.parametrize("advise", ["mergeable", "unmergeable"])
def test_no_pages_is_no_error(rig, advise):
    """R-ADV-4: zero length returns 0 and touches nothing."""
    a = rig.process(mergeable=advise == "unmergeable")
    before = a.vm_flags()
    assert getattr(a, advise)(range(0)) == OK
    assert a.vm_flags() == before


def test_gaps_are_reported_after_the_mapped_parts_are_done(rig):
    """R-ADV-4: ENOMEM, with the advice taken on both sides of the hole."""
    a = rig.process(pages=5, mergeable=False)
    a.munmap(range(2, 3))
    assert a.mergeable() == ENOMEM
    assert [bool(a.vm_flags(page) & t.VM_MERGEABLE) for page in (0, 1, 3, 4)] == [True] * 4
    a.write(7, [0, 1, 3, 4])
    rig.scan_passes(2)
    assert a.unmergeable() == ENOMEM
    assert [a.is_ksm(page) for page in (0, 1, 3, 4)] == [False] * 4


def test_moving_an_area_breaks_it_but_leaves_it_mergeable(rig):
    """R-ADV-5: mremap unmerges what it moves; VM_MERGEABLE goes along."""
    a, b = rig.merged()
    moved = a.mremap()
    assert not moved.is_ksm()
    assert moved.vm_flags() & t.VM_MERGEABLE
    assert moved.read() == [7]
    assert b.is_ksm()
    rig.scan_passes(1)
    assert moved.is_ksm()
    assert moved.frame() == b.frame()


def test_a_move_that_cannot_break_is_aborted(rig):
    """R-ADV-5: without a frame for the copy mremap fails, and everything is where it was."""
    a, _b = rig.merged()
    rig.machine.room_maker = lambda frames: None
    rig.machine.sc[t.NR_RESERVE] = 0
    page = a.frame()
    assert fill_memory_and(rig, lambda: rig.mremap(a.mm, a.start, a.pages)) == -ENOMEM
    assert a.frame() == page
    assert a.read() == [7]
