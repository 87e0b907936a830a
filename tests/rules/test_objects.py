"""The records and what they mean: R-OBJ-1 to R-OBJ-15, X-3 and X-4."""

from __future__ import annotations

import pytest

from ksmlab_core.mm import mm_types as t

LISTS = {"inactive": t.LRU_INACTIVE_ANON, "active": t.LRU_ACTIVE_ANON, "unevictable": t.LRU_UNEVICTABLE}


def where(rig, frame):
    """The LRU list that a frame is really on, or None."""
    return next((name for name, which in LISTS.items() if frame in rig.lru(which)), None)


def on_mmlist(rig, mm):
    """Is a process reached by walking the ring of processes with swap ptes?"""
    one = int(rig.m.mm.list_next[t.MM_HEAD])
    while one not in (t.MM_HEAD, mm):
        one = int(rig.m.mm.list_next[one])
    return one == mm


# -- R-OBJ-1: mm ----------------------------------------------------------------------------------------------


def test_an_exiting_process_has_its_page_tables_left_alone(rig):
    """R-OBJ-1: with mm_users 0 no KSM path reads or changes its ptes, though they are still there."""
    a, b = rig.processes(2, content=7)
    rig.scan_passes(1)
    before = a.frame(), b.frame()
    rig.m.mm.users[a.mm] = 0
    rig.scan_passes(2)
    assert (a.frame(), b.frame()) == before
    assert rig.counters() == (0, 0, 1, 0)


def test_run_2_does_not_break_pages_of_an_exiting_process(rig):
    """R-OBJ-1: the page of an exiting process stays what it is, a KSM page, when everything else is unmerged."""
    a, b = rig.merged()
    page = a.frame()
    rig.m.mm.users[a.mm] = 0
    assert rig.set_knob("run", 2) == 0
    assert a.frame() == page
    assert b.frame() != page


def test_a_process_is_mergeable_exactly_while_it_has_a_slot(rig):
    """R-OBJ-1: MMF_VM_MERGEABLE is set by registration and gone when ksmd finds nothing mergeable any more."""
    a = rig.process(content=7, mergeable=False)
    assert not rig.m.mm.mm_flags[a.mm] & t.MMF_VM_MERGEABLE
    a.mergeable()
    assert rig.m.mm.mm_flags[a.mm] & t.MMF_VM_MERGEABLE
    a.unmergeable()
    assert rig.m.mm.mm_flags[a.mm] & t.MMF_VM_MERGEABLE
    rig.scan_passes(1)
    assert not rig.m.mm.mm_flags[a.mm] & t.MMF_VM_MERGEABLE
    assert rig.slots_ring() == []


def test_a_process_joins_mmlist_with_its_first_swap_entry(rig):
    """R-OBJ-1: by unmapping a page of it, or by a fork that copies a swap entry; a fork of nothing swapped does not."""
    a = rig.process(content=7)
    early = a.forked()
    assert not on_mmlist(rig, a.mm)
    a.write(8)
    rig.unmap_to_swap()
    late = a.forked()
    assert on_mmlist(rig, a.mm)
    assert on_mmlist(rig, late.mm)
    child_of_present = rig.process(content=9).forked()
    assert not on_mmlist(rig, child_of_present.mm)
    early.exit()
    a.exit()
    assert not on_mmlist(rig, a.mm)


# -- R-OBJ-2 to R-OBJ-5: ksmd's records -----------------------------------------------------------------------


def test_slots_form_a_ring_and_items_ascend(rig):
    """R-OBJ-2: one slot per registered process in a ring from the head; its items ascend by address."""
    a, b = rig.processes(2, pages=6)
    a.write([30, 10], [4, 1])
    b.write(1, 0)
    rig.scan_passes(1)
    a.write([20, 5, 40], [3, 0, 5])
    rig.scan_passes(1)
    addresses = [int(rig.m.item.address[item]) - a.start for item in rig.items(a.mm)]
    assert addresses == [0, 1, 3, 4, 5]
    assert rig.slots_ring() == [a.mm, b.mm]
    assert int(rig.m.mm.slot_prev[t.MM_HEAD]) == b.mm


