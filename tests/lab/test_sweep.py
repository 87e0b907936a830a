"""A sweep over a numeric setting: means and intervals over the seeds, and the drawings over the axis."""

from __future__ import annotations

import re
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ksmlab_core.lab import report
from ksmlab_core.lab.collection import Collection, of_plan
from ksmlab_core.lab.headline import COLUMNS, Column, back_after, columns_of
from ksmlab_core.lab.report.spread import Axis, axis_of, lines_of, spot
from ksmlab_core.lab.report.sweep import examples, over_the_sweep
from ksmlab_core.simulation import RunResult

SIZES = ("512KiB", "1MiB", "8MiB")


def swept(fake: ModuleType, make_plan: Any, key: str = "machine.memory", values: tuple[Any, ...] = SIZES) -> Collection:
    """Two policies at several values of a setting, three seeds each."""
    plan = make_plan(("kernel", "remerge"), seeds=(1, 2, 3))
    points = [
        replace(spec, id=f"{spec.id}-{nth}", point=spec.point | {key: value})
        for nth, value in enumerate(values)
        for spec in plan.points
    ]
    plan = replace(plan, points=points)
    return of_plan(plan, [fake.run(spec, None) for spec in points], "ksmlab run storm.yaml")


def column(title: str) -> Column:
    return next(one for one in COLUMNS if one.title == title)


def test_the_interval_is_students() -> None:
    """Of 1, 2, 3: deviation 1, t for 2 degrees of freedom 4.303, by the root of 3."""
    found = spot([1, 2, 3])
    assert (found.mean, round(found.half, 3), found.seeds) == (2, 2.484, 3)
    assert spot([7]).half == 0
    many = spot([0, 1] * 50)
    assert many.half == pytest.approx(1.98422 * np.std([0, 1] * 50, ddof=1) / 10, rel=1e-5)


@pytest.mark.parametrize(
    ("values", "unit", "places"),
    [
        (SIZES, "MiB", [0.5, 1, 8]),
        (("1s", "20ms", "500us"), "ms", [0.5, 20, 1000]),
        ((5000, 100, 200), "", [100, 200, 5000]),
    ],
)
def test_the_axis_is_numbers_sizes_or_durations(
    fake: ModuleType, make_plan: Any, values: tuple[Any, ...], unit: str, places: list[float]
) -> None:
    collection = swept(fake, make_plan, "some.setting", values)
    axis = axis_of(collection)
    assert axis == Axis("some.setting", unit)
    lines = lines_of(collection, axis)
    assert [line.label for line in lines] == ["swapin kernel", "swapin remerge"]
    assert all(list(line.places) == places for line in lines)
    assert all(len(runs) == 3 for line in lines for runs in line.places.values())


@pytest.mark.parametrize("values", [("1MiB", "2MiB"), ("1MiB", "20ms", "3ms"), ("a", "b", "c"), (True, False, None)])
def test_two_values_mixed_units_and_words_are_no_axis(
    fake: ModuleType, make_plan: Any, values: tuple[Any, ...]
) -> None:
    collection = swept(fake, make_plan, "some.setting", values)
    assert axis_of(collection) is None
    assert over_the_sweep(collection) is None
    assert examples(collection) is collection


def test_a_failed_run_and_a_missing_figure_leave_no_dot(fake: ModuleType, make_plan: Any) -> None:
    collection = swept(fake, make_plan)
    collection.runs[0].result.status = "failed"
    del collection.runs[1].result.metrics["time.ksmd"]
    axis = axis_of(collection)
    assert axis is not None
    first = lines_of(collection, axis)[0]
    assert [(place, one.seeds) for place, one in first.spots(column("ksmd time"))] == [(1, 3), (8, 3)]
    assert [(place, one.seeds) for place, one in first.spots(column("stall"))] == [(0.5, 2), (1, 3), (8, 3)]


def test_the_page_draws_each_figure_over_the_axis(fake: ModuleType, make_plan: Any) -> None:
    collection = swept(fake, make_plan)
    page = report.page(collection)
    assert "<h2>Over machine.memory, MiB</h2>" in page
    assert "3 seeds" in page
    drawn = re.findall(r'aria-label="([^"]*) over machine.memory"', page)
    assert drawn == ["saved, mean", "swap-in copies"], "those in which the runs differ"
    assert page.count('id="sweep-0-figure_1"') == 1
    assert "at machine.memory 512KiB, seed 1." in page
    assert [run.label for run in examples(collection).runs] == [
        "swapin kernel, memory 512KiB",
        "swapin remerge, memory 512KiB",
    ]
    assert report.page(swept(fake, make_plan)) == page


def test_the_means_of_the_page_are_those_of_the_runs(fake: ModuleType, make_plan: Any) -> None:
    collection = swept(fake, make_plan)
    values = [
        run.result.metrics["vm.swapin_copies"] for run in collection.runs if run.label == "swapin kernel, memory 1MiB"
    ]
    found = spot(values)
    sweep = over_the_sweep(collection)
    assert sweep is not None
    titles = [title for title, _, _ in sweep.drawings]
    cells = dict(sweep.rows)["swapin kernel, 1 MiB"]
    assert cells[titles.index("swap-in copies")] == f"{found.mean:,.0f} ± {found.half:,.0f}"


def saving(*values: int) -> RunResult:
    """A run sampled every millisecond whose one label is at 2 ms."""
    series = {"time.elapsed": np.arange(len(values)) * 10**6, "x": np.array(values)}
    return RunResult("r", 0, {}, samples=[{"at": "storm", "ns": 2 * 10**6, "metrics": {}}], series=series)


@pytest.mark.parametrize(
    ("values", "ms"),
    [((0, 100, 0, 50, 95, 100), 2), ((0, 100, 0, 50, 94), None), ((0, 100, 100, 0, 100), None), ((100, 90, 96), None)],
    ids=["back", "never back", "not lost at the label", "only dented"],
)
def test_back_after_the_last_label(values: tuple[int, ...], ms: int | None) -> None:
    found = back_after("x")(saving(*values))
    assert found == (None if ms is None else ms * 10**6)


def test_back_after_needs_a_label_and_samples() -> None:
    assert back_after("x")(replace(saving(1, 0, 1), samples=[])) is None
    assert back_after("y")(saving(1, 0, 1)) is None


def test_a_column_with_next_to_nothing_in_it_is_left_out(fake: ModuleType, make_plan: Any) -> None:
    collection = swept(fake, make_plan)
    for held, shown in ((9, False), (10, True)):
        result = collection.runs[0].result
        result.series["machine.ksm_frames_unmapped"] = np.full_like(result.series["time.elapsed"], held)
        assert ("held, mean" in [one.title for one in columns_of(collection)]) is shown
