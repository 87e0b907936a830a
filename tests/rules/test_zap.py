"""Letting go of addresses (R-ZAP-1)."""

from __future__ import annotations

from typing import Any

import pytest

from ksmlab_core.mm import mm_types as t

HOW = pytest.mark.parametrize("how", ["munmap", "dontneed", "exit"])


@HOW
def test_present_page(rig: Any, how: str) -> None:
    """R-ZAP-1: rss -1, mapcount -1, count -1."""
    parent = rig.process(2, [5, 6])
    child = parent.forked()
    frames = [parent.frame(0), parent.frame(1)]
    getattr(child, how)()
    assert [rig.mapcount(frame) for frame in frames] == [1, 1]
    assert [rig.count(frame) for frame in frames] == [1, 1]
    assert rig.rss(child.mm) == 0
    assert rig.sc[t.NR_ANON_PAGES] == 2


@HOW
def test_last_mapping_frees_the_page(rig: Any, how: str) -> None:
    """R-ZAP-1: nothing else holds it: the frame is free; the page batches are drained on the way."""
    area = rig.process(3, [5, 6, 7])
    getattr(area, how)()
    assert rig.used_frames() == 0
    assert rig.sc[t.NR_ANON_PAGES] == 0


@HOW
def test_cached_page_gives_its_slot_up(rig: Any, how: str) -> None:
    """R-ZAP-1: present in the swap cache: after the mapping the slot is tried."""
    area = rig.process(1, 5)
    rig.unmap_to_swap()
    area.read()
    getattr(area, how)()
    assert rig.sc[t.SWAP_INUSE] == 0
    assert rig.used_frames() == 0


@HOW
def test_contended_cached_page_keeps_its_slot(rig: Any, how: str) -> None:
    """R-ZAP-1, R-FREE-2: freeing the slot needs the page lock; the page goes by reclaim later."""
    area = rig.process(1, 5)
    rig.unmap_to_swap()
    area.read()
    rig.drain()
    frame = area.lock()
    getattr(area, how)()
    assert rig.refs(1) == (0, True)
    rig.lock_page(frame, False)
    rig.shrink(), rig.shrink()
    assert rig.used_frames() == 0


@HOW
def test_swap_pte(rig: Any, how: str) -> None:
    """R-ZAP-1: as R-FREE-2: the count falls, the last one frees slot and cached page."""
    a, b = rig.processes(2, content=5)
    rig.unmap_to_swap()
    used = int(rig.sc[t.SWAP_INUSE])
    getattr(a, how)()
    assert rig.sc[t.SWAP_INUSE] == used - 1
    assert b.read() == [5]


@HOW
def test_ksm_structures_are_untouched(rig: Any, how: str) -> None:
    """R-ZAP-1, R-CTR-8: items and node stay as they are until ksmd passes; the page with them."""
    a, b = rig.merged()
    frame, node = a.frame(), a.node()
    items = rig.node_items(node)
    getattr(a, how)(), getattr(b, how)()
    assert rig.counters() == (1, 1, 0, 0)
    assert rig.node_items(node) == items
    assert rig.state(frame) == "[KadA,mc0,rc1,node]"
    rig.scan_passes(1)
    assert rig.counters() == (0, 0, 0, 0)
    assert rig.used_frames() == 0


def test_given_back_address_reads_as_zero(rig: Any) -> None:
    """R-ZAP-1: after DONTNEED the area is as new: the zero page for a reader, then a stale item meets a new page."""
    a, b = rig.merged()
    a.dontneed()
    assert a.read() == [0]
    assert a.frame() == t.ZERO_PAGE
    a.write(7)
    assert a.item_state() == t.ITEM_STABLE
    rig.scan_passes(1)
    assert a.frame() == b.frame()
    assert rig.counters() == (1, 1, 0, 0)


@HOW
def test_zero_page_and_untouched_addresses_count_nothing(rig: Any, how: str) -> None:
    """R-ZAP-1, R-OBJ-7: a zero-page pte goes without touching rss or any page count."""
    area = rig.process(3)
    area.read(0)
    area.write(5, 1)
    getattr(area, how)()
    assert rig.rss(area.mm) == 0
    assert rig.mapcount(t.ZERO_PAGE) == 0
    assert rig.used_frames() == 0


def test_part_of_an_area(rig: Any) -> None:
    """R-ZAP-1: only the range goes; its neighbours stay mapped."""
    area = rig.process(4, [5, 6, 7, 8])
    area.munmap(range(1, 3))
    assert rig.rss(area.mm) == 2
    assert list(rig.machine.contents_of(area.ptes([0, 3]))) == [5, 8]
    assert rig.used_frames() == 2
