"""Plans carried out here and in workers: same results, and nothing lost whatever fails."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ksmlab_core.mm
from ksmlab_core.errors import BadInput, ResultsNotWritten
from ksmlab_core.lab import store
from ksmlab_core.lab.runner import carry_out, carry_out_all
from ksmlab_core.policy.registry import load_registry


@pytest.fixture
def precompiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Counts precompilations instead of doing them."""
    calls: list[str] = []
    monkeypatch.setattr(ksmlab_core.mm, "precompile", lambda: calls.append("once"), raising=False)
    return calls


def same(one: Any, other: Any) -> bool:
    """Equal results, series included."""
    fields = ("id", "seed", "point", "status", "error", "samples", "metrics", "expect", "pages")
    return all(getattr(one, name) == getattr(other, name) for name in fields) and (
        one.series.keys() == other.series.keys()
        and all(np.array_equal(one.series[name], other.series[name]) for name in one.series)
    )


def test_results_are_in_the_order_of_the_points(fake: ModuleType, make_plan: Any) -> None:
    heard: list[str] = []
    results = carry_out(make_plan(), simulate=fake.run, on_result=lambda plan, result: heard.append(result.id))
    assert [result.id for result in results] == heard == ["kernel", "remerge", "defer"]
    assert {result.status for result in results} == {"succeeded"}


def test_workers_give_the_same_results_as_one_process(
    fake: ModuleType, make_plan: Any, precompiled: list[str], tmp_path: Path
) -> None:
    plan = make_plan(seeds=(1, 2))
    here = carry_out(plan, simulate=fake.run, out=tmp_path / "here")
    there = carry_out(plan, simulate=fake.run, out=tmp_path / "there", jobs=2)
    assert all(same(one, other) for one, other in zip(here, there, strict=True))
    assert precompiled == ["once"], "compiled before the workers start, and only then"
    for spec in plan.points:
        for name in ("counters.json", "series.parquet", "log.jsonl"):
            one, other = (tmp_path / side / "storm" / spec.id / name for side in ("here", "there"))
            assert one.read_bytes() == other.read_bytes(), name


def test_one_run_needs_no_workers(fake: ModuleType, make_plan: Any, precompiled: list[str]) -> None:
    assert len(carry_out(make_plan(("kernel",)), simulate=fake.run, jobs=8)) == 1
    assert precompiled == []


def test_several_plans_share_the_workers(fake: ModuleType, make_plan: Any, precompiled: list[str]) -> None:
    plans = [make_plan(("kernel",), experiment="one"), make_plan(("defer",), experiment="two")]
    results = carry_out_all(plans, simulate=fake.run, jobs=2)
    assert [[result.id for result in one] for one in results] == [["kernel"], ["defer"]]


def test_progress_is_told_of_a_run_in_this_process(fake: ModuleType, make_plan: Any) -> None:
    seen: list[tuple[str, int, int | None]] = []
    carry_out(
        make_plan(("kernel",)),
        simulate=fake.run,
        progress=lambda plan, spec, done, total: seen.append((spec.id, done, total)),
    )
    assert seen == [("kernel", 1, 2), ("kernel", 2, 2)]


def test_a_failed_run_is_data_and_the_others_go_on(fake: ModuleType, make_plan: Any, tmp_path: Path) -> None:
    plan = make_plan(("kernel", "remerge", "defer", "copy"))
    kernel, remerge, defer, copy = carry_out(plan, simulate=fake.fails, out=tmp_path)
    assert kernel.status == "succeeded"
    assert remerge.error == {
        "type": "StepFailed",
        "message": "storm.yaml:12: write: process 'b' has exited",
        "file": "storm.yaml",
        "line": 12,
        "trace": None,
    }
    assert (defer.error["type"], defer.error["file"], defer.error["line"]) == ("PolicyFault", "p.py", 7)
    assert defer.error["trace"] == "Traceback ... p.py"
    assert copy.error["message"] == "a fault in ksmlab itself: RuntimeError('a bug')"
    assert "fake_simulation.py" in copy.error["trace"]
    assert [store.load(tmp_path / "storm" / name).status for name in ("kernel", "remerge", "defer", "copy")] == [
        "succeeded",
        "failed",
        "failed",
        "failed",
    ]
    lines = (tmp_path / "storm" / "remerge" / "log.jsonl").read_text().splitlines()
    assert json.loads(lines[-1]) | {"event": "run failed", "level": "error", "run": "remerge"} == json.loads(lines[-1])


