"""Giving up the swap space (R-OFF-1 to R-OFF-4, X-2)."""

from __future__ import annotations

from typing import Any

import pytest

from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm.errno import ENOMEM, OK


def on_disk(rig: Any, pages: int) -> Any:
    """A process whose pages are in slots and nowhere else."""
    area = rig.process(pages, range(100, 100 + pages))
    rig.unmap_to_swap(), rig.unmap_to_swap()
    assert rig.sc[t.NR_SWAPCACHE] == 0
    return area


def io(rig: Any) -> tuple[int, int]:
    """(pages read, pages written)."""
    return int(rig.sc[t.PSWPIN]), int(rig.sc[t.PSWPOUT])


def off(rig: Any) -> None:
    """swapoff that succeeds: no slot is in use, nothing is cached, no pte is a swap entry."""
    assert rig.swapoff() == OK
    assert (rig.sc[t.SWAP_INUSE], rig.sc[t.NR_SWAPCACHE]) == (0, 0)
    assert not (rig.m.pte_flags[: rig.nr_ptes] & t.PTE_SWAP).any()


# -- R-OFF-1 ------------------------------------------------------------------------------------------------------


def test_one_pte_per_process_and_visit(rig: Any) -> None:
    """R-OFF-1, R-OFF-4: K is cached; of a's two ptes only the first is converted, the second needs a re-read page.

    K is written for that (it is dirty and a reference remains), then read into an ordinary page.
    """
    area = rig.process(2, 7)
    other = rig.process(1, 7)
    rig.scan_passes(2)
    frame = area.frame()
    rig.unmap_to_swap()
    off(rig)
    assert area.frame(0) == other.frame() == frame
    assert area.frame(1) != frame
    assert not area.is_ksm(1)
    assert io(rig) == (1, 1)
    assert area.read() == [7, 7]
    rig.scan_passes(1)
    assert area.frame(1) == frame  # it rejoins the node


def test_every_process_can_map_a_cached_ksm_page(rig: Any) -> None:
    """R-OFF-1, R-OFF-4: one pte each: all three map K again in one sweep, without I/O."""
    areas = rig.merged(3)
    frame = areas[0].frame()
    rig.unmap_to_swap()
    off(rig)
    assert [area.frame() for area in areas] == [frame] * 3
    assert io(rig) == (0, 0)
    assert rig.counters() == (1, 2, 0, 0)


def test_processes_are_found_through_the_mmlist(rig: Any) -> None:
    """R-OFF-1: who has had a swap pte is on the list (a fork's child too), and is visited."""
    parent = on_disk(rig, 1)
    child = parent.forked()
    bystander = rig.process(1, 5)
    ring, mm = [], int(rig.m.mm.list_next[t.MM_HEAD])
    while mm != t.MM_HEAD:
        ring.append(mm)
        mm = int(rig.m.mm.list_next[mm])
    assert sorted(ring) == [parent.mm, child.mm]
    off(rig)
    assert parent.frame() == child.frame() != t.NONE
    assert bystander.is_young()


# -- R-OFF-2 ------------------------------------------------------------------------------------------------------


def test_fresh_and_ksm_pages_are_looked_for_everywhere(rig: Any) -> None:
    """R-OFF-2: no anon_vma: the whole area is searched, wherever in it the swap pte is."""
    area = rig.process(5, [1, 2, 3, 7, 4])
    other = rig.process(3, [5, 6, 7])
    rig.scan_passes(2)
    frame = area.frame(3)
    assert other.frame(2) == frame
    rig.unmap_to_swap()
    off(rig)
    assert area.frame(3) == other.frame(2) == frame


def test_page_with_an_anon_vma_is_looked_for_at_its_one_address(rig: Any) -> None:
    """R-OFF-2: the cached page is a's by anon_vma and index: b's pte, of the same slot, is not even looked at."""
    a, b = rig.merged()
    rig.unmap_to_swap()
    rig.scan_passes(1)
    rig.shrink(), rig.shrink()
    a.read()
    mine = a.pin()  # keeps the page in the cache while nobody maps it
    a.make_old()
    rig.shrink()
    rig.unpin(mine)
    assert rig.refs(1) == (2, True)
    off(rig)
    assert a.frame() == mine
    assert b.frame() != mine
    assert (a.read(), b.read()) == ([7], [7])


# -- R-OFF-3, X-2 -------------------------------------------------------------------------------------------------


def test_converted_pte(rig: Any) -> None:
    """R-OFF-3, R-OBJ-8: read-only and old; rss +1, mapcount and count +1, the page is dirty and off the cache."""
    area = on_disk(rig, 1)
    assert rig.rss(area.mm) == 0
    off(rig)
    rig.drain()
    assert area.flags() == t.PTE_PRESENT
    assert rig.rss(area.mm) == 1
    assert area.state() == "[adI,mc1,rc1]"


def test_first_conversion_fixes_where_the_page_belongs(rig: Any) -> None:
    """R-OFF-3, R-RMAP-1: page_add_anon_rmap: the fresh page adopts the first area's anon_vma and index."""
    area = on_disk(rig, 3)
    off(rig)
    for i in range(3):
        assert rig.m.frame.mapping[area.frame(i)] == rig.m.vma.anon_vma[area.vma()]
        assert rig.m.frame.index[area.frame(i)] == area.start + i


