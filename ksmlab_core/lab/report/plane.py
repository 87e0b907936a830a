"""The saving against what it cost: frames saved over ksmd's CPU time, between no sharing and all there was to share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.axes import Axes as Plot
from matplotlib.figure import Figure

from ksmlab_core.lab.headline import COLUMNS
from ksmlab_core.lab.report import svg
from ksmlab_core.lab.report.axes import dash, marker, numbers, short, time_unit
from ksmlab_core.lab.report.bounds import COULD_SAVE
from ksmlab_core.lab.report.charts import MOST_LINES
from ksmlab_core.lab.report.spread import Axis, Panel, Spot, axis_of, panels_of
from ksmlab_core.lab.report.sweep import MOST_PANELS, SIZE, line_labels

if TYPE_CHECKING:
    from ksmlab_core.lab.collection import Collection

_SAVED, _CPU = (next(one for one in COLUMNS if one.title == title) for title in ("saved, mean", "ksmd time"))


@dataclass(frozen=True)
class Dot:
    """One point of a sweep: what it cost, what it saved, and what it could have saved."""

    word: str
    cost: Spot
    saved: Spot
    most: Spot | None


@dataclass(frozen=True)
class Plane:
    """The drawings, ready for the page."""

    panels: list[tuple[str, str]]
    """What the panel's runs have in common, and the SVG."""
    bounded: bool
    """Do the runs tell what could have been saved?"""
    axis: str


def saving_against_cpu(collection: Collection) -> Plane | None:
    """A panel per combination of settings; None where there is no axis, or ksmd did nothing anywhere."""
    axis = axis_of(collection)
    if axis is None:
        return None
    panels = panels_of(collection, axis)[:MOST_PANELS]
    labels = line_labels(panels)[:MOST_LINES]
    dots = [[(labels.index(line), of) for line, of in _dots(panel, axis) if line in labels] for panel in panels]
    everything = [dot for panel in dots for _, of in panel for dot in of]
    if not any(dot.cost.mean for dot in everything):
        return None
    ends = (_end([dot.cost for dot in everything]), _end([one for dot in everything for one in (dot.saved, dot.most)]))
    return Plane(
        [
            (panel.label, _drawing(nth, panel, of, ends))
            for nth, (panel, of) in enumerate(zip(panels, dots, strict=True))
        ],
        any(dot.most for dot in everything),
        axis.title,
    )


def _end(spots: Sequence[Spot | None]) -> float:
    return max((one.mean + one.half for one in spots if one), default=0.0)


def _dots(panel: Panel, axis: Axis) -> list[tuple[str, list[Dot]]]:
    """Per line its dots, in the order of the axis."""
    found = []
    for line in panel.lines:
        cost, saved, most = (dict(line.spots(column)) for column in (_CPU, _SAVED, COULD_SAVE))
        both = [place for place in line.places if place in cost and place in saved]
        found.append((line.label, [Dot(axis.word(at), cost[at], saved[at], most.get(at)) for at in both]))
    return found


def _drawing(nth: int, panel: Panel, lines: Sequence[tuple[int, list[Dot]]], ends: tuple[float, float]) -> str:
    scale, unit = time_unit(ends[0])
    with svg.style():
        figure = Figure(figsize=(SIZE[0], SIZE[1] * 1.15), layout="constrained")
        plot = figure.subplots()
        for number, dots in lines:
            _bound(plot, dots, scale)
            _line(plot, number, dots, scale)
        if lines:
            _name_ends(plot, lines[0][1], scale)
        numbers(plot.xaxis)
        numbers(plot.yaxis)
        plot.axhline(0, color=svg.MUTED, linewidth=1)
        plot.set_xlim(0, ends[0] / scale * 1.08)
        plot.set_ylim(-0.02 * ends[1], ends[1] * 1.1)
        plot.set(xlabel=f"CPU time of ksmd, {unit}", ylabel="page frames saved")
        what = f"Page frames saved against CPU time of ksmd{', ' if panel.label else ''}{panel.label}"
        return svg.inline(figure, f"plane-{nth}", what)


def _bound(plot: Plot, dots: Sequence[Dot], scale: float) -> None:
    """Above each dot a bar where its bound is, and a thin line to it: what was left to be had."""
    for dot in dots:
        if dot.most is not None:
            at = dot.cost.mean / scale
            plot.plot([at, at], [dot.saved.mean, dot.most.mean], color=svg.MUTED, linewidth=0.6, linestyle=(0, (1, 2)))
            plot.plot([at], [dot.most.mean], color=svg.MUTED, marker="_", markersize=9, markeredgewidth=1.6)


def _line(plot: Plot, number: int, dots: Sequence[Dot], scale: float) -> None:
    """Dots in the order of the axis, joined, with the intervals of both figures."""
    cost = [dot.cost.mean / scale for dot in dots]
    saved = [dot.saved.mean for dot in dots]
    colour = svg.colour(number)
    across, up = [dot.cost.half / scale for dot in dots], [dot.saved.half for dot in dots]
    plot.plot(cost, saved, color=colour, linestyle=dash(number), linewidth=1.2, marker=marker(number), markersize=4.5)
    if any(across) or any(up):
        plot.errorbar(cost, saved, up, across, color=colour, linestyle="none", elinewidth=1)


def _name_ends(plot: Plot, dots: Sequence[Dot], scale: float) -> None:
    """The first and the last place of the axis, in words, so that one sees which way it runs."""
    for dot in [*dots[:1], *dots[-1:]][: len(dots)]:
        at = (dot.cost.mean / scale, dot.saved.mean)
        plot.annotate(short(dot.word, 18), at, (5, -11), textcoords="offset points", fontsize=9, color=svg.MUTED)
