"""What stands is not done again, and only that: resumed plans, failed runs, left-over folders, several at once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ksmlab_core.experiment.plan import Expectation, Plan
from ksmlab_core.lab import leftovers, store
from ksmlab_core.lab.runner import carry_out
from ksmlab_core.lab.standing import Again, State, expected_seconds, standings, survey
from ksmlab_core.lab.store import Store
from ksmlab_core.simulation import RunResult

Done = Callable[..., list[str]]


@pytest.fixture
def done(fake: ModuleType, tmp_path: Path) -> Done:
    """Carries a plan out; which of its runs were done."""

    def carry(plan: Plan, **options: Any) -> list[str]:
        base = tmp_path / "base"
        base.mkdir(exist_ok=True)
        (base / "storm.done").write_text("")
        here = replace(plan, points=[replace(spec, base_dir=str(base)) for spec in plan.points])
        carry.results = carry_out(here, **{"simulate": fake.counts, "out": tmp_path / "out", **options})
        return (base / "storm.done").read_text().split()

    return carry


def folder(tmp_path: Path, run: str) -> Path:
    return tmp_path / "out" / "storm" / run


def numbers(root: Path) -> dict[str, bytes]:
    """What came out, without when and where."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }


def test_what_stands_is_not_done_again(done: Done, make_plan: Any, tmp_path: Path) -> None:
    plan = make_plan()
    assert done(plan) == ["kernel", "remerge", "defer"]
    first, before = done.results, numbers(tmp_path / "out")
    manifests = [folder(tmp_path, name).joinpath("manifest.json").read_bytes() for name in ("kernel", "remerge")]
    told: list[str] = []
    assert done(plan, on_standing=lambda standing: told.extend(result.id for _, result in standing)) == []
    assert told == ["kernel", "remerge", "defer"]
    assert [(one.id, one.metrics, one.samples) for one in done.results] == [
        (one.id, one.metrics, one.samples) for one in first
    ]
    assert numbers(tmp_path / "out") == before
    assert done(plan, command="ksmlab run storm.yaml --only kernel") == []
    assert manifests == [
        folder(tmp_path, name).joinpath("manifest.json").read_bytes() for name in ("kernel", "remerge")
    ]


def test_more_seeds_and_policies_do_only_what_is_new(done: Done, make_plan: Any) -> None:
    assert len(done(make_plan(("kernel",), seeds=(1, 2)))) == 2
    assert done(make_plan(("kernel", "remerge"), seeds=(1, 2, 3))) == [
        "kernel-s3",
        "remerge-s1",
        "remerge-s2",
        "remerge-s3",
    ]


def test_fresh_does_all_again(done: Done, make_plan: Any) -> None:
    plan = make_plan()
    assert done(plan) == done(plan, again=Again.ALL) == ["kernel", "remerge", "defer"]


