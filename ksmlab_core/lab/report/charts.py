"""The three drawings of a report: saving over time, where the time went, what happened when."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ksmlab_core.lab.headline import duration
from ksmlab_core.lab.report import svg
from ksmlab_core.lab.report.axes import dash, numbers, short, time_unit

if TYPE_CHECKING:
    from ksmlab_core.lab.collection import Collection
    from ksmlab_core.simulation import RunResult

MOST_LINES = 8
"""More lines than this in one drawing cannot be told apart."""
MOST_TIMELINES = 12
MOST_BARS = 24
SAVED = "machine.pages_saved"
_POINTS = 400
_MOST_PHASES = 60
_LABEL_SHARE = 0.11
"""Part of the drawing's width that a phase's name takes."""
_BINS = 120


@dataclass(frozen=True)
class Legend:
    """What a colour stands for."""

    colour: int
    label: str


@dataclass(frozen=True)
class Chart:
    """One drawing, ready for the page."""

    svg: str
    legend: list[Legend]
    left_out: int = 0
    """Runs that are in the table but not in this drawing."""


@dataclass(frozen=True)
class Lane:
    """One row of a timeline: a counter whose increases are drawn."""

    metric: str
    title: str


LANES = (
    Lane("ksm.merges", "merges"),
    Lane("ksm.breaks", "breaks"),
    Lane("vm.pswpout", "swap-outs"),
    Lane("vm.pswpin", "swap-ins"),
)


@dataclass(frozen=True)
class Part:
    """One piece of a run's time, ns."""

    title: str
    value: Callable[[Mapping[str, int]], int]
    """From all metrics of a run."""


def saving_over_time(collection: Collection) -> Chart | None:
    """Frames saved against simulated time, a line per run; None if no run was sampled."""
    runs = _runs_with_saving(collection)
    if not runs:
        return None
    lines = [thinned(run.series["time.elapsed"], run.series[SAVED]) for run in runs[:MOST_LINES]]
    with svg.style():
        figure, axes = _lines(runs, lines, "page frames saved", first=0)
        axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
        drawing = svg.inline(figure, "saving", "Page frames saved over simulated time, one line per run")
    return Chart(drawing, _legend(collection, runs[:MOST_LINES], 0), max(0, len(runs) - MOST_LINES))


def saving_against_first(collection: Collection) -> Chart | None:
    """How many more frames than the first run each other run saves at the same time; None with fewer than two runs."""
    runs = _runs_with_saving(collection)
    if len(runs) < 2:
        return None
    first, others = runs[0], runs[1:MOST_LINES]
    lines = [thinned(*_difference(run, first)) for run in others]
    with svg.style():
        figure, axes = _lines(others, lines, "more frames saved", first=1)
        axes.axhline(0, color=svg.colour(0), linewidth=1.2)
        drawing = svg.inline(figure, "against", f"Page frames saved beyond those of run {first.id}, one line per run")
    return Chart(drawing, _legend(collection, runs[:MOST_LINES], 0))


def _runs_with_saving(collection: Collection) -> list[RunResult]:
    return [run.result for run in collection.runs if _sampled(run.result, SAVED)]


def _legend(collection: Collection, runs: Sequence[RunResult], first: int) -> list[Legend]:
    labels = collection.label_of
    return [Legend(nth, labels[run.id]) for nth, run in enumerate(runs, first)]


def _lines(
    runs: Sequence[RunResult], lines: Sequence[tuple[NDArray[Any], NDArray[Any]]], title: str, *, first: int
) -> tuple[Figure, Axes]:
    """A line per run, in the colours from the `first` on, over simulated time with its phases."""
    figure = Figure(figsize=(8.6, 4.2), layout="constrained")
    axes = figure.subplots()
    scale, unit = time_unit(max(int(run.series["time.elapsed"][-1]) for run in runs))
    for nth, (time, values) in enumerate(lines, first):
        axes.plot(time / scale, values, color=svg.colour(nth), linestyle=dash(nth))
    axes.margins(x=0)
    _phases(axes, runs[0], scale)
    axes.set(xlabel=f"simulated time, {unit}", ylabel=title)
    numbers(axes.yaxis, 8)
    return figure, axes


def _difference(run: RunResult, first: RunResult) -> tuple[NDArray[Any], NDArray[Any]]:
    """What a run saves beyond the first, at those of its sample times at which both were running."""
    time = run.series["time.elapsed"]
    both = time <= first.series["time.elapsed"][-1]
    base = np.interp(time[both], first.series["time.elapsed"], first.series[SAVED].astype(np.float64))
    return time[both], run.series[SAVED][both] - base


PARTS = (
    Part("programs waiting in faults", lambda of: of.get("time.fault_stall", 0) - of.get("time.direct_reclaim", 0)),
    Part("programs freeing memory themselves", lambda of: of.get("time.direct_reclaim", 0)),
    Part("kswapd freeing memory", lambda of: of.get("time.kswapd", 0)),
    Part("ksmd looking for equal pages", lambda of: of.get("time.ksmd", 0)),
)
"""Disjoint: the time that a faulting process spends on reclaim is part of its stall."""


