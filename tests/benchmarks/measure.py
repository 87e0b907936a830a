"""Timing, and figures that are ratios."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

Rates = Mapping[str, Sequence[float]]


class Skipped(Exception):
    """A figure cannot be measured here; the message says why."""


class Stopwatch:
    """Seconds that this process kept a processor busy: what others do on a shared machine is not in them."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Add what the body takes."""
        gc.collect()
        gc.disable()
        start = time.process_time()
        try:
            yield
        finally:
            self.seconds += time.process_time() - start
            gc.enable()


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of some measurements."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """That of some numbers."""
        return cls(median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{_short(self.median)} ({_short(self.low)}-{_short(self.high)})"


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        name: what was measured.
        unit: of `ours` and `beside`.
        ours: measurements of ksmlab, one per round.
        other: what ran beside it.
        beside: its measurements, of the same rounds; empty: the figure is no ratio.
        target: least ratio, or greatest value of `ours` where there is no ratio; None: for information.
    """

    name: str
    unit: str
    ours: Sequence[float]
    other: str = ""
    beside: Sequence[float] = field(default_factory=tuple)
    target: float | None = None

    @property
    def ratio(self) -> Spread | None:
        """Ours by theirs, round by round."""
        if not self.beside:
            return None
        return Spread.of([ours / other for ours, other in zip(self.ours, self.beside, strict=True)])

    @property
    def met(self) -> bool | None:
        """Is the target met by the median? None: there is none."""
        if self.target is None:
            return None
        ratio = self.ratio
        return Spread.of(self.ours).median <= self.target if ratio is None else ratio.median >= self.target

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        ratio = self.ratio
        return {
            "name": self.name,
            "unit": self.unit,
            "ksmlab": _numbers(self.ours),
            "other": self.other or None,
            "beside": _numbers(self.beside) if self.beside else None,
            "ratio": None if ratio is None else vars(ratio),
            "target": self.target,
            "met": self.met,
        }


def _numbers(values: Sequence[float]) -> dict[str, Any]:
    return {**vars(Spread.of(values)), "rounds": list(values)}


def _short(value: float) -> str:
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def interleaved(rounds: int, runs: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Every run once per round, so that all meet the same weather; the order turns from round to round."""
    results: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            results[name].append(runs[name]())
    return results


def table(figures: Sequence[Figure]) -> str:
    """The figures for a person: median (least-greatest) over the rounds."""
    rows = [("figure", "ksmlab", "beside it", "ratio", "target", "")]
    for figure in figures:
        ratio = figure.ratio
        beside = f"{figure.other}: {Spread.of(figure.beside)}" if figure.beside else figure.other
        sign = "" if figure.target is None else (">= " if ratio else "<= ") + _short(figure.target)
        verdict = {None: "", True: "met", False: "NOT MET"}[figure.met]
        rows.append((figure.name, f"{Spread.of(figure.ours)} {figure.unit}", beside, str(ratio or ""), sign, verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