def test_the_cursor_holds_slot_address_link_and_pass(rig):
    """R-OBJ-3: on the head to begin with; then the process, the address behind the last item, that item, the pass."""
    a = rig.process(pages=4, content=[1, 2, 3, 4])
    assert rig.sc[t.SCAN_SLOT] == t.MM_HEAD
    rig.scan_pages(2)
    assert rig.sc[t.SCAN_SLOT] == a.mm
    assert rig.sc[t.SCAN_ADDRESS] == a.start + 2
    assert rig.sc[t.SCAN_PREV] == a.item(1)
    assert rig.sc[t.SCAN_SEQNR] == 0
    rig.scan_pages(3)
    assert rig.sc[t.SCAN_ADDRESS] == a.start + 1
    assert rig.sc[t.SCAN_SEQNR] == 1


def test_a_new_item_knows_nothing_and_has_one_state_at_a_time(rig):
    """R-OBJ-4: NONE with checksum 0 at creation, then UNSTABLE with the pass's number, then STABLE with its node."""
    a, b = rig.process(content=7), rig.process(content=9)
    rig.scan_passes(1)
    assert a.item_state() == t.ITEM_NONE
    assert rig.m.item.oldchecksum[a.item()] != 0
    rig.scan_passes(1)
    assert a.item_state() == t.ITEM_UNSTABLE
    assert rig.m.item.seqnr[a.item()] == 1
    b.write(7)
    rig.scan_passes(2)
    assert a.item_state() == b.item_state() == t.ITEM_STABLE
    assert rig.m.item.head[a.item()] == a.node()


def test_an_item_given_out_again_is_blank(rig):
    """R-OBJ-4: the checksum of a record's former life is not taken for a look at the new page."""
    a = rig.process(content=7)
    rig.scan_passes(2)
    old = a.item()
    a.exit()
    b = rig.process(content=7)
    rig.scan_passes(1)
    assert b.item() == old
    assert b.item_state() == t.ITEM_NONE
    assert rig.counters() == (0, 0, 0, 1)


def test_a_node_owns_a_reference_and_goes_with_its_last_item(rig):
    """R-OBJ-5: node and page point at each other, the node holds the page, and the last item takes the node along."""
    a, b = rig.merged()
    node, page = a.node(), a.frame()
    assert rig.m.node.kpage[node] == page
    assert rig.count(page) == 2 + 1
    a.write(1)
    b.write(2)
    assert rig.nodes() == [node]
    assert rig.count(page) == 1
    rig.scan_passes(1)
    assert rig.nodes() == []
    assert rig.count(page) == 0


# -- R-OBJ-6 to R-OBJ-8: areas and ptes -----------------------------------------------------------------------


def test_the_linear_index_survives_a_move(rig):
    """R-OBJ-6: vm_pgoff + offset, so that a page is found at its new address after mremap."""
    a = rig.process(pages=3, content=[1, 2, 3], mergeable=False)
    frame, index = a.frame(2), int(rig.m.frame.index[a.frame(2)])
    moved = a.mremap()
    assert moved.start != a.start
    assert moved.frame(2) == frame
    vma = moved.vma()
    assert int(rig.m.vma.vm_pgoff[vma]) + 2 == index
    rig.unmap_to_swap()
    assert moved.slot(2) != t.NONE
    assert moved.read() == [1, 2, 3]


def test_an_area_has_no_anon_vma_until_its_first_anon_fault(rig):
    """R-OBJ-6: reading installs the zero page without one; a write makes it; a fork shares it."""
    a = rig.process()
    a.read()
    assert rig.m.vma.anon_vma[a.vma()] == t.NONE
    a.write(1)
    assert rig.m.vma.anon_vma[a.vma()] != t.NONE
    child = a.forked()
    assert rig.m.vma.anon_vma[child.vma()] == rig.m.vma.anon_vma[a.vma()]
    other = rig.process(content=1)
    assert rig.m.vma.anon_vma[other.vma()] != rig.m.vma.anon_vma[a.vma()]


