"""Which figures are compared: the headline ones, and every counter of the engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from ksmlab_core.errors import BadInput, did_you_mean
from ksmlab_core.lab.headline import COLUMNS, Column, OfMetric, metric
from ksmlab_core.simulation.result import RunResult

SAMPLED = tuple(
    sorted({of.name for of in (column.value for column in COLUMNS) if isinstance(of, OfMetric) and of.sampled})
)
"""The columns of the series that headline figures are made of."""


def of_metric(column: Column) -> str | None:
    """The metric whose final value a figure is; None where it is made of the series."""
    value = column.value
    return value.name if isinstance(value, OfMetric) and not value.sampled else None


def counter(name: str) -> Column:
    """A counter as a figure."""
    return Column(name, "ns" if name.startswith("time.") else "count", "", "", metric(name))


def known(results: Iterable[RunResult]) -> dict[str, Column]:
    """Every figure that can be asked for, by its name: headline titles, then counters."""
    results = list(results)
    names = sorted({name for result in results for name in result.metrics})
    titled = {column.title: column for column in COLUMNS if any(column.value(result) is not None for result in results)}
    return titled | {name: counter(name) for name in names}


def chosen(of: Sequence[str], figures: dict[str, Column]) -> list[Column]:
    """The figures that some patterns name, in their order; `vm.*` is all counters of `vm`.

    Raises:
        BadInput: a pattern fits none.
    """
    found: dict[str, Column] = {}
    for pattern in of:
        fitting = {name: column for name, column in figures.items() if fnmatchcase(name, pattern)}
        if not fitting:
            near = did_you_mean(pattern, figures)
            raise BadInput(
                f"no metric of these runs is called {pattern!r}" + (f"; did you mean {near!r}?" if near else "")
            )
        found |= fitting
    return list(found.values())


def headlines(figures: dict[str, Column], results: Iterable[RunResult]) -> list[Column]:
    """Those headline figures for which at least one run has enough."""
    results = list(results)

    def told(column: Column) -> bool:
        return any(value is not None and value >= column.least for value in map(column.value, results))

    return [column for column in COLUMNS if column.title in figures and told(column)]
