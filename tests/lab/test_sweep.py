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
from ksmlab_core.lab.report import bounds
from ksmlab_core.lab.report import plane as plane_module
from ksmlab_core.lab.report import sweep as sweep_module
from ksmlab_core.lab.report.answer import contrasts, extremes
from ksmlab_core.lab.report.bounds import COULD_SAVE, REACHED, with_bounds
from ksmlab_core.lab.report.plane import saving_against_cpu
from ksmlab_core.lab.report.spread import Axis, axis_of, panels_of, spot
from ksmlab_core.lab.report.sweep import examples, in_words, over_the_sweep
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
    assert axis == Axis(("some.setting",), unit)
    [panel] = panels_of(collection, axis)
    assert panel.label == ""
    assert [line.label for line in panel.lines] == ["swapin kernel", "swapin remerge"]
    assert all(list(line.places) == places for line in panel.lines)
    assert all(len(runs) == 3 for line in panel.lines for runs in line.places.values())


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (("1MiB", "2MiB"), ("1MiB", "2MiB")),
        (("1MiB", "20ms", "3ms"), ("1MiB", "20ms", "3ms")),
        (("a", "b", "c"), ("a", "b", "c")),
        ((True, False, None), ("True", "False", "None")),
    ],
)
def test_two_values_mixed_units_and_words_stand_side_by_side_by_name(
    fake: ModuleType, make_plan: Any, values: tuple[Any, ...], names: tuple[str, ...]
) -> None:
    collection = swept(fake, make_plan, "some.setting", values)
    axis = axis_of(collection)
    assert axis == Axis(("some.setting",), names=names)
    [panel] = panels_of(collection, axis)
    assert [(line.label, list(line.places)) for line in panel.lines] == [
        ("swapin kernel", [float(nth) for nth in range(len(names))]),
        ("swapin remerge", [float(nth) for nth in range(len(names))]),
    ]
    assert f">{names[0]}</text>" in report.page(collection)


def test_policies_over_seeds_alone_stand_side_by_side(fake: ModuleType, make_plan: Any) -> None:
    plan = make_plan(seeds=(1, 2, 3))
    collection = of_plan(plan, [fake.run(spec, None) for spec in plan.points], "")
    assert axis_of(collection) == Axis(("policies.swapin",), names=("kernel", "remerge", "defer"))
    sweep = over_the_sweep(collection)
    assert sweep is not None
    assert (sweep.legend, sweep.seeds) == ([], 3)


def test_a_few_runs_that_differ_in_one_word_are_no_sweep(fake: ModuleType, make_plan: Any) -> None:
    plan = make_plan()
    collection = of_plan(plan, [fake.run(spec, None) for spec in plan.points], "")
    assert axis_of(collection) is None
    assert over_the_sweep(collection) is None
    assert saving_against_cpu(collection) is None
    assert examples(collection) is collection


def test_what_is_neither_compared_nor_the_axis_makes_panels(fake: ModuleType, make_plan: Any) -> None:
    collection = swept(fake, make_plan)
    more = [
        replace(
            run, result=replace(run.result, id=f"{run.result.id}-{kernel}", point=run.result.point | {"kernel": kernel})
        )
        for kernel in ("v6.1", "v6.18")
        for run in collection.runs
    ]
    collection = replace(collection, runs=more)
    sweep, plane = over_the_sweep(collection), saving_against_cpu(collection)
    assert sweep is not None
    assert plane is not None
    assert all([label for label, _ in figure.panels] == ["kernel v6.1", "kernel v6.18"] for figure in sweep.figures)
    assert [label for label, _ in plane.panels] == ["kernel v6.1", "kernel v6.18"]
    assert [entry.label for entry in sweep.legend] == ["swapin kernel", "swapin remerge"]
    ticks = [re.findall(r">([\d,]+)</text>", drawing) for _, drawing in sweep.figures[0].panels]
    assert ticks[0] == ticks[1], "all panels of a figure have one scale"