@pytest.mark.parametrize("first", [0, 1])
def test_compatible_neighbours_share_an_anon_vma(rig, first):
    """R-OBJ-6: two halves that differ only in VM_WRITE take one anon_vma, whichever is touched first."""
    a = rig.process(pages=2, mergeable=False)
    a.mprotect(False, range(1))
    rig.m.vma.vm_flags[a.vma(0)] |= t.VM_WRITE  # the system call would make one area of them again
    a.write(1, first)
    a.write(2, 1 - first)
    assert a.vma(0) != a.vma(1)
    assert rig.m.vma.anon_vma[a.vma(0)] == rig.m.vma.anon_vma[a.vma(1)]


def test_parts_of_an_area_that_are_alike_again_are_one_area(rig):
    """R-OBJ-6, R-FORK-1: so a fork copies what one of them holds if the other has an anon_vma."""
    a = rig.process(pages=3, mergeable=False)
    a.munlock(range(1, 2))
    assert a.vma(0) == a.vma(1) == a.vma(2)
    a.mlock(range(2, 3))
    a.munlock(range(2, 3))
    a.read(0)
    child = a.forked()
    assert a.vma(0) == a.vma(2)
    assert child.vma(0) == child.vma(2)
    assert child.frame(0) == t.ZERO_PAGE
    a.mergeable(range(1))
    assert a.vma(0) != a.vma(1)
    a.unmergeable()
    assert a.vma(0) == a.vma(1)


def test_a_childs_untouched_part_stays_apart_from_one_that_its_parent_has_touched(machine):
    """R-OBJ-6: from 2.6.34 the anon_vma of a forked area is not given to a neighbour."""
    rig = machine(kernel="v6.18")
    a = rig.process(pages=2, mergeable=False)
    a.mergeable(range(1))
    a.write(1, 0)
    child = a.forked()
    child.unmergeable()
    assert child.vma(0) != child.vma(1)
    child.write(2, 1)
    assert rig.m.vma.anon_vma[child.vma(0)] != rig.m.vma.anon_vma[child.vma(1)]
    a.unmergeable()
    assert a.vma(0) == a.vma(1)


def test_the_zero_page_is_no_anon_page(rig):
    """R-OBJ-7: a read of untouched memory maps the zero page, which is never scanned and gets no item."""
    a = rig.process(pages=2, content=None)
    a.read()
    a.write(0, 1)
    assert a.frame(0) == t.ZERO_PAGE
    assert rig.rss(a.mm) == 1
    assert rig.scan_pages(1) == 1
    rig.scan_passes(2)
    assert a.item(0) == t.NONE
    assert a.item(1) != t.NONE
    a.write(5, 0)
    assert a.frame(0) not in (t.ZERO_PAGE, t.NONE)
    assert a.read(1) == [0]


@pytest.mark.parametrize("young", [True, False])
def test_ptes_are_born_young_where_the_architecture_says_so(machine, young):
    """R-OBJ-8: a pte built from the area's protection (here by a merge, and by a break) carries the accessed bit."""
    rig = machine(switches={"born_young": young})
    a, b = rig.processes(2, content=7)
    rig.make_all_old()
    rig.scan_passes(2)
    assert (a.is_young(), b.is_young()) == (young, young)
    rig.make_all_old()
    rig.set_knob("run", 2)
    assert (a.is_young(), b.is_young()) == (young, young)


def test_a_fork_childs_pte_and_a_swapoff_pte_are_old(rig):
    """R-OBJ-8: the two exceptions; the parent's pte stays young."""
    a = rig.process(content=7)
    child = a.forked()
    assert a.is_young()
    assert not child.is_young()
    rig.unmap_to_swap()
    assert a.slot() != t.NONE
    assert rig.swapoff() == 0
    assert not a.is_young()
    assert not child.is_young()


# -- R-OBJ-9 to R-OBJ-12: pages -------------------------------------------------------------------------------


def mapping(rig, frame):
    """(mapping bits, mapping) of a frame."""
    return int(rig.m.frame.pg[frame]) & t.PAGE_MAPPING_FLAGS, int(rig.m.frame.mapping[frame])


