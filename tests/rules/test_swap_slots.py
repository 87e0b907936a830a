"""Slots kept in hand by the processor (`slot_cache`, 4.11 to 6.14): taken 64 at a time, given back 64 at a time."""

from __future__ import annotations

from typing import Any

import pytest

from ksmlab_core.mm import mm_types as t

BATCH = t.SWAP_SLOTS_CACHE_SIZE


@pytest.fixture
def hoarder(machine: Any) -> Any:
    """A 6.1 machine with swap enough to keep slots in hand."""
    return machine(kernel="v6.1", frames=1024, slots=1000)


def driven_out(rig: Any, pages: int, content: int = 100) -> Any:
    """A process all of whose pages were evicted, one slot each."""
    area = rig.process(pages, range(content, content + pages), mergeable=False)
    rig.drain()
    rig.evict(rig.machine.frames_of(area.ptes()))
    assert all(area.slot(page) != t.NONE for page in range(pages))
    return area


def used(rig: Any) -> int:
    return int(rig.sc[t.SWAP_INUSE])


@pytest.mark.parametrize(("pages", "in_use"), [(1, 64), (63, 64), (64, 64), (65, 128), (200, 256)])
def test_slots_are_taken_64_at_a_time(hoarder: Any, pages: int, in_use: int) -> None:
    """R-RECL-5, INV-20: what SwapFree lacks is a multiple of 64, however few pages were driven out."""
    area = driven_out(hoarder, pages)
    assert used(hoarder) == in_use
    assert [area.slot(page) for page in range(pages)] == list(range(1, pages + 1))


def test_slots_come_back_64_at_a_time(hoarder: Any) -> None:
    """R-FREE-2, INV-20: the 65th slot that is given up lets the 64 before it go; no slot of these is taken meanwhile."""
    area = driven_out(hoarder, 70)
    area.munmap(range(64))
    assert used(hoarder) == 128
    assert driven_out(hoarder, 1, 500).slot() == 71
    area.munmap(range(64, 65))
    assert used(hoarder) == 64


def test_a_slot_given_up_is_as_if_it_were_used(hoarder: Any) -> None:
    """INV-3: nobody names a slot in hand, it has no page, and a search for a free one passes it by."""
    slot = (area := driven_out(hoarder, 1)).slot()
    area.munmap()
    assert hoarder.refs(slot) == (t.SLOT_IN_HAND, False)


@pytest.mark.parametrize(("slots", "in_use"), [(320, 1), (321, 64)])
def test_too_little_swap_is_handed_out_one_by_one(machine: Any, slots: int, in_use: int) -> None:
    """More than 5 x 64 slots must be free for the first batch, as SWAPFULL of 6.1 shows with 63 slots."""
    rig = machine(kernel="v6.1", slots=slots)
    driven_out(rig, 1)
    assert used(rig) == in_use


def test_when_swap_runs_out_what_is_in_hand_is_used(machine: Any) -> None:
    """Below 2 x 64 free slots all in hand go back; in the end every slot holds a page, and then no page gets one."""
    rig = machine(kernel="v6.1", frames=1024, slots=400)
    driven_out(rig, 257)
    assert used(rig) == 320
    driven_out(rig, 1, 500)  # 80 are free
    assert (used(rig), rig.sc[t.SLOT_CACHE_ACTIVE]) == (258, 0)
    driven_out(rig, 142, 600)
    assert used(rig) == 400
    late = rig.process(1, 999, mergeable=False)
    rig.drain()
    rig.evict(rig.machine.frames_of(late.ptes()))
    assert late.slot() == t.NONE


def test_it_starts_again_when_swap_is_free_again(machine: Any) -> None:
    rig = machine(kernel="v6.1", frames=1024, slots=400)
    area = driven_out(rig, 281)
    area.munmap(range(250))
    assert used(rig) == 31
    driven_out(rig, 1, 500)
    assert used(rig) == 31 + BATCH


def test_swapoff_gives_all_back_and_takes_none(hoarder: Any) -> None:
    """R-OFF-1, R-B-OFF-1: nothing is in use behind it; swapon begins anew."""
    area = driven_out(hoarder, 70)
    assert hoarder.swapoff() == 0
    assert (used(hoarder), area.read(0)) == (0, [100])
    assert hoarder.swapon() == 0
    driven_out(hoarder, 1, 500)
    assert used(hoarder) == BATCH


def test_swapoff_that_fails_leaves_swap_as_it_works(machine: Any) -> None:
    """R-OFF-4: ENOMEM; slots are kept in hand again."""
    rig = machine(kernel="v6.1", frames=64, slots=1000)
    area = driven_out(rig, 40)
    rig.process(50, range(500, 550), mergeable=False)
    assert rig.swapoff() != 0
    assert rig.sc[t.SLOT_CACHE_ENABLED] == 1
    assert area.read(39) == [139]


@pytest.mark.parametrize("start", [1, 2, 64, 65, 130])
def test_a_machine_that_has_swapped_before(machine: Any, start: int) -> None:
    """swap_start: the slots of the batch before it have been given back, the others are in hand."""
    rig = machine(kernel="v6.1", slots=1000, swap_start=start)
    rig.check()
    assert used(rig) == (0 if start % BATCH == 1 else BATCH)
    assert driven_out(rig, 1).slot() == start


def test_readahead_by_slots_passes_slots_in_hand_by(machine: Any) -> None:
    """R-SWAPIN-1: with the older readahead, a slot of the window that is in hand holds nothing to read."""
    rig = machine(kernel="v6.1", slots=1000, switches={"readahead": "slots"})
    area = driven_out(rig, 3)
    before = int(rig.sc[t.PSWPIN])
    assert area.read(1) == [101]
    assert int(rig.sc[t.PSWPIN]) - before == 3


def test_full_swap_is_told_by_what_is_free_to_all(machine: Any) -> None:
    """R-RECL-4: slots in hand are missing where "less than half is free" is asked."""
    rig = machine(kernel="v6.1", frames=1024, slots=500)
    area = driven_out(rig, 193)  # 256 in use
    area.read(0)
    rig.evict(rig.machine.frames_of(area.ptes(0)))
    assert used(rig) * 2 > 500
