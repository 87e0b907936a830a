"""The six ways in which a page comes back from swap (R-CASE-a to R-CASE-f)."""

from __future__ import annotations

from typing import Any

import pytest

from ksmlab_core.mm import mm_types as t


def evict_ksm(rig: Any) -> None:
    """Reclaim and one pass of ksmd: KSM pages are written and freed, nothing is cached."""
    rig.unmap_to_swap()
    rig.scan_passes(1)
    rig.shrink(), rig.shrink()
    assert rig.sc[t.NR_SWAPCACHE] == 0


def faults(rig: Any) -> tuple[int, int]:
    """(major faults, pages read from swap)."""
    return int(rig.sc[t.PGMAJFAULT]), int(rig.sc[t.PSWPIN])


# -- a ------------------------------------------------------------------------------------------------------------


def test_case_a_first_reader_adopts_the_page(rig: Any) -> None:
    """R-CASE-a: read from disk, no mapping: no copy; the faulting area's anon_vma and index become the page's."""
    a, b = rig.merged()
    evict_ksm(rig)
    a.read()
    frame = a.frame()
    assert faults(rig) == (1, 1)
    assert not a.is_ksm()
    assert rig.m.frame.mapping[frame] == rig.m.vma.anon_vma[a.vma()] != t.NONE
    assert rig.m.frame.index[frame] == a.start
    assert not a.is_writable()
    assert rig.refs(b.slot()) == (1, True)


def test_case_a_write_by_the_last_reference_is_reused(rig: Any) -> None:
    """R-CASE-a: write, n == 1: reused, out of the swap cache, writable."""
    a, b = rig.merged()
    evict_ksm(rig)
    b.munmap()
    a.write(9)
    assert a.is_writable()
    assert not rig.has(a.frame(), t.PG_SWAPCACHE)
    assert (rig.sc[t.COW_COPIES], rig.sc[t.SWAP_INUSE]) == (0, 0)


def test_case_a_write_beside_other_references_is_copied(rig: Any) -> None:
    """R-CASE-a: write, n > 1: mapped read-only, then COWed; the page read stays cached, unmapped, a's by anon_vma."""
    a, b = rig.merged()
    evict_ksm(rig)
    a.write(9)
    left = int(rig.m.slot.frame[b.slot()])
    assert a.frame() != left
    assert rig.mapcount(left) == 0
    assert rig.m.frame.mapping[left] == rig.m.vma.anon_vma[a.vma()]
    assert rig.sc[t.COW_COPIES] == 1
    assert rig.refs(b.slot()) == (1, True)


def test_case_a_identity_as_ksm_page_is_lost(rig: Any) -> None:
    """R-CASE-a: after the real swap-out a page is ordinary for good; only ksmd can merge it anew."""
    a, b = rig.merged()
    evict_ksm(rig)
    a.read(), b.read()
    assert not a.is_ksm()
    assert not b.is_ksm()
    assert rig.counters() == (0, 0, 0, 0)


# -- b ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [False, True])
def test_case_b_second_process_copies(rig: Any, write: bool) -> None:
    """R-CASE-b: another anon_vma, still cached: a private copy, no I/O; a writer has it writable at once."""
    a, b = rig.merged()
    evict_ksm(rig)
    a.read()
    if write:
        b.write(9)
    else:
        assert b.read() == [7]
    assert a.frame() != b.frame()
    assert rig.mapcount(a.frame()) == rig.mapcount(b.frame()) == 1
    assert b.is_writable() is write
    assert faults(rig) == (1, 1)
    assert rig.refs(1) == (0, True)
    assert (rig.sc[t.SWAPIN_COPIES], rig.sc[t.COW_COPIES]) == (1, 0)


# -- c ------------------------------------------------------------------------------------------------------------


def test_case_c_fork_relatives_share(rig: Any) -> None:
    """R-CASE-c: same anon_vma, same index: one frame for both, mapcount 2; a write then is ordinary COW."""
    parent = rig.process(1, 5)
    child = parent.forked()
    for _ in range(2):
        rig.unmap_to_swap()
    assert rig.refs(child.slot()) == (2, False)
    parent.read(), child.read()
    assert parent.frame() == child.frame()
    assert rig.mapcount(parent.frame()) == 2
    assert rig.sc[t.SWAPIN_COPIES] == 0
    assert faults(rig) == (1, 1)
    child.write(6)
    assert parent.frame() != child.frame()
    assert parent.read() == [5]


def test_case_c_applies_to_a_page_that_was_a_ksm_page(rig: Any) -> None:
    """R-CASE-c: a forked sharer of an evicted KSM page maps what its parent read; the third process copies."""
    a, b = rig.merged()
    child = a.forked()
    rig.scan_passes(1)
    evict_ksm(rig)
    assert rig.refs(1) == (3, False)
    child.read(), a.read(), b.read()
    assert child.frame() == a.frame() != b.frame()
    assert rig.sc[t.SWAPIN_COPIES] == 1


# -- d ------------------------------------------------------------------------------------------------------------


def test_case_d_same_area_other_page_copies(rig: Any) -> None:
    """R-CASE-d: two equal pages of one area had one KSM page: the anon_vma is the same, the index is not: copied."""
    area = rig.process(2, 7)
    rig.scan_passes(2)
    assert area.frame(0) == area.frame(1)
    evict_ksm(rig)
    area.read(0)
    area.read(1)
    assert area.frame(0) != area.frame(1)
    assert rig.sc[t.SWAPIN_COPIES] == 1
    assert faults(rig) == (1, 1)


# -- e1 -----------------------------------------------------------------------------------------------------------