def test_what_a_pages_mapping_says(rig):
    """R-OBJ-9: free: nothing; anon page: its anon_vma; KSM page: its node, or nothing once the node is gone."""
    a, b = rig.processes(2, content=7)
    free = int(rig.sc[t.FREE_FRAME])
    assert mapping(rig, free) == (0, t.NONE)
    assert mapping(rig, a.frame()) == (t.PAGE_MAPPING_ANON, int(rig.m.vma.anon_vma[a.vma()]))
    rig.scan_passes(2)
    page = a.frame()
    assert mapping(rig, page) == (t.PAGE_MAPPING_FLAGS, rig.nodes()[0])
    rig.unmap_to_swap()
    rig.scan_passes(1)
    assert rig.nodes() == []
    assert mapping(rig, page) == (t.PAGE_MAPPING_FLAGS, t.NONE)
    assert b.read() == [7]
    assert b.frame() == page


def test_a_page_read_ahead_has_no_mapping_until_somebody_maps_it(rig):
    """R-OBJ-9: readahead brings a neighbour in that belongs to no anon_vma yet, and is no anon page."""
    a = rig.process(pages=2, content=[5, 6], mergeable=False)
    rig.reclaim_all()
    a.read(0)
    neighbour = int(rig.m.slot.frame[a.slot(1)])
    assert mapping(rig, neighbour) == (0, t.NONE)
    assert rig.mapcount(neighbour) == 0
    a.read(1)
    assert a.frame(1) == neighbour
    assert mapping(rig, neighbour) == (t.PAGE_MAPPING_ANON, int(rig.m.vma.anon_vma[a.vma()]))


def test_an_unmapped_page_keeps_its_place(rig):
    """R-OBJ-10: anon_vma and index stay while the page waits unmapped in the swap cache, and go when it is freed."""
    a = rig.process(pages=2, content=[5, 6], mergeable=False)
    page = a.frame(1)
    before = mapping(rig, page), int(rig.m.frame.index[page])
    rig.lock_page(page, True)
    a.lock(0)
    rig.lock_page(page, False)
    rig.make_all_old()
    rig.deactivate()
    rig.shrink()
    assert rig.mapcount(page) == 0
    assert (mapping(rig, page), int(rig.m.frame.index[page])) == before
    rig.shrink()
    assert rig.count(page) == 0
    assert mapping(rig, page) == (0, t.NONE)


def test_page_flags_of_new_cached_and_merged_pages(rig):
    """R-OBJ-11: what a page is born with, and `private` naming the slot exactly while the page is in the swap cache."""
    a = rig.process(content=7, mergeable=False)
    page = a.frame()
    rig.drain()
    for flag in (t.PG_UPTODATE, t.PG_SWAPBACKED, t.PG_LRU, t.PG_ACTIVE):
        assert rig.has(page, flag)
    for flag in (t.PG_LOCKED, t.PG_DIRTY, t.PG_REFERENCED, t.PG_UNEVICTABLE, t.PG_MLOCKED, t.PG_SWAPCACHE):
        assert not rig.has(page, flag)
    assert rig.m.frame.private[page] == t.NONE
    rig.unmap_to_swap()
    assert rig.has(page, t.PG_SWAPCACHE)
    assert rig.m.frame.private[page] == a.slot()
    a.write(8)
    assert not rig.has(page, t.PG_SWAPCACHE)
    assert rig.m.frame.private[page] == t.NONE


def test_every_holder_counts_one_reference(machine):
    """R-OBJ-12: ptes, swap cache, node, page batch and pins; nothing else is left behind by a step."""
    rig = machine(drained=False)
    a = rig.process(content=7)
    page = a.frame()
    assert rig.count(page) == 1 + 1  # pte, batch
    rig.drain()
    assert rig.count(page) == 1
    a.pin()
    child = a.forked()
    assert rig.count(page) == 2 + 1
    rig.unpin(page)
    child.exit()
    b = rig.process(content=7)
    rig.drain()
    rig.scan_passes(2)
    page = a.frame()
    assert b.frame() == page
    assert rig.count(page) == 2 + 1 + 1  # ptes, node, batch
    rig.drain()
    assert rig.count(page) == 2 + 1
    rig.unmap_to_swap()
    rig.drain()
    assert rig.count(page) == 1 + 1  # node, swap cache
    a.read()
    assert rig.count(page) == 1 + 1 + 1


