"""ksmd on simulated time: when it wakes, how much it does, when a batch ends."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.simulation.conftest import MS, samples

AREA = """\
- spawn: a
- mmap: {process: a, area: heap, pages: 30, advise: mergeable}
- write: {process: a, area: heap, content: unique}
"""
LISTENING = """
    from ksmlab_core.policy import ScanOrder, hookimpl
    import numpy as np

    class Listening(ScanOrder):
        '''Ascending order; notes when it is asked for how many.'''
        name = "listening"
        batch = 1000
        asked = []

        def started(self, run):
            self.asked.clear()

        def order(self, pages, n):
            self.asked.append((pages.now_ns, n))
            return np.flatnonzero(pages.last_scanned < pages.full_scans)[:n]

    @hookimpl
    def ksmlab_scan_orders():
        return [Listening]
"""


def machine(costs: str = "free", ksm: str = "run: 1, pages_to_scan: 10, sleep_millisecs: 20", more: str = "") -> str:
    """Settings of an experiment."""
    return f"machine: {{memory: 1MiB, swap: 4MiB, costs: {costs}, invariants: steps}}\nksm: {{{ksm}}}\n{more}"


def test_batches_come_sleep_millisecs_apart_and_have_pages_to_scan_pages(desk):
    """Where ksmd's work takes no time, batch k begins at k times 20 ms; the first found no area yet."""
    result = desk.script(AREA + "- sleep: 95ms\n", more=machine(more="measure: {every: 20ms, warmup: 19ms}\n"))
    assert result.series["time.elapsed"].tolist() == [19 * MS, 39 * MS, 59 * MS, 79 * MS, 95 * MS]
    assert result.series["ksm.pages_scanned"].tolist() == [0, 10, 20, 30, 30]
    assert result.series["ksm.full_scans"].tolist() == [0, 0, 0, 0, 1]


def test_the_end_of_a_pass_ends_the_batch(desk):
    """R-SCAN-7: 30 pages in batches of 20: 20, 10 and the end, then 20 of the next pass."""
    ksm = "run: 1, pages_to_scan: 20, sleep_millisecs: 10"
    result = desk.script(AREA + "- sleep: 39ms\n", more=machine(ksm=ksm, more="measure: {every: 10ms, warmup: 9ms}\n"))
    assert result.series["ksm.pages_scanned"].tolist() == [0, 20, 30, 50]
    [ended] = desk.named("pass ended")
    assert (ended["ns"], ended["full_scans"]) == (20 * MS, 1)


def test_the_nap_begins_when_the_batch_is_over(desk):
    """What ksmd spends comes on top: n batches and n naps make the time of the n-th wake-up."""
    plugin = desk.plugin(LISTENING)
    more = machine(costs="default", more="policies: {scan: listening}\n")
    steps = AREA + "- sleep: 70ms\n- sample: after\n"
    result = desk.script(steps, more=more, plugin=plugin)
    times = _asked(desk)
    naps = [later - earlier - 20 * MS for earlier, later in pairwise(times)]
    assert len(times) == 3
    assert all(nap > 0 for nap in naps)
    spent = samples(result)["after"]["time.ksmd"]
    assert sum(naps) < spent < sum(naps) + max(naps) * 2


def _asked(desk):
    """When the listening order was asked in the last run, for the first time in each batch."""
    import sys

    # By its file, not by its name alone: other tests of this process load plugins of the same name.
    mine = str(desk.folder / "mine.py")
    plugins = [module for name, module in sys.modules.items() if name.startswith("ksmlab_local.")]
    [module] = [module for module in plugins if module.__file__ == mine]
    return [now for now, _ in module.Listening.asked]


@pytest.mark.parametrize("pages", [0, 1, 100])
def test_a_sleep_of_zero_neither_hangs_nor_spins(desk, pages):
    """Batches that cost nothing are followed by a nap of 1 ms from the second on, so there are at most 7 in 5 ms."""
    ksm = f"run: 1, pages_to_scan: {pages}, sleep_millisecs: 0"
    result = desk.script(AREA + "- sleep: 5ms\n", more=machine(ksm=ksm))
    assert result.metrics["ksm.pages_scanned"] <= 7 * min(pages, 30)
    assert result.metrics["time.elapsed"] == 5 * MS


