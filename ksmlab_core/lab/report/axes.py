"""What all drawings have in common: numbers, units and ticks on axes, and lines told apart without their colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes as Plot
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

_WIDE = 8
"""An axis whose last place is this many times its first is logarithmic."""


def time_unit(ns: float) -> tuple[float, str]:
    """The unit in which a span of simulated time is drawn, and its length in nanoseconds."""
    for size, name in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if ns >= 2 * size:
            return size, name
    return 1.0, "ns"


def dash(nth: int) -> Any:
    """Line styles, so that lines are told apart without their colours too."""
    return ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (8, 2, 2, 2)))[nth % 4]


def marker(nth: int) -> str:
    """Dots of different shapes, for the same reason."""
    return "osD^vPX*"[nth % 8]


def grouped(value: float, _: object = None) -> str:
    """A number on an axis, thousands set apart; the second argument is matplotlib's and says nothing."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def short(label: str, most: int = 34) -> str:
    """A label cut where it would leave the drawing."""
    return label if len(label) <= most else f"{label[: most - 1]}…"


def numbers(axis: Any, most: int = 5) -> None:
    """Few ticks on an axis of matplotlib's, with thousands set apart."""
    axis.set_major_locator(MaxNLocator(most))
    axis.set_major_formatter(FuncFormatter(grouped))


def logarithmic(places: Sequence[float]) -> bool:
    """Are the places too far apart for an even axis?"""
    return places[0] > 0 and places[-1] >= _WIDE * places[0]


def places_below(plot: Plot, places: Sequence[float], names: Sequence[str]) -> None:
    """A tick at each place of a swept setting: its value, or its name."""
    if not names and logarithmic(places):
        plot.set_xscale("log")
    plot.set_xticks(places, [short(names[int(place)], 16) for place in places] if names else None)
    plot.xaxis.set_minor_locator(NullLocator())
    if not names:
        plot.xaxis.set_major_formatter(FuncFormatter(grouped))
