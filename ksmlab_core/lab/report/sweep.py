"""Small drawings of a sweep: each figure over the swept setting, a panel per combination of the other settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from matplotlib.axes import Axes as Plot
from matplotlib.figure import Figure

from ksmlab_core.lab.contrast import compared, setting, swept
from ksmlab_core.lab.headline import COLUMNS, Column, text
from ksmlab_core.lab.report import svg
from ksmlab_core.lab.report.axes import dash, logarithmic, marker, numbers, places_below, time_unit
from ksmlab_core.lab.report.bounds import REACHED
from ksmlab_core.lab.report.charts import MOST_LINES, Legend
from ksmlab_core.lab.report.spread import Axis, Line, Panel, Spot, axis_of, panels_of, spot

if TYPE_CHECKING:
    from ksmlab_core.lab.collection import Collection, Run

DRAWN = (
    "saved, mean",
    "reached",
    "back after",
    "held, mean",
    "swap-in copies",
    "major faults",
    "stall",
    "ksmd time",
)
"""Titles of the columns that are drawn, in this order, where they tell runs apart."""
MOST_PANELS = 9
SIZE = (4.2, 2.9)
"""Of a small drawing, inches: its letters are readable where it is as wide as a phone."""
_SHIFT = 0.008
"""Lines stand beside each other by this part of the axis, so that equal ones can be seen."""


@dataclass(frozen=True)
class Figures:
    """One figure of the runs, drawn in every panel on the same scale."""

    title: str
    meaning: str
    panels: list[tuple[str, str]]
    """What the panel's runs have in common, and the SVG."""


@dataclass(frozen=True)
class Means:
    """The table of means: settings, then figures."""

    settings: list[str]
    columns: list[Column]
    rows: list[tuple[list[tuple[str, float | None]], list[Spot | None]]]
    """Per point its settings, each in words and as its number if it is one, and its figures."""


@dataclass(frozen=True)
class Sweep:
    """The section of a sweep, ready for the page."""

    axis: str
    seeds: int
    """Seeds per dot, the most of any."""
    legend: list[Legend]
    figures: list[Figures]
    means: Means
    lines_left_out: int
    panels_left_out: int
    examples: str
    """At which place and with which seed the runs are that the other drawings show."""


def over_the_sweep(collection: Collection) -> Sweep | None:
    """Every figure over the axis of a sweep; None where there is no axis."""
    axis = axis_of(collection)
    if axis is None:
        return None
    panels = panels_of(collection, axis)
    columns = [column for title in DRAWN for column in (*COLUMNS, REACHED) if column.title == title]
    columns = [column for column in columns if _tells(column, panels)]
    if not columns:
        return None
    labels = line_labels(panels)
    drawn = panels[:MOST_PANELS]
    return Sweep(
        axis.title,
        max(len(runs) for panel in panels for line in panel.lines for runs in line.places.values()),
        [Legend(nth, label) for nth, label in enumerate(labels[:MOST_LINES])] if len(labels) > 1 else [],
        [_figures(nth, column, axis, drawn, labels) for nth, column in enumerate(columns)],
        _means(collection, columns),
        max(0, len(labels) - MOST_LINES),
        len(panels) - len(drawn),
        _where(axis, panels[0]),
    )


def line_labels(panels: Sequence[Panel]) -> list[str]:
    """What is compared, each once: its place in the list is its colour in every drawing."""
    return list(dict.fromkeys(line.label for panel in panels for line in panel.lines))


def examples(collection: Collection) -> Collection:
    """Of a sweep with an axis one run per line of the first panel, all at the lowest place; else all runs."""
    axis = axis_of(collection)
    if axis is None:
        return collection
    return replace(collection, runs=[_example(line) for line in panels_of(collection, axis)[0].lines])


def _example(line: Line) -> Run:
    return next(iter(line.places.values()))[0]


def _where(axis: Axis, panel: Panel) -> str:
    run = _example(panel.lines[0])
    place = axis.place(run)
    at = f"{' and '.join(axis.keys)} {axis.word(place or 0.0)}, seed {run.result.seed}"
    return f"{panel.label}, {at}" if panel.label else at


def _tells(column: Column, panels: Sequence[Panel]) -> bool:
    """Do two dots differ, and is there anything worth a drawing?"""
    means = {spot.mean for panel in panels for line in panel.lines for _, spot in line.spots(column)}
    return len(means) > 1 and max(means) >= column.least


