"""A page that comes back soon after its eviction is made active (`refault_activates`, for anonymous pages since 5.9)."""

from __future__ import annotations

from typing import Any

import pytest

from ksmlab_core.mm import mm_types as t


def driven_out(rig: Any, area: Any) -> None:
    rig.drain()
    rig.evict(rig.machine.frames_of(area.ptes()))


def comes_back_active(rig: Any, area: Any) -> bool:
    area.read()
    rig.drain()
    return rig.has(area.frame(), t.PG_ACTIVE)


@pytest.mark.parametrize("others", [0, 1, 2, 3])
@pytest.mark.parametrize("in_need", [0, 1, 2, 3])
def test_the_distance_is_held_against_what_is_in_need(machine: Any, others: int, in_need: int) -> None:
    """R-OBJ-14, R-SWAPIN-1: pages evicted from this one on (itself, then `others`), against the pages of files."""
    rig = machine(kernel="v6.1", file_pages=in_need)
    area = rig.process(content=7, mergeable=False)
    driven_out(rig, area)
    if others:
        driven_out(rig, rig.process(others, range(20, 20 + others), mergeable=False))
    assert comes_back_active(rig, area) == (1 + others <= in_need)


def test_active_pages_count_while_there_is_free_swap(machine: Any) -> None:
    """The size of what is in need: active anonymous pages, unless swap is full."""
    rig = machine(kernel="v6.1", slots=2)
    active = rig.process(1, 9, mergeable=False)
    rig.drain()
    for _ in range(2):
        active.touch()
        rig.shrink()
    assert rig.has(active.frame(), t.PG_ACTIVE)
    area = rig.process(content=7, mergeable=False)
    driven_out(rig, area)
    assert comes_back_active(rig, area)
    driven_out(rig, area)
    driven_out(rig, rig.process(content=8, mergeable=False))
    rig.sc[t.NONRESIDENT_AGE] -= 1  # as if this eviction had not been: the distance is one again, but swap is full
    assert not comes_back_active(rig, area)


def test_every_page_of_a_readahead_window_is_judged(machine: Any) -> None:
    """R-B-SWAPIN-4: those read ahead too."""
    rig = machine(kernel="v6.1", file_pages=100)
    area = rig.process(8, range(100, 108), mergeable=False)
    driven_out(rig, area)
    area.read(4)
    rig.drain()
    cached = [int(rig.m.slot.frame[area.slot(page)]) for page in (3, 5)]
    assert all(page != t.NONE and rig.has(page, t.PG_ACTIVE) for page in [area.frame(4), *cached])


def test_a_page_that_was_never_evicted_has_no_past(machine: Any) -> None:
    """A slot forgets with its page: one that is taken again by another page says nothing of that page."""
    rig = machine(kernel="v6.1", slots=1, file_pages=100)
    first = rig.process(content=7, mergeable=False)
    driven_out(rig, first)
    first.munmap()
    second = rig.process(content=8, mergeable=False)
    rig.drain()
    rig.make_all_old()
    rig.shrink()  # unmapped and written, still in the swap cache
    assert (second.slot(), rig.m.slot.shadow[1]) == (1, t.NONE)


def test_activations_move_the_clock(machine: Any) -> None:
    """R-B-RECL-1: a page that reclaim found in use and activated counts as one that was needed in between."""
    rig = machine(kernel="v6.1")
    a, b = rig.merged()
    before = int(rig.sc[t.NONRESIDENT_AGE])
    a.read(), b.read()
    rig.shrink()
    assert int(rig.sc[t.NONRESIDENT_AGE]) - before == 1


def test_without_the_switch_slots_remember_nothing(machine: Any) -> None:
    rig = machine(file_pages=100)
    area = rig.process(content=7, mergeable=False)
    driven_out(rig, area)
    assert not comes_back_active(rig, area)
    assert len(rig.m.slot.shadow) == 0