def test_page_on_a_list_is_activated(rig: Any) -> None:
    """R-OFF-3, X-2: a cached page is on the inactive list already: it becomes active."""
    a, b = rig.merged()
    frame = a.frame()
    rig.unmap_to_swap()
    assert rig.lru(t.LRU_INACTIVE_ANON) == [frame]
    off(rig)
    assert rig.state(frame) == "[KadA,mc2,rc3,node]"
    assert b.frame() == frame


def test_page_just_read_stays_inactive_but_every_fourteenth(rig: Any) -> None:
    """X-2: a page just read sits in a batch, off the list; the 14th fills and drains it, and is activated alone."""
    area = on_disk(rig, 40)
    off(rig)
    rig.drain()
    active = rig.lru(t.LRU_ACTIVE_ANON)
    assert len(active) == 2
    assert len(rig.lru(t.LRU_INACTIVE_ANON)) == 38
    assert {area.frame(13), area.frame(27)} == set(active)


# -- R-OFF-4 ------------------------------------------------------------------------------------------------------


def test_one_page_per_anon_vma_and_index(rig: Any) -> None:
    """R-OFF-4: a slot named by four ptes of different areas or indexes is read four times, into four pages."""
    a = rig.process(2, 7)
    b = rig.process(2, 7)
    rig.scan_passes(2)
    rig.unmap_to_swap()
    rig.scan_passes(1)
    rig.shrink(), rig.shrink()
    assert rig.refs(1) == (4, False)
    before = io(rig)
    off(rig)
    frames = {area.frame(i) for area in (a, b) for i in range(2)}
    assert len(frames) == 4
    assert io(rig) == (before[0] + 4, before[1])  # clean pages: never written for it
    assert rig.sc[t.SWAPIN_COPIES] == 0


def test_fork_relatives_share_one_page(rig: Any) -> None:
    """R-OFF-4: the same anon_vma and index: one read serves parent and child."""
    parent = on_disk(rig, 1)
    child = parent.forked()
    off(rig)
    assert parent.frame() == child.frame()
    assert io(rig)[0] == 1


def test_dirty_cached_page_is_written_before_others_need_it(rig: Any) -> None:
    """R-OFF-4: references remain and the cached page is dirty: written to its slot, where they read it."""
    area = rig.process(2, 7)
    rig.scan_passes(2)
    rig.unmap_to_swap()
    assert rig.m.slot.content[1] == t.SLOT_NEVER_WRITTEN
    off(rig)
    assert io(rig) == (1, 1)
    assert area.read() == [7, 7]


def test_page_that_nobody_names_leaves_the_cache(rig: Any) -> None:
    """R-OFF-4: 0+C: deleted from the swap cache all the same, and dirty."""
    area = rig.process(1, 5)
    rig.unmap_to_swap()
    area.read()
    assert rig.refs(1) == (0, True)
    off(rig)
    rig.drain()
    assert area.state() == "[adI,mc1,rc1]"


def test_without_a_frame_swapoff_fails_and_swap_stays_on(rig: Any) -> None:
    """R-OFF-4: ENOMEM: what was done stays done, the rest is still in swap and usable; a second call finishes."""
    area = on_disk(rig, 5)
    rig.fail("alloc_page", 3)
    assert rig.swapoff() == ENOMEM
    assert [area.slot(i) != t.NONE for i in range(5)] == [False, False, True, True, True]
    assert rig.sc[t.SWAP_ON] == 1
    assert area.read() == [100, 101, 102, 103, 104]
    off(rig)


def test_swapoff_of_more_than_memory_holds_fails(machine: Any) -> None:
    """R-OFF-4: it does not reclaim: 80 pages do not fit into 64 frames."""
    rig = machine(frames=64)
    area = rig.process(80, range(100, 180))
    assert rig.swapoff() == ENOMEM
    assert rig.sc[t.SWAP_INUSE] > 0
    assert area.read([79]) == [179]


def test_without_swap_nothing_can_be_swapped_out_until_swapon(rig: Any) -> None:
    """R-OFF-4, R-RECL-2: after swapoff there is no slot to be had; after swapon there is."""
    area = on_disk(rig, 1)
    off(rig)
    rig.unmap_to_swap()
    assert area.frame() != t.NONE
    rig.swapon()
    rig.unmap_to_swap()
    assert area.slot() != t.NONE


@pytest.mark.parametrize("n", [2, 5])
def test_swapoff_keeps_every_byte(rig: Any, n: int) -> None:
    """R-OFF-4, INV-15: shared, private, cached and evicted pages together."""
    shared = rig.processes(n, 3, [7, 8, 7])
    rig.scan_passes(2)
    private = rig.process(4, range(20, 24))
    rig.unmap_to_swap()
    rig.scan_passes(1)
    rig.shrink(), rig.shrink()
    shared[0].read(0), shared[1].write(9, 2), private.read(3)
    rig.unmap_to_swap()
    off(rig)
    assert shared[0].read() == [7, 8, 7]
    assert shared[1].read() == [7, 8, 9]
    assert private.read() == [20, 21, 22, 23]
