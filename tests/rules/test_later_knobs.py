"""Knobs and counters of later kernels: R-B-CTR-1 to R-B-CTR-3, R-B-MAX-1, R-B-NUMA-1, R-B-ADV-1."""

from __future__ import annotations

import pytest

from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm.errno import EBUSY, EINVAL, OK
from ksmlab_core.mm.profile import KNOBS, KSM_COUNTERS, PROCESS_COUNTERS

LATER = sorted(set(KNOBS) - {"run", "pages_to_scan", "sleep_millisecs", "max_kernel_pages"})


@pytest.fixture
def later(machine):
    """The usual machine with every knob of any kernel, smart_scan off."""
    rig = machine(knobs=LATER)
    assert rig.set_knob("smart_scan", 0) == OK
    return rig


def test_defaults(machine):
    """R-B-CTR-1, R-B-ADV-1, R-B-MAX-1, R-B-NUMA-1, R-B-SMART-1, R-B-ZERO-1: as the kernel starts."""
    rig = machine(knobs=LATER)
    assert {name: rig.machine.knobs[name] for name in LATER} == {
        "advisor_max_cpu": 70,
        "advisor_max_pages_to_scan": 30_000,
        "advisor_min_pages_to_scan": 500,
        "advisor_mode": 0,
        "advisor_target_scan_time": 200,
        "max_page_sharing": 256,
        "merge_across_nodes": 1,
        "smart_scan": 1,
        "stable_node_chains_prune_millisecs": 2000,
        "use_zero_pages": 0,
    }


@pytest.mark.parametrize(
    ("knob", "value", "result"),
    [
        ("smart_scan", 1, OK),
        ("smart_scan", 2, EINVAL),
        ("use_zero_pages", 1, OK),
        ("use_zero_pages", -1, EINVAL),
        ("merge_across_nodes", 0, OK),
        ("merge_across_nodes", 2, EINVAL),
        ("max_page_sharing", 2, OK),
        ("max_page_sharing", 1, EINVAL),
        ("max_page_sharing", 2**31, EINVAL),
        ("stable_node_chains_prune_millisecs", 0, OK),
        ("stable_node_chains_prune_millisecs", 2**32, EINVAL),
        ("advisor_mode", "scan-time", OK),
        ("advisor_mode", "none", OK),
        ("advisor_mode", 1, EINVAL),
        ("advisor_mode", "scan_time", EINVAL),
        ("advisor_target_scan_time", 1, OK),
        ("advisor_target_scan_time", 0, EINVAL),
        ("advisor_max_cpu", 0, OK),
    ],
)
def test_what_knobs_accept(later, knob, value, result):
    """R-B-CTR-1, R-B-MAX-1, R-B-NUMA-1, R-B-ADV-2: ranges and words; a refused value leaves the old one."""
    before = later.machine.knobs[knob]
    assert later.set_knob(knob, value) == result
    wanted = KNOBS[knob].words.index(value) if result == OK and KNOBS[knob].words else value
    assert later.machine.knobs[knob] == (wanted if result == OK else before)


@pytest.mark.parametrize(("knob", "value"), [("max_page_sharing", 10), ("merge_across_nodes", 0)])
def test_busy_while_pages_are_shared(later, knob, value):
    """R-B-MAX-1, R-B-NUMA-1: EBUSY while pages_shared is above 0, writing the same value excepted; run=2 frees it."""
    later.merged()
    assert later.set_knob(knob, value) == EBUSY
    assert later.set_knob(knob, later.machine.knobs[knob]) == OK
    assert later.set_knob("run", 2) == OK
    assert later.set_knob(knob, value) == OK
    assert later.machine.knobs[knob] == value


def test_the_advisor_owns_pages_to_scan(later):
    """R-B-ADV-1: enabling sets pages_to_scan to the least and refuses writes to it; disabling sets 100."""
    later.set_knob("pages_to_scan", 7)
    later.set_knob("advisor_min_pages_to_scan", 600)
    assert later.machine.knobs["pages_to_scan"] == 7
    later.set_knob("advisor_mode", "scan-time")
    assert later.machine.knobs["pages_to_scan"] == 600
    assert later.set_knob("pages_to_scan", 7) == EINVAL
    later.set_knob("advisor_min_pages_to_scan", 700)
    assert later.set_knob("advisor_mode", "scan-time") == OK
    assert later.machine.knobs["pages_to_scan"] == 600, "the mode has not changed, so nothing is set anew"
    later.set_knob("advisor_mode", "none")
    assert later.machine.knobs["pages_to_scan"] == 100
    assert later.set_knob("pages_to_scan", 8) == OK


def test_the_seed_has_none_of_this(rig):
    """R-B-CTR-1: which counters and knobs exist is a matter of the kernel."""
    assert set(rig.machine.ksm_counters()) == {
        "pages_shared", "pages_sharing", "pages_unshared", "pages_volatile", "full_scans",
    }  # fmt: skip
    assert rig.machine.process_counters() == {}
    assert all(rig.set_knob(name, 1) == EINVAL for name in LATER)


def test_general_profit(later):
    """R-B-CTR-2: (sharing + zero pages) pages saved, less 64 bytes an item; it can be negative."""
    assert set(later.machine.ksm_counters()) == set(KSM_COUNTERS)
    later.processes(3, 2, [7, 8])
    later.scan_passes(1)
    assert later.machine.ksm_counters()["general_profit"] == -6 * 64
    later.scan_passes(1)
    counters = later.machine.ksm_counters()
    assert counters["pages_sharing"] == 4
    assert counters["general_profit"] == 4 * 4096 - 6 * 64
    assert counters["pages_scanned"] == 12


def test_process_figures(later):
    """R-B-CTR-3: merging pages are the items in the stable state, shared and sharing; profit counts them all."""
    a, b = later.merged()
    c = later.process(content=9)
    later.scan_passes(1)
    shown = later.machine.process_counters()
    assert set(shown) == set(PROCESS_COUNTERS)
    for area, merging in ((a, 1), (b, 1), (c, 0)):
        assert shown["ksm_rmap_items"][area.mm] == 1
        assert shown["ksm_merging_pages"][area.mm] == merging
        assert shown["ksm_process_profit"][area.mm] == merging * 4096 - 64
    child = a.forked()
    shown = later.machine.process_counters()
    assert (shown["ksm_rmap_items"][child.mm], shown["ksm_merging_pages"][child.mm]) == (0, 0)


def test_skipped_pages_are_not_scanned_pages(later):
    """R-B-SCAN-8: pages_scanned counts what ksmd looked at."""
    later.set_knob("smart_scan", 1)
    later.process(content=5)
    later.scan_passes(8)
    counters = later.machine.ksm_counters()
    assert (counters["pages_scanned"], counters["pages_skipped"]) == (5, 3)
    assert int(later.sc[t.KSM_PAGES_SCANNED]) == 5
