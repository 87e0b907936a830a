"""A script and a generated stream of the same events give the same integers."""

from __future__ import annotations

import pytest

PLUGIN = """
    import numpy as np
    from ksmlab_core.policy import Workload, hookimpl
    from ksmlab_core.workload.content import content_ids
    from ksmlab_core.workload.events import READ, TOUCH, Exit, Idle, Map, Mark, Spawn, chunked

    class Same(Workload):
        '''What the script of the test does.'''
        name = "same"

        def events(self):
            pages = np.arange(60)
            for process in ("a", "b"):
                yield Spawn(process)
            for process in ("a", "b"):
                yield Map(process, "heap", 60)
            yield Map("a", "plain", 10, mergeable=False)
            cycle = content_ids("cycle", pages % 12, within=(0,))
            for area in (0, 1):
                yield from chunked(area, pages, cycle)
            yield from chunked(2, pages[:10], 0)
            yield Mark("filled")
            yield Idle(30_000_000)
            yield from chunked(0, pages[10:31], TOUCH)
            yield from chunked(2, pages[:10], content_ids("unique", pages[:10]))
            yield Idle(5_000_000)
            for area in (0, 1):
                yield from chunked(area, pages, READ)
            yield Mark("read")
            yield Exit("b")
            yield Idle(30_000_000)

    @hookimpl
    def ksmlab_workloads():
        return [Same]
"""

SCRIPT = """\
workload:
  script:
    - spawn: [a, b]
    - mmap: {process: [a, b], area: heap, pages: 60, advise: mergeable}
    - mmap: {process: a, area: plain, pages: 10}
    - write: {process: [a, b], area: heap, content: {cycle: 12}}
    - write: {process: a, area: plain, content: zero}
    - sample: filled
    - sleep: 30ms
    - touch: {process: a, area: heap, pages: 10..30}
    - write: {process: a, area: plain, content: unique}
    - sleep: 5ms
    - read: {process: [a, b], area: heap}
    - sample: read
    - exit: b
    - sleep: 30ms
"""
HEAD = """\
machine: {memory: 256KiB, swap: 1MiB, invariants: steps}
ksm: {run: 1, pages_to_scan: 30, sleep_millisecs: 2}
measure: {every: 1ms}
"""


@pytest.mark.parametrize("choice", ["reclaim=kernel", "reclaim=lru", "swapin=remerge", "swapin=defer", "scan=random"])
def test_the_same_events_give_the_same_integers(desk, choice):
    plugin = desk.plugin(PLUGIN)
    told = desk.run(HEAD + SCRIPT, f"policies.{choice}")
    generated = desk.run(HEAD + "workload: {use: same}\n", f"policies.{choice}", plugin=plugin)
    assert (told.status, generated.status) == ("succeeded", "succeeded"), (told.error, generated.error)
    assert told.metrics["vm.pswpin"] > 0 < told.metrics["ksm.merges"]
    assert generated.metrics == told.metrics
    assert generated.samples == told.samples
    assert generated.series["time.elapsed"].tolist() == told.series["time.elapsed"].tolist()
    assert {name for name in told.series if (told.series[name] != generated.series[name]).any()} == set()


def test_several_chunks_are_as_one(desk):
    """Where a stream is cut into events makes no difference."""
    text = PLUGIN.replace("READ)", "READ, chunk=7)").replace("cycle)", "cycle, chunk=13)")
    assert "chunk=7" in text
    assert "chunk=13" in text
    whole = desk.run(HEAD + "workload: {use: same}\n", plugin=desk.plugin(PLUGIN))
    cut = desk.run(HEAD + "workload: {use: same}\n", plugin=desk.plugin(text, "cut.py"))
    assert cut.metrics == whole.metrics
    assert cut.samples == whole.samples


def test_time_between_accesses_passes(desk):
    """`gap_ns` is computing time before each access: n accesses with it end n gaps later."""
    plain = desk.run(HEAD + "workload: {use: same}\n", "ksm.run=0", "machine.memory=1MiB", plugin=desk.plugin(PLUGIN))
    text = PLUGIN.replace("READ)", "READ, 1000)")
    slow = desk.run(
        HEAD + "workload: {use: same}\n", "ksm.run=0", "machine.memory=1MiB", plugin=desk.plugin(text, "slow.py")
    )
    assert slow.metrics["time.elapsed"] - plain.metrics["time.elapsed"] == 2 * 60 * 1000
