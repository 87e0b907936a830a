"""What the findings say is what their experiments give: a few points run, the other figures read off the stored reports."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from ksmlab_core.experiment import Plan, RunSpec, read_experiment
from ksmlab_core.lab.collection import Collection, Run
from ksmlab_core.lab.headline import COLUMNS, back_from, duration, text
from ksmlab_core.lab.report.spread import spot
from ksmlab_core.lab.runner import carry_out
from ksmlab_core.simulation import RunResult
from tests.docs.conftest import ROOT, SMALL

FOLDER = ROOT / "experiments" / "findings"
SAID = {
    part.partition(".yaml](")[0].rpartition("[")[2]: " ".join(part.split())
    for part in (FOLDER / "README.md").read_text(encoding="utf-8").split("\n## ")[1:]
}
NAMES = ("node-reference", "checksum-first", "copy-remerge")
SAVED = "machine.pages_saved"
VALUE = {column.title: column.value for column in COLUMNS}
POLICIES = ("kernel", "copy", "remerge", "defer")
SIZES = (20, 26, 32, 38, 44, 50)
FRONT = {
    "node-reference": ("2.70 s", "25.9 ms"),
    "checksum-first": ("6.32 s instead of 3.08 s", "one whole pass"),
    "copy-remerge": ("30 % more", "6 % more"),
}
"""Per finding the figures that the front page gives as well."""
compiled = pytest.mark.skipif(SMALL, reason="runs of minutes without the compiler")


def plan(name: str, *overrides: str) -> Plan:
    return read_experiment(FOLDER / f"{name}.yaml", overrides=overrides)


def carried_out(name: str, wanted: Callable[[RunSpec], bool]) -> list[RunResult]:
    """The results of some points of an experiment."""
    whole = plan(name)
    chosen = [spec for spec in whole.points if wanted(spec)]
    results = carry_out(replace(whole, points=chosen))
    assert {result.status for result in results} == {"succeeded"}
    return results


def report(name: str) -> dict[str, dict[str, str]]:
    """The cells of a stored report's tables by label and column: of every run, and of every mean."""
    page = (FOLDER / f"{name}.html").read_text(encoding="utf-8")
    found = {}
    for table in re.findall(r'<table class="headline.*?</table>', page, re.DOTALL):
        head, body = table.split("</thead>")
        titles = [html.unescape(title) for title in re.findall(r"<th [^>]*>([^<]*)</th>", head)]
        for row in re.findall(r"<tr.*?</tr>", body, re.DOTALL):
            first = re.findall(r"<th[^>]*>(?:<span>)?([^<]*)", row)
            cells = dict(zip(titles, map(html.unescape, first + re.findall(r"<td[^>]*>([^<]*)", row)), strict=True))
            settings = titles[: 1 + row.count('class="setting"')]
            label = re.search(r'aria-label="([^"]*)"', row)
            words = label[1] if label else ", ".join(f"{title} {cells[title]}" for title in settings)
            found[html.unescape(words)] = cells
    return found