def test_more_panels_than_fit_are_counted(fake: ModuleType, make_plan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (sweep_module, plane_module):
        monkeypatch.setattr(module, "MOST_PANELS", 2)
    collection = swept(fake, make_plan, values=("1MiB", "2MiB", "4MiB"))
    runs = [
        replace(
            run,
            result=replace(run.result, id=f"{run.result.id}-{nth}", point=run.result.point | {"ksm.use": f"w{nth}"}),
        )
        for nth in range(4)
        for run in collection.runs
        if run.result.seed == 1
    ]
    page = report.page(replace(collection, runs=runs))
    assert "In the tables only: 2 more combinations of settings." in page
    assert page.count('aria-label="saved, mean over machine.memory') == 2


def test_a_failed_run_and_a_missing_figure_leave_no_dot(fake: ModuleType, make_plan: Any) -> None:
    collection = swept(fake, make_plan)
    collection.runs[0].result.status = "failed"
    del collection.runs[1].result.metrics["time.ksmd"]
    axis = axis_of(collection)
    assert axis is not None
    first = panels_of(collection, axis)[0].lines[0]
    assert [(place, one.seeds) for place, one in first.spots(column("ksmd time"))] == [(1, 3), (8, 3)]
    assert [(place, one.seeds) for place, one in first.spots(column("stall"))] == [(0.5, 2), (1, 3), (8, 3)]


def test_the_page_draws_each_figure_over_the_axis(fake: ModuleType, make_plan: Any) -> None:
    collection = swept(fake, make_plan)
    page = report.page(collection)
    assert "<h2>Over machine.memory, MiB</h2>" in page
    assert "3 seeds" in page
    drawn = re.findall(r'aria-label="([^"]*) over machine.memory"', page)
    assert drawn == ["saved, mean", "swap-in copies", "major faults", "stall", "ksmd time"]
    assert "at machine.memory 0.5 MiB, seed 1." in page
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
    means = sweep.means
    assert means.settings == ["policies.swapin", "machine.memory"]
    titles = [one.title for one in means.columns]
    [row] = [cells for settings, cells in means.rows if [text for text, _ in settings] == ["kernel", "1MiB"]]
    nth = titles.index("swap-in copies")
    assert in_words(row[nth], means.columns[nth]) == f"{found.mean:,.0f} ± {found.half:,.0f}"


def test_what_is_compared_is_told_pair_by_pair(fake: ModuleType, make_plan: Any) -> None:
    collection = swept(fake, make_plan)
    for run in collection.runs:
        more = {"kernel": 1000, "remerge": 1100 + run.result.seed}[run.result.point["policies.swapin"]]
        run.result.metrics |= {"vm.pgmajfault": more, "vm.swapin_copies": more // 1000, "time.ksmd": 5}
    [contrast], left_out = contrasts(collection)
    assert left_out == 0
    assert contrast.title == "remerge against kernel, 9 pairs of runs that differ in nothing else"
    assert [clause for clause in contrast.clauses if not clause.startswith(("Memory", "Time"))] == [
        "Pages copied at swap-in: the same.",
        "Faults that waited for the swap device: +10.2 % in the median (all pairs: +10.1 % to +10.3 %); "
        "more in 9, less in 0 of 9.",
        "CPU time of ksmd: the same.",
    ]


def test_a_point_that_failed_under_one_policy_is_no_pair(fake: ModuleType, make_plan: Any) -> None:
    collection = swept(fake, make_plan)
    collection.runs[0].result.status = "failed"
    [contrast], _ = contrasts(collection)
    assert contrast.title.startswith("remerge against kernel, 8 pairs")


def bounded(*rows: tuple[int, int, int]) -> RunResult:
    """A run with a row per millisecond: saved, frames, contents (0 where they were not counted)."""
    saved, frames, contents = (np.array(column) for column in zip(*rows, strict=True))
    time = np.arange(len(rows)) * 10**6
    series = {"time.elapsed": time, bounds.SAVED: saved, bounds.FRAMES: frames, bounds.CONTENTS: contents}
    return RunResult("r", 0, {}, series=series)


def test_the_bound_is_pages_in_memory_less_their_contents() -> None:
    """20 pages, of 12 contents: 8 could be saved; at first 2 are, then 4."""
    result = bounded((2, 18, 12), (4, 16, 12))
    assert COULD_SAVE.value(result) == 8
    assert REACHED.value(result) == 3 / 8


def test_where_contents_were_not_counted_what_is_left_goes_evenly() -> None:
    """Left over: 0 while nothing is mapped, 6, not counted and so 4, 2; halves count at both ends."""
    result = bounded((0, 0, 0), (2, 18, 12), (5, 9, 0), (8, 14, 12))
    saved = (0 / 2 + 2 + 5 + 8 / 2) / 3
    assert COULD_SAVE.value(result) == pytest.approx(saved + (0 / 2 + 6 + 4 + 2 / 2) / 3)
    assert REACHED.value(result) == pytest.approx(saved / (saved + 11 / 3))


@pytest.mark.parametrize("rows", [((2, 18, 12),), ((2, 18, 0), (2, 18, 0))], ids=["one sample", "none counted"])
def test_without_counted_contents_there_is_no_bound(rows: tuple[tuple[int, int, int], ...]) -> None:
    assert COULD_SAVE.value(bounded(*rows)) is None
    assert REACHED.value(bounded(*rows)) is None


def with_contents(collection: Collection) -> Collection:
    """Runs that could all have saved a thousand pages more than they did."""
    for run in collection.runs:
        saved = run.result.series[bounds.SAVED]
        run.result.series |= {bounds.FRAMES: np.full_like(saved, 5000), bounds.CONTENTS: np.full_like(saved, 4000)}
    return collection


def test_the_plane_says_whether_it_has_an_upper_bound(fake: ModuleType, make_plan: Any) -> None:
    without, having = swept(fake, make_plan), with_contents(swept(fake, make_plan))
    assert "no upper bound can be drawn" in report.page(without)
    page = report.page(having)
    assert "no upper bound can be drawn" not in page
    assert "The grey bar above a dot is its upper bound" in page
    assert [one.title for one in with_bounds(having, columns_of(having))][:3] == [
        "saved, mean",
        "could save",
        "reached",
    ]
    assert "reached" not in [one.title for one in with_bounds(without, columns_of(without))]
    assert re.search(r"saved had all equal pages in memory always shared a frame, [\d.]+ % to", extremes(having)[1])


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
