"""What LTP's ksm tests and the kernel's own selftests expect of a kernel, asked of the profiles that came since."""

from __future__ import annotations

import pytest

from ksmlab_core.mm.errno import OK

NOW = ["v6.1", "v6.8", "v6.18"]


def start(machine, kernel, **kwargs):
    rig = machine(kernel=kernel, **{"frames": 2000, "slots": 0, **kwargs})
    if "smart_scan" in rig.machine.knobs:
        assert rig.set_knob("smart_scan", 0) == OK
    return rig


@pytest.mark.parametrize("kernel", NOW)
def test_ksm01(machine, kernel):
    """LTP ksm01, R-B-MAX-1: four stages of fills of three children, then run=2; max_page_sharing raised to all."""
    size = 400
    total = 3 * size
    rig = start(machine, kernel)
    assert rig.set_knob("max_page_sharing", total) == OK
    children = rig.processes(3, size)
    stages = [("caa", (2, total - 2, 0, 0)), ("cba", (3, total - 3, 0, 0)), ("ddd", (1, total - 1, 0, 0))]
    for fills, expected in stages:
        for child, fill in zip(children, fills, strict=True):
            child.write(ord(fill))
        rig.scan_passes(3)
        assert rig.counters() == expected
    children[1].write(ord("e"), size - 1)
    rig.scan_passes(3)
    assert rig.counters() == (1, total - 2, 1, 0)
    rig.set_knob("run", 2)
    assert rig.counters() == (0, 0, 0, 0)


@pytest.mark.parametrize("kernel", ["v6.8", "v6.18"])
def test_ksm07(machine, kernel):
    """LTP ksm07, R-B-SMART-1: one page, smart_scan on: skipped in at least half of the passes."""
    rig = machine(kernel=kernel)
    rig.process(content=7)
    rig.scan_passes(20)
    assert rig.machine.ksm_counters()["pages_skipped"] * 2 >= rig.full_scans() == 20


@pytest.mark.parametrize("kernel", NOW)
@pytest.mark.parametrize(("zero_pages", "expected"), [(0, (1, 9)), (1, (0, 0))])
def test_selftest_zero_pages(machine, kernel, zero_pages, expected):
    """ksm_tests -Z, R-B-ZERO-1: ten pages of zeros, with and without use_zero_pages."""
    rig = start(machine, kernel)
    rig.set_knob("use_zero_pages", zero_pages)
    area = rig.process(10, 0)
    rig.scan_passes(2)
    assert rig.counters()[:2] == expected
    assert len({area.frame(page) for page in range(10)}) == 1


@pytest.mark.parametrize("kernel", NOW)
def test_selftest_unmerge(machine, kernel):
    """ksm_tests -U: two merged pages, each changed: 0 / 0 after one more pass."""
    rig = start(machine, kernel)
    area = rig.process(2, 7)
    rig.scan_passes(2)
    assert rig.counters()[:2] == (1, 1)
    area.write([1, 2])
    rig.scan_passes(1)
    assert rig.counters()[:2] == (0, 0)


def test_functional_tests_figures(machine):
    """ksm_functional_tests, R-B-MAX-2: 512 equal pages at the default limit: 2 / 510, one chain of two dups."""
    rig = start(machine, "v6.18")
    area = rig.process(512, 207)
    rig.scan_passes(2)
    counters = rig.machine.ksm_counters()
    assert (counters["pages_shared"], counters["pages_sharing"]) == (2, 510)
    assert (counters["stable_node_chains"], counters["stable_node_dups"]) == (1, 2)
    assert rig.machine.process_counters()["ksm_merging_pages"][area.mm] == 512
    assert area.unmergeable() == OK
    assert len({area.frame(page) for page in range(512)}) == 512


def test_functional_test_discarded(machine):
    """ksm_functional_tests unmerge_discarded: UNMERGEABLE over pages given back succeeds and leaves nothing shared."""
    rig = start(machine, "v6.18")
    area = rig.process(64, 207)
    rig.scan_passes(2)
    area.dontneed(range(32))
    assert area.unmergeable() == OK
    assert len({area.frame(page) for page in range(32, 64)}) == 32