def test_a_slots_byte_counts_its_ptes_and_marks_the_cache(rig):
    """R-OBJ-13: one per swap pte in all processes, plus the cache mark; free only when both are gone."""
    a, b = rig.processes(2, content=7, mergeable=False)
    c = a.forked()
    rig.unmap_to_swap()
    slot = a.slot()
    assert c.slot() == slot
    assert b.slot() != slot
    assert rig.refs(slot) == (2, True)
    rig.shrink()
    assert rig.refs(slot) == (2, False)
    a.read()
    assert rig.refs(slot) == (1, True)
    used = int(rig.sc[t.SWAP_INUSE])
    other = b.slot()
    b.read()
    assert rig.refs(other) == (0, True)
    assert int(rig.sc[t.SWAP_INUSE]) == used
    c.exit()
    assert rig.refs(slot) == (0, True)
    a.write(1)
    assert rig.refs(slot) == (0, False)
    assert int(rig.sc[t.SWAP_INUSE]) == used - 1


def test_a_count_above_62_needs_a_continuation(machine):
    """R-OBJ-13: a failing continuation lets the unmap stop at 0x3e swap ptes; without failure it goes on counting."""
    rig = machine(frames=512)
    a, *rest = rig.merged(n=66)
    rig.fail("swap_continuation", 1)
    rig.unmap_to_swap()
    slots = [area.slot() for area in (a, *rest)]
    slot = max(slots)
    assert rig.refs(slot) == (t.SLOT_MAP_MAX, True)
    assert slots.count(t.NONE) == 66 - t.SLOT_MAP_MAX
    rig.unmap_to_swap()
    assert rig.refs(slot) == (66, True)


# -- R-OBJ-14, R-OBJ-15: lists and batches --------------------------------------------------------------------


def test_where_new_pages_go(rig):
    """R-OBJ-14: a first write, a COW copy and a new KSM page are active; in a locked area they are unevictable."""
    a = rig.process(content=7, mergeable=False)
    first = a.frame()
    child = a.forked()
    child.write(8)
    a, b = rig.process(content=7), rig.process(content=7)
    rig.scan_passes(2)
    rig.drain()
    assert [where(rig, frame) for frame in (first, child.frame(), b.frame())] == ["active"] * 3
    locked = rig.process(content=9, mergeable=False, flags=t.VM_WRITE | t.VM_LOCKED)
    assert where(rig, locked.frame()) == "unevictable"
    assert rig.has(locked.frame(), t.PG_MLOCKED)


def test_where_pages_from_swap_go(rig):
    """R-OBJ-14: a page read from swap is inactive; the copy for a second user is active, or unevictable if locked."""
    a, b, c = rig.merged(n=3)
    rig.unmap_to_swap()
    rig.scan_passes(1)
    rig.reclaim_all()
    a.read()
    b.read()
    rig.m.vma.vm_flags[c.vma()] |= t.VM_LOCKED  # as after an mlock that found no frame
    c.read()
    rig.drain()
    assert where(rig, a.frame()) == "inactive"
    assert where(rig, b.frame()) == "active"
    assert where(rig, c.frame()) == "unevictable"
    assert len({a.frame(), b.frame(), c.frame()}) == 3


def test_lists_are_filled_at_the_head_and_emptied_at_the_tail(rig):
    """R-OBJ-14: the page that came first is reclaimed first."""
    a = rig.process(pages=3, content=[1, 2, 3], mergeable=False)
    frames = [a.frame(page) for page in range(3)]
    rig.drain()
    assert rig.lru(t.LRU_ACTIVE_ANON) == frames[::-1]
    rig.unmap_to_swap()
    assert [a.slot(page) for page in range(3)] == sorted(a.slot(page) for page in range(3))


def test_a_batch_holds_fourteen_pages_off_the_list(machine):
    """R-OBJ-15: with an extra reference and without PG_lru, until the fourteenth fills it."""
    rig = machine(drained=False)
    a = rig.process(pages=15, mergeable=False)
    a.write(1, list(range(13)))
    assert rig.batch(t.LRU_ACTIVE_ANON) == [a.frame(page) for page in range(13)]
    assert a.state(0) == "[a,mc1,rc2]"
    a.write(1, 13)
    assert rig.batch(t.LRU_ACTIVE_ANON) == []
    assert a.state(0) == "[aA,mc1,rc1]"
    a.write(1, 14)
    assert rig.batch(t.LRU_ACTIVE_ANON) == [a.frame(14)]


