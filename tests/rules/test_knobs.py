"""The sysfs knobs: R-KNOB-1 to R-KNOB-4, X-11."""

from __future__ import annotations

import pytest

from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm.errno import EINVAL, ENOMEM, OK

UINT_MAX = 2**32 - 1


def test_defaults(rig):
    """R-KNOB-1: stopped, 100 pages per batch, 20 ms between batches, a quarter of memory for KSM pages."""
    assert rig.machine.knobs == {
        "run": 0,
        "pages_to_scan": 100,
        "sleep_millisecs": 20,
        "max_kernel_pages": 256 // 4,
    }
    assert int(rig.sc[t.KSM_MAX_KERNEL_PAGES]) == 64


@pytest.mark.parametrize(
    ("knob", "value", "result"),
    [
        ("run", 3, EINVAL),
        ("run", -1, EINVAL),
        ("pages_to_scan", UINT_MAX, OK),
        ("pages_to_scan", UINT_MAX + 1, EINVAL),
        ("pages_to_scan", 0, OK),
        ("sleep_millisecs", UINT_MAX, OK),
        ("sleep_millisecs", UINT_MAX + 1, EINVAL),
        ("max_kernel_pages", 2**63 - 1, OK),
        ("max_kernel_pages", 0, OK),
        ("pages_shared", 1, EINVAL),
        ("merge_across_nodes", 1, EINVAL),
    ],
)
def test_what_knobs_accept(rig, knob, value, result):
    """R-KNOB-1: ranges; a refused value leaves the old one. Counters and later kernels' files are no knobs."""
    before = dict(rig.machine.knobs)
    assert rig.set_knob(knob, value) == result
    assert rig.machine.knobs == ({**before, knob: value} if result == OK else before)


def test_the_limit_refuses_new_ksm_pages_only(rig):
    """R-KNOB-2: with 1 KSM page allowed a second content is not merged, but joining the first goes on."""
    rig.set_knob("max_kernel_pages", 1)
    rig.merged(content=7)
    b, c = rig.processes(2, content=9)
    joining = rig.process(content=7)
    rig.scan_passes(3)
    assert rig.counters() == (1, 2, 1, 1)
    assert joining.is_ksm()
    assert not b.is_ksm()
    assert not c.is_ksm()
    rig.set_knob("max_kernel_pages", 2)
    rig.scan_passes(1)
    assert rig.counters() == (2, 3, 0, 0)


def test_the_limit_never_evicts(rig):
    """R-KNOB-2: lowered below what exists, everything stays."""
    areas = [rig.process(pages=2, content=[7, 8]) for _ in range(2)]
    rig.scan_passes(2)
    rig.set_knob("max_kernel_pages", 1)
    rig.scan_passes(2)
    assert rig.counters() == (2, 2, 0, 0)
    assert all(area.is_ksm(page) for area in areas for page in range(2))


@pytest.mark.parametrize(("limit", "shared"), [(0, 3), (2, 2), (3, 3)])
def test_no_limit_is_zero(rig, limit, shared):
    """R-KNOB-2: 0 is unlimited; otherwise no more KSM pages than the limit come into being."""
    rig.set_knob("max_kernel_pages", limit)
    for _ in range(2):
        rig.process(pages=3, content=[7, 8, 9])
    rig.scan_passes(4)
    assert rig.counters()[:2] == (shared, shared)


def test_the_limit_is_a_switch_of_the_profile(machine):
    """R-KNOB-2: kernels without the knob's effect merge beyond it."""
    rig = machine(switches={"max_kernel_pages": False})
    rig.set_knob("max_kernel_pages", 1)
    for _ in range(2):
        rig.process(pages=3, content=[7, 8, 9])
    rig.scan_passes(2)
    assert rig.counters() == (3, 3, 0, 0)


def test_writing_run_again_does_nothing(rig):
    """R-KNOB-3: a second 2 does not unmerge what was merged in between."""
    a, _b = rig.merged()
    assert rig.set_knob("run", 2) == OK
    assert not a.is_ksm()
    rig.scan_passes(2)
    assert a.is_ksm()
    assert rig.set_knob("run", 2) == OK
    assert a.is_ksm()
    assert rig.full_scans() == 2


