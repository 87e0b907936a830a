"""A process goes while ksmd knows it: R-EXIT-1."""

from __future__ import annotations

from ksmlab_core.mm import mm_types as t


def test_a_slot_without_items_goes_at_once(rig):
    """R-EXIT-1: registered but never scanned: nothing is left for ksmd."""
    a, b = rig.processes(2, content=7)
    a.exit()
    assert rig.slots_ring() == [b.mm]
    assert not rig.m.mm.mm_flags[a.mm] & t.MMF_VM_MERGEABLE


def test_a_slot_with_items_waits_for_ksmd_just_after_the_cursor(rig):
    """R-EXIT-1: moved there, so that it is the next process that ksmd comes to."""
    a, b, c = rig.processes(3, pages=2, content=[1, 2])
    rig.scan_passes(1)
    rig.scan_pages(3)
    assert rig.sc[t.SCAN_SLOT] == b.mm
    a.exit()
    assert rig.slots_ring() == [b.mm, a.mm, c.mm]
    assert len(rig.items(a.mm)) == 2
    rig.scan_pages(2)
    assert rig.slots_ring() == [b.mm, c.mm]
    assert rig.full_scans() == 1
    assert int(rig.sc[t.KSM_RMAP_ITEMS]) == 4


def test_with_the_cursor_on_the_head_it_becomes_the_first(rig):
    """R-EXIT-1: just after the cursor is the front of the list."""
    a, b, c = rig.processes(3, content=7)
    rig.scan_passes(1)
    c.exit()
    assert rig.slots_ring() == [c.mm, a.mm, b.mm]
    rig.scan_passes(1)
    assert rig.slots_ring() == [a.mm, b.mm]


def test_the_slot_under_the_cursor_stays_where_it_is(rig):
    """R-EXIT-1: with or without items; ksmd frees it when it goes on."""
    a, b, c = rig.processes(3, pages=2, content=[1, 2])
    rig.scan_pages(3)
    b.exit()
    assert rig.slots_ring() == [a.mm, b.mm, c.mm]
    assert rig.sc[t.SCAN_SLOT] == b.mm
    rig.scan_pages(1)
    assert rig.slots_ring() == [a.mm, c.mm]
    assert c.item(0) != t.NONE


def test_an_itemless_slot_under_the_cursor_stays_too(rig):
    """R-EXIT-1: the record allocation failed on the first page of the process, then it exits."""
    a, b = rig.processes(2, content=7)
    rig.fail("rmap_item", 1)
    rig.ksmd(1)
    assert rig.sc[t.SCAN_SLOT] == a.mm
    assert rig.items(a.mm) == []
    a.exit()
    assert rig.slots_ring() == [a.mm, b.mm]
    rig.scan_passes(1)
    assert rig.slots_ring() == [b.mm]


def test_with_ksmd_stopped_the_ksm_page_leaks(rig):
    """R-EXIT-1: counters and the node's reference persist after every sharer has gone, until ksmd passes."""
    a, b = rig.merged()
    page = a.frame()
    a.exit()
    assert (rig.mapcount(page), rig.count(page)) == (1, 2)
    b.exit()
    assert (rig.mapcount(page), rig.count(page)) == (0, 1)
    assert rig.counters() == (1, 1, 0, 0)
    rig.scan_passes(1)
    assert rig.count(page) == 0
    assert rig.counters() == (0, 0, 0, 0)


def test_reclaim_cannot_free_the_leaked_page_but_gives_it_a_slot(rig):
    """R-EXIT-1, X-10: a slot without references, nothing written; ksmd's pass makes the page freeable."""
    a, b = rig.merged()
    page = a.frame()
    a.exit()
    b.exit()
    rig.reclaim_all()
    assert rig.count(page) == 2
    assert (int(rig.sc[t.SWAP_INUSE]), int(rig.sc[t.PSWPOUT])) == (1, 0)
    rig.scan_passes(1)
    rig.reclaim_all()
    assert rig.count(page) == 0
    assert (int(rig.sc[t.SWAP_INUSE]), int(rig.sc[t.PSWPOUT])) == (0, 0)


def test_the_last_process_of_the_list_can_vanish(rig):
    """R-EXIT-1: the cursor survives when the only slot goes, with and without items, in and between passes."""
    for passes, pages in ((0, 0), (1, 0), (0, 1), (1, 1)):
        a = rig.process(pages=2, content=[1, 2])
        rig.scan_passes(passes)
        rig.scan_pages(pages)
        a.exit()
        if rig.slots_ring():
            rig.scan_passes(1)
        assert rig.slots_ring() == []
        assert rig.sc[t.SCAN_SLOT] == t.MM_HEAD
        assert int(rig.sc[t.KSM_RMAP_ITEMS]) == 0


def test_a_process_never_registered_just_goes(rig):
    """R-EXIT-1: nothing of ksmd's is touched, not even the process in the last row of the table."""
    other = rig.process(content=7, mergeable=False)
    while rig.machine.nr_mms < len(rig.m.mm.users) - 1:
        rig.machine.spawn()
    a = rig.process(content=7)
    rig.scan_pages(1)
    before = rig.slots_ring(), int(rig.sc[t.SCAN_SLOT])
    other.exit()
    assert (rig.slots_ring(), int(rig.sc[t.SCAN_SLOT])) == before
    assert a.item() != t.NONE
