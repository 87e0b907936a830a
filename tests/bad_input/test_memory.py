"""Too little memory or swap: what the kernel does where it can go on, one line where it cannot."""

from __future__ import annotations

import json

import pytest

SCRIPT = """\
experiment: small
kernel: seed
machine: {{memory: {memory}, swap: {swap}, invariants: steps}}
workload:
  script:
    - spawn: a
    - mmap: {{process: a, area: heap, pages: {pages}}}
    - write: {{process: a, area: heap, content: unique}}
    - sample: full
    - touch: {{process: a, area: heap}}
"""


@pytest.fixture
def run(ksmlab, write):
    """Runs a script that writes `pages` pages on a machine of `memory` and `swap`."""

    def call(memory, swap, pages, *words, more=""):
        text = SCRIPT.format(memory=memory, swap=swap, pages=pages) + more
        return ksmlab("run", write("small.yaml", text), *words)

    return call


def figures(outcome):
    """The metrics of the sample `full` and of the end."""
    [run] = json.loads(outcome.out)["runs"]
    return run["samples"][0]["metrics"], run["metrics"]


@pytest.mark.parametrize("policy", ["clock", "fifo", "lru", "ksm-aware", "ksm-first", "random"])
@pytest.mark.parametrize("pages", [33, 36, 39])
def test_a_full_swap_area_keeps_pages_in_memory_and_the_run_goes_on(run, policy, pages):
    """32 frames and 8 slots: what gets no slot stays (R-RECL-4), and every page can be used in turn."""
    outcome = run("128KiB", "32KiB", pages, "--json", "--set", f"policies.reclaim={policy}")
    assert (outcome.status, outcome.err) == (0, "")
    full, end = figures(outcome)
    assert full["machine.slots_used"] == 8
    for metrics in (full, end):
        assert metrics["process.a.resident_pages"] + metrics["process.a.swapped_pages"] == pages
    assert end["vm.oom_kill"] == 0


def test_reclaim_of_everything_stops_where_swap_is_full(ksmlab, write):
    text = (
        SCRIPT.format(memory="1MiB", swap="32KiB", pages=20)
        + "    - reclaim: all\n    - read: {process: a, area: heap}\n"
    )
    outcome = ksmlab("run", write("small.yaml", text), "--json")
    assert (outcome.status, outcome.err) == (0, "")
    _, end = figures(outcome)
    assert (end["vm.pswpout"], end["process.a.resident_pages"]) == (8, 20)


@pytest.mark.parametrize(
    ("memory", "swap", "pages"),
    [("128KiB", "0", 33), ("128KiB", "32KiB", 64), ("4KiB", "0", 2), ("4KiB", "4KiB", 3), ("8KiB", "4KiB", 4)],
)
def test_out_of_memory_fails_the_run_by_the_step_that_needed_it(run, finished, memory, swap, pages):
    outcome = run(memory, swap, pages)
    outcome.failed(
        "small.yaml: run s0 failed: small.yaml:8: write: out of memory: no frame is free and none can be reclaimed"
    )
    finished.is_whole()
    kept = json.loads((finished.path / "small" / "s0" / "manifest.json").read_text())
    assert (kept["status"], kept["error"]["type"], kept["error"]["line"]) == ("failed", "StepFailed", 8)
    counters = json.loads((finished.path / "small" / "s0" / "counters.json").read_text())
    assert counters["metrics"]["vm.oom_kill"] == 1


@pytest.mark.parametrize("policy", ["clock", "fifo", "lru", "ksm-aware", "ksm-first", "random"])
def test_out_of_memory_under_other_policies_is_theirs_to_bear_and_not_their_fault(run, policy):
    outcome = run("128KiB", "32KiB", 64, "--set", f"policies.reclaim={policy}")
    outcome.failed(
        "small.yaml: run s0 failed: small.yaml:8: write: out of memory: no frame is free and none can be reclaimed"
    )


GENERATED = """\
experiment: small
kernel: seed
machine: {memory: 256KiB, swap: 64KiB}
workload: {use: zipf, processes: 2, pages: 64, accesses: 4000}
"""


def test_out_of_memory_of_a_generated_workload_says_what_there_is(ksmlab, write, finished):
    outcome = ksmlab("run", write("small.yaml", GENERATED))
    outcome.failed("small.yaml: run s0 failed: out of memory at ")
    assert "nothing more can be reclaimed, 0 swap slots are free; give the machine more memory or swap" in outcome.err
    finished.is_whole()


def test_a_machine_without_swap_says_so(ksmlab, write):
    outcome = ksmlab("run", write("small.yaml", GENERATED), "--set", "machine.swap=0")
    outcome.failed("small.yaml: run s0 failed: out of memory at ")
    assert "there is no swap; give the machine more memory or swap" in outcome.err


@pytest.mark.parametrize(
    ("setting", "key"),
    [("machine.memory=0", "memory"), ("machine.memory=8TiB", "memory"), ("machine.swap=7TiB", "swap")],
)
def test_a_machine_that_cannot_be_simulated_is_refused(ksmlab, write, finished, setting, key):
    outcome = ksmlab("run", write("small.yaml", GENERATED), "--set", setting)
    outcome.refused(f"--set {setting}: machine.{key}: ")
    finished.is_whole()


def test_areas_that_cannot_be_simulated_are_refused(run, finished):
    outcome = run("128KiB", "0", 2_000_000_000)
    outcome.refused("small.yaml:7:45: workload.script.1.mmap.pages: areas of 7629.4 GiB need 238.4 GiB to simulate")
    finished.is_whole()


@pytest.mark.parametrize("workload", ["zipf, processes: 1", "clones, machines: 1"])
def test_generated_areas_that_cannot_be_simulated_fail_their_run(ksmlab, write, finished, monkeypatch, workload):
    """They are counted as they are mapped, before any of the memory is taken."""
    monkeypatch.setattr("ksmlab_core.workload.protocol._physical_memory", lambda: 16 << 30)
    text = GENERATED.replace("zipf, processes: 2, pages: 64, accesses: 4000", f"{workload}, pages: {2**30}")
    outcome = ksmlab("run", write("small.yaml", text))
    name = workload.partition(",")[0]
    outcome.failed(
        f"small.yaml: run s0 failed: policy {name!r} (workload): it has 1073741824 pages mapped, "
        "more than this computer can simulate (134217728)"
    )
    finished.is_whole()


def test_memory_that_is_not_to_be_had_after_all_is_told(ksmlab, write, finished, monkeypatch):
    """An allocation that fails although the computer is large enough (a limit, other programs)."""

    def refuse(*given, **named):
        raise MemoryError

    monkeypatch.setattr("ksmlab_core.mm.machine.State", refuse)
    outcome = ksmlab("run", write("small.yaml", GENERATED))
    outcome.refused("small.yaml: machine: more than this computer's memory can simulate")
    finished.is_whole()