def test_stopping_keeps_everything(rig):
    """R-KNOB-3: run=0 after run=1 leaves pages, items and counters."""
    rig.set_knob("run", 1)
    a, _b = rig.merged()
    assert rig.set_knob("run", 0) == OK
    assert rig.counters() == (1, 1, 0, 0)
    assert a.is_ksm()
    assert rig.machine.knobs["run"] == 0


def test_unmerging_without_memory_stops_ksmd(rig):
    """R-KNOB-3: run=2 that fails returns the error and leaves run at 0; later it succeeds."""
    a, b = rig.merged()
    rig.set_knob("run", 1)
    rig.machine.room_maker = lambda frames: None
    rig.machine.sc[t.NR_RESERVE] = 0
    hog = rig.process(pages=int(rig.sc[t.NR_FREE]), content=1, mergeable=False)
    assert rig.set_knob("run", 2) == ENOMEM
    assert rig.machine.knobs["run"] == 0
    hog.exit()
    assert rig.set_knob("run", 2) == OK
    assert rig.machine.knobs["run"] == 2
    assert a.frame() != b.frame()


def test_a_batch_looks_at_no_more_pages_than_asked(rig):
    """R-KNOB-4: the batch ends at its budget, in the middle of a process, and the next one goes on there."""
    a, b = rig.processes(2, pages=3, content=[1, 2, 3])
    assert rig.ksmd(4)[0] == 4
    assert [a.item(page) != t.NONE for page in range(3)] == [True] * 3
    assert [b.item(page) != t.NONE for page in range(3)] == [True, False, False]
    assert rig.ksmd(1)[0] == 1
    assert b.item(1) != t.NONE


def test_ksmd_does_nothing_without_registered_processes(rig):
    """R-KNOB-4: an empty list is no pass: nothing is looked at and the batch ends."""
    from ksmlab_core.mm.ksm import SCAN_NOTHING

    rig.process(content=7, mergeable=False)
    assert rig.ksmd(100) == (0, 0, SCAN_NOTHING)
    assert rig.full_scans() == 0


@pytest.fixture
def engine(rig):
    """The usual machine on a clock, with the kernel's own policies."""
    from ksmlab_core.policy import load_registry
    from ksmlab_core.policy.building import build_policies
    from ksmlab_core.simulation.engine import Engine

    choices = {hook: {"use": "kernel"} for hook in ("reclaim", "swapin", "scan")}
    policies = build_policies(load_registry(autoload=False), choices, lambda _role: None)
    return Engine(rig.machine, policies)


def looks(rig):
    return int(rig.sc[t.KSM_PAGES_SCANNED])


@pytest.mark.parametrize(("run", "batches"), [(0, 0), (1, 10), (2, 0)])
def test_batches_come_by_the_clock_only_while_run_is_1(rig, engine, run, batches):
    """R-KNOB-4: pages_to_scan pages, then sleep_millisecs of sleep, while run is 1; 0 and 2 leave ksmd asleep."""
    rig.process(pages=50, content=range(1, 51))
    rig.set_knob("pages_to_scan", 3)
    rig.set_knob("sleep_millisecs", 10)
    rig.set_knob("run", run)
    engine.knobs_changed()
    engine.sleep(95_000_000)
    assert looks(rig) == 3 * batches
    rig.set_knob("run", 0)
    engine.knobs_changed()
    engine.sleep(95_000_000)
    assert looks(rig) == 3 * batches


def test_ksmd_sleeps_while_nothing_is_registered(rig, engine):
    """R-KNOB-4: with run=1 and an empty list nothing is scanned and no pass ends; a process registered later is."""
    a = rig.process(pages=2, content=[1, 2], mergeable=False)
    rig.set_knob("run", 1)
    engine.knobs_changed()
    engine.sleep(100_000_000)
    assert (looks(rig), rig.full_scans()) == (0, 0)
    a.mergeable()
    engine.sleep(100_000_000)
    assert looks(rig) > 0
    assert rig.full_scans() > 0
