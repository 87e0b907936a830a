"""When metrics are recorded, and that equal runs record equal ones."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from tests.simulation.conftest import MS, samples

ZIPF = """\
machine: {memory: 256KiB, swap: 1MiB}
ksm: {run: 1, pages_to_scan: 20, sleep_millisecs: 1}
workload: {use: zipf, processes: 3, pages: 40, accesses: 800, groups: 10}
measure: {every: 1ms}
"""
SLEEPY = """\
machine: {memory: 256KiB, swap: 0}
workload: {script: [{spawn: a}, {sleep: 100ms}]}
"""


@pytest.mark.parametrize(
    ("measure", "times"),
    [
        ("{every: 30ms}", [0, 30, 60, 90, 100]),
        ("{every: 50ms}", [0, 50, 100]),
        ("{every: 10ms, warmup: 75ms}", [75, 85, 95, 100]),
        ("{every: 10ms, warmup: 90ms}", [90, 100]),
        ("{every: 1s}", [0, 100]),
        ("{every: 1s, warmup: 2s}", [100]),
    ],
)
def test_samples_are_taken_at_their_times_and_at_the_end(desk, measure, times):
    result = desk.run(SLEEPY + f"measure: {measure}\n")
    assert result.series["time.elapsed"].tolist() == [time * MS for time in times]


def test_without_every_there_is_no_series(desk):
    assert desk.run(SLEEPY).series == {}


def test_columns_are_of_equal_length_and_of_integers(desk):
    result = desk.run(ZIPF)
    assert set(result.metrics) <= set(result.series)
    assert len({len(column) for column in result.series.values()}) == 1
    assert {column.dtype for column in result.series.values()} == {np.dtype(np.int64)}
    assert {name: column[-1] for name, column in result.series.items()} == result.metrics


def test_while_pages_are_accessed_samples_are_late_by_one_access_at_most(desk):
    """The clock moves from access to access, here of 10 us of computing and at most one fault without I/O."""
    result = desk.run(ZIPF.replace("every: 1ms", "every: 100us").replace("256KiB", "1MiB"))
    times = result.series["time.elapsed"][:-1]
    assert len(times) > 80
    assert (times // 100_000).tolist() == list(range(len(times)))
    assert (times % 100_000 < 12_000).all()


def test_after_a_stall_the_samples_are_on_their_times_again(desk):
    """Each access takes 35 ms: of the times 0, 10, 20 ... those that pass meanwhile are left out."""
    text = """\
    machine: {memory: 1MiB, swap: 0, costs: {hit: 35ms}}
    workload:
      script:
        - spawn: a
        - mmap: {process: a, area: heap, pages: 2}
        - touch: {process: a, area: heap}
        - sleep: 20ms
    measure: {every: 10ms}
    """
    times = desk.run(text).series["time.elapsed"].tolist()
    assert [time // MS for time in times] == [0, 35, 70, 80, 90, 90]
    assert [time % MS for time in times[3:5]] == [0, 0]


def test_a_metric_that_comes_or_goes_is_zero_where_it_was_not(desk):
    text = """\
    machine: {memory: 1MiB, swap: 0}
    workload:
      script: [{spawn: a}, {sleep: 10ms}, {spawn: b}, {sleep: 10ms}, {exit: b}, {sleep: 10ms}]
    measure: {every: 10ms, warmup: 5ms}
    """
    result = desk.run(text.replace("{spawn: b}", "{fork: {process: a, child: b}}"))
    assert result.series["process.b.resident_pages"].tolist() == [0, 0, 0, 0]
    assert "process.b.resident_pages" not in result.metrics


def test_labelled_samples_are_taken_where_they_stand(desk):
    result = desk.script("- sample: first\n- spawn: a\n- sleep: 5ms\n- sample: second\n")
    assert [(sample["at"], sample["ns"]) for sample in result.samples] == [("first", 0), ("second", 5 * MS)]
    assert "process.a.resident_pages" not in samples(result)["first"]
    assert samples(result)["second"]["process.a.resident_pages"] == 0


def test_what_happened_is_told_for_the_log(desk):
    desk.script("- spawn: a\n- sample: here\n")
    assert [name for name, _ in desk.events] == ["run started", "sample", "run finished"]
    assert desk.named("run finished")[0]["status"] == "succeeded"


CHOICES = ["kernel", "reclaim=lru", "reclaim=fifo", "swapin=remerge", "swapin=defer", "scan=random", "scan=cold-first"]


def overrides(choice: str) -> list[str]:
    """A choice of CHOICES as settings."""
    return [] if choice == "kernel" else [f"policies.{choice}"]


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.replace("=", " "))
def test_equal_runs_give_equal_integers(desk, choice):
    first, second = (desk.run(ZIPF, *overrides(choice)) for _ in range(2))
    assert first.metrics == second.metrics
    assert first.samples == second.samples
    assert set(first.series) == set(second.series)
    assert all((first.series[name] == second.series[name]).all() for name in first.series)


def test_another_seed_gives_other_integers(desk):
    assert desk.run(ZIPF).metrics != desk.run(ZIPF, "seed=1").metrics


def test_policies_differ_in_what_they_do_on_the_same_accesses(desk, monkeypatch):
    """The workload's stream depends on the seed alone: every policy sees the same accesses, bit for bit."""
    from ksmlab_core.simulation.stream import Stream

    carry_out, seen = Stream._access, []

    def listening(stream, event):
        seen[-1].update(event.area.tobytes() + event.page.tobytes() + event.content.tobytes())
        carry_out(stream, event)

    monkeypatch.setattr(Stream, "_access", listening)
    outcomes = []
    for choice in CHOICES:
        seen.append(hashlib.sha256())
        outcomes.append(str(desk.run(ZIPF, *overrides(choice)).metrics))
    assert len({digest.hexdigest() for digest in seen}) == 1
    assert len(set(outcomes)) > 4