def drained_by_deactivate(rig, _a):
    rig.machine.deactivate()


def drained_by_shrink(rig, _a):
    rig.machine.shrink()


def drained_by_readahead(rig, a):
    a.read(1)


def drained_by_mlock(_rig, a):
    a.mlock(range(3, 4))


def drained_by_mlock_of_a_locked_range(_rig, a):
    a.mlock(range(2, 3))


def drained_by_munlock(_rig, a):
    a.munlock(range(2, 3))


def drained_by_zap(_rig, a):
    a.dontneed(range(3, 4))


@pytest.mark.parametrize(
    "drains",
    [
        drained_by_deactivate,
        drained_by_shrink,
        drained_by_readahead,
        drained_by_mlock,
        drained_by_mlock_of_a_locked_range,
        drained_by_munlock,
        drained_by_zap,
    ],
)
def test_what_drains_the_batches(machine, drains):
    """R-OBJ-15: reclaim, swap-in readahead, mlock, munlock and zap."""
    rig = machine(drained=False)
    a = rig.process(pages=4, content=None, mergeable=False)
    a.write(6, 1)
    rig.drain()
    rig.reclaim_all()
    assert a.slot(1) != t.NONE
    a.mlock(range(2, 3))
    a.write(5, 0)
    assert rig.batch(t.LRU_ACTIVE_ANON) == [a.frame(0)]
    drains(rig, a)
    assert rig.has(a.frame(0), t.PG_LRU)
    assert a.frame(0) not in rig.batch(t.LRU_ACTIVE_ANON)


def test_a_batched_page_with_a_writable_pte_cannot_be_merged(machine):
    """R-OBJ-15, X-4: without a drain small scenarios do not merge at all; ksmd does not drain by itself."""
    rig = machine(drained=False)
    a, b = rig.processes(2, content=7)
    rig.scan_passes(4)
    assert rig.counters() == (0, 0, 1, 1)
    assert a.frame() != b.frame()
    rig.drain()
    rig.scan_passes(1)
    assert rig.counters() == (1, 1, 0, 0)
    assert a.frame() == b.frame()


def test_a_new_ksm_page_is_itself_batched(machine):
    """R-OBJ-15, X-3: right after its merge it has one more reference and is on no list; active after a drain."""
    rig = machine(drained=False)
    a, _b = rig.processes(2, content=7)
    rig.drain()
    rig.scan_passes(2)
    assert a.state() == "[Kad,mc2,rc4,node]"
    rig.drain()
    assert a.state() == "[KadA,mc2,rc3,node]"


def test_a_failed_merge_leaves_its_ksm_page_in_the_batch(machine):
    """R-OBJ-15, X-3: the discarded orphan stays allocated, unmapped, until the next drain: one per attempt and pass."""
    rig = machine(drained=False)
    a, _b = rig.processes(2, content=7)
    rig.drain()
    a.pin()
    used = rig.used_frames()
    rig.scan_passes(2)
    assert rig.counters() == (0, 0, 1, 1)
    orphans = [frame for frame in rig.batch(t.LRU_ACTIVE_ANON) if rig.is_orphan(frame)]
    assert [rig.state(frame) for frame in orphans] == ["[Kad,mc0,rc1,orph]"]
    rig.drain()
    assert rig.used_frames() == used


def test_the_last_ksm_page_after_run_2_is_batched_or_freed(machine):
    """X-3: R-OBJ-15 holds a new KSM page beyond run=2 until the next drain, as an orphan."""
    rig = machine(drained=False)
    a, _b = rig.processes(2, content=7)
    rig.drain()
    rig.scan_passes(2)
    page = a.frame()
    rig.set_knob("run", 2)
    assert rig.state(page) == "[Kad,mc0,rc1,orph]"
    rig.drain()
    assert rig.count(page) == 0