def test_with_a_sleep_of_zero_ksmd_is_busy_all_the_time(desk):
    """The end of a pass does not let it rest; only before there was anything to scan it napped for a millisecond."""
    ksm = "run: 1, pages_to_scan: 10, sleep_millisecs: 0"
    result = desk.script(AREA + "- sleep: 5ms\n", more=machine(costs="default", ksm=ksm))
    elapsed, busy = result.metrics["time.elapsed"], result.metrics["time.ksmd"]
    assert elapsed - 1.2 * MS < busy < elapsed + 0.1 * MS


def test_a_busy_ksmd_does_not_hold_the_workload_up(desk):
    """It has a processor of its own: its time is counted, the workload's does not grow."""
    quiet = desk.script(AREA + "- sleep: 10ms\n", more=machine(costs="default", ksm="run: 0"))
    busy = desk.script(
        AREA + "- sleep: 10ms\n", more=machine(costs="default", ksm="run: 1, pages_to_scan: 1000, sleep_millisecs: 1")
    )
    assert busy.metrics["time.ksmd"] > 0 == quiet.metrics["time.ksmd"]
    assert busy.metrics["time.elapsed"] == quiet.metrics["time.elapsed"]


def test_ksmd_works_while_pages_are_accessed(desk):
    """Accesses take time; ksmd's batches fall between them, not behind them."""
    more = machine(
        costs="{hit: 1ms}", ksm="run: 1, pages_to_scan: 1, sleep_millisecs: 1", more="measure: {every: 5ms}\n"
    )
    result = desk.script(AREA + "- read: {process: a, area: heap}\n", more=more)
    scanned = result.series["ksm.pages_scanned"].tolist()
    assert len(scanned) >= 12
    assert scanned == sorted(scanned)
    assert 20 < scanned[-1] <= 60
    assert max(later - earlier for earlier, later in pairwise(scanned)) <= 5


def test_ksmd_starts_when_it_is_switched_on_and_stops_when_it_is_switched_off(desk):
    steps = AREA + (
        "- sleep: 40ms\n- sample: off\n"
        "- set: {ksm.run: 1}\n- sleep: 1ms\n- sample: once\n"
        "- sleep: 20ms\n- sample: twice\n"
        "- set: {ksm.run: 0}\n- sleep: 100ms\n- sample: stopped\n"
    )
    found = samples(desk.script(steps, more=machine(ksm="run: 0, pages_to_scan: 10, sleep_millisecs: 20")))
    scanned = {label: metrics["ksm.pages_scanned"] for label, metrics in found.items()}
    assert scanned == {"off": 0, "once": 10, "twice": 20, "stopped": 20}


def test_run_2_stops_ksmd_and_unmerges(desk):
    steps = """\
    - spawn: [a, b]
    - mmap: {process: [a, b], area: heap, pages: 10, advise: mergeable}
    - write: {process: [a, b], area: heap, content: {cycle: 5}}
    - sleep: 100ms
    - expect: {ksm.pages_sharing: 15}
    - set: {ksm.run: 2}
    - sleep: 100ms
    - expect: {ksm.pages_shared: 0, ksm.pages_sharing: 0, ksm.full_scans: 0, machine.frames_mapped: 20}
    """
    desk.script(steps, more=machine(ksm="run: 1, pages_to_scan: 100, sleep_millisecs: 10"))


def test_a_script_that_scans_waits_for_ksmd(desk):
    """`scan` is somebody waiting: its time passes for the workload too."""
    result = desk.script(
        AREA + "- sample: before\n- scan: {passes: 2}\n- sample: after\n", more=machine(costs="default", ksm="run: 0")
    )
    before, after = (samples(result)[label] for label in ("before", "after"))
    assert after["time.elapsed"] - before["time.elapsed"] == after["time.ksmd"] > 0
    assert after["ksm.full_scans"] == 2