def where_time_went(collection: Collection) -> Chart | None:
    """What memory management cost, a stacked bar per run; None if it cost nothing."""
    runs = [run.result for run in collection.runs if any(part.value(run.result.metrics) for part in PARTS)]
    if not runs:
        return None
    left_out = max(0, len(runs) - MOST_BARS)
    runs, labels = runs[:MOST_BARS], collection.label_of
    present = [part for part in PARTS if any(part.value(run.metrics) for run in runs)]
    width = np.array([[part.value(run.metrics) for run in runs] for part in present], dtype=np.float64)
    scale, unit = time_unit(int(width.sum(axis=0).max()))
    with svg.style():
        figure = Figure(figsize=(8.6, 0.8 + 0.4 * len(runs)), layout="constrained")
        axes = figure.subplots()
        for nth, (part, left) in enumerate(zip(width, np.cumsum(width, axis=0) - width, strict=True)):
            bars = np.arange(len(runs))
            axes.barh(bars, part / scale, left=left / scale, height=0.62, color=svg.colour(nth), edgecolor=svg.PAPER)
        axes.set_yticks(np.arange(len(runs)), [short(labels[run.id]) for run in runs])
        axes.invert_yaxis()
        axes.grid(False, axis="y")
        axes.set_xlabel(f"simulated time, {unit}")
        drawing = svg.inline(figure, "time", "What memory management cost in simulated time, one stacked bar per run")
    return Chart(drawing, [Legend(nth, part.title) for nth, part in enumerate(present)], left_out)


def timelines(collection: Collection) -> list[tuple[str, str, str]]:
    """Per run its label, its timeline as SVG, and its totals in words; the same scales for every run."""
    runs = [run.result for run in collection.runs if all(_sampled(run.result, lane.metric) for lane in LANES)]
    drawn, labels = runs[:MOST_TIMELINES], collection.label_of
    if not drawn:
        return []
    end = max(int(run.series["time.elapsed"][-1]) for run in drawn)
    binned = [[_increases(run, lane.metric, end) for lane in LANES] for run in drawn]
    tops = [max(float(row[nth].max()) for row in binned) for nth in range(len(LANES))]
    return [
        (labels[run.id], _timeline(run, f"timeline-{nth}", rows, tops, end), _totals(run))
        for nth, (run, rows) in enumerate(zip(drawn, binned, strict=True))
    ]


def _timeline(run: RunResult, name: str, rows: Sequence[NDArray[np.float64]], tops: Sequence[float], end: int) -> str:
    """One run's four lanes above each other."""
    scale, unit = time_unit(end)
    edges = np.linspace(0, end, _BINS + 1) / scale
    with svg.style():
        figure = Figure(figsize=(5.2, 3.6), layout="constrained")
        lanes = figure.subplots(len(LANES), 1, sharex=True)
        for nth, (axes, lane) in enumerate(zip(lanes, LANES, strict=True)):
            axes.stairs(rows[nth], edges, fill=True, color=svg.colour(nth), linewidth=0)
            axes.set_ylim(0, tops[nth] * 1.08 or 1)
            numbers(axes.yaxis, 2)
            axes.set_title(lane.title, loc="left", fontsize=12, color=svg.INK, pad=3)
            axes.set_xlim(0, end / scale)
            axes.tick_params(axis="x", length=0)
            _phases(axes, run, scale, named=False)
        lanes[-1].set_xlabel(f"simulated time, {unit}")
        return svg.inline(figure, name, f"Merges, breaks, swap-outs and swap-ins over simulated time in run {run.id}")


def _totals(run: RunResult) -> str:
    counts = [f"{int(run.series[lane.metric][-1]):,} {lane.title}" for lane in LANES]
    return f"{', '.join(counts)} in {duration(int(run.series['time.elapsed'][-1]))}; a bar is 1/{_BINS} of that"


def _increases(run: RunResult, metric: str, end: int) -> NDArray[np.float64]:
    """How much a counter rose in each of the bins that a timeline has."""
    edges = np.linspace(0, end, _BINS + 1)
    count = np.interp(edges, run.series["time.elapsed"].astype(np.float64), run.series[metric].astype(np.float64))
    return np.asarray(np.diff(count))


def _phases(axes: Axes, run: RunResult, scale: float, *, named: bool = True) -> None:
    """Mark where the run's phases begin: the samples that its workload gave a label; named where there is room."""
    end = float(run.series["time.elapsed"][-1]) / scale
    free = 0.0
    for sample in run.samples[:_MOST_PHASES]:
        at = sample["ns"] / scale
        axes.axvline(at, color=svg.MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
        if named and free <= at <= end * (1 - _LABEL_SHARE):
            _name_phase(axes, at, str(sample["at"]))
            free = at + end * _LABEL_SHARE


def _name_phase(axes: Axes, at: float, name: str) -> None:
    """A phase's name, above the drawing and right of where it begins."""
    place: Any = {"xycoords": axes.get_xaxis_transform(), "textcoords": "offset points"}
    axes.annotate(short(name, 14), (at, 1), (3, 3), fontsize=10, color=svg.MUTED, annotation_clip=False, **place)


def _sampled(run: RunResult, metric: str) -> bool:
    return metric in run.series and len(run.series[metric]) > 1


def thinned(time: NDArray[Any], values: NDArray[Any], most: int = _POINTS) -> tuple[NDArray[Any], NDArray[Any]]:
    """At most so many points of a series, the last among them."""
    if len(time) <= most:
        return time, values
    chosen = np.unique(np.linspace(0, len(time) - 1, most).round().astype(np.int64))
    return time[chosen], values[chosen]