def test_every_experiment_has_its_report_and_its_paragraph() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == {path.stem for path in FOLDER.glob("*.html")} == set(NAMES)
    assert set(SAID) == set(NAMES)
    for name in NAMES:
        assert (FOLDER / f"{name}.html").stat().st_size < 800_000
        assert f"({name}.html)" in SAID[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_report_has_a_row_for_every_run_of_the_plan(name: str) -> None:
    points = plan(name).points
    blank = RunResult("", 0, {}, "succeeded", None, [], {}, [], {}, {})
    runs = [Run({}, replace(blank, id=spec.id, seed=spec.seed, point=dict(spec.point))) for spec in points]
    labels = Collection(name, "", "", "", "", runs).label_of.values()
    assert set(labels) <= set(report(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_point_cut_down_runs(name: str, tmp_path: Path) -> None:
    """A fortieth of the pages, accesses and waiting, so that plain Python can do it too."""
    whole = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    cut = re.sub(r"\b(pages|cycle|accesses): (\d{4,})", lambda at: f"{at[1]}: {int(at[2]) // 40}", whole)
    assert cut != whole
    (tmp_path / "cut.yaml").write_text(cut.replace("sleep: 8s", "sleep: 200ms"))
    few = read_experiment(tmp_path / "cut.yaml")
    [result] = carry_out(replace(few, points=few.points[:1]))
    assert (result.status, result.error) == ("succeeded", None)
    assert result.metrics["ksm.merges"] > 0


@compiled
def test_the_node_reference_costs_what_is_said() -> None:
    results = carried_out("node-reference", lambda spec: spec.machine["frames"] == 64 << 8)
    by = {(str(one.point["kernel"]), one.point["ksm.run"], one.point["ksm.sleep_millisecs"]): one for one in results}
    said = SAID["node-reference"]
    stopped, release = (by[kernel, 0, 20].metrics for kernel in ("seed", "v2.6.33"))
    ablated = by[str({"profile": "seed", "node_holds_ref": False}), 0, 20].metrics
    assert stopped["machine.ksm_frames_unmapped"] == 4000
    assert release["machine.ksm_frames_unmapped"] == ablated["machine.ksm_frames_unmapped"] == ablated["vm.pswpin"] == 0
    waits = [duration(one["time.fault_stall"]) for one in (stopped, release, ablated)]
    assert f"At 64 MiB it reads {stopped['vm.pswpin']:,} pages from swap in three rounds" in said
    assert f"in {stopped['vm.pgmajfault']:,} major faults, and all waiting in faults is {waits[0]}" in said
    assert f"it reads {release['vm.pswpin']} in {release['vm.pgmajfault']} faults" in said
    assert f"and all waiting is {waits[1]}, and" in said
    assert f"reads none and all waiting is {waits[2]}," in said
    fast, slow = (duration(by["seed", 1, pause].metrics["time.fault_stall"]) for pause in (20, 200))
    assert f"the wait at 64 MiB is {fast} and" in said
    assert f"with pauses ten times as long {slow} and" in said


def test_the_node_reference_costs_what_the_report_says() -> None:
    rows, said = report("node-reference"), SAID["node-reference"]

    def waits(run: int, pause: int, memory: int) -> str:
        return rows[f"kernel seed, run {run}, sleep_millisecs {pause}, memory {memory}MiB"]["stall"]

    assert f"at 76 MiB {waits(1, 20, 76)} (stopped: {waits(0, 20, 76)})" in said
    assert f"{waits(1, 200, 64)} and {waits(1, 200, 76)}." in said
    fits = [cells for label, cells in rows.items() if label.endswith(("memory 80MiB", "memory 84MiB"))]
    assert len(fits) == 14
    assert {cells["stall"] for cells in fits} == {waits(0, 20, 84)}
    none = ("major faults", "swapped in", "swapped out")
    assert {cells[title] for cells in fits for title in none} == {"0"}


def lost(result: RunResult, label: str) -> float:
    """Frame-seconds of saving that are missing in the eight seconds from a sample on."""
    start = next(sample["ns"] for sample in result.samples if sample["at"] == label)
    time = result.series["time.elapsed"]
    here = (time >= start) & (time <= start + 8 * 10**9)
    return float(np.trapezoid(14_000 - result.series[SAVED][here], time[here])) / 1e9


def ksmd_until_back(result: RunResult) -> float:
    """Milliseconds that ksmd worked from the last sample with a name until the saving was back."""
    start, time = result.samples[-1], result.series["time.elapsed"]
    back = int(np.searchsorted(time, start["ns"] + int(VALUE["back after"](result) or 0)))
    return (int(result.series["time.ksmd"][back]) - start["metrics"]["time.ksmd"]) / 1e6


@compiled
def test_the_checksum_costs_what_is_said() -> None:
    default = {"ksm.pages_to_scan": 100, "ksm.smart_scan": 1}
    results = carried_out("checksum-first", lambda spec: default.items() <= spec.point.items())
    before, since = sorted(results, key=lambda one: one.point["kernel"] == "v6.18")
    said = SAID["checksum-first"]
    at_once = [back_from(one, SAVED, "all-at-once") for one in (since, before)]
    late = [VALUE["back after"](one) for one in (since, before)]
    waits = [duration(ns) for ns in (*at_once, *late) if ns is not None]
    assert "back after {}, and after {} without it".format(*waits[:2]) in said
    assert "one whole pass: {} instead of {} (".format(*waits[2:]) in said
    more, less = (lost(one, "two-first") for one in (since, before))
    assert f"({more:,.0f} instead of {less:,.0f} frame-seconds of saving lost, {more / less:.1f} times" in said
    assert "{:.0f} ms of ksmd's time instead of {:.0f} ms".format(*map(ksmd_until_back, (since, before))) in said


def test_the_checksum_costs_what_the_report_says() -> None:
    rows, said = report("checksum-first"), SAID["checksum-first"]

    def back(checksum: bool, smart: int, pages: int) -> str:
        kernel = "v6.18" if checksum else "profile=v6.18, checksum_before_stable=False"
        return rows[f"kernel {kernel}, smart_scan {smart}, pages_to_scan {pages}"]["back after"]

    for pages in (500, 1000, 5000):
        assert f"{back(True, 0, pages)} instead of {back(False, 0, pages)} at {pages:,}" in said
    assert f"{back(False, 0, 1000)} become {back(False, 1, 1000)}" in said


def mean(results: list[RunResult], policy: str, column: str) -> str:
    """A figure of a policy over the seeds, as the findings write it."""
    values = [VALUE[column](one) for one in results if one.point["policies.swapin"] == policy]
    found = spot([value for value in values if value is not None])
    unit = "ns" if column == "stall" else "pages"
    assert found.seeds == 5
    return f"{text(found.mean, unit)} ± {text(found.half, unit)}"


@compiled
def test_remerging_gains_what_is_said() -> None:
    compared = ("kernel", "remerge")
    results = carried_out(
        "copy-remerge",
        lambda spec: spec.machine["frames"] == 26 << 8 and spec.point["policies.swapin"] in compared,
    )
    said = SAID["copy-remerge"]
    kernel, remerge = (partial(mean, results, policy) for policy in compared)
    assert f"at 26 MiB {remerge('saved, mean')} instead of {kernel('saved, mean')}" in said
    assert f"from {kernel('major faults')} to {remerge('major faults')} at 26 MiB" in said
    assert f"the wait from {kernel('stall')} to {remerge('stall')};" in said
    assert f"the kernel copies {kernel('swap-in copies')} pages, remerge rejoins {remerge('rejoined')}" in said
    assert f"copies {remerge('swap-in copies')} all the same" in said


def test_remerging_gains_what_the_report_says() -> None:
    rows, said = report("copy-remerge"), SAID["copy-remerge"]
    saved = {
        (policy, size): rows[f"swapin {policy}, memory {size}MiB"]["saved, mean"]
        for policy in POLICIES
        for size in SIZES
    }
    least, most = ((saved["remerge", size], saved["kernel", size]) for size in (20, 50))
    assert "at 20 MiB it saves {} frames on average over the run instead of {}".format(*least) in said
    assert "at 50 MiB {} instead of {}".format(*most) in said
    assert f"{saved['defer', 26]} frames at 26 MiB" in said
    copy = rows["swapin copy, memory 26MiB"]
    assert f"costs {copy['major faults']} major faults and {copy['stall']} there" in said
    gain = {size: round(100 * (first(saved["remerge", size]) / first(saved["kernel", size]) - 1)) for size in SIZES}
    assert [gain[size] for size in (20, 26, 50)] == [int(one) for one in re.findall(r"\((\d+) % more\)", said)]
    assert gain[20] == max(gain.values())
    faults = [first(rows[f"swapin {policy}, memory 26MiB"]["major faults"]) for policy in ("remerge", "kernel")]
    fewer = 100 * (1 - faults[0] / faults[1])
    assert f"at 26 MiB ({fewer:.1f} %)" in said


def test_at_the_end_of_the_run_remerging_saves_no_more() -> None:
    rows = report("copy-remerge")
    for size in SIZES[2:]:
        kernel, remerge = (
            spot([first(rows[f"swapin {policy}, memory {size}MiB, seed {seed}"]["saved, end"]) for seed in range(1, 6)])
            for policy in ("kernel", "remerge")
        )
        assert abs(kernel.mean - remerge.mean) < min(kernel.half, remerge.half)
    assert "the two save the same from 32 MiB on, within the intervals" in SAID["copy-remerge"]


def test_with_memory_nearly_enough_remerging_spares_no_fault() -> None:
    rows, said = report("copy-remerge"), SAID["copy-remerge"]
    for size in (44, 50):
        for column in ("major faults", "stall"):
            kernel, remerge = (rows[f"swapin {policy}, memory {size}MiB"][column] for policy in ("kernel", "remerge"))
            assert abs(first(kernel) - first(remerge)) < first(kernel.partition("± ")[2])
    assert "at 44 and 50 MiB faults and waits differ by less than their intervals" in said
    again = [first(rows[f"swapin remerge, memory 44MiB, seed {seed}"]["rejoined"]) for seed in range(1, 6)]
    copied = [rows[f"swapin kernel, memory 44MiB, seed {seed}"]["swap-in copies"] for seed in range(1, 6)]
    assert set(copied) == {"0"}
    assert f"still rejoins {spot(again).mean:,.0f} ± {spot(again).half:,.0f}." in said


def first(cell: str) -> float:
    """The mean of a cell of means."""
    return float(cell.partition(" ")[0].replace(",", ""))


def test_the_front_page_says_the_same() -> None:
    front = " ".join(
        (ROOT / "README.md").read_text(encoding="utf-8").partition("## Findings")[2].partition("\n## ")[0].split()
    )
    for name, figures in FRONT.items():
        assert [figure for figure in figures if figure not in front or figure not in SAID[name]] == []