@pytest.mark.parametrize("harm", ["counters.json", "series.parquet", "manifest.json"])
@pytest.mark.parametrize("how", ["gone", "torn", "empty"])
def test_what_is_not_whole_is_done_again(done: Done, make_plan: Any, tmp_path: Path, harm: str, how: str) -> None:
    plan = make_plan()
    done(plan)
    before, file = numbers(tmp_path / "out"), folder(tmp_path, "remerge") / harm
    content = file.read_bytes()
    file.unlink()
    if how != "gone":
        file.write_bytes(content[: len(content) // 2] if how == "torn" else b"")
    assert done(plan) == ["remerge"]
    assert numbers(tmp_path / "out") == before


def test_another_setting_is_done_again_where_the_name_is_the_same(done: Done, make_plan: Any) -> None:
    plan = make_plan()
    done(plan)
    remerge = replace(plan.points[1], ksm={"run": 1, "pages_to_scan": 500})
    assert done(replace(plan, points=[plan.points[0], remerge, plan.points[2]])) == ["remerge"]


def test_failed_runs_stand_as_failed_until_they_are_to_be_repeated(
    done: Done, fake: ModuleType, make_plan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(spec: Any, registry: Any, **watch: Any) -> RunResult:
        return fake.fails(spec, registry, **watch) if broken else fake.counts(spec, registry, **watch)

    monkeypatch.setattr(fake, "failing", failing, raising=False)
    plan, broken = make_plan(), True
    assert done(plan, simulate=failing) == []
    assert [result.status for result in done.results] == ["succeeded", "failed", "failed"]
    broken = False
    assert done(plan, simulate=failing) == []
    assert [result.status for result in done.results] == ["succeeded", "failed", "failed"]
    assert done.results[2].error["trace"] == "Traceback ... p.py"
    states = [one.state for one in survey(plan, Store(tmp_path / "out")).runs]
    assert states == [State.PENDING] * 3, "another would carry them out"
    assert done(plan, simulate=failing, again=Again.FAILED) == ["remerge", "defer"]
    assert {result.status for result in done.results} == {"succeeded"}
    assert done(plan, simulate=failing) == []


def test_a_run_whose_worker_died_is_still_to_be_done(done: Done, make_plan: Any, tmp_path: Path) -> None:
    plan = make_plan()
    done(plan)
    file = folder(tmp_path, "defer") / "manifest.json"
    kept = json.loads(file.read_text())
    for kind, again in (("WorkerDied", ["defer"]), ("RuntimeError", [])):
        file.write_text(json.dumps(kept | {"status": "failed", "error": {"type": kind, "message": "x"}}))
        assert done(plan) == again


def test_an_unmet_expectation_is_a_result_that_stands(done: Done, make_plan: Any) -> None:
    plan = make_plan(("kernel",), expect=(Expectation("vm.pswpin", 0, 12),))
    assert done(plan) == ["kernel"]
    assert done(plan) == []
    assert not done.results[0].ok


def test_results_that_stand_are_told_in_the_words_of_the_present_file(
    done: Done, make_plan: Any, tmp_path: Path
) -> None:
    """Lines moved, runs in another order, the file elsewhere: the numbers stand, the manifest follows."""
    expect = Expectation("vm.pswpin", 0, 12)
    plan = make_plan(expect=(expect,))
    done(plan)
    before = numbers(tmp_path / "out")
    moved = [replace(spec, expect=[replace(expect, line=15)], provenance={"seed": 3}) for spec in reversed(plan.points)]
    assert done(replace(plan, points=moved, about="New.", file=Path("new.yaml")), command="ksmlab run new.yaml") == []
    assert [result.expect[0]["line"] for result in done.results] == [15, 15, 15]
    manifest = json.loads((folder(tmp_path, "kernel") / "manifest.json").read_text())
    assert [manifest[name] for name in ("position", "about", "file", "command")] == [
        2,
        "New.",
        "new.yaml",
        "ksmlab run new.yaml",
    ]
    assert manifest["spec"]["provenance"] == {"seed": 3}
    assert store.load(folder(tmp_path, "kernel")).expect[0]["line"] == 15
    after = numbers(tmp_path / "out")
    assert {name for name in before if before[name] != after[name]} == {
        f"storm/{run}/counters.json" for run in ("kernel", "remerge", "defer")
    }, "the line is all that is new"
    assert (
        after["storm/kernel/counters.json"].replace(b'"line": 15', b'"line": 12')
        == (before["storm/kernel/counters.json"])
    )


def test_a_failure_that_names_a_line_is_told_anew_where_the_line_has_moved(
    done: Done, fake: ModuleType, make_plan: Any
) -> None:
    expect = Expectation("vm.pswpin", 0, 12)
    plan = make_plan(("remerge",), expect=(expect,))
    done(plan, simulate=fake.fails)
    moved = [replace(spec, expect=[replace(expect, line=15)]) for spec in plan.points]
    told: list[Any] = []
    done(replace(plan, points=moved), simulate=fake.fails, on_standing=told.extend)
    assert told == []


def test_nothing_stands_where_nothing_is_kept(done: Done, make_plan: Any) -> None:
    assert done(make_plan(("kernel",)), out=None) == done(make_plan(("kernel",)), out=None) == ["kernel"]


def test_what_dead_processes_left_is_swept_and_what_live_ones_have_is_not(
    done: Done, make_plan: Any, tmp_path: Path
) -> None:
    experiment = tmp_path / "out" / "storm"
    dead, alive, old = (experiment / f".kernel.{name}.aside" for name in ("1-a", "1-b", "1-c"))
    for path in (dead, alive, old.with_name(old.name + ".old")):
        path.mkdir(parents=True)
        (path / "log.jsonl").write_text("{}")
    (experiment / ".mine").mkdir()
    lock = leftovers.claimed(alive)
    assert lock is not None
    try:
        assert done(make_plan(("kernel",))) == ["kernel"]
        assert sorted(path.name for path in experiment.iterdir()) == [alive.name, ".mine", "kernel"]
    finally:
        os.close(lock)
    done(make_plan(("kernel",)))
    assert sorted(path.name for path in experiment.iterdir()) == [".mine", "kernel"]


def test_a_lock_ends_with_its_owner_however_that_ends(tmp_path: Path) -> None:
    aside = tmp_path / ".run.aside"
    code = (
        "import sys, time; from pathlib import Path; from ksmlab_core.lab.leftovers import claimed; "
        "print(claimed(Path(sys.argv[1])), flush=True); time.sleep(60)"
    )
    aside.mkdir()
    with subprocess.Popen([sys.executable, "-c", code, str(aside)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline().strip() not in ("", "None")
        assert leftovers.sweep(tmp_path) == 0
        assert leftovers.claimed(aside) is None
        owner.kill()
    assert leftovers.sweep(tmp_path) == 1
    assert not aside.exists()
    assert leftovers.claimed(aside) is None


def test_a_folder_swept_before_it_was_locked_is_made_again(
    done: Done, make_plan: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begin, swept = Store.begin, []

    def swept_at_once(self: Store, experiment: str, run: str) -> Path:
        aside = begin(self, experiment, run)
        if not swept:
            swept.append(leftovers.sweep(aside.parent))
        return aside

    monkeypatch.setattr(Store, "begin", swept_at_once)
    assert done(make_plan(("kernel",))) == ["kernel"]
    assert swept == [1]
    assert [path.name for path in (tmp_path / "out" / "storm").iterdir()] == ["kernel"]


def test_two_at_once_in_one_folder_leave_whole_results(fake: ModuleType, make_plan: Any, tmp_path: Path) -> None:
    plan = make_plan(seeds=tuple(range(8)))
    alone = carry_out(plan, simulate=fake.run, out=tmp_path / "alone")
    outcomes: list[Any] = []

    def carry() -> None:
        outcomes.append(carry_out(plan, simulate=fake.run, out=tmp_path / "both", again=Again.ALL))

    threads = [threading.Thread(target=carry) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [[one.metrics for one in results] for results in outcomes] == [[one.metrics for one in alone]] * 3
    assert numbers(tmp_path / "both") == numbers(tmp_path / "alone")


def test_shards_are_the_plan_and_their_stores_can_be_copied_together(
    done: Done, make_plan: Any, tmp_path: Path
) -> None:
    plan = make_plan(seeds=tuple(range(10)))
    parts = [plan.shard(number, 3) for number in (1, 2, 3)]
    names = [[spec.id for spec in part.points] for part in parts]
    assert sorted(name for one in names for name in one) == sorted(spec.id for spec in plan.points)
    assert all(5 < len(one) < 15 for one in names)
    longer = make_plan(seeds=tuple(range(12)))
    assert set(names[0]) <= {spec.id for spec in longer.shard(1, 3).points}, "a run's shard does not depend on others"
    for number, part in enumerate(parts):
        assert done(part, out=tmp_path / f"machine{number}") == names[number]
        shutil.copytree(tmp_path / f"machine{number}", tmp_path / "all", dirs_exist_ok=True)
    assert done(plan, out=tmp_path / "all") == []
    manifests = [json.loads(path.read_text()) for path in (tmp_path / "all").glob("*/*/manifest.json")]
    assert {one["id"]: one["position"] for one in manifests} == {
        spec.id: place for place, spec in enumerate(plan.points)
    }


def timed(tmp_path: Path, run: str, seconds: float | None, point: dict[str, Any]) -> None:
    """A stored run that took so long."""
    place = folder(tmp_path, run)
    place.mkdir(parents=True)
    (place / "manifest.json").write_text(json.dumps({"seconds": seconds, "point": point, "status": "succeeded"}))


def test_the_time_of_a_run_is_its_own_or_that_of_those_like_it(make_plan: Any, tmp_path: Path) -> None:
    plan = make_plan(("kernel", "remerge", "defer"), seeds=(1, 2))
    results = Store(tmp_path / "out")
    assert expected_seconds(plan, results) == [None] * 6
    assert survey(plan, results).expected(1) is None
    timed(tmp_path, "kernel-s1", 2.0, {"policies.swapin": "kernel"})
    timed(tmp_path, "kernel-s9", 4.0, {"policies.swapin": "kernel"})
    timed(tmp_path, "remerge-s1", 8.0, {"policies.swapin": "remerge"})
    timed(tmp_path, "defer-s9", None, {"policies.swapin": "defer"})
    assert expected_seconds(plan, results) == [2, 3, 8, 8, pytest.approx(14 / 3), pytest.approx(14 / 3)]
    found = survey(plan, results)
    assert found.count(State.PENDING) == 6, "what stands there was made by something else"
    assert found.expected(1) == pytest.approx(2 + 3 + 8 + 8 + 28 / 3)
    assert found.expected(2) == pytest.approx(found.expected(1) / 2)
    assert found.expected(100) == 8, "not less than the longest takes"


def test_times_are_kept(done: Done, make_plan: Any, tmp_path: Path) -> None:
    done(make_plan(("kernel",)))
    manifest = json.loads((folder(tmp_path, "kernel") / "manifest.json").read_text())
    assert 0 < manifest["seconds"] < 60
    assert len(manifest["identity"]) == 64


def test_a_plan_without_a_store_is_all_to_be_done(make_plan: Any) -> None:
    assert {one.state for one in standings(make_plan(), None)} == {State.PENDING}