def test_case_e1_ksm_page_with_a_node_is_mapped_as_it_is(rig: Any) -> None:
    """R-CASE-e1: before ksmd has passed: a minor fault, the same K read-only, node and items still valid."""
    a, b = rig.merged()
    frame = a.frame()
    rig.unmap_to_swap()
    a.read()
    assert a.frame() == frame
    assert not a.is_writable()
    assert rig.mapcount(frame) == 1
    assert rig.refs(b.slot()) == (1, True)
    assert rig.counters() == (1, 1, 0, 0)
    assert faults(rig) == (0, 0)
    rig.scan_passes(1)
    assert rig.counters() == (1, 0, 0, 0)  # b's item is gone, a's is still the listed one
    assert a.item_state() == t.ITEM_STABLE


def test_case_e1_address_without_an_item_is_listed_again(rig: Any) -> None:
    """R-CASE-e1: ksmd passed while the pte was a swap pte: back on K, the "forked KSM" path lists it anew."""
    a, b = rig.merged()
    frame = a.frame()
    rig.unmap_to_swap()
    b.read()
    rig.scan_passes(1)
    assert rig.counters() == (1, 0, 0, 0)
    a.read()
    assert a.frame() == frame
    rig.scan_passes(1)
    assert rig.counters() == (1, 1, 0, 0)
    assert rig.sc[t.KSM_FORKED] == 1


def test_case_e1_write_maps_read_only_and_copies(rig: Any) -> None:
    """R-CASE-e1: a write fault on the cached K: never reused, copied by COW."""
    a, b = rig.merged()
    frame = a.frame()
    rig.unmap_to_swap()
    a.write(9)
    assert a.frame() != frame
    assert a.is_writable()
    assert rig.state(frame) == "[KasdI,mc0,rc2,node]"
    assert (rig.sc[t.COW_KSM], rig.sc[t.SWAPIN_COPIES]) == (1, 0)
    assert b.read() == [7]
    assert b.frame() == frame


# -- e2 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["pass", "run 2"])
def test_case_e2_orphan_is_mapped_as_it_is(rig: Any, how: str) -> None:
    """R-CASE-e2, T-DRV-12: K still cached, its node gone: mapped read-only as an orphan, without I/O or copy."""
    a, b = rig.merged()
    frame = a.frame()
    rig.unmap_to_swap()
    if how == "pass":
        rig.scan_passes(1)
    else:
        assert rig.set_knob("run", 2) == 0
    assert rig.counters() == (0, 0, 0, 0)
    a.read()
    assert a.frame() == frame
    assert rig.is_orphan(frame)
    assert not a.is_writable()
    assert faults(rig) == (0, 0)
    assert rig.refs(b.slot()) == (1, True)


def test_case_e2_orphan_cannot_be_reclaimed_and_pins_its_slot(rig: Any) -> None:
    """R-CASE-e2, R-TTU-2: FAIL, activated, again and again; with all sharers back, the slot is held as 0+C."""
    a, b = rig.merged()
    rig.unmap_to_swap()
    rig.scan_passes(1)
    a.read(), b.read()
    frame = a.frame()
    for _ in range(3):
        rig.unmap_to_swap()
    assert a.frame() == b.frame() == frame
    assert rig.lru(t.LRU_ACTIVE_ANON) == [frame]
    assert rig.refs(1) == (0, True)


def test_case_e2_ksmd_breaks_the_orphan(rig: Any) -> None:
    """R-CASE-e2, R-CMP-3: the next pass copies it back to an ordinary page."""
    a, b = rig.merged()
    frame = a.frame()
    rig.unmap_to_swap()
    rig.scan_passes(1)
    a.read()
    rig.scan_passes(1)
    assert a.frame() != frame
    assert not a.is_ksm()
    assert rig.counters() == (0, 0, 0, 1)
    assert rig.refs(b.slot()) == (1, True)


@pytest.mark.parametrize("how", ["write", "unmap"])
def test_case_e2_writing_or_unmapping_ends_it(rig: Any, how: str) -> None:
    """R-CASE-e2: a write copies; unmapping lets go."""
    a, b = rig.merged()
    frame = a.frame()
    rig.unmap_to_swap()
    rig.scan_passes(1)
    a.read(), b.read()
    if how == "write":
        a.write(8), b.write(9)
    else:
        a.munmap(), b.dontneed()
    assert rig.count(frame) == (
        1 if how == "write" else 0
    )  # a write leaves it to the swap cache, zapping frees that too
    assert rig.mapcount(frame) == 0


# -- f ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orphaned", [False, True])
def test_case_f_area_that_is_not_mergeable_any_more_gets_the_ksm_page(rig: Any, orphaned: bool) -> None:
    """R-CASE-f, R-ADV-3: advice is not consulted: a KSM page is mapped, ksmd never visits it, only a write ends it."""
    a, b = rig.merged()
    frame = a.frame()
    rig.unmap_to_swap()
    if orphaned:
        rig.scan_passes(1)
    assert a.unmergeable() == 0
    assert a.slot() != t.NONE
    a.read()
    assert a.frame() == frame
    rig.scan_passes(3)
    assert a.frame() == frame
    assert rig.is_orphan(frame)
    a.write(9)
    assert a.frame() != frame
    assert b.read() == [7]


def test_case_f_ordinary_pages_are_copied_as_ever(rig: Any) -> None:
    """R-CASE-f: a and b after eviction are treated alike, advised or not."""
    a, b = rig.merged()
    evict_ksm(rig)
    a.unmergeable(), b.unmergeable()
    a.read(), b.read()
    assert a.frame() != b.frame()
    assert rig.sc[t.SWAPIN_COPIES] == 1
