"""Small drawings of a sweep, one per figure: value over the swept setting, a line per combination of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from matplotlib.axes import Axes as Plot
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from ksmlab_core.lab.headline import COLUMNS, Column, text
from ksmlab_core.lab.report import svg
from ksmlab_core.lab.report.charts import MOST_LINES, Legend, dash, grouped, time_unit
from ksmlab_core.lab.report.spread import Axis, Line, Spot, axis_of, lines_of

if TYPE_CHECKING:
    from ksmlab_core.lab.collection import Collection, Run

DRAWN = (
    "saved, mean",
    "back after",
    "held, mean",
    "swap-in copies",
    "major faults",
    "stall",
    "ksmd time",
)
"""Titles of the columns that are drawn, in this order, where they tell runs apart."""
_WIDE = 8
"""An axis whose last place is this many times its first is logarithmic."""
_SHIFT = 0.006
"""Lines stand beside each other by this part of the axis, so that equal ones can be seen."""


@dataclass(frozen=True)
class Sweep:
    """The section of a sweep, ready for the page."""

    axis: str
    seeds: int
    """Seeds per dot, the most of any."""
    legend: list[Legend]
    drawings: list[tuple[str, str, str]]
    """Title, what it means, and the SVG."""
    rows: list[tuple[str, list[str]]]
    """Per line and place the means in words."""
    left_out: int
    examples: str
    """At which place and with which seed the runs are that the other drawings show."""


def over_the_sweep(collection: Collection) -> Sweep | None:
    """Every figure over the axis of a sweep; None where there is no axis with enough places."""
    axis = axis_of(collection)
    if axis is None:
        return None
    lines = lines_of(collection, axis)
    columns = [column for title in DRAWN for column in COLUMNS if column.title == title and _tells(column, lines)]
    if not columns:
        return None
    drawn = lines[:MOST_LINES]
    seeds = max(len(runs) for line in lines for runs in line.places.values())
    return Sweep(
        _title(axis),
        seeds,
        [Legend(nth, line.label) for nth, line in enumerate(drawn)],
        [(column.title, column.meaning, _drawing(nth, column, axis, drawn)) for nth, column in enumerate(columns)],
        _rows(lines, columns, axis),
        len(lines) - len(drawn),
        f"{axis.key} {_example(lines[0]).result.point[axis.key]}, seed {_example(lines[0]).result.seed}",
    )


def examples(collection: Collection) -> Collection:
    """Of a sweep with an axis one run per line, all at the lowest place; of anything else all runs."""
    axis = axis_of(collection)
    return replace(collection, runs=[_example(line) for line in lines_of(collection, axis)]) if axis else collection


def _example(line: Line) -> Run:
    return next(iter(line.places.values()))[0]


def _tells(column: Column, lines: Sequence[Line]) -> bool:
    """Do two dots differ, and is there anything worth a drawing?"""
    means = {spot.mean for line in lines for _, spot in line.spots(column)}
    return len(means) > 1 and max(means) >= column.least


def _title(axis: Axis) -> str:
    return f"{axis.key}, {axis.unit}" if axis.unit else axis.key


def _drawing(nth: int, column: Column, axis: Axis, lines: Sequence[Line]) -> str:
    """One figure over the axis."""
    places = sorted({place for line in lines for place in line.places})
    series = [line.spots(column) for line in lines]
    top = max((spot.mean + spot.half for spots in series for _, spot in spots), default=0.0)
    scale, unit = time_unit(int(top)) if column.unit == "ns" else (1.0, "")
    with svg.style():
        figure = Figure(figsize=(5.2, 3.4), layout="constrained")
        plot = figure.subplots()
        for number, spots in enumerate(series):
            _line(plot, number, spots, scale, _shifts(places, number - (len(lines) - 1) / 2))
        _axes(plot, places)
        plot.set(xlabel=_title(axis), ylabel=unit)
        return svg.inline(figure, f"sweep-{nth}", f"{column.title} over {axis.key}")


def _line(
    plot: Plot, number: int, spots: Sequence[tuple[float, Spot]], scale: float, shifts: dict[float, float]
) -> None:
    """Dots with their intervals, joined."""
    at = [shifts[place] for place, _ in spots]
    mean = [spot.mean / scale for _, spot in spots]
    colour = svg.colour(number)
    plot.plot(at, mean, color=colour, linestyle=dash(number), marker="o", markersize=4)
    if any(spot.half for _, spot in spots):
        half = [spot.half / scale for _, spot in spots]
        plot.errorbar(at, mean, half, color=colour, linestyle="none", elinewidth=1.4, capsize=3)


def _shifts(places: Sequence[float], steps: float) -> dict[float, float]:
    """Where each place is drawn for one line."""
    if _logarithmic(places):
        return {place: place * (places[-1] / places[0]) ** (_SHIFT * steps) for place in places}
    return {place: place + (places[-1] - places[0]) * _SHIFT * steps for place in places}


def _logarithmic(places: Sequence[float]) -> bool:
    return places[0] > 0 and places[-1] >= _WIDE * places[0]


def _axes(plot: Plot, places: Sequence[float]) -> None:
    if _logarithmic(places):
        plot.set_xscale("log")
    plot.set_xticks(places)
    plot.xaxis.set_minor_locator(NullLocator())
    plot.xaxis.set_major_formatter(FuncFormatter(grouped))
    plot.yaxis.set_major_formatter(FuncFormatter(grouped))
    plot.yaxis.set_major_locator(MaxNLocator(5))
    plot.set_ylim(bottom=min(0, plot.get_ylim()[0]))


def _rows(lines: Sequence[Line], columns: Sequence[Column], axis: Axis) -> list[tuple[str, list[str]]]:
    spots = {(line.label, column.title): dict(line.spots(column)) for line in lines for column in columns}
    return [
        (
            f"{line.label}, {place:g} {axis.unit}".rstrip(),
            [_words(spots[line.label, column.title].get(place), column) for column in columns],
        )
        for line in lines
        for place in line.places
    ]


def _words(spot: Spot | None, column: Column) -> str:
    return "–" if spot is None else f"{text(spot.mean, column.unit)} ± {text(spot.half, column.unit)}"
