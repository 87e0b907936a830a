"""The comparison itself: means, differences, intervals and tests, per point and figure.

Sums and differences of counters are taken as integers, so that they are exact however large; only what is derived from
them (means over seeds, per cents, intervals) is floating-point.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ksmlab_core.lab import statistics
from ksmlab_core.lab.compare.figures import chosen, headlines, known, of_metric
from ksmlab_core.lab.compare.sides import Point, Sides
from ksmlab_core.lab.headline import Column, Number
from ksmlab_core.lab.statistics import SIGNIFICANT, Interval

if TYPE_CHECKING:
    from ksmlab_core.lab.store import Stored

MOST_POINTS_WITH_ALL = 1
"""Where there are more points than this, only the headline figures are compared unless others are asked for."""


@dataclass(frozen=True)
class Cell:
    """One side's figure at one point against the base's.

    Attributes:
        values: a figure per seed.
        mean: over the seeds; an integer where there is one seed and the figure is one.
        difference: the mean of the differences within pairs, side minus base.
        percent: the same of the base's mean; infinite where that is zero, and zero where nothing differs.
        differing: pairs that are not equal.
        p: of Welch's t-test; None where it says nothing.
        interval: of the difference, 95 %; None with one pair.
    """

    values: list[Number]
    mean: Number
    difference: Number
    percent: float
    differing: int
    p: float | None
    interval: Interval | None

    @property
    def significant(self) -> bool:
        return self.p is not None and self.p < SIGNIFICANT


@dataclass(frozen=True)
class Row:
    """One figure at one point."""

    column: Column
    base: list[Number]
    mean: Number
    cells: list[Cell]

    @property
    def differs(self) -> bool:
        return any(cell.differing for cell in self.cells)


@dataclass(frozen=True)
class Compared:
    """One point of a comparison.

    Attributes:
        point: the runs.
        rows: figures that all its runs have.
        lacking: figures that some of its runs have and some have not.
    """

    point: Point
    rows: list[Row]
    lacking: list[str]


@dataclass(frozen=True)
class Comparison:
    """What came of comparing.

    Attributes:
        sides: what was compared.
        points: in the order of the sweep.
        counters: how many counters the base's runs have at their end, at most.
        differing: the counters that are not equal in some pair; those that only one of a pair has among them.
        hidden: how many of them differ and are in no row.
        samples_differ: pairs whose labelled samples are not equal.
        series_differ: pairs whose series are not the same bytes.
        exact: was everything simulated, so that any difference is one.
        unexplained: pairs that differ although the same settings and sources made them: a fault of ksmlab.
    """

    sides: Sides
    points: list[Compared]
    counters: int
    differing: list[str]
    hidden: int
    samples_differ: int
    series_differ: int
    exact: bool
    unexplained: int

    @property
    def identical(self) -> bool:
        """Is every pair equal in every counter and every labelled sample?"""
        return not self.differing and not self.samples_differ

    @property
    def tests(self) -> int:
        """How many tests were made."""
        return sum(cell.p is not None for one in self.points for row in one.rows for cell in row.cells)


def compare(sides: Sides, metrics: Sequence[str] = (), also: Sequence[str] = ()) -> Comparison:
    """Compare the sides.

    Args:
        sides: what with what.
        metrics: names of figures, or patterns (`vm.*`); empty: the headline ones that differ, and with one point
            every other counter that differs too.
        also: names of figures that have to be there besides.

    Raises:
        BadInput: no figure has such a name; or there are several seeds, and scipy is not installed.
    """
    figures = known([run.result for point in sides.points for side in point.runs for run in side])
    differing = _differing(sides)
    columns = chosen(metrics, figures) if metrics else _usual(sides, figures, differing)
    shown = {of_metric(column) for column in columns} | {column.title for column in columns}
    columns += [column for column in chosen(also, figures) if column.title not in shown]
    shown |= set(also)
    return Comparison(
        sides,
        [_at(point, columns) for point in sides.points],
        max(len(one.result.metrics) for one, _ in sides.pairs()),
        differing,
        sum(name not in shown for name in differing),
        _count(sides, lambda run: run.result.samples),
        _count(sides, lambda run: run.manifest["files"].get("series.parquet")),
        all("--on kernel" not in run.manifest["command"] for pair in sides.pairs() for run in pair),
        sum(_made_alike(one, other) and one.result.metrics != other.result.metrics for one, other in sides.pairs()),
    )


def _made_alike(one: Stored, other: Stored) -> bool:
    """Have the runs the same identity, which stands for all that a result follows from?"""
    return bool(one.manifest.get("identity")) and one.manifest["identity"] == other.manifest.get("identity")


def _usual(sides: Sides, figures: dict[str, Column], differing: Sequence[str]) -> list[Column]:
    """The figures that are shown if none is asked for."""
    results = [run.result for point in sides.points for side in point.runs for run in side]
    pairs = [(one.result, other.result) for one, other in sides.pairs()]
    columns = [
        column
        for column in headlines(figures, results)
        if any(column.value(one) != column.value(other) for one, other in pairs)
    ]
    if len(sides.points) > MOST_POINTS_WITH_ALL:
        return columns
    told = {of_metric(column) for column in columns}
    return columns + [figures[name] for name in differing if name not in told]


def _differing(sides: Sides) -> list[str]:
    """The counters that are not equal in some pair, by name."""
    found: set[str] = set()
    for one, other in sides.pairs():
        found |= {name for name, _ in one.result.metrics.items() ^ other.result.metrics.items()}
    return sorted(found)


def _count(sides: Sides, part: Callable[[Stored], object]) -> int:
    """Pairs that are not equal in some part of theirs."""
    return sum(part(one) != part(other) for one, other in sides.pairs())


def _at(point: Point, columns: Sequence[Column]) -> Compared:
    """Every figure at one point; the tests of all figures are made at once."""
    values: dict[str, list[list[Number]]] = {}
    lacking = []
    for column in columns:
        found = [[column.value(run.result) for run in side] for side in point.runs]
        whole = [[one for one in side if one is not None] for side in found]
        if all(len(side) == len(point.seeds) for side in whole):
            values[column.title] = whole
        elif any(whole):
            lacking.append(column.title)
    told = [column for column in columns if column.title in values]
    cells = [
        _cells([values[column.title][0] for column in told], [values[column.title][nth] for column in told])
        for nth in range(1, len(point.runs))
    ]
    rows = [
        Row(column, values[column.title][0], _mean(values[column.title][0]), [side[nth] for side in cells])
        for nth, column in enumerate(told)
    ]
    return Compared(point, rows, lacking)


def _cells(base: list[list[Number]], other: list[list[Number]]) -> list[Cell]:
    """All figures of one side against the base's: figures by seeds."""
    import numpy as np

    if not base:
        return []
    differences = [[b - a for a, b in zip(one, two, strict=True)] for one, two in zip(base, other, strict=True)]
    table = np.array(differences, dtype=np.float64)
    p = statistics.welch(np.array(base, dtype=np.float64), np.array(other, dtype=np.float64))
    found = statistics.intervals(table)
    return [_cell(*of_figure) for of_figure in zip(base, other, differences, p, found, strict=True)]


def _cell(
    base: list[Number], values: list[Number], differences: list[Number], p: float | None, interval: Interval | None
) -> Cell:
    difference = _mean(differences)
    return Cell(
        values, _mean(values), difference, _percent(difference, _mean(base)), sum(map(bool, differences)), p, interval
    )


def _mean(values: Sequence[Number]) -> Number:
    """The mean; sums of integers are exact."""
    if len(values) == 1:
        return values[0]
    total = sum(values) if all(isinstance(one, int) for one in values) else math.fsum(values)
    return total / len(values)


def _percent(difference: Number, base: Number) -> float:
    if difference == 0:
        return 0.0
    return math.copysign(math.inf, difference) if base == 0 else 100 * difference / abs(base)
