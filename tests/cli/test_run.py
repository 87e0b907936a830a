"""`ksmlab run`: what is printed where, what is kept, and the exit status."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Ksmlab = Callable[..., Any]
Choose = Callable[[str], None]


@pytest.fixture(autouse=True)
def _fast(simulated_by: Choose, here: Path) -> None:
    """Every test here has the stand-in simulation and a directory of its own."""


def scripted(path: Path, name: str, expect: str = "") -> Path:
    """An experiment with a single run."""
    path.write_text(
        f"experiment: {name}\nkernel: seed\nmachine: {{memory: 4MiB, swap: 4MiB}}\nworkload: {{use: zipf}}\n{expect}"
    )
    return path


def test_a_table_the_folder_and_the_report(ksmlab: Ksmlab, here: Path) -> None:
    told = ksmlab("run", "storm.yaml")
    assert (told.status, told.err) == (0, "")
    lines = told.out.splitlines()
    assert lines[0] == "storm: What swap-in copies cost when clones wake."
    assert [word for word in ("swapin kernel", "swapin remerge", "swapin defer") if word in told.out]
    assert lines[-3:] == ["storm.yaml: 3 runs", "results  runs/storm", "report   runs/storm/report.html"]
    assert sorted(path.name for path in (here / "runs" / "storm").iterdir() if path.is_dir()) == [
        "defer",
        "kernel",
        "remerge",
    ]
    assert (here / "runs" / "storm" / "report.html").read_text().startswith("<!doctype html>")


def test_without_the_extra_a_line_says_how_to_get_reports(ksmlab: Ksmlab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ksmlab_core.lab.report.find_spec", lambda package: None)
    told = ksmlab("run", "storm.yaml")
    assert told.status == 0
    assert told.out.splitlines()[-1] == "report   none: reports need more packages: pip install 'ksmlab[report]'"


def test_json_is_one_document_and_nothing_else(ksmlab: Ksmlab, here: Path) -> None:
    told = ksmlab("run", "storm.yaml", "--json")
    assert (told.status, told.err) == (0, "")
    document = json.loads(told.out)
    assert document["experiment"] == "storm"
    assert [run["id"] for run in document["runs"]] == ["kernel", "remerge", "defer"]
    assert not (here / "runs" / "storm" / "report.html").exists()


def test_json_of_two_files_is_still_one_document(ksmlab: Ksmlab, here: Path) -> None:
    scripted(here / "two.yaml", "two")
    told = ksmlab("run", "storm.yaml", "two.yaml", "--json")
    assert [one["experiment"] for one in json.loads(told.out)["experiments"]] == ["storm", "two"]


def test_the_report_goes_where_it_is_wanted(ksmlab: Ksmlab, here: Path) -> None:
    told = ksmlab("run", "storm.yaml", "--json", "--report", "page.html")
    assert json.loads(told.out)["experiment"] == "storm"
    assert told.err == "report   page.html\n"
    assert (here / "page.html").is_file()


def test_an_expectation_not_met_is_a_line_and_status_1(ksmlab: Ksmlab, here: Path) -> None:
    scripted(here / "one.yaml", "one", "expect:\n  - vm.pswpin: 0\n  - vm.pgfault: {min: 1}\n")
    told = ksmlab("run", "one.yaml")
    got = json.loads(ksmlab("run", "one.yaml", "--json").out)["runs"][0]["metrics"]["vm.pswpin"]
    assert told.status == 1
    assert told.err == f"one.yaml:6: vm.pswpin: wanted 0, got {got}\n"
    assert "one.yaml: 1 run, 1 of 2 expectations not met" in told.out


def test_with_json_too(ksmlab: Ksmlab, here: Path) -> None:
    scripted(here / "one.yaml", "one", "expect:\n  - vm.pswpin: 0\n")
    told = ksmlab("run", "one.yaml", "--json")
    assert told.status == 1
    assert json.loads(told.out)["runs"][0]["expect"][0]["ok"] is False
    assert told.err.startswith("one.yaml:6: vm.pswpin: wanted 0, got ")


def test_a_failed_run_is_a_line_and_status_1(ksmlab: Ksmlab, simulated_by: Choose) -> None:
    simulated_by("fails")
    told = ksmlab("run", "storm.yaml")
    assert told.status == 1
    assert told.err.splitlines() == [
        "storm.yaml: run remerge failed: storm.yaml:12: write: process 'b' has exited",
        "storm.yaml: run defer failed: policy 'defer' (swapin) (p.py:7): KeyError: 3",
        "Traceback ... p.py",
    ]
    assert "storm.yaml: 2 of 3 runs failed" in told.out


@pytest.mark.parametrize(
    ("good", "bad", "words"),
    [
        ("swap: 256MiB", "swop: 256MiB", "storm.yaml:5:26: machine.swop: unknown key"),
        ("remerge, defer", "remerg", "did you mean 'remerge'?"),
        ("experiment: storm\n", "", "storm.yaml:"),
    ],
)
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_bad_file_is_lines_with_places_and_status_2(
    ksmlab: Ksmlab, here: Path, good: str, bad: str, words: str, form: tuple[str, ...]
) -> None:
    text = (here / "storm.yaml").read_text()
    (here / "storm.yaml").write_text(text.replace(good, bad))
    told = ksmlab("run", "storm.yaml", *form)
    assert (told.status, told.out) == (2, "")
    assert words in told.err
    assert "Traceback" not in told.err
    assert not (here / "runs").exists()


def test_all_files_are_read_before_the_first_is_run(ksmlab: Ksmlab, here: Path) -> None:
    (here / "bad.yaml").write_text("experiment: bad\nx: 1\n")
    told = ksmlab("run", "storm.yaml", "bad.yaml", "nowhere.yaml")
    assert (told.status, told.out) == (2, "")
    assert "bad.yaml:2:1:" in told.err
    assert "nowhere.yaml" in told.err
    assert not (here / "runs").exists()


def test_a_bad_option_for_many_files_is_said_once(ksmlab: Ksmlab, here: Path) -> None:
    scripted(here / "two.yaml", "two")
    told = ksmlab("run", "storm.yaml", "two.yaml", "-p", "nowhere.py")
    assert told.status == 2
    assert told.err.count("nowhere.py") == 1


def test_several_files_end_with_a_summary(ksmlab: Ksmlab, here: Path) -> None:
    scripted(here / "one.yaml", "one", "expect:\n  - vm.pgfault: {min: 1}\n")
    scripted(here / "two.yaml", "two", "expect:\n  - vm.pgfault: 0\n")
    told = ksmlab("run", "one.yaml", "two.yaml")
    assert told.status == 1
    assert told.out.splitlines() == [
        "one.yaml: 1 run, 1 expectation met",
        "two.yaml: 1 run, 1 of 1 expectation not met",
        "2 files: 2 runs, 1 of 2 expectations not met; results in runs",
    ]


def test_results_that_cannot_be_written_are_one_line(ksmlab: Ksmlab, here: Path) -> None:
    (here / "file").write_text("mine")
    told = ksmlab("run", "storm.yaml", "--out", "file")
    assert (told.status, told.out) == (1, "")
    assert told.err == "file/storm/kernel: results not written: Not a directory\n"
    assert (here / "file").read_text() == "mine"


def test_the_log_goes_to_standard_error_as_json_lines(ksmlab: Ksmlab, here: Path) -> None:
    told = ksmlab("run", "storm.yaml", "--json", "--log")
    json.loads(told.out)
    logged = [json.loads(line) for line in told.err.splitlines()]
    assert [(line["run"], line["event"]) for line in logged] == [
        ("kernel", "run started"),
        ("remerge", "run started"),
        ("defer", "run started"),
    ]
    kept = (here / "runs" / "storm" / "defer" / "log.jsonl").read_text()
    assert kept == told.err.splitlines(keepends=True)[-1]


def test_options_reach_the_runs_and_the_command_that_repeats_them(ksmlab: Ksmlab, here: Path) -> None:
    told = ksmlab("run", "storm.yaml", "--set", "machine.memory=16MiB", "--invariants", "samples", "--out", "o")
    assert told.status == 0
    manifest = json.loads((here / "o" / "storm" / "kernel" / "manifest.json").read_text())
    assert manifest["spec"]["machine"]["frames"] == 4096
    assert manifest["spec"]["machine"]["invariants"] == "samples"
    assert manifest["command"] == ("ksmlab run storm.yaml --set machine.memory=16MiB --set machine.invariants=samples")


def test_an_interrupt_is_told_and_finished_runs_are_kept(ksmlab: Ksmlab, simulated_by: Choose, here: Path) -> None:
    simulated_by("interrupted")
    told = ksmlab("run", "storm.yaml")
    assert told.status == 130
    assert told.err.strip().endswith("interrupted; runs that had finished are kept")
    assert [path.name for path in (here / "runs" / "storm").iterdir()] == ["kernel"]


@pytest.mark.parametrize("words", [("run",), ("run", "storm.yaml", "-j", "0"), ("run", "storm.yaml", "--nope")])
def test_a_wrong_command_line_is_status_2(ksmlab: Ksmlab, words: tuple[str, ...]) -> None:
    told = ksmlab(*words)
    assert told.status == 2
    assert "Error: " in told.err


def test_runs_alike_are_told(ksmlab: Ksmlab, fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import ksmlab_core.simulation

    def alike(spec: Any, registry: Any, **watch: Any) -> Any:
        result = fake.run(spec, registry, **watch)
        result.metrics = {"ksm.merges": 1, "vm.pswpout": 1, "vm.pswpin": 1}
        return result

    monkeypatch.setattr(ksmlab_core.simulation, "run", alike)
    told = ksmlab("run", "storm.yaml")
    assert "effect not exercised: policies.swapin kernel, remerge and defer never differed" in told.out
