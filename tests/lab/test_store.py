"""Results as files: whole or not there, the same bytes for the same run."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ksmlab_core.errors import BadInput, ResultsNotWritten
from ksmlab_core.lab import series, store
from ksmlab_core.lab.manifest import manifest
from ksmlab_core.lab.runner import carry_out
from ksmlab_core.lab.standing import Again

FILES = ["counters.json", "log.jsonl", "manifest.json", "series.parquet"]


@pytest.fixture
def keep(fake: ModuleType, make_plan: Any, tmp_path: Path) -> Callable[[], Path]:
    """Runs one point and stores it; gives its folder."""

    def run() -> Path:
        again, command = Again.ALL, "ksmlab run storm.yaml"
        carry_out(make_plan(("kernel",)), simulate=fake.run, out=tmp_path / "out", again=again, command=command)
        return tmp_path / "out" / "storm" / "kernel"

    return run


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_result_is_four_files(keep: Callable[[], Path]) -> None:
    folder = keep()
    assert names(folder) == FILES
    assert names(folder.parent) == ["kernel"], "nothing is left beside it"


def test_what_is_loaded_is_what_was_stored(keep: Callable[[], Path], fake: ModuleType, make_plan: Any) -> None:
    loaded = store.load(keep())
    plan = make_plan(("kernel",))
    result = fake.run(plan.points[0], plan.registry)
    for name in ("id", "seed", "point", "status", "error", "samples", "metrics", "expect", "pages"):
        assert getattr(loaded, name) == getattr(result, name), name
    assert loaded.series.keys() == result.series.keys()
    for name, values in result.series.items():
        assert np.array_equal(loaded.series[name], values)
        assert loaded.series[name].dtype == values.dtype


def test_the_manifest_says_what_was_run_and_with_what(keep: Callable[[], Path], make_plan: Any) -> None:
    told = json.loads((keep() / "manifest.json").read_text())
    spec = make_plan(("kernel",)).points[0]
    assert told["spec"] == json.loads(json.dumps(spec.as_dict()))
    assert set(told["versions"]) == {"python", "numpy", "numba", "llvmlite", "duckdb", "ksmlab"}
    assert told["versions"]["numpy"] == np.__version__
    assert (told["command"], told["position"]) == ("ksmlab run storm.yaml", 0)
    assert [(one["kind"], one["name"]) for one in told["plugins"]] == [
        ("reclaim", "kernel"),
        ("scan", "kernel"),
        ("swapin", "kernel"),
        ("workload", "zipf"),
    ]
    assert all(len(one["sha256"]) == 64 for one in told["plugins"])
    assert datetime.fromisoformat(told["started"]) <= datetime.fromisoformat(told["finished"])


def test_only_the_manifest_holds_times_of_day(keep: Callable[[], Path]) -> None:
    folder = keep()
    before = {name: (folder / name).read_bytes() for name in FILES}
    keep()
    after = {name: (folder / name).read_bytes() for name in FILES}
    assert {name for name in FILES if before[name] != after[name]} <= {"manifest.json"}
    assert str(datetime.now(UTC).year) not in (folder / "log.jsonl").read_text()


def test_running_again_replaces(keep: Callable[[], Path]) -> None:
    folder = keep()
    (folder / "counters.json").write_text("old")
    (folder / "a note of mine").write_text("goes with the old results")
    keep()
    assert names(folder) == FILES
    assert store.load(folder).metrics
    assert names(folder.parent) == ["kernel"]


def test_replacing_works_where_folders_cannot_be_exchanged(
    keep: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = keep()
    (folder / "counters.json").write_text("old")
    monkeypatch.setattr(store, "_renameat2", lambda one, other: False)
    keep()
    assert store.load(folder).metrics
    assert names(folder.parent) == ["kernel"]


def test_old_results_come_back_if_the_exchange_fails_half_way(
    keep: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = keep()
    before = (folder / "manifest.json").read_bytes()
    replace, seen = os.replace, []

    def third_fails(one: Any, other: Any) -> None:
        seen.append(one)
        if len(seen) == 3:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        replace(one, other)

    monkeypatch.setattr(store, "_renameat2", lambda one, other: False)
    monkeypatch.setattr(os, "replace", third_fails)
    with pytest.raises(ResultsNotWritten, match="Input/output error"):
        keep()
    assert (folder / "manifest.json").read_bytes() == before
    assert names(folder.parent) == ["kernel"]


def test_a_kill_before_the_rename_leaves_the_old_results(
    keep: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = keep()
    before = {name: (folder / name).read_bytes() for name in FILES}

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        keep()
    assert {name: (folder / name).read_bytes() for name in FILES} == before


@pytest.mark.parametrize("file", ["counters.json", "manifest.json"])
def test_a_full_disk_is_one_line_and_harms_nothing(
    keep: Callable[[], Path], monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    folder = keep()
    before = {name: (folder / name).read_bytes() for name in FILES}
    write_text = Path.write_text

    def full(path: Path, text: str, *args: Any, **kwargs: Any) -> int:
        if path.name == file:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write_text(path, text, *args, **kwargs)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ResultsNotWritten) as caught:
        keep()
    assert str(caught.value) == f"{folder}: results not written: No space left on device"
    assert {name: (folder / name).read_bytes() for name in FILES} == before
    assert names(folder.parent) == ["kernel"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_log_on_a_full_disk_is_not_a_failed_run(
    make_plan: Any, fake: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begin = store.Store.begin

    def full(self: store.Store, experiment: str, run: str) -> Path:
        folder = begin(self, experiment, run)
        (folder / "log.jsonl").symlink_to("/dev/full")
        return folder

    monkeypatch.setattr(store.Store, "begin", full)
    with pytest.raises(ResultsNotWritten, match="No space left on device"):
        carry_out(make_plan(("kernel",)), simulate=fake.run, out=tmp_path)
    assert names(tmp_path / "storm") == []


def test_a_file_where_the_folder_should_be(keep: Callable[[], Path], tmp_path: Path) -> None:
    (tmp_path / "out" / "storm").mkdir(parents=True)
    (tmp_path / "out" / "storm" / "kernel").write_text("mine")
    with pytest.raises(ResultsNotWritten, match="Not a directory"):
        keep()
    assert (tmp_path / "out" / "storm" / "kernel").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_may_not_be_written(keep: Callable[[], Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o555)
    with pytest.raises(ResultsNotWritten, match="Permission denied"):
        keep()


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
def test_a_folder_that_cannot_be_made(fake: ModuleType, make_plan: Any) -> None:
    with pytest.raises(ResultsNotWritten) as caught:
        carry_out(make_plan(("kernel",)), simulate=fake.run, out=Path("/proc/runs"))
    assert str(caught.value).startswith("/proc/runs/storm/kernel: results not written: ")
    assert "\n" not in str(caught.value)


def test_a_failed_run_is_stored_too(fake: ModuleType, make_plan: Any, tmp_path: Path) -> None:
    carry_out(make_plan(("remerge",)), simulate=fake.fails, out=tmp_path)
    loaded = store.load(tmp_path / "storm" / "remerge")
    assert (loaded.status, loaded.error["type"], loaded.error["line"]) == ("failed", "StepFailed", 12)


@pytest.mark.parametrize("file", ["counters.json", "manifest.json", "series.parquet"])
@pytest.mark.parametrize("harm", ["torn", "empty", "gone", "foreign"])
def test_a_damaged_result_is_refused_with_one_line(keep: Callable[[], Path], file: str, harm: str) -> None:
    path = keep() / file
    content = path.read_bytes()
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes({"torn": content[: len(content) // 2], "empty": b"", "foreign": b'{"a": 1}'}[harm])
    with pytest.raises(BadInput) as caught:
        store.load(path.parent)
    assert str(path.parent) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_results_of_another_format_are_refused_with_one_line(keep: Callable[[], Path]) -> None:
    path = keep() / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 1}))
    with pytest.raises(BadInput) as caught:
        store.load(path.parent)
    assert str(caught.value) == f"{path}: results of format 1, and this ksmlab reads format 2: run it again"


def _forge(folder: Path, **changed: Any) -> None:
    """Write counters that are whole, and what they are said to be, but not what the engine writes."""
    counters = json.dumps(json.loads((folder / "counters.json").read_text()) | changed).encode()
    (folder / "counters.json").write_bytes(counters)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["counters.json"] = hashlib.sha256(counters).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "metrics", [{"vm.pgfault": 1.5}, {"vm.pgfault": 2**63}, {"vm.pgfault": float("nan")}, {"vm.pgfault": True}, [], 7]
)
def test_counters_that_are_no_integers_are_refused(keep: Callable[[], Path], metrics: Any) -> None:
    folder = keep()
    _forge(folder, metrics=metrics)
    with pytest.raises(BadInput, match=r"is no 64-bit integer|torn or not a result") as caught:
        store.load(folder)
    assert str(caught.value).startswith(str(folder))
    assert "\n" not in str(caught.value)


def test_counters_as_large_as_can_be_are_kept_exactly(keep: Callable[[], Path]) -> None:
    folder = keep()
    _forge(folder, metrics={"vm.most": 2**63 - 1, "vm.least": -(2**63)})
    assert store.load(folder).metrics == {"vm.most": 2**63 - 1, "vm.least": -(2**63)}


@pytest.mark.parametrize("one", ["torn", "lies"])
def test_a_series_that_was_changed_is_refused(keep: Callable[[], Path], one: str) -> None:
    file = keep() / "series.parquet"
    file.write_bytes(file.read_bytes()[:-9] if one == "torn" else file.read_bytes().replace(b"vm.", b"wm."))
    with pytest.raises(BadInput, match=f"^{file}: torn or not a result file: it is not what the manifest"):
        store.load(file.parent)


def test_series_are_the_same_bytes_whatever_was_written_before(
    fake: ModuleType, make_plan: Any, tmp_path: Path
) -> None:
    plan = make_plan(("kernel",))
    columns = fake.run(plan.points[0], plan.registry).series
    for nth, names in enumerate([list(columns), list(reversed(columns)), list(columns)]):
        series.write(tmp_path / str(nth), {name: columns[name] for name in names})
    assert len({(tmp_path / str(nth)).read_bytes() for nth in range(3)}) == 1


def test_series_of_several_runs_are_told_apart(tmp_path: Path) -> None:
    """Runs of different length, each with a column that the others have not; extreme integers; odd names of files."""
    runs = [
        {
            "time.elapsed": np.arange(length),
            f"policy.{length}": np.arange(length) + np.iinfo(np.int64).min,
            "b'\"]": np.ones(length, int),
        }
        for length in (3, 1, 5000)
    ]
    folder = tmp_path / "it's [a] *folder?"
    folder.mkdir()
    for nth, run in enumerate(runs):
        series.write(folder / f"{nth}", run)
    found = list(series.read([folder / f"{nth}" for nth in range(3)]))
    assert [sorted(one) for one in found] == [sorted(one) for one in runs]
    for one, run in zip(found, runs, strict=True):
        for name, column in run.items():
            assert one[name].dtype == column.dtype
            assert np.array_equal(one[name], column)
    some = list(series.read([folder / f"{nth}" for nth in range(3)], ["policy.1", "nowhere"]))
    assert [sorted(one) for one in some] == [["time.elapsed"], ["policy.1", "time.elapsed"], ["time.elapsed"]]


def test_a_run_without_series_has_no_file(tmp_path: Path) -> None:
    series.write(tmp_path / "none", {})
    series.write(tmp_path / "empty", {"time.elapsed": np.zeros(0, np.int64)})
    assert names(tmp_path) == []
    assert list(series.read([])) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_series_on_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "series").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as caught:
        series.write(tmp_path / "series", {"time.elapsed": np.arange(5)})
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(OSError, match="No such file or directory"):
        series.write(tmp_path / "nowhere" / "series", {"time.elapsed": np.arange(5)})


def test_found_are_runs_at_any_depth_but_no_hidden_ones(keep: Callable[[], Path], tmp_path: Path) -> None:
    folder = keep()
    (folder.parent / ".kernel.1-2.aside").mkdir()
    (folder.parent / ".kernel.1-2.aside" / "manifest.json").write_text("{}")
    for root in (tmp_path / "out", folder.parent, folder):
        assert store.find(root) == [folder]


def test_an_engine_value_that_is_no_number_is_not_stored_silently(
    fake: ModuleType, make_plan: Any, tmp_path: Path
) -> None:
    plan = make_plan(("kernel",))
    result = fake.run(plan.points[0], plan.registry)
    result.metrics["odd"] = object()
    about = manifest(plan, plan.points[0], 0, command="", started=datetime.now(UTC))
    place = store.Store(tmp_path)
    with pytest.raises(TypeError, match="object does not go into a result file"):
        place.finish(place.begin("storm", "kernel"), result, about)
    assert names(tmp_path / "storm") == []
