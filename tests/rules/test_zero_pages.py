"""use_zero_pages: R-B-ZERO-1, R-B-CTR-2, R-B-CTR-3, R-B-FORK-1."""

from __future__ import annotations

import pytest

from ksmlab_core.mm import mm_types as t


@pytest.fixture
def zeros(machine):
    """A machine with use_zero_pages=1, and a process with 4 pages of zeros that ksmd has merged."""
    rig = machine(knobs=["use_zero_pages"], switches={"mark_zero_pages": True, "unshare": True})
    rig.set_knob("use_zero_pages", 1)
    area = rig.process(4, 0)
    rig.scan_passes(2)
    return rig, area


def shown(rig, area):
    """(ksm_zero_pages of the machine, of the process)."""
    of_process = rig.machine.process_counters()["ksm_zero_pages"][area.mm]
    return rig.machine.ksm_counters()["ksm_zero_pages"], int(of_process)


def test_zeros_become_the_zero_page(zeros):
    """R-B-ZERO-1: no node, not in shared or sharing, rss down, frames free; the items go with the next pass."""
    rig, area = zeros
    assert shown(rig, area) == (4, 4)
    assert [area.frame(page) for page in range(4)] == [t.ZERO_PAGE] * 4
    assert rig.counters() == (0, 0, 0, 4)
    assert (rig.rss(area.mm), rig.used_frames(), rig.nodes()) == (0, 0, [])
    assert area.is_dirty()
    assert not area.is_writable()
    rig.scan_passes(1)
    assert rig.counters() == (0, 0, 0, 0)
    assert shown(rig, area) == (4, 4)
    assert rig.machine.ksm_counters()["general_profit"] == 4 * 4096
    assert rig.machine.process_counters()["ksm_process_profit"][area.mm] == 4 * 4096


def test_only_after_the_checksum_has_held(machine):
    """R-B-ZERO-1, R-CMP-4: the first look at a page stores its checksum and stops."""
    rig = machine(knobs=["use_zero_pages"])
    rig.set_knob("use_zero_pages", 1)
    area = rig.process(1, 0)
    rig.scan_passes(1)
    assert area.frame() != t.ZERO_PAGE
    rig.scan_passes(1)
    assert area.frame() == t.ZERO_PAGE


def test_off_by_default(machine):
    """R-B-ZERO-1, selftest -Z: with the knob at 0 ten pages of zeros are one KSM page."""
    rig = machine(knobs=["use_zero_pages"])
    rig.process(10, 0)
    rig.scan_passes(2)
    assert rig.counters() == (1, 9, 0, 0)


def test_a_write_takes_a_page_of_its_own(zeros):
    """R-B-ZERO-1: one zero page fewer, rss up."""
    rig, area = zeros
    area.write(5, 0)
    area.touch(1)
    assert shown(rig, area) == (2, 2)
    assert rig.rss(area.mm) == 2
    assert area.read() == [5, 0, 0, 0]


def test_unmerging(zeros):
    """R-B-ZERO-1, R-B-UNM-1, selftest unmerge_zero_pages: UNMERGEABLE on half, a write to the other half."""
    rig, area = zeros
    area.unmergeable(range(2))
    assert shown(rig, area) == (2, 2)
    assert area.frame(0) != area.frame(1)
    assert not area.is_writable(0)
    area.write(0, [2, 3])
    assert shown(rig, area) == (0, 0)


def test_run_2_breaks_them(zeros):
    """R-B-UNM-1: run=2 gives every pte a page of its own."""
    rig, area = zeros
    rig.set_knob("run", 2)
    assert shown(rig, area) == (0, 0)
    assert len({area.frame(page) for page in range(4)}) == 4


def test_the_knob_at_0_leaves_them(zeros):
    """R-B-ZERO-1: existing zero ptes are unaffected when the knob is cleared."""
    rig, area = zeros
    rig.set_knob("use_zero_pages", 0)
    rig.scan_passes(2)
    assert shown(rig, area) == (4, 4)


def test_dontneed_munmap_exit(zeros):
    """R-B-ZERO-1: zapping counts them off, in all and in the process."""
    rig, area = zeros
    area.dontneed(range(1))
    assert shown(rig, area) == (3, 3)
    area.munmap(range(1, 2))
    assert shown(rig, area) == (2, 2)
    area.exit()
    assert shown(rig, area) == (0, 0)


def test_fork_inherits(zeros):
    """R-B-FORK-1: a child has its parent's zero pages, counted once more."""
    rig, area = zeros
    child = area.forked()
    assert shown(rig, child) == (8, 4)
    child.write(5, 0)
    assert shown(rig, child) == (7, 3)
    assert shown(rig, area) == (7, 4)
    area.exit()
    assert shown(rig, child) == (3, 3)


def test_a_page_only_read_is_not_one(zeros):
    """R-OBJ-7, R-B-ZERO-1: the zero page of a read fault is not counted."""
    rig, area = zeros
    other = rig.process(2)
    other.read()
    rig.scan_passes(2)
    assert shown(rig, other) == (4, 0)
    other.unmergeable()
    assert other.frame() == t.ZERO_PAGE
    assert shown(rig, area) == (4, 4)


def test_pinned_zeros_stay(machine):
    """R-B-ZERO-1, R-MERGE-4: a page that cannot be write-protected goes on to the trees."""
    rig = machine(knobs=["use_zero_pages"])
    rig.set_knob("use_zero_pages", 1)
    area = rig.process(1, 0)
    rig.drain()
    area.pin()
    rig.scan_passes(2)
    assert area.frame() != t.ZERO_PAGE
    assert rig.counters() == (0, 0, 1, 0)


@pytest.mark.parametrize("early", [True, False])
def test_before_the_stable_tree_or_behind_it(machine, early):
    """R-B-SCAN-3: with the checksum first the zero page is tried before the stable tree, else a KSM page wins."""
    rig = machine(knobs=["use_zero_pages"], switches={"mark_zero_pages": True, "checksum_before_stable": early})
    rig.process(2, 0)
    rig.scan_passes(2)
    assert rig.counters() == (1, 1, 0, 0)
    rig.set_knob("use_zero_pages", 1)
    new = rig.process(1, 0)
    rig.scan_passes(2)
    assert new.is_ksm() == (not early)
    assert rig.machine.ksm_counters()["ksm_zero_pages"] == (1 if early else 0)
