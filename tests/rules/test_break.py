"""Breaking KSM pages: R-BRK-1, R-BRK-2."""

from __future__ import annotations

import pytest

from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm.errno import EAGAIN, OK


def test_breaking_makes_a_writable_private_page(rig):
    """R-BRK-1: a write fault per present KSM page; the others still share it."""
    a, b, c = rig.merged(n=3)
    page = a.frame()
    assert a.unmergeable() == OK
    assert not a.is_ksm()
    assert a.is_writable()
    assert a.is_dirty()
    assert (b.frame(), c.frame()) == (page, page)
    assert rig.mapcount(page) == 2
    assert a.read() == [7]


def test_breaking_leaves_ordinary_pages_and_holes_alone(rig):
    """R-BRK-1: nothing present, or not KSM: done without a fault."""
    a, other = rig.process(pages=4), rig.process(content=7)
    a.write([7, 8], [0, 2])
    a.read(3)
    rig.scan_passes(2)
    assert a.is_ksm(0)
    ordinary, faults = a.frame(2), int(rig.sc[t.PGFAULT])
    assert a.unmergeable() == OK
    assert int(rig.sc[t.PGFAULT]) == faults + 1
    assert a.frame(2) == ordinary
    assert a.frame(3) == t.ZERO_PAGE
    assert a.frame(1) == t.NONE
    assert other.is_ksm()


def test_breaking_copies_in_a_read_only_area_too(rig):
    """R-BRK-1: the copy is made without VM_WRITE, and its pte stays read-only; the loop ends all the same."""
    a, b = rig.merged()
    a.mprotect(False)
    assert a.unmergeable() == OK
    assert not a.is_ksm()
    assert not a.is_writable()
    assert a.read() == [7]
    assert b.is_ksm()


def test_breaking_without_a_frame_is_an_error(rig):
    """R-BRK-1: VM_FAULT_OOM becomes ENOMEM, pages broken until then stay broken."""
    a = rig.process(pages=3, content=7)
    rig.process(content=7)
    rig.scan_passes(2)
    rig.drain()
    rig.machine.room_maker = lambda frames: None
    rig.machine.sc[t.NR_RESERVE] = 0
    hog = rig.process(pages=int(rig.sc[t.NR_FREE]) - 1, content=1, mergeable=False)
    assert a.unmergeable() == EAGAIN
    assert [a.is_ksm(page) for page in range(3)] == [False, True, True]
    hog.exit()
    assert a.unmergeable() == OK
    assert [a.is_ksm(page) for page in range(3)] == [False] * 3


def test_one_failing_allocation_is_an_error(rig):
    """R-BRK-1: there is no second attempt; the page stays as it was, and the next call succeeds."""
    a, _b = rig.merged()
    page = a.frame()
    rig.fail("alloc_page", 1)
    assert a.unmergeable() == EAGAIN
    assert a.frame() == page
    assert a.unmergeable() == OK
    assert not a.is_ksm()


def test_breaking_reclaims_where_frames_run_out(machine):
    """R-BRK-1: the allocation itself makes room: no frame is free, but others' pages can go to swap."""
    rig = machine(slots=512)
    a = rig.process(pages=3, content=7)
    rig.scan_passes(2)
    rig.machine.sc[t.NR_RESERVE] = 0
    rig.process(pages=int(rig.sc[t.NR_FREE]), content=1, mergeable=False)
    assert rig.sc[t.NR_FREE] == 0
    rig.make_all_old()
    assert a.unmergeable() == OK
    assert [a.is_ksm(page) for page in range(3)] == [False] * 3
    assert int(rig.sc[t.PSWPOUT]) > 0


def undone_merge(rig, spoil):
    """A two-page merge whose second half fails by a pin, `spoil` having been done to the first; whose page is what."""
    a, b = rig.processes(2, content=7)
    rig.drain()
    a.pin()
    rig.scan_passes(1)
    spoil(b)
    rig.scan_passes(1)
    return b


def test_break_cow_restores_the_scanned_page(rig):
    """R-BRK-2: a live process, a mergeable area: the merge is undone."""
    b = undone_merge(rig, lambda area: None)
    assert not b.is_ksm()
    assert b.read() == [7]


def test_break_cow_ignores_errors(rig):
    """R-BRK-2: without a frame for the copy the page stays a KSM orphan, mapped, and is broken in a later pass."""
    a, b = rig.processes(2, content=7)
    rig.scan_passes(1)
    rig.drain()
    a.pin()
    rig.fail("alloc_page", 2)
    rig.scan_passes(1)
    assert b.is_ksm()
    assert rig.is_orphan(b.frame())
    assert b.read() == [7]
    assert rig.counters() == (0, 0, 1, 1)
    rig.scan_passes(1)
    assert not b.is_ksm()


@pytest.mark.parametrize("how", ["exiting", "not mergeable", "no area"])
def test_break_cow_keeps_its_hands_off(rig, ksm, how):
    """R-BRK-2: a process that exits, an area that is not mergeable or not there any more: nothing is broken."""
    a, _b = rig.merged()
    item, page = a.item(), a.frame()
    if how == "exiting":
        rig.m.mm.users[a.mm] = 0
    elif how == "not mergeable":
        rig.m.vma.vm_flags[a.vma()] &= ~t.VM_MERGEABLE
    else:
        rig.m.item.address[item] += 5
    ksm.break_cow(rig.m, item)
    assert a.frame() == page
    rig.m.mm.users[a.mm] = 1
    rig.m.vma.vm_flags[a.vma()] |= t.VM_MERGEABLE
    rig.m.item.address[item] = a.start
    ksm.break_cow(rig.m, item)
    assert a.frame() != page
