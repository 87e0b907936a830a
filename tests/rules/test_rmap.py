"""Adding a mapping (R-RMAP-1)."""

from __future__ import annotations

from typing import Any

from ksmlab_core.mm import mm_types as t


def identity(rig: Any, frame: int) -> tuple[int, int]:
    """(mapping, index) of a frame."""
    return int(rig.m.frame.mapping[frame]), int(rig.m.frame.index[frame])


def anon_vma(rig: Any, area: Any) -> int:
    return int(rig.m.vma.anon_vma[area.vma()])


def test_first_mapper_fixes_where_an_ordinary_page_belongs(rig: Any) -> None:
    """R-RMAP-1: 0 -> 1: mapping := the area's anon_vma, index := the linear index, NR_ANON_PAGES +1."""
    area = rig.process(3, [5, 6, 7])
    rig.unmap_to_swap(), rig.unmap_to_swap()
    assert rig.sc[t.NR_ANON_PAGES] == 0
    area.read(2)
    assert identity(rig, area.frame(2)) == (anon_vma(rig, area), area.start + 2)
    assert rig.mapcount(area.frame(2)) == 1
    assert rig.sc[t.NR_ANON_PAGES] == 1


def test_later_mappers_change_nothing_but_the_count(rig: Any) -> None:
    """R-RMAP-1: 1 -> 2: mapping and index stay (and must match), NR_ANON_PAGES counts pages, not ptes."""
    parent = rig.process(1, 5)
    child = parent.forked()
    rig.unmap_to_swap(), rig.unmap_to_swap()
    parent.read()
    before = identity(rig, parent.frame())
    child.read()
    assert identity(rig, parent.frame()) == before == (anon_vma(rig, child), child.start)
    assert rig.mapcount(parent.frame()) == 2
    assert rig.sc[t.NR_ANON_PAGES] == 1


def test_mapping_a_ksm_page_leaves_its_mapping_and_index_alone(rig: Any) -> None:
    """R-RMAP-1: KSM: return early: the node stays its mapping, also on 0 -> 1; only the counts move."""
    a, b = rig.merged()
    frame = a.frame()
    rig.unmap_to_swap()
    before = identity(rig, frame)
    assert rig.sc[t.NR_ANON_PAGES] == 0
    a.read()
    assert identity(rig, frame) == before
    assert before[0] == a.node()
    assert (rig.mapcount(frame), rig.sc[t.NR_ANON_PAGES]) == (1, 1)
    b.read()
    assert (rig.mapcount(frame), rig.sc[t.NR_ANON_PAGES]) == (2, 1)
    assert identity(rig, frame) == before


def test_mapping_an_orphan_leaves_it_an_orphan(rig: Any) -> None:
    """R-RMAP-1, R-CASE-e2: an orphan's NULL mapping is not filled in by its first mapper."""
    a, _b = rig.merged()
    frame = a.frame()
    rig.unmap_to_swap()
    rig.scan_passes(1)
    a.read()
    assert a.frame() == frame
    assert rig.is_orphan(frame)


def test_ksm_page_can_be_mapped_while_somebody_holds_its_lock(rig: Any) -> None:
    """R-RMAP-1: a KSM page need not be locked to be mapped once more: a fork and a forked page's listing go on."""
    a, _b = rig.merged()
    a.lock()
    child = a.forked()
    assert child.frame() == a.frame()
    assert rig.mapcount(a.frame()) == 3
