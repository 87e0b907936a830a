"""Which swap slot a page gets (the kernel's order: clusters, then the next free one), and when slots come back."""

from __future__ import annotations

from typing import Any

import pytest

from ksmlab_core.mm import mm_types as t


def evicted(rig: Any, pages: int, content: int = 100) -> Any:
    """A process whose pages have been evicted in order; each has taken one slot."""
    area = rig.process(pages, range(content, content + pages))
    rig.drain()
    rig.evict(rig.machine.frames_of(area.ptes()))
    return area


def slots(area: Any) -> list[int]:
    return [area.slot(i) for i in range(area.pages)]


def test_slots_are_taken_in_order(rig: Any) -> None:
    """One after the other from slot 1 (slot 0 is the header)."""
    assert slots(evicted(rig, 5)) == [1, 2, 3, 4, 5]


def test_allocation_can_begin_elsewhere(machine: Any) -> None:
    """A machine that has swapped before goes on where it was; INV-20 counts the slots all the same."""
    rig = machine(swap_start=20)
    assert slots(evicted(rig, 3)) == [20, 21, 22]


def test_freed_slot_is_not_taken_at_once(rig: Any) -> None:
    """The search goes on behind the last slot given out."""
    area = evicted(rig, 5)
    area.munmap(range(1, 3))
    assert slots(evicted(rig, 2, 200)) == [6, 7]


def test_search_wraps_to_the_lowest_free_slot(machine: Any) -> None:
    """Past the highest free slot it starts over at the lowest one."""
    rig = machine(slots=10)
    area = evicted(rig, 8)
    area.munmap(range(2, 3)), area.munmap(range(4, 5))
    assert slots(evicted(rig, 4, 200)) == [9, 10, 3, 5]


def test_new_cluster_begins_at_the_first_run_of_free_slots(machine: Any) -> None:
    """A cluster of 256 used up: the next one is the first run of 256 free slots, counted from the lowest free one."""
    rig = machine(slots=1000, swap_start=100)
    evicted(rig, 3)
    rig.sc[t.SWAP_CLUSTER_NR] = 0
    assert slots(evicted(rig, 2, 200)) == [103, 104]  # 1 to 99 is too short a run
    rig.sc[t.SWAP_CLUSTER_NR] = 0
    rig.sc[t.SWAP_CLUSTER_NEXT] = 900
    assert slots(evicted(rig, 2, 300)) == [105, 106]


def test_cluster_lasts_for_256_slots(machine: Any) -> None:
    """The lower slots that come free meanwhile are left until the cluster is used up; then they are the first run."""
    rig = machine(frames=400, slots=1000)
    first = evicted(rig, 256)
    assert slots(first) == list(range(1, 257))
    first.munmap()
    assert slots(evicted(rig, 2, 900)) == [1, 2]


def test_with_few_free_slots_no_cluster_is_looked_for(rig: Any) -> None:
    """Less than a cluster is free: the search simply goes on."""
    evicted(rig, 3)
    rig.sc[t.SWAP_CLUSTER_NR] = 0
    assert slots(evicted(rig, 1, 200)) == [4]


@pytest.mark.parametrize(("size", "contended", "taken"), [(6, False, 4), (6, True, 1), (12, False, 9)])
def test_slot_of_a_page_that_no_longer_needs_it_is_reused_when_swap_is_full(
    machine: Any, size: int, contended: bool, taken: int
) -> None:
    """vm_swap_full: the scan takes a slot that only the cache holds, if it gets the page lock (R-FREE-1)."""
    rig = machine(slots=size, swap_start=4)
    cached = evicted(rig, 1)
    assert cached.read() == [100]
    assert rig.refs(4) == (0, True)
    rest = evicted(rig, 4, 200)
    if size == 6:
        assert slots(rest) == [5, 6, 1, 2]
        rest.munmap(range(2, 3))  # slot 1 is free, and 3, which is taken next: used 5 of 6
        assert slots(evicted(rig, 1, 400)) == [3]
    rig.sc[t.SWAP_CLUSTER_NEXT] = 4
    if contended:
        cached.lock()
    assert slots(evicted(rig, 1, 300)) == [taken]
    assert rig.has(cached.frame(), t.PG_SWAPCACHE) is (taken != 4)
    if taken == 4:
        assert rig.has(cached.frame(), t.PG_DIRTY)
    assert cached.read() == [100]


def test_no_slot_left(machine: Any) -> None:
    """All slots used: pages stay mapped (R-RECL-4 #7); a freed slot can be had again."""
    rig = machine(slots=3)
    area = evicted(rig, 4)
    assert slots(area) == [1, 2, 3, t.NONE]
    area.munmap(range(1, 2))
    rig.unmap_to_swap()
    assert area.slot(3) == 2


def test_slot_forgets_its_content_when_it_is_freed(rig: Any) -> None:
    """INV-4: a page whose slot was never written is dirty: a slot used again does not count as written."""
    area = evicted(rig, 1)
    assert rig.m.slot.content[1] == 100
    area.munmap()
    assert rig.m.slot.content[1] == t.SLOT_NEVER_WRITTEN
