"""One point that fails, and a command that is interrupted: what had been finished is whole, the rest leaves nothing."""

from __future__ import annotations

import json
import signal
import time

import pytest

SWEEP = """\
experiment: swept
kernel: seed
machine: {memory: 256KiB, swap: 1MiB}
plugins: [./mine.py]
workload: {use: slow}
sweep:
  matrix: {workload.steps: [1, 2, 3]}
"""

SLOW = '''\
"""A workload that makes itself heard when it is at its last step, and never ends it if that is the third."""
from pathlib import Path
import time
from ksmlab_core.policy import Field, Workload, hookimpl
from ksmlab_core.workload.events import Map, Mark, Spawn


class Slow(Workload):
    name = "slow"

    class Params(Workload.Params):
        steps: int = Field(1, description="steps")

    def events(self):
        yield Spawn("a")
        yield Map("a", "heap", 4)
        for step in range(self.params.steps):
            yield Mark(f"step-{step}")
        if self.params.steps == 3:
            Path("busy").write_text("")
            while True:
                time.sleep(0.01)
                yield Mark("endless")


@hookimpl
def ksmlab_workloads():
    return [Slow]
'''


@pytest.fixture
def slow(write):
    """An experiment of three runs, the third of which never ends."""
    write("mine.py", SLOW)
    return write("swept.yaml", SWEEP)


def results(here):
    """The status of each run that is kept."""
    return {
        file.parent.name: json.loads(file.read_text())["status"]
        for file in (here / "runs" / "swept").glob("*/manifest.json")
    }


@pytest.mark.parametrize("words", [("--json",), (), ("-j", "2")], ids=["json", "table", "workers"])
def test_an_interrupt_keeps_what_was_finished(start, slow, here, finished, words):
    running = start("run", slow, *words)
    deadline = time.monotonic() + 60
    while not ((here / "busy").exists() and len(results(here)) == 2):
        assert time.monotonic() < deadline, running.child.poll()
        time.sleep(0.02)
    outcome = running.interrupted()
    assert outcome.status in (130, -signal.SIGINT)
    assert "Traceback" not in outcome.err
    assert outcome.err.splitlines()[-1] == "interrupted; runs that had finished are kept"
    assert outcome.out == ""
    assert results(here) == {"steps1": "succeeded", "steps2": "succeeded"}
    assert sorted(path.name for path in (here / "runs" / "swept").iterdir()) == ["steps1", "steps2"]
    finished.is_whole()


def test_an_interrupt_before_the_first_run_is_over_leaves_nothing_half_done(start, slow, here, finished):
    running = start("run", slow, "--set", "workload.steps=3", "--set", "sweep={}")
    deadline = time.monotonic() + 60
    while not (here / "busy").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    outcome = running.interrupted()
    assert (outcome.status, outcome.err.strip()) == (130, "interrupted; runs that had finished are kept")
    assert results(here) == {}
    finished.is_whole()


FAILING = """\
experiment: swept
kernel: seed
machine: {memory: 256KiB, swap: 0}
workload: {use: zipf, processes: 1, pages: 20, accesses: 200}
measure: {every: 10us}
sweep:
  matrix: {workload.pages: [20, 400, 30]}
"""


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["table", "json"])
def test_one_point_that_fails_fails_alone(ksmlab, write, here, finished, form):
    """The others' counters and series are, byte for byte, those of runs that nobody failed beside."""
    swept = write("swept.yaml", FAILING)
    outcome = ksmlab("run", swept, *form)
    outcome.failed("swept.yaml: run pages400 failed: out of memory at ")
    assert results(here) == {"pages20": "succeeded", "pages400": "failed", "pages30": "succeeded"}
    if "--json" in form:
        runs = json.loads(outcome.out)["runs"]
        assert [run["status"] for run in runs] == ["succeeded", "failed", "succeeded"]
        assert runs[1]["error"]["type"] == "RunFailed"
        return
    alone = write("alone.yaml", FAILING.replace("[20, 400, 30]", "[20, 30]"))
    assert ksmlab("run", alone, "--out", "alone").status == 0
    for name in ("pages20", "pages30"):
        for file in ("counters.json", "series.parquet"):
            beside, single = (here / folder / "swept" / name / file for folder in ("runs", "alone"))
            assert beside.read_bytes() == single.read_bytes()
    finished.is_whole()


def test_an_expectation_that_is_not_met_fails_nothing_but_the_command(ksmlab, write, here, finished):
    text = FAILING.replace("[20, 400, 30]", "[20, 30]") + "expect:\n  - vm.pgfault: 20\n"
    outcome = ksmlab("run", write("swept.yaml", text))
    outcome.failed("swept.yaml:9: vm.pgfault: wanted 20, got 30 (run pages30)")
    assert results(here) == {"pages20": "succeeded", "pages30": "succeeded"}
    finished.is_whole()


def test_files_before_and_after_a_failing_one_are_carried_out(ksmlab, write, here, finished):
    write("swept.yaml", FAILING)
    one = FAILING.partition("sweep:")[0]
    write("first.yaml", one.replace("swept", "first"))
    write("last.yaml", one.replace("swept", "last"))
    outcome = ksmlab("run", "first.yaml", "swept.yaml", "last.yaml")
    outcome.failed("swept.yaml: run pages400 failed: out of memory at ")
    assert (here / "runs" / "last" / "s0" / "manifest.json").exists()
    finished.is_whole()
