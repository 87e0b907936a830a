"""A comparison in words and cells, as terminals, Markdown and HTML show it: the table style of mmtests."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ksmlab_core.lab.compare.figures import of_metric
from ksmlab_core.lab.compare.sides import differing_makers, differing_settings
from ksmlab_core.lab.headline import Number, Unit, text
from ksmlab_core.lab.statistics import FEWEST_FOR_BOOTSTRAP, SIGNIFICANT

if TYPE_CHECKING:
    from ksmlab_core.lab.compare.table import Cell, Compared, Comparison, Row
    from ksmlab_core.lab.headline import Column

_MOST_SETTINGS = 6
_MOST_LEFT_OUT = 10


def figure(value: Number, unit: Unit) -> str:
    """A mean for people: integers whole, a small mean of counters with the digits that count."""
    if unit != "ns" and isinstance(value, int):
        return f"{value:,}"
    if unit != "ns" and isinstance(value, float) and abs(value) < 1000 and value != int(value):
        return f"{value:,.1f}" if abs(value) >= 0.1 else f"{value:.2g}"
    return text(value, unit)


def percent(value: float) -> str:
    """A change in per cent; from nothing to something it is infinite."""
    return f"{value:+.2f}%" if math.isfinite(value) else f"{'+' if value > 0 else '-'}inf%"


def title(column: Column) -> str:
    """A figure's name, and the metric that it is where that is called otherwise."""
    metric = of_metric(column)
    return column.title if metric in (None, column.title) else f"{column.title} ({metric})"


def heads(comparison: Comparison) -> list[str]:
    """The heads of the table's columns."""
    base, *others = comparison.sides.names
    return ["", base, *(head for name in others for head in _pair(comparison, name, "95% of the difference"))]


def rows(comparison: Comparison, one: Compared) -> Iterator[list[str]]:
    """The cells of one point, a row per figure."""
    for row in one.rows:
        others = [part for cell in row.cells for part in _pair(comparison, _changed(row, cell), interval(row, cell))]
        yield [title(row.column), f"{figure(row.mean, row.column.unit)} {_bracketed(0.0, ' ')}", *others]


def _pair(comparison: Comparison, first: str, second: str) -> list[str]:
    return [first, second] if has_intervals(comparison) else [first]


def has_intervals(comparison: Comparison) -> bool:
    """Is there a point with several seeds?"""
    return any(len(one.point.seeds) > 1 for one in comparison.points)


def _changed(row: Row, cell: Cell) -> str:
    return f"{figure(cell.mean, row.column.unit)} {_bracketed(cell.percent, '*' if cell.significant else ' ')}"


def _bracketed(change: float, mark: str) -> str:
    """mmtests' brackets: (   0.00%), and stars instead where the difference is significant."""
    before, after = ("*", "*") if mark == "*" else ("(", ")")
    return f"{before}{percent(change) if change else '0.00%':>8}{after}"


def interval(row: Row, cell: Cell) -> str:
    """Where the mean difference is with 95 % confidence."""
    if cell.interval is None:
        return ""
    unit = row.column.unit
    if not cell.differing:
        return "equal"
    return f"[{_signed(cell.interval.low, unit)}, {_signed(cell.interval.high, unit)}]"


def _signed(value: float, unit: Unit) -> str:
    return f"{'+' if value > 0 else ''}{figure(value, unit)}"


def place(one: Compared) -> str:
    """The point and how many seeds it has."""
    seeds = one.point.seeds
    many = f"{len(seeds)} seeds" if len(seeds) > 1 else f"seed {seeds[0]}"
    return f"{one.point.label} ({many})" if one.point.label else many


def before(comparison: Comparison) -> list[str]:
    """What is said before the table: what the sides are, what tells them apart, and what could not be compared."""
    sides = comparison.sides
    told = [f"base {sides.names[0]}, against it {', '.join(sides.names[1:])}"]
    if sides.by:
        told[0] = f"{sides.by}: {told[0]}"
    told += _apart(comparison)
    told += [f"left out: {one}" for one in sides.left_out[:_MOST_LEFT_OUT]]
    if len(sides.left_out) > _MOST_LEFT_OUT:
        told.append(f"left out: {len(sides.left_out) - _MOST_LEFT_OUT} more like these")
    for one in comparison.points:
        if one.lacking:
            told.append(f"{place(one)}: not in every run: {', '.join(one.lacking)}")
    return told


def _apart(comparison: Comparison) -> list[str]:
    """What the sides were asked to do differently, and what they were made by."""
    settings = {
        key: values
        for key, values in differing_settings(comparison.sides).items()
        if not _is_of(key, comparison.sides.by)
    }
    makers = differing_makers(comparison.sides)
    told = [f"{key}: {_values(values)}" for key, values in settings.items()]
    if len(told) > _MOST_SETTINGS:
        told = [*told[:_MOST_SETTINGS], f"{len(told) - _MOST_SETTINGS} more settings differ"]
    told += [f"made by: {one}" for one in makers]
    if not (comparison.sides.by or told or comparison.identical) and comparison.exact:
        told.append("the settings are the same, and the versions: what differs comes of changed code")
    if comparison.exact and comparison.unexplained:
        told.append(
            f"{comparison.unexplained:,} of the pairs were made by the same, and differ: a fault in ksmlab itself"
        )
    if not comparison.exact:
        told.append("runs on a kernel are among them, which are not the same each time")
    return told


def _is_of(key: str, setting: str | None) -> bool:
    """Does a resolved setting follow from what the sweep sets? `machine.memory` becomes `machine.frames`."""
    return setting is not None and key.split(".")[0] == setting.split(".")[0]


def _values(values: Sequence[tuple[str, str]]) -> str:
    shown = "; ".join(f"{one} → {other}" for one, other in values[:3])
    return f"{shown}; and {len(values) - 3} more" if len(values) > 3 else shown


def after(comparison: Comparison) -> list[str]:
    """What is said below the table: whether everything is equal, what is not shown, what the stars mean."""
    pairs = sum(1 for _ in comparison.sides.pairs())
    counted = f"{pairs:,} {'pair' if pairs == 1 else 'pairs'} of runs"
    if comparison.identical:
        series = (
            f", but not in the series of {comparison.series_differ:,}" if comparison.series_differ else " and in series"
        )
        return [f"identical: {counted}, equal in all {comparison.counters} counters, in every labelled sample{series}"]
    told = [f"{counted}, {len(comparison.differing)} of {comparison.counters} counters differ" + _hidden(comparison)]
    if comparison.samples_differ and not comparison.differing:
        told = [f"{counted}, equal at their end, but not in the labelled samples of {comparison.samples_differ:,}"]
    if comparison.tests:
        told.append(
            f"* p < {SIGNIFICANT} in Welch's t-test; of {comparison.tests:,} tests about "
            f"{comparison.tests * SIGNIFICANT:,.1f} would have a star by chance alone"
        )
    found = [cell.interval for one in comparison.points for row in one.rows for cell in row.cells if cell.interval]
    methods = {one.method for one in found if one.low < one.high}
    if methods:
        told.append(
            f"95 % intervals of the mean paired difference: {' and '.join(_METHODS[one] for one in sorted(methods))}"
        )
    return told


_METHODS = {
    "bootstrap": "BCa bootstrap over the seeds",
    "t": f"Student's t, where there are fewer than {FEWEST_FOR_BOOTSTRAP} pairs",
}


def _hidden(comparison: Comparison) -> str:
    return f", {comparison.hidden} of them are not shown (--metric '*' shows all)" if comparison.hidden else ""
