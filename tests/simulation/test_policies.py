"""Policies in a real run: what they count, that one class is one instance, and who is told of what."""

from __future__ import annotations

import pytest

from tests.simulation.conftest import samples

ROUND = """\
- spawn: [a, b]
- mmap: {process: [a, b], area: heap, pages: 20, advise: mergeable}
- write: {process: [a, b], area: heap, content: {cycle: 10}}
- scan: {passes: 2}
- reclaim: all
- scan: {passes: 1}
- reclaim: all
- sample: out
- read: {process: [a, b], area: heap}
- sample: in
- scan: {passes: 2}
"""

BOTH = """
    from ksmlab_core.policy import Field, ReclaimPolicy, ScanOrder, Swapin, SwapinPolicy, hookimpl
    import numpy as np

    class Both(ReclaimPolicy, SwapinPolicy, ScanOrder):
        '''Counts what it is asked, and what it knew from elsewhere.'''
        name = "both"

        class Params(SwapinPolicy.Params):
            step: int = Field(1, ge=1, description="how much a fault counts")

        def started(self, run):
            self.faults, self.run = 0, run
            self.count("started")

        def victims(self, frames, n):
            self.count("asked_for_victims")
            return frames.index[:n]

        def decide(self, fault):
            self.faults += 1
            self.count("faults", self.params.step)
            return Swapin.KERNEL

        def order(self, pages, n):
            if self.faults:
                self.count("orders_that_know_of_faults")
            return np.flatnonzero(pages.last_scanned < pages.full_scans)[:n]

    @hookimpl
    def ksmlab_reclaim_policies():
        return [Both]

    @hookimpl
    def ksmlab_swapin_policies():
        return [Both]

    @hookimpl
    def ksmlab_scan_orders():
        return [Both]
"""


def counts(metrics):
    """The metrics that belong to policies."""
    return {name.removeprefix("policy."): value for name, value in metrics.items() if name.startswith("policy.")}


def test_one_class_for_all_hooks_is_one_instance(desk):
    """What it learns at swap-in it knows when ksmd asks; it is started once."""
    hooks = ("reclaim", "swapin", "scan")
    settings = [f"policies.{hook}=both" for hook in hooks]
    found = samples(desk.script(ROUND, *settings, plugin=desk.plugin(BOTH)))
    assert counts(found["out"])["swapin.started"] == 1
    assert "swapin.faults" not in counts(found["out"])
    result = desk.script(ROUND, *settings, plugin="mine.py").metrics
    for hook in hooks:
        assert result[f"policy.{hook}.started"] == 1
        assert result[f"policy.{hook}.orders_that_know_of_faults"] > 0
        assert result[f"policy.{hook}.asked_for_victims"] > 0
    assert result["policy.swapin.faults"] == 40


def test_parameters_given_under_one_hook_hold_for_all(desk):
    settings = ["policies.swapin={use: both, step: 7}", "policies.scan=both"]
    metrics = desk.script(ROUND, *settings, plugin=desk.plugin(BOTH)).metrics
    assert metrics["policy.swapin.faults"] == metrics["policy.scan.faults"] == 280


def test_runs_share_nothing(desk):
    """A second run begins with a policy of its own."""
    plugin = desk.plugin(BOTH)
    first, second = (desk.script(ROUND, "policies.swapin=both", plugin=plugin).metrics for _ in range(2))
    assert first == second


def test_a_policy_hears_what_became_of_its_victims_and_of_the_run(desk):
    plugin = desk.plugin("""
        from ksmlab_core.policy import Outcome, ReclaimPolicy, hookimpl

        class Listening(ReclaimPolicy):
            '''Evicts in frame order and counts the outcomes.'''
            name = "listening"

            def started(self, run):
                assert (run.id, run.experiment, run.seed, run.profile) == ("s0", "t", 0, "seed")
                assert (run.frames, run.slots) == (256, 1024)
                assert run.policies == {"reclaim": "listening", "swapin": "kernel", "scan": "kernel"}
                self.pending = None

            def victims(self, frames, n):
                assert self.pending is None, "told of the victims of before"
                assert n <= self.batch
                assert len(frames) == len(frames.index) == len(frames.mapcount) == len(frames.age_ns)
                assert (frames.sharers >= frames.mapcount).all()
                assert (frames.last_access_ns <= frames.now_ns).all()
                self.pending = frames.index[:n].tolist()
                return self.pending

            def reclaimed(self, index, outcome):
                assert index.tolist() == self.pending
                self.pending = None
                for one in outcome:
                    self.count(Outcome(one).name.lower())

        @hookimpl
        def ksmlab_reclaim_policies():
            return [Listening]
    """)
    steps = """\
    - spawn: a
    - mmap: {process: a, area: heap, pages: 20}
    - write: {process: a, area: heap, content: unique}
    - pin: {process: a, area: heap, pages: 3}
    - lock: {process: a, area: heap, pages: 4..5}
    - reclaim: all
    """
    metrics = desk.script(steps, "policies.reclaim=listening", plugin=plugin).metrics
    assert counts(metrics) == {"reclaim.freed": 17, "reclaim.pinned": 1, "reclaim.locked": 2, "reclaim.times_asked": 1}
    assert metrics["machine.frames_used"] == 3


def test_observers_hear_of_runs_in_order(desk):
    from ksmlab_core.experiment import read_experiment
    from ksmlab_core.lab.runner import carry_out

    desk.plugin("""
        from pathlib import Path
        from ksmlab_core.policy import hookimpl

        def note(*words):
            with Path(__file__).with_name("heard").open("a") as file:
                print(*words, file=file)

        @hookimpl
        def ksmlab_run_started(run):
            note("started", run.id)

        @hookimpl
        def ksmlab_sampled(run, sample):
            note("sampled", run.id, sample["at"], sample["metrics"]["vm.pgfault"])

        @hookimpl
        def ksmlab_run_finished(run, result):
            note("finished", run.id, result.metrics["vm.pgfault"])

        @hookimpl
        def ksmlab_run_failed(run, failure):
            note("failed", run.id, str(failure).split(":")[-1].strip())
    """)
    file = desk.folder / "t.yaml"
    file.write_text(
        "experiment: t\nkernel: seed\nmachine: {memory: 128KiB, swap: 0}\nplugins: [./mine.py]\n"
        "workload: {use: zipf, processes: 1, pages: 10, accesses: 10}\n"
        "sweep:\n  matrix: {workload.pages: [10, 40]}\n"
    )
    carry_out(read_experiment(file))
    heard = (desk.folder / "heard").read_text().splitlines()
    assert heard[:4] == ["started pages10", "sampled pages10 fill 0", "sampled pages10 run 10", "finished pages10 10"]
    assert heard[4:6] == ["started pages40", "sampled pages40 fill 0"]
    assert heard[6].startswith("failed pages40 out of memory at ") or heard[6].startswith("failed pages40 ")
    assert len(heard) == 7


@pytest.mark.parametrize("hook", ["reclaim", "swapin", "scan"])
def test_random_numbers_of_a_policy_come_from_the_seed_and_the_hook(desk, hook):
    plugin = desk.plugin(BOTH.replace('self.count("started")', 'self.count("drawn", int(self.rng.integers(2**40)))'))
    drawn = [
        counts(desk.script(ROUND, f"policies.{hook}=both", f"seed={seed}", plugin=plugin).metrics)[f"{hook}.drawn"]
        for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
