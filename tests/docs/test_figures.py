"""Figures that the READMEs state are those that come out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.docs.conftest import ROOT, SMALL

FRONT = (ROOT / "README.md").read_text(encoding="utf-8")
EXPERIMENTS = (ROOT / "experiments" / "README.md").read_text(encoding="utf-8")
MEASURED = {
    kernel: sorted((ROOT / "experiments" / "measured" / kernel).glob("*.yaml")) for kernel in ("seed", "v2.6.33")
}
CAPTURE = ROOT / "experiments" / "captures" / "quickstart.ksmcap"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def steps(path: Path) -> list[tuple[str, object]]:
    """Kind and arguments of each step of a script."""
    script = yaml.load(path.read_text(encoding="utf-8"), LOADER)["workload"]["script"]
    return [step for item in script for step in item.items()]


Rows = dict[str, list[dict[str, object]]]


@pytest.fixture(scope="module")
def rows_of() -> Rows:
    """Every row of every measured table of each kernel."""
    return {
        kernel: [dict(args) for path in paths for kind, args in steps(path) if kind == "measured"]  # type: ignore[call-overload]
        for kernel, paths in MEASURED.items()
    }


def test_the_tables_and_rows_that_were_measured(rows_of: Rows) -> None:
    left_out = {
        kernel: sum(len(row.get("except") or {}) for row in rows)  # type: ignore[arg-type]
        for kernel, rows in rows_of.items()
    }
    front, experiments = " ".join(FRONT.split()), " ".join(EXPERIMENTS.split())
    for kernel, paths in MEASURED.items():
        assert f"`experiments/measured/{kernel}`: {len(paths)} tables, {len(rows_of[kernel])} rows, " in front
        assert f"{left_out[kernel]} single elements are left out" in front
    assert f"{len(MEASURED['seed'])} tables that the seed kernel itself printed" in experiments
    assert f"{len(MEASURED['v2.6.33'])} tables that the 2.6.33 release printed" in experiments
    assert f"{left_out['seed']} single elements of {len(rows_of['seed'])} rows for `seed`" in experiments
    assert f"and {left_out['v2.6.33']} of {len(rows_of['v2.6.33'])} for `v2.6.33`" in experiments


def test_every_element_that_is_left_out_has_a_reason(rows_of: Rows) -> None:
    rows = [row for each in rows_of.values() for row in each]
    reasons = [str(reason) for row in rows for reason in dict(row.get("except") or {}).values()]  # type: ignore[call-overload]
    assert [reason for reason in reasons if len(reason.split()) < 3] == []


def test_the_steps_that_are_documented_are_those_that_there_are() -> None:
    from ksmlab_core.experiment.steps import STEPS

    table = EXPERIMENTS.partition("## Script steps")[2].partition("## ")[0]
    assert [step for step in STEPS if not re.search(rf"[`\s|]{step}\b", table)] == []


def test_every_failure_that_a_script_can_ask_for_is_documented() -> None:
    from ksmlab_core.experiment.steps import STEPS

    assert "fail" in STEPS
    for kind in ("alloc_page", "rmap_item", "node", "mm_slot", "fallback_vma", "swap_continuation", "swap_read"):
        assert f"`{kind}`" in EXPERIMENTS or f"{{{kind}:" in EXPERIMENTS


def test_the_capture_that_ships_is_what_is_said_of_it() -> None:
    from ksmlab_core.capture.reader import read_capture
    from ksmlab_core.capture.summary import summarize

    capture = read_capture(CAPTURE)
    found = summarize(capture)
    text = EXPERIMENTS.partition("## captures/quickstart.ksmcap")[2]
    assert CAPTURE.stat().st_size < 3 << 20
    assert (len(capture.header.processes), len(found)) == (8, 10)
    assert round(found[-1].time_ns / 1e9) in (18, 20)
    low, high = (round(end(one.pages for one in found), -3) for end in (min, max))
    assert f"{low:,} to {high:,} pages" in text
    shares = [100 * one.duplicates / one.pages for one in found]
    assert f"{round(min(shares))} to {round(max(shares))} % of the pages are duplicates" in text
    written = [100 * one.written / one.pages for one in found[1:]]
    assert f"{round(min(written))} to {round(max(written))} % change every two seconds" in text
    assert all(one.between > 4 * one.within for one in found), "nearly all between processes"


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[list[str]], dict[str, dict[str, int]], Path]:
    """The rows that quickstart.yaml prints, each run's metrics by its id, and the folder of the results."""
    import contextlib
    import io

    from ksmlab_core.cli import main

    if SMALL:
        pytest.skip("a run of minutes without the compiler")
    out = tmp_path_factory.mktemp("quickstart")
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert main(["run", str(ROOT / "experiments" / "quickstart.yaml"), "--out", str(out)]) == 0
    table = [re.split(r"\s{2,}", line.strip()) for line in said.getvalue().splitlines() if line.startswith(" swapin ")]
    metrics = {
        file.parent.name: json.loads(file.read_text())["metrics"] for file in out.glob("quickstart/*/counters.json")
    }
    return table, metrics, out / "quickstart"


def test_the_table_on_the_front_page_is_what_comes_out(
    quickstart: tuple[list[list[str]], dict[str, dict[str, int]], Path],
) -> None:
    printed, _, _ = quickstart
    shown = [re.split(r"\s{2,}", line.strip()) for line in FRONT.splitlines() if line.startswith(" swapin ")]
    assert len(shown) == 3
    assert shown == [row[: len(shown[0])] for row in printed]


def test_what_the_front_page_makes_of_it_is_so(
    quickstart: tuple[list[list[str]], dict[str, dict[str, int]], Path],
) -> None:
    printed, metrics, folder = quickstart
    mean, end = ([int(row[column].replace(",", "")) for row in printed] for column in (1, 2))
    faults = {name: one["vm.pgmajfault"] for name, one in metrics.items()}
    text = " ".join(FRONT.split())
    assert f"keeps {mean[1] - mean[0]} frames more on average and {end[1] - end[0]} more at the end" in text
    fewer = faults["kernel"] - faults["remerge"]
    share = 100 * fewer / faults["kernel"]
    assert f"saves {fewer:,} of {faults['kernel']:,} faults that wait for the disk: {share:.1f} %" in text
    assert (folder / "report.html").read_text().startswith("<!doctype html>")


def test_the_two_commands_are_one_line_each_and_nothing_more_is_asked_for() -> None:
    part = FRONT.partition("## Two commands")[2].partition("\n## ")[0]
    lines = [line.strip() for line in part.splitlines() if line.startswith("    ")]
    assert len(lines) == 2
    run, test = lines
    for line in lines:
        assert line.startswith("python3 -m venv .venv && .venv/bin/pip install -q -e '.[")
    assert run.endswith(" && .venv/bin/ksmlab run experiments/quickstart.yaml")
    assert " && .venv/bin/python -m pytest" in test


def test_the_ksmlab_commands_are_all_named_somewhere() -> None:
    from ksmlab_core.cli.app import app

    text = "".join(path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *ROOT.glob("*/README.md")])
    assert [
        name for name in app.list_commands(None) if f"`ksmlab {name}" not in text and f"ksmlab {name} " not in text
    ] == []  # type: ignore[arg-type]
