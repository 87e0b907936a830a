"""A sweep's figures over its numeric axis: a line per combination of the rest, mean over the seeds and spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ksmlab_core.experiment.quantities import read_bytes
from ksmlab_core.lab.collection import label_of_point
from ksmlab_core.lab.headline import Column, Number
from ksmlab_core.lab.statistics import half_width
from ksmlab_core.workload.units import duration_ns

if TYPE_CHECKING:
    from ksmlab_core.lab.collection import Collection, Run

FEWEST_PLACES = 3
"""Fewer different values of a setting than this are no axis."""


@dataclass(frozen=True)
class Axis:
    """The swept setting that is drawn from left to right."""

    key: str
    unit: str
    """`MiB`, `ms`, or nothing."""


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


def spot(values: Sequence[Number]) -> Spot:
    """Mean and half the 95 % confidence interval of the mean (Student's t)."""
    mean = math.fsum(values) / len(values)
    return Spot(mean, half_width(values) or 0.0, len(values))


def axis_of(collection: Collection) -> Axis | None:
    """The numeric setting with the most values, the last of equals; None if none has enough, or runs are few."""
    values: dict[str, list[Any]] = {}
    for run in _good(collection):
        for key, value in run.result.point.items():
            values.setdefault(key, []).append(value)
    counted = {key: len({_number(value) for value in of}) for key, of in values.items() if _numeric(key, of)}
    most = max(counted.values(), default=0)
    if most < FEWEST_PLACES:
        return None
    key = [key for key, count in counted.items() if count == most][-1]
    return Axis(key, _unit(values[key][0]))


def lines_of(collection: Collection, axis: Axis) -> list[Line]:
    """The lines of a sweep, in the order of its points."""
    lines: dict[str, Line] = {}
    for run in _good(collection):
        if axis.key not in run.result.point:
            continue
        rest = {key: value for key, value in run.result.point.items() if key != axis.key}
        label = label_of_point(rest) or collection.experiment
        line = lines.setdefault(label, Line(label, {}))
        line.places.setdefault(_number(run.result.point[axis.key]) or 0.0, []).append(run)
    return [Line(line.label, dict(sorted(line.places.items()))) for line in lines.values()]


def _good(collection: Collection) -> list[Run]:
    return [run for run in collection.runs if run.result.status == "succeeded"]


def _numeric(key: str, values: Sequence[Any]) -> bool:
    """Do all values have a place on one axis?"""
    return key != "seed" and None not in map(_number, values) and len(set(map(_unit, values))) == 1


def _number(value: Any) -> float | None:
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