@pytest.mark.parametrize(("way", "end"), [("dies", "was killed by SIGKILL"), ("quits", "exited with status 3")])
def test_a_worker_that_dies_fails_its_run_alone(
    fake: ModuleType, make_plan: Any, precompiled: list[str], tmp_path: Path, way: str, end: str
) -> None:
    plan = make_plan(("kernel", "remerge", "defer", "copy"))
    results = carry_out(plan, simulate=getattr(fake, way), jobs=2, out=tmp_path)
    assert [result.status for result in results] == ["succeeded", "failed", "succeeded", "succeeded"]
    assert results[1].error["type"] == "WorkerDied"
    assert f"the worker process {end} during this run" in results[1].error["message"]
    assert store.load(tmp_path / "storm" / "remerge").status == "failed"
    assert sorted(path.name for path in (tmp_path / "storm").iterdir()) == ["copy", "defer", "kernel", "remerge"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_bad_input_found_late_ends_the_plan_and_keeps_what_is_done(
    fake: ModuleType, make_plan: Any, precompiled: list[str], tmp_path: Path, jobs: int
) -> None:
    with pytest.raises(BadInput, match=r"x\.ksmcap: torn"):
        carry_out(make_plan(), simulate=fake.refuses, out=tmp_path, jobs=jobs)
    left = list((tmp_path / "storm").iterdir())
    if jobs == 1:
        assert [path.name for path in left] == ["kernel"]
    assert all(store.load(path).status == "succeeded" for path in left), "no hidden folder, nothing half written"
    assert not multiprocessing.active_children()


def test_an_interrupt_leaves_finished_results_whole(fake: ModuleType, make_plan: Any, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        carry_out(make_plan(), simulate=fake.interrupted, out=tmp_path)
    assert [path.name for path in (tmp_path / "storm").iterdir()] == ["kernel"]
    assert store.load(tmp_path / "storm" / "kernel").metrics


def test_an_interrupt_ends_the_workers(
    fake: ModuleType, make_plan: Any, precompiled: list[str], tmp_path: Path
) -> None:
    def interrupt(plan: Any, result: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(make_plan(seeds=(1, 2)), simulate=fake.run, out=tmp_path, jobs=2, on_result=interrupt)
    for child in multiprocessing.active_children():
        child.join(10)
    assert not multiprocessing.active_children()
    kept = list((tmp_path / "storm").iterdir())
    assert [store.load(path).status for path in kept] == ["succeeded"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_that_cannot_be_written_end_the_plan(
    fake: ModuleType, make_plan: Any, precompiled: list[str], tmp_path: Path, jobs: int
) -> None:
    out = tmp_path / "file"
    out.write_text("in the way")
    with pytest.raises(ResultsNotWritten) as caught:
        carry_out(make_plan(), simulate=fake.run, out=out, jobs=jobs)
    assert "\n" not in str(caught.value)
    assert str(out) in str(caught.value)
    assert out.read_text() == "in the way"


def test_two_files_that_would_overwrite_each_other_are_refused(
    fake: ModuleType, make_plan: Any, tmp_path: Path
) -> None:
    first, second = make_plan(), replace(make_plan(), file=Path("other.yaml"))
    with pytest.raises(BadInput, match=r"other\.yaml: .*'storm' has a run 'kernel', and so has storm\.yaml"):
        carry_out_all([first, second], simulate=fake.run, out=tmp_path)
    assert not list(tmp_path.iterdir())


OBSERVER = '''
"""Writes down what it is told."""
from ksmlab_core.policy import hookimpl

heard = []


@hookimpl
def ksmlab_run_started(run):
    heard.append(f"started {run.id} {run.policies['swapin']}")


@hookimpl
def ksmlab_sampled(run, sample):
    heard.append(f"sampled {run.id} {sample['at']}")


@hookimpl
def ksmlab_run_finished(run, result):
    heard.append(f"finished {run.id} {result.metrics['vm.pswpin'] > 0}")


@hookimpl
def ksmlab_run_failed(run, failure):
    heard.append(f"failed {run.id} {failure}")
'''


def observed(plan: Any, source: str, folder: Path) -> tuple[Any, list[str]]:
    """The plan with an observer plugin, and what that hears."""
    (folder / "observer.py").write_text(source)
    registry = load_registry(["./observer.py"], folder, autoload=False)
    module = next(one.module for one in registry.providers if hasattr(one.module, "heard"))
    return replace(plan, registry=registry), module.heard


def test_observers_hear_of_every_run(fake: ModuleType, make_plan: Any, tmp_path: Path) -> None:
    plan, heard = observed(make_plan(("kernel", "remerge")), OBSERVER, tmp_path)
    carry_out(plan, simulate=fake.fails)
    assert heard == [
        "started kernel kernel",
        "sampled kernel wake-up",
        "finished kernel True",
        "started remerge remerge",
        "failed remerge storm.yaml:12: write: process 'b' has exited",
    ]


def test_observers_hear_of_runs_in_workers_too(
    fake: ModuleType, make_plan: Any, precompiled: list[str], tmp_path: Path
) -> None:
    plan, heard = observed(make_plan(("kernel", "defer")), OBSERVER, tmp_path)
    carry_out(plan, simulate=fake.run, jobs=2)
    assert sorted(heard) == [
        "finished defer True",
        "finished kernel True",
        "sampled defer wake-up",
        "sampled kernel wake-up",
        "started defer defer",
        "started kernel kernel",
    ]


def test_an_observer_that_raises_fails_its_run_with_its_own_traceback(
    fake: ModuleType, make_plan: Any, tmp_path: Path
) -> None:
    source = OBSERVER.replace('    heard.append(f"sampled', '    1 / 0\n    heard.append(f"sampled')
    plan, _ = observed(make_plan(("kernel", "defer")), source, tmp_path)
    results = carry_out(plan, simulate=fake.run, out=tmp_path / "out")
    assert [result.status for result in results] == ["failed", "failed"]
    assert results[0].error["type"] == "PolicyFault"
    assert results[0].error["file"].endswith("observer.py")
    assert "ZeroDivisionError" in results[0].error["trace"]
    assert store.load(tmp_path / "out" / "storm" / "kernel").metrics == results[0].metrics, "the figures are kept"
