"""kswapd at the watermarks, faults that reclaim for themselves, and whose time it is."""

from __future__ import annotations

import pytest

from tests.simulation.conftest import samples

FRAMES, PAGES = 128, 200
WRITES = f"""\
- spawn: a
- mmap: {{process: a, area: heap, pages: {PAGES}}}
- write: {{process: a, area: heap, content: unique}}
"""
MACHINE = "machine: {memory: 512KiB, swap: 4MiB, invariants: steps}\n"


def test_kswapd_wakes_below_the_low_watermark_and_frees_up_to_the_high_one(desk):
    desk.script(WRITES, more=MACHINE)
    woken = desk.named("kswapd")
    assert woken
    low, high = 16 + 16 // 4 + 1, 16 + 16 // 2 + 1  # a minimum of an eighth of the memory
    for call in woken:
        before = call["free"] - call["freed"]
        assert before < low
        assert call["free"] >= high


@pytest.mark.parametrize("policy", ["kernel", "lru", "fifo", "clock", "ksm-aware"])
def test_kswapds_time_is_its_own(desk, policy):
    """It has a processor of its own: the workload's time is its accesses and its stalls."""
    result = desk.script(WRITES, f"policies.reclaim={policy}", more=MACHINE)
    metrics = result.metrics
    assert metrics["time.kswapd"] > 0 == metrics["time.direct_reclaim"]
    assert metrics["time.elapsed"] == PAGES * 50 + metrics["time.fault_stall"]


@pytest.mark.parametrize("policy", ["kernel", "lru"])
def test_a_fault_that_finds_too_little_reclaims_itself_and_waits(desk, monkeypatch, policy):
    """Without kswapd every frame has to be found by the faults; what that takes is part of their stall."""
    from ksmlab_core.mm.machine import Machine

    undisturbed = desk.script(WRITES, f"policies.reclaim={policy}", more=MACHINE).metrics
    monkeypatch.setattr(Machine, "enable_kswapd", lambda machine: None)
    metrics = desk.script(WRITES, f"policies.reclaim={policy}", more=MACHINE).metrics
    assert desk.named("kswapd") == []
    assert metrics["time.direct_reclaim"] > 0 == metrics["time.kswapd"]
    assert metrics["time.fault_stall"] == undisturbed["time.fault_stall"] + metrics["time.direct_reclaim"]
    assert metrics["time.elapsed"] == PAGES * 50 + metrics["time.fault_stall"]


def test_kswapd_that_gets_nowhere_is_left_alone_for_a_while(desk):
    """All memory is locked: it is not woken for each fault, but again 100 ms later."""
    steps = f"""\
    - spawn: a
    - mmap: {{process: a, area: heap, pages: {FRAMES - 20}, flags: [locked]}}
    - mmap: {{process: a, area: last, pages: 12}}
    - write: {{process: a, area: last, content: unique, pages: 0..1}}
    - sleep: 150ms
    - write: {{process: a, area: last, content: unique, pages: 2..3}}
    """
    result = desk.script(steps, more=MACHINE.replace("4MiB", "0"))
    calls = desk.named("kswapd")
    assert [call["freed"] for call in calls] == [0] * len(calls)
    assert [call["ns"] >= 100_000_000 for call in calls] == [False, True]
    assert result.metrics["machine.frames_free"] == 16


def test_reading_from_swap_is_waited_for_and_writing_is_not(desk):
    steps = WRITES + "- reclaim: all\n- sample: out\n- read: {process: a, area: heap, pages: 0..7}\n- sample: in\n"
    found = samples(desk.script(steps, "machine.costs={swap_read: 1ms, swap_write: 5ms}", more=MACHINE))
    out, back = found["out"], found["in"]
    assert out["time.swap_write"] == 5_000_000 * out["vm.pswpout"]
    assert out["time.elapsed"] < 5_000_000
    stall = back["time.fault_stall"] - out["time.fault_stall"]
    assert stall >= 1_000_000 * (back["vm.pswpin"] - out["vm.pswpin"]) > 0
    assert back["time.elapsed"] - out["time.elapsed"] == stall + 8 * 50


def test_a_script_asks_for_pages_and_gets_at_least_so_many(desk):
    steps = WRITES + "- sample: before\n- reclaim: {pages: 10}\n- sample: after\n"
    for policy in ("kernel", "lru", "fifo", "clock", "ksm-aware"):
        found = samples(desk.script(steps, f"policies.reclaim={policy}", "machine.memory=1MiB", more=MACHINE))
        freed = found["after"]["machine.frames_free"] - found["before"]["machine.frames_free"]
        assert freed >= 10, policy
        if policy != "kernel":
            assert freed < 10 + 256, policy
        assert found["after"]["time.direct_reclaim"] > 0


@pytest.mark.parametrize("policy", ["kernel", "lru", "fifo", "clock", "ksm-aware"])
def test_reclaim_of_everything_leaves_nothing_that_could_go(desk, policy):
    steps = WRITES + "- reclaim: all\n- expect: {process.a.resident_pages: 0, machine.frames_used: 0}\n"
    desk.script(steps, f"policies.reclaim={policy}", more=MACHINE)


def test_with_little_memory_and_swap_left_a_fault_reads_nothing_ahead(desk):
    """The readahead of a swap-in must not take the frames that its own fault needs."""
    steps = """\
    - spawn: a
    - mmap: {process: a, area: heap, pages: 36}
    - write: {process: a, area: heap, content: unique}
    - touch: {process: a, area: heap}
    - touch: {process: a, area: heap}
    """
    more = "machine: {memory: 128KiB, swap: 32KiB, invariants: steps}\npolicies: {reclaim: lru}\n"
    metrics = desk.script(steps, more=more).metrics
    assert metrics["process.a.resident_pages"] + metrics["process.a.swapped_pages"] == 36
    assert metrics["vm.oom_kill"] == 0