def _figures(nth: int, column: Column, axis: Axis, panels: Sequence[Panel], labels: Sequence[str]) -> Figures:
    """One figure in every panel; all panels have one scale, so that they can be compared."""
    spots = {
        (panel.label, labels.index(line.label)): line.spots(column)
        for panel in panels
        for line in panel.lines
        if labels.index(line.label) < MOST_LINES
    }
    ends = [end for of in spots.values() for _, spot in of for end in (spot.mean - spot.half, spot.mean + spot.half)]
    scale, unit = _scale(column, max(ends, default=0.0))
    low, high = min([0.0, *ends]) / scale, max(ends, default=0.0) / scale
    places = sorted({place for panel in panels for line in panel.lines for place in line.places})
    drawn = []
    for number, panel in enumerate(panels):
        mine = {line: of for (label, line), of in spots.items() if label == panel.label}
        with svg.style():
            figure = Figure(figsize=SIZE, layout="constrained")
            plot = figure.subplots()
            for line, of in mine.items():
                _line(plot, line, of, scale, _shifts(places, axis, line - (len(labels[:MOST_LINES]) - 1) / 2), axis)
            places_below(plot, places, axis.names)
            numbers(plot.yaxis)
            plot.set_ylim(low * 1.05, high * 1.05 or 1)
            plot.set(xlabel=axis.title, ylabel=unit)
            what = f"{column.title} over {' and '.join(axis.keys)}{', ' if panel.label else ''}{panel.label}"
            drawn.append((panel.label, svg.inline(figure, f"sweep-{nth}-{number}", what)))
    return Figures(column.title, column.meaning, drawn)


def _scale(column: Column, top: float) -> tuple[float, str]:
    if column.unit == "ns":
        return time_unit(top)
    return (0.01, "%") if column.unit == "share" else (1.0, "")


def _line(
    plot: Plot,
    number: int,
    spots: Sequence[tuple[float, Spot]],
    scale: float,
    shifts: dict[float, float],
    axis: Axis,
) -> None:
    """Dots, joined where the axis is one of numbers, and the band of their intervals."""
    at = [shifts[place] for place, _ in spots]
    mean = [spot.mean / scale for _, spot in spots]
    half = [spot.half / scale for _, spot in spots]
    colour = svg.colour(number)
    joined = "none" if axis.names else dash(number)
    plot.plot(at, mean, color=colour, linestyle=joined, marker=marker(number), markersize=4, linewidth=1.6)
    if not any(half):
        return
    plot.errorbar(at, mean, half, color=colour, linestyle="none", elinewidth=1.2, capsize=2.5)
    if not axis.names:
        low = [one - by for one, by in zip(mean, half, strict=True)]
        high = [one + by for one, by in zip(mean, half, strict=True)]
        plot.fill_between(at, low, high, color=colour, alpha=0.2, linewidth=0)


def _shifts(places: Sequence[float], axis: Axis, steps: float) -> dict[float, float]:
    """Where each place is drawn for one line."""
    if axis.names:
        return {place: place + 0.08 * steps for place in places}
    if logarithmic(places):
        return {place: place * (places[-1] / places[0]) ** (_SHIFT * steps) for place in places}
    return {place: place + (places[-1] - places[0]) * _SHIFT * steps for place in places}


def _means(collection: Collection, columns: list[Column]) -> Means:
    """The mean of every figure at every point of the sweep, what is compared first."""
    of = compared(collection)
    keys = [*of, *(key for key in swept(collection) if key not in of)]
    points: dict[tuple[str, ...], list[Run]] = {}
    for run in collection.runs:
        if run.result.status == "succeeded":
            points.setdefault(tuple(setting(run, key) for key in keys), []).append(run)
    return Means(
        keys, columns, [(cells(runs[0], keys), [_mean(runs, one) for one in columns]) for runs in points.values()]
    )


def cells(run: Run, keys: Sequence[str]) -> list[tuple[str, float | None]]:
    """A run's settings, each in words and as the number that it sorts by, if it is one."""
    from ksmlab_core.lab.report.spread import number

    return [(setting(run, key), number(run.result.point.get(key))) for key in keys]


def _mean(runs: Sequence[Run], column: Column) -> Spot | None:
    values = [column.value(run.result) for run in runs]
    found = [value for value in values if value is not None]
    return spot(found) if found and len(found) == len(values) else None


def in_words(mean: Spot | None, column: Column) -> str:
    """`1,234 ± 56`, without the interval where there was one seed."""
    if mean is None:
        return "–"
    value = text(mean.mean, column.unit)
    return f"{value} ± {text(mean.half, column.unit)}" if mean.seeds > 1 else value
