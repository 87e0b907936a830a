"""run=2: R-UNM-1, R-UNM-2."""

from __future__ import annotations

from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm.errno import ENOMEM, OK


def test_everything_is_unmerged_and_forgotten(rig):
    """R-UNM-1: no KSM page, node or item is left, all counters are 0; slots and VM_MERGEABLE stay."""
    areas = [rig.process(pages=4, content=[1, 2, 2, 50 + i]) for i in range(3)]
    rig.scan_passes(2)
    assert rig.counters() == (2, 7, 3, 0)
    assert rig.set_knob("run", 2) == OK
    assert not any(area.is_ksm(page) for area in areas for page in range(4))
    assert len({area.frame(page) for area in areas for page in range(4)}) == 12
    assert rig.nodes() == []
    assert int(rig.sc[t.ROOT_UNSTABLE]) == t.NONE
    assert int(rig.sc[t.KSM_RMAP_ITEMS]) == 0
    assert rig.counters() == (0, 0, 0, 0)
    assert rig.full_scans() == 0
    assert rig.slots_ring() == [area.mm for area in areas]
    assert all(area.vm_flags() & t.VM_MERGEABLE for area in areas)
    assert [area.read() for area in areas] == [[1, 2, 2, 50 + i] for i in range(3)]


def test_after_it_merging_starts_anew(rig):
    """R-UNM-1: the cursor is on the head; checksums are forgotten with the items, so two passes are needed again."""
    a, b = rig.merged()
    c = rig.process(pages=3, content=[1, 2, 3])
    rig.scan_pages(3)
    assert rig.sc[t.SCAN_SLOT] == c.mm
    rig.set_knob("run", 2)
    assert rig.sc[t.SCAN_SLOT] == t.MM_HEAD
    rig.set_knob("run", 1)
    rig.scan_passes(1)
    assert rig.counters() == (0, 0, 0, 5)
    rig.scan_passes(1)
    assert rig.counters() == (1, 1, 3, 0)
    assert a.frame() == b.frame()


def test_only_mergeable_areas_are_broken(rig):
    """R-UNM-1: a KSM page that was faulted into an area without VM_MERGEABLE stays."""
    a, b = rig.merged()
    rig.unmap_to_swap()
    a.unmergeable()
    a.read()
    b.read()
    assert rig.set_knob("run", 2) == OK
    assert rig.is_orphan(a.frame())
    assert not b.is_ksm()


def test_an_exiting_process_loses_its_slot_but_is_not_broken(rig):
    """R-UNM-1: its items go, its page tables are not touched."""
    a, b = rig.merged()
    page = a.frame()
    rig.m.mm.users[a.mm] = 0
    assert rig.set_knob("run", 2) == OK
    assert rig.slots_ring() == [b.mm]
    assert rig.items(a.mm) == []
    assert a.frame() == page
    assert not rig.m.mm.mm_flags[a.mm] & t.MMF_VM_MERGEABLE


def test_a_dead_process_is_cleared_away(rig):
    """R-UNM-1, R-EXIT-1: run=2 does for items and slots of exited processes what a pass would do."""
    a, b = rig.merged()
    a.exit()
    b.exit()
    assert rig.counters() == (1, 1, 0, 0)
    used = rig.used_frames()
    assert rig.set_knob("run", 2) == OK
    rig.drain()
    assert rig.slots_ring() == []
    assert rig.used_frames() == used - 1


def test_an_error_leaves_the_cursor_on_the_head(rig):
    """R-UNM-1: what was done until then stays done; seqnr and the rest of the items stay."""
    areas = rig.processes(3, content=7)
    rig.scan_passes(2)
    rig.scan_pages(2)
    rig.drain()
    rig.machine.room_maker = lambda frames: None
    rig.machine.sc[t.NR_RESERVE] = 0
    hog = rig.process(pages=int(rig.sc[t.NR_FREE]) - 1, content=1, mergeable=False)
    assert rig.set_knob("run", 2) == ENOMEM
    assert rig.sc[t.SCAN_SLOT] == t.MM_HEAD
    assert [area.is_ksm() for area in areas] == [False, True, True]
    assert rig.counters() == (1, 1, 0, 0)
    assert rig.full_scans() == 2
    hog.exit()
    rig.scan_passes(1)
    assert rig.counters() == (1, 2, 0, 0)


def test_an_error_in_mid_pass_leaves_no_item_in_a_lost_tree(rig):
    """R-UNM-1, R-REM-2: the pass is begun again with the same number; items of its first attempt are in no tree."""
    a = rig.process(pages=8, content=[30, 50, 70, 20, 40, 60, 7, 7])
    rig.scan_passes(2)
    rig.scan_pages(3)
    rig.fail("alloc_page", 1)
    assert rig.set_knob("run", 2) == ENOMEM
    assert rig.counters() == (1, 1, 6, 0)
    for _page in range(8):
        rig.scan_pages(1)
    assert rig.counters() == (1, 1, 6, 0)
    assert a.item_state(0) == t.ITEM_UNSTABLE
    rig.scan_passes(2)
    assert rig.counters() == (1, 1, 6, 0)


def test_swapped_ptes_are_invisible(rig):
    """R-UNM-2: the KSM page in the swap cache becomes an orphan and is mapped as such afterwards."""
    a, b = rig.merged()
    page = a.frame()
    rig.unmap_to_swap()
    slot = a.slot()
    assert rig.set_knob("run", 2) == OK
    assert (a.slot(), b.slot()) == (slot, slot)
    assert rig.is_orphan(page)
    assert rig.counters() == (0, 0, 0, 0)
    assert a.read() == [7]
    assert a.frame() == page
    assert rig.is_orphan(page)
    assert rig.refs(slot) == (1, True)


def test_with_one_sharer_present_only_that_one_is_broken(rig):
    """R-UNM-2: the other one still names the slot of what is an orphan now."""
    a, b = rig.merged()
    page = a.frame()
    rig.unmap_to_swap()
    a.read()
    assert rig.set_knob("run", 2) == OK
    assert not a.is_ksm()
    assert rig.is_orphan(page)
    assert b.read() == [7]
    assert b.frame() == page
