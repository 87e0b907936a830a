"""What came out, in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ksmlab_core.lab.contrast import alike_but_for, compared, setting, settings, succeeded, swept, words
from ksmlab_core.lab.headline import COLUMNS, Column, Number, alike, change, text
from ksmlab_core.lab.report.asked import PAGE_SIZE
from ksmlab_core.lab.report.bounds import reached
from ksmlab_core.lab.report.spread import named, spot

if TYPE_CHECKING:
    from ksmlab_core.lab.collection import Collection, Run

_ANSWERING = ("saved, mean", "swap-in copies", "major faults", "stall", "ksmd time")
_MOST_CONTRASTS = 5
_FEWEST_FOR_A_RANGE = 20
"""With fewer pairs the extremes are told, with more what holds for nine of ten."""
_FEWEST_FOR_PER_CENT = 20
"""Of smaller counts a per cent says nothing."""


@dataclass(frozen=True)
class Contrast:
    """One value of what is compared against the first."""

    title: str
    clauses: list[str]


def contrasts(collection: Collection) -> tuple[list[Contrast], int]:
    """Each value that is compared against the first, pair by pair of runs; and how many more there are."""
    keys = compared(collection)
    good = succeeded(collection)
    groups = alike_but_for(good, keys, swept(collection))
    by_value = [{words(keys, settings(run, keys)): run for run in group} for group in groups] if keys else []
    names = list(dict.fromkeys(name for group in by_value for name in group))
    found = []
    for name in names[1:]:
        pairs = [(group[names[0]], group[name]) for group in by_value if names[0] in group and name in group]
        clauses = [clause for column in _answering() if (clause := _clause(column, pairs))]
        if clauses:
            count = f"{len(pairs):,} pairs of runs" if len(pairs) > 1 else "one pair of runs"
            found.append(Contrast(f"{name} against {names[0]}, {count} that differ in nothing else", clauses))
    return found[:_MOST_CONTRASTS], max(0, len(found) - _MOST_CONTRASTS)


def _answering() -> list[Column]:
    return [column for column in COLUMNS if column.title in _ANSWERING]


def _clause(column: Column, pairs: Sequence[tuple[Run, Run]]) -> str:
    """How a figure differs over pairs: the median, the span, in how many pairs which way; empty if it is absent."""
    values = [(column.value(base.result), column.value(other.result)) for base, other in pairs]
    known = [(base, other) for base, other in values if base is not None and other is not None]
    if not known or not any(value for pair in known for value in pair):
        return ""
    more, less = (sum((other > base) == up for base, other in known if other != base) for up in (True, False))
    if not more and not less:
        return f"{_sentence_start(column)}: the same."
    which = f"more in {more:,}, less in {less:,} of {len(known):,}" if len(known) > 1 else ""
    percents = sorted(100 * (other - base) / base for base, other in known if base)
    return f"{_sentence_start(column)}: {_middle(column, known, percents)}{'; ' if which else ''}{which}."


def _middle(column: Column, known: Sequence[tuple[Number, Number]], percents: Sequence[float]) -> str:
    """The median per cent with its span, or the means where figures are too small for per cents to say anything."""
    means = [sum(values) / len(known) for values in zip(*known, strict=True)]
    if 2 * len(percents) < len(known) or (column.unit != "ns" and means[0] < _FEWEST_FOR_PER_CENT):
        return f"{_small(means[1], column)} instead of {_small(means[0], column)} in the mean"
    median, (low, high) = percents[len(percents) // 2], _span(percents)
    if max(abs(low), abs(high)) < 0.5:
        return "the same within half a per cent"
    if len(percents) == 1:
        return _signed(median)
    which = "nine of ten pairs" if len(percents) >= _FEWEST_FOR_A_RANGE else "all pairs"
    if _signed(low) == _signed(high):
        return f"{_signed(median)} in {which}"
    return f"{_signed(median)} in the median ({which}: {_signed(low)} to {_signed(high)})"


def _signed(percent: float) -> str:
    if abs(percent) < 0.05:
        return "±0 %"
    return (f"{percent:+,.0f} %" if abs(percent) >= 99.95 else f"{percent:+.1f} %").replace("-", "−")


def _small(mean: float, column: Column) -> str:
    return text(mean, column.unit) if column.unit == "ns" else f"{mean:,.1f}"


def _span(ordered: Sequence[float]) -> tuple[float, float]:
    cut = len(ordered) // 20 if len(ordered) >= _FEWEST_FOR_A_RANGE else 0
    return ordered[cut], ordered[-1 - cut]


def extremes(collection: Collection) -> list[str]:
    """Where most was saved, and how much of what could have been."""
    keys, saved = swept(collection), _answering()[0]
    points: dict[tuple[str, ...], list[Run]] = {}
    for run in succeeded(collection):
        if saved.value(run.result) is not None:
            points.setdefault(tuple(setting(run, key) for key in keys), []).append(run)
    if not points:
        return []
    means = {point: spot([saved.value(run.result) or 0 for run in runs]) for point, runs in points.items()}
    best = max(means, key=lambda point: means[point].mean)
    of, mean = points[best], means[best]
    half = f" ± {mean.half:,.0f}" if mean.seeds > 1 else ""
    sentences = [
        f"{_sentence_start(saved)}: most with {named(keys, of[0])}: {mean.mean:,.0f}{half} frames, "
        f"{mean.mean * PAGE_SIZE / 2**20:,.1f} MiB."
    ]
    shares = [share for runs in points.values() if (share := _mean_reached(runs)) is not None]
    if shares:
        low, high = text(min(shares), "share"), text(max(shares), "share")
        span = low if low == high else f"{low} to {high}"
        sentences.append(
            f"Of what would have been saved had all equal pages in memory always shared a frame, {span} was reached."
        )
    return sentences


def _mean_reached(runs: Sequence[Run]) -> float | None:
    shares = [reached(run.result) for run in runs]
    known = [share for share in shares if share is not None]
    return sum(known) / len(known) if known else None


def answer(collection: Collection) -> list[str]:
    """What the runs say, in sentences: the best of each figure and how far it is from the first run."""
    runs = succeeded(collection)
    if not runs:
        return []
    columns = [column for column in COLUMNS if column.title in _ANSWERING]
    if len(runs) == 1:
        return [f"{_sentence_start(column)}: {_figure(column, runs[0])}." for column in _known(columns, runs)]
    return [sentence for column in _known(columns, runs) if (sentence := _best(column, runs, collection))]


def _known(columns: list[Column], runs: list[Run]) -> list[Column]:
    return [column for column in columns if all(column.value(run.result) is not None for run in runs)]


def _best(column: Column, runs: list[Run], collection: Collection) -> str:
    """Which run has the best of a figure, against the first and the worst."""
    labels = collection.label_of
    values = [_value(column, run) for run in runs]
    first = runs[0].result.id
    if len(set(values)) == 1:
        return f"{_sentence_start(column)}: the same in every run, {_figure(column, runs[0])}."
    if alike(min(values), max(values)):
        return f"{_sentence_start(column)}: within 1 % of each other, {_figure(column, runs[0])} in {labels[first]}."
    pick = max if column.better == "more" else min
    best = pick(values)
    winners = [labels[run.result.id] for run, value in zip(runs, values, strict=True) if value == best]
    at = runs[values.index(best)]
    sentence = f"{_sentence_start(column)}: best with {' and '.join(winners)}: {_figure(column, at)}"
    if best != values[0]:
        sentence += f"; {_against(best, values[0])}{labels[first]} with {_figure(column, runs[0])}"
    return f"{sentence}."


def _against(value: Number, base: Number) -> str:
    """`12 % more than `, `3.4 % less than `; nothing where a percentage means nothing."""
    if base == 0:
        return ""
    percent = change(value, base)
    return f"{percent.lstrip('+-')} {'more' if value > base else 'less'} than "


def _value(column: Column, run: Run) -> Number:
    value = column.value(run.result)
    assert value is not None, "only columns that every run has are asked for"
    return value


def _sentence_start(column: Column) -> str:
    return {
        "saved, mean": "Memory saved on average",
        "swap-in copies": "Pages copied at swap-in",
        "major faults": "Faults that waited for the swap device",
        "stall": "Time programs waited in faults",
        "ksmd time": "CPU time of ksmd",
    }[column.title]


def _figure(column: Column, run: Run) -> str:
    value = _value(column, run)
    if column.unit != "pages":
        return text(value, column.unit)
    return f"{text(value, column.unit)} frames, {value * PAGE_SIZE / 2**20:,.1f} MiB"