def test_the_report_of_a_failed_run_holds_what_had_been_done(desk):
    text = ZIPF.replace("swap: 1MiB", "swap: 0").replace("pages: 40", "pages: 400")
    result = desk.run(text)
    assert (result.status, result.error["type"]) == ("failed", "RunFailed")
    assert result.metrics["machine.frames_free"] < 5
    assert len(result.series["time.elapsed"]) > 0
    assert [name for name, _ in desk.events][-2:] == ["run failed", "run finished"]


def test_distinct_contents_are_what_no_sharing_can_go_below(desk):
    """Twenty contents in three processes, ten of them merged; a page of zeros counts as one more."""
    steps = """
    - spawn: [a, b, c]
    - mmap: {process: [a, b], area: heap, pages: 10, advise: mergeable}
    - mmap: {process: c, area: heap, pages: 10}
    - sample: empty
    - write: {process: [a, b], area: heap, content: {cycle: 10}}
    - write: {process: c, area: heap, content: {cycle: 10, from: 1}}
    - sample: written
    - scan: {passes: 2}
    - write: {process: c, area: heap, pages: 0..4, content: zero}
    - sample: merged
    """
    found = samples(desk.script(steps))
    names = ("machine.contents_mapped", "machine.frames_mapped", "machine.pages_saved")
    assert [[found[label][name] for name in names] for label in ("empty", "written", "merged")] == [
        [0, 0, 0],
        [20, 30, 0],
        [16, 20, 10],
    ]


def test_of_the_periodic_samples_the_first_some_and_the_last_count_contents(desk):
    steps = """
    - spawn: a
    - mmap: {process: a, area: heap, pages: 4}
    - write: {process: a, area: heap, content: same}
    - sleep: 500ms
    """
    counted = desk.script(steps, "measure.every=10ms").series["machine.contents_mapped"]
    assert [nth for nth, value in enumerate(counted) if value == 1] == [*range(1, 32), 32, 40, 48, 51]
    assert counted[0] == 0, "nothing is there before the script begins"


ASKED = """
- spawn: a
- mmap: {process: a, area: heap, pages: 10, advise: mergeable}
- write: {process: a, area: heap, content: unique}
- scan: {passes: 1}
- reclaim: all
- read: {process: a, area: heap}
"""


@pytest.mark.parametrize(
    ("policy", "asked"),
    [
        ("reclaim=kernel", {}),
        ("reclaim=lru", {"policy.reclaim.times_asked": 1}),
        ("swapin=remerge", {"policy.swapin.times_asked": 2}),
        ("scan=random", {"policy.scan.times_asked": 1}),
    ],
)
def test_how_often_a_policy_was_asked_is_the_engines_count(desk, policy, asked):
    metrics = desk.script(ASKED, f"policies.{policy}").metrics
    assert {name: value for name, value in metrics.items() if name.endswith(".times_asked")} == asked


def test_no_policy_counts_that_itself():
    from ksmlab_core.policy import SwapinPolicy

    with pytest.raises(ValueError, match="'times_asked' is counted by the engine"):
        SwapinPolicy().count("times_asked")
