"""The scan-time advisor: R-B-ADV-1, R-B-ADV-2."""

from __future__ import annotations

import pytest

from ksmlab_core.mm import mm_types as t

KNOBS = [
    "advisor_mode", "advisor_max_cpu", "advisor_min_pages_to_scan", "advisor_max_pages_to_scan",
    "advisor_target_scan_time",
]  # fmt: skip


@pytest.fixture
def advised(machine):
    rig = machine(knobs=KNOBS)
    rig.set_knob("advisor_mode", "scan-time")
    rig.process(content=5)
    return rig


def a_pass(rig, seconds, cpu_ms):
    """A pass that takes so long and so much of a processor; pages_to_scan behind it."""
    from ksmlab_core.mm.ksm import SCAN_PASS_END

    assert rig.machine.ksmd(1)[0] == 1
    rig.sc[t.NOW] += seconds * 1_000_000_000
    rig.sc[t.TIME_KSMD] += cpu_ms * 1_000_000
    assert rig.machine.ksmd(1)[2] == SCAN_PASS_END
    return rig.machine.knobs["pages_to_scan"]


def test_by_hand(advised):
    """R-B-ADV-2, worked out by hand; target 200 s, start 500.

    Pass 1: T=400, cpu 40,000 ms: 10 %; factor 50; change (0*70+100*30)/100=30; 500*100/50=1000, *30/100=300;
    cost 50: at most 3500, at least 500 -> 500.
    Pass 2: T=800, cpu 8000 ms: 1 %; factor 25; change (30*70+200*30)/100=81; 500*100/25=2000, *81/100=1620;
    cost 500: at least 5000 -> 5000.
    Pass 3: T=100, cpu 60,000 ms: 60 %; factor 200; change 100*100/800=12, (81*70+12*30)/100=60;
    5000*100/200=2500, *60/100=1500; cost 5000/60=83: at most 5810, at least 830 -> 1500.
    """
    assert a_pass(advised, 400, 40_000) == 500
    assert a_pass(advised, 800, 8_000) == 5000
    assert a_pass(advised, 100, 60_000) == 1500
    assert advised.machine.knobs["pages_to_scan"] == advised.sc[t.KSM_PAGES_TO_SCAN]


def test_limits(advised):
    """R-B-ADV-2: the greatest rate is capped last; a pass of no time counts as 1 s, and no CPU as 1 %."""
    advised.set_knob("advisor_max_pages_to_scan", 4000)
    # factor 20000; change 30; 500*100/20000=2 *30/100=0; cost 500: at least 5000; at most 4000.
    assert a_pass(advised, 0, 0) == 4000


def test_max_cpu(advised):
    """R-B-ADV-2: cost x advisor_max_cpu is the most, unless cost x 10 is more."""
    advised.set_knob("advisor_max_cpu", 20)
    # T=20000: factor 1; change 30; 500*100/1=50000 *30/100=15000; cpu 2,000,000 ms: 10 %, cost 50: at most 1000.
    assert a_pass(advised, 20_000, 2_000_000) == 1000
    advised.set_knob("advisor_max_cpu", 5)
    # T=20000: factor 1; change (30*70+100*30)/100=51; 100000*51/100=51000; cost 1000/10=100: at most 500, at least 1000.
    assert a_pass(advised, 20_000, 2_000_000) == 1000


def test_enabling_again_forgets(advised):
    """R-B-ADV-1: off and on again starts with the least rate and no memory."""
    assert a_pass(advised, 400, 40_000) == 500
    assert a_pass(advised, 800, 8_000) == 5000
    advised.set_knob("advisor_mode", "none")
    advised.sc[t.TIME_KSMD] = 0
    assert advised.machine.knobs["pages_to_scan"] == 100
    advised.set_knob("advisor_mode", "scan-time")
    assert a_pass(advised, 400, 40_000) == 500
    assert advised.sc[t.ADVISOR_CHANGE] == 30


def test_without_it_nothing_changes(machine):
    """R-B-ADV-1: mode none leaves pages_to_scan alone."""
    rig = machine(knobs=KNOBS)
    rig.process(content=5)
    assert a_pass(rig, 800, 100) == 100
