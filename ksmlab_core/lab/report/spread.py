"""A sweep taken apart for drawing: its axis, panels for the other settings, and a line per value that is compared.

From left to right goes the numeric setting with the most values; colours are what is compared (policies, else kernels);
what else is swept makes panels. Where no setting is a number with enough values, names stand side by side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ksmlab_core.experiment.quantities import read_bytes
from ksmlab_core.lab.contrast import compared, setting, settings, succeeded, swept, words
from ksmlab_core.lab.headline import Column, Number
from ksmlab_core.lab.statistics import half_width
from ksmlab_core.workload.units import duration_ns

if TYPE_CHECKING:
    from ksmlab_core.lab.collection import Collection, Run

FEWEST_PLACES = 3
"""Fewer different values of a setting than this are no numeric axis."""


@dataclass(frozen=True)
class Axis:
    """The swept setting that is drawn from left to right."""

    keys: tuple[str, ...]
    """One, unless what is compared are several settings together and nothing else is swept."""
    unit: str = ""
    """`MiB`, `ms`, or nothing."""
    names: tuple[str, ...] = ()
    """The values in words where they are no numbers: then a place is a position in here."""

    @property
    def title(self) -> str:
        name = " and ".join(self.keys)
        return f"{name}, {self.unit}" if self.unit else name

    def place(self, run: Run) -> float | None:
        """Where a run is on the axis; None if its point does not say."""
        if self.names:
            name = words(self.keys, settings(run, self.keys))
            return float(self.names.index(name)) if name in self.names else None
        return number(run.result.point.get(self.keys[0]))

    def word(self, place: float) -> str:
        """A place in words."""
        return self.names[int(place)] if self.names else f"{place:g} {self.unit}".rstrip()


@dataclass(frozen=True)
class Spot:
    """Mean of one figure over the seeds of one point, and half its 95 % confidence interval (0 with one seed)."""

    mean: float
    half: float
    seeds: int


@dataclass(frozen=True)
class Line:
    """All runs that differ in the axis and the seed alone."""

    label: str
    places: dict[float, list[Run]]
    """Position on the axis, ascending, and the runs there."""

    def spots(self, column: Column) -> list[tuple[float, Spot]]:
        """Where on the axis, and what came out; places where a run has no such figure are left out."""
        found = [(place, [column.value(run.result) for run in runs]) for place, runs in self.places.items()]
        return [(place, spot([one for one in of if one is not None])) for place, of in found if None not in of]


@dataclass(frozen=True)
class Panel:
    """All runs that agree in what is neither compared nor the axis nor the seed."""

    label: str
    lines: list[Line]


def spot(values: Sequence[Number]) -> Spot:
    """Mean and half the 95 % confidence interval of the mean (Student's t)."""
    return Spot(math.fsum(values) / len(values), half_width(values) or 0.0, len(values))


def axis_of(collection: Collection) -> Axis | None:
    """The numeric setting with the most values, the last of equals; names if there is none, None if runs are few."""
    numeric = _numeric_axis(collection)
    if numeric:
        return numeric
    keys, of = swept(collection), compared(collection)
    good = succeeded(collection)
    rest = [key for key in keys if key not in of]
    points = {settings(run, keys) for run in good}
    if len(points) < 2 or (len(points) == len(good) and not (of and rest)):
        return None
    chosen = (rest[-1],) if rest and of else tuple(of or keys[-1:])
    names = dict.fromkeys(words(chosen, settings(run, chosen)) for run in good)
    return Axis(chosen, names=tuple(names))


def _numeric_axis(collection: Collection) -> Axis | None:
    values: dict[str, list[Any]] = {}
    for run in succeeded(collection):
        for key, value in run.result.point.items():
            values.setdefault(key, []).append(value)
    counted = {key: len({number(value) for value in of}) for key, of in values.items() if _numeric(key, of)}
    most = max(counted.values(), default=0)
    if most < FEWEST_PLACES:
        return None
    key = [key for key, count in counted.items() if count == most][-1]
    return Axis((key,), _unit(values[key][0]))


def panels_of(collection: Collection, axis: Axis) -> list[Panel]:
    """The panels of a sweep and their lines, in the order of its points."""
    lines = [key for key in compared(collection) if key not in axis.keys]
    rest = [key for key in swept(collection) if key not in (*lines, *axis.keys)]
    panels: dict[str, dict[str, Line]] = {}
    for run in succeeded(collection):
        if (place := axis.place(run)) is None:
            continue
        panel = panels.setdefault(named(rest, run), {})
        label = named(lines, run) or collection.experiment
        panel.setdefault(label, Line(label, {})).places.setdefault(place, []).append(run)
    return [
        Panel(label, [Line(line.label, dict(sorted(line.places.items()))) for line in of.values()])
        for label, of in panels.items()
    ]


def named(keys: Sequence[str], run: Run) -> str:
    """Settings of a run with the last part of their keys: `kernel v6.1, memory 64MiB`."""
    return ", ".join(f"{key.rpartition('.')[2]} {value}" for key in keys if (value := setting(run, key)))


def _numeric(key: str, values: Sequence[Any]) -> bool:
    """Do all values have a place on one axis?"""
    return key != "seed" and None not in map(number, values) and len(set(map(_unit, values))) == 1


def number(value: Any) -> float | None:
    """A swept value's place on an axis: numbers as they are, sizes in MiB, durations in ms; None for others."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str):
        return None
    try:
        return read_bytes(value) / 2**20
    except ValueError:
        return _milliseconds(value)


def _milliseconds(text: str) -> float | None:
    try:
        return duration_ns(text) / 1e6
    except ValueError:
        return None


def _unit(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    return "ms" if _milliseconds(value) is not None else "MiB"
