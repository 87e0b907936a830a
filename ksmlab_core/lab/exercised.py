"""Was the effect exercised? Why a comparison may say nothing, however exact its figures are.

Used by the table at the end of `ksmlab run` and by reports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from ksmlab_core.lab.contrast import (
    KERNEL,
    SEED,
    alike_but_for,
    compared,
    setting,
    spec_of,
    succeeded,
    swept,
)
from ksmlab_core.lab.headline import COLUMNS, duration, text
from ksmlab_core.lab.metric_words import is_knob

if TYPE_CHECKING:
    from ksmlab_core.lab.collection import Collection, Run

HOOKS = ("reclaim", "swapin", "scan")
_NOT_TOLD_APART = frozenset({"machine.frames_free"})
"""Follows from the size of memory, so it would differ where nothing else does."""
_OFTEN_CONSTANT = frozenset({"run time"})
"""How long a script sleeps is no effect."""


@dataclass(frozen=True)
class Doubt:
    """One reason to doubt a comparison."""

    short: str
    """A few words, for a line that names several."""
    text: str
    """A sentence or two, for the report."""


def doubts(collection: Collection) -> list[Doubt]:
    """Every reason, the gravest first; empty where the comparison is sound, or no run succeeded."""
    runs = succeeded(collection)
    if not runs:
        return []
    checks: tuple[Callable[[Collection, list[Run]], list[Doubt]], ...] = (
        _nothing_merged,
        _nothing_swapped,
        _never_asked,
        _never_differed,
        _constant,
        _not_sampled,
    )
    return [doubt for check in checks for doubt in check(collection, runs)]


def in_one_line(collection: Collection) -> str:
    """All doubts in few words, nothing where there are none."""
    found = doubts(collection)
    return f"effect not exercised: {'; '.join(doubt.short for doubt in found)}" if found else ""


def _nothing_merged(_collection: Collection, runs: list[Run]) -> list[Doubt]:
    if any(_reached(run, "ksm.merges") or _reached(run, "ksm.pages_sharing") for run in runs):
        return []
    why = "ksmd was off, too slow for the run's length, or found no equal pages"
    return [Doubt("nothing merged", f"No page was merged in any run: {why}.")]


def _nothing_swapped(collection: Collection, runs: list[Run]) -> list[Doubt]:
    """Policies that only reclaim or swap-in asks, and neither ever happened."""
    at_stake = [hook for hook in ("reclaim", "swapin") if _at_stake(collection, hook)]
    if not at_stake:
        return []
    if not any(_reached(run, "vm.pswpout") for run in runs):
        why = "memory was enough, so no reclaim or swap-in policy was needed"
        return [Doubt("nothing swapped out", f"Nothing was swapped out in any run: {why}.")]
    if "swapin" in at_stake and not any(_reached(run, "vm.pswpin") for run in runs):
        return [
            Doubt("nothing swapped in", "Nothing was swapped in in any run, so no swap-in policy had anything to do.")
        ]
    return []


def _at_stake(collection: Collection, hook: str) -> bool:
    """Is a policy other than the kernel's chosen for the hook in some run?"""
    return any(_policy(run, hook) not in (None, KERNEL) for run in collection.runs)


def _policy(run: Run, hook: str) -> str | None:
    name = spec_of(run, "policies", hook, "use")
    return None if name is None else str(name)


def _never_asked(_collection: Collection, runs: list[Run]) -> list[Doubt]:
    """Policies that the engine never asked, in any of their runs."""
    asked: dict[tuple[str, str], list[int]] = {}
    for run in runs:
        for hook in HOOKS:
            count = run.result.metrics.get(f"policy.{hook}.times_asked")
            if count is not None and (name := _policy(run, hook)):
                asked.setdefault((hook, name), []).append(count)
    return [
        Doubt(
            f"{hook} policy {name} never asked",
            f"The {hook} policy {name} was chosen in {_runs(len(counts))} and never asked: nothing came up for it.",
        )
        for (hook, name), counts in asked.items()
        if not any(counts)
    ]


def _never_differed(collection: Collection, runs: list[Run]) -> list[Doubt]:
    """Values of one setting that came out the same in every counter, pair by pair; and seeds likewise."""
    keys = swept(collection)
    prints = _fingerprints(runs, keys)
    found = [doubt for key in keys for doubt in _values_alike(key, alike_but_for(runs, [key], keys), prints)]
    if len(keys) > 1 and (together := compared(collection)) and len(together) > 1:
        found += _together_alike(together, alike_but_for(runs, together, keys), prints)
    return found + _seeds_alike(alike_but_for(runs, [SEED], keys), prints)


def _values_alike(key: str, groups: list[list[Run]], prints: dict[str, object]) -> list[Doubt]:
    """One doubt per set of values that never differed, and per two policies that differed in some pairs only."""
    same: dict[tuple[str, str], list[bool]] = {}
    for group in groups:
        for one, other in combinations(group, 2):
            pair = (setting(one, key), setting(other, key))
            same.setdefault(pair, []).append(prints[one.result.id] == prints[other.result.id])
    found = []
    for values in _classes(pair for pair, equal in same.items() if all(equal)):
        pairs = sum(len(equal) for pair, equal in same.items() if {*pair} <= {*values})
        found.append(_never(key, values, pairs))
    partly = [pair for pair, equal in same.items() if any(equal) and not all(equal)]
    return found + [_seldom(key, pair, same[pair]) for pair in partly if key.startswith("policies.")]


def _classes(pairs: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Values that are alike, together, in the order in which they come up."""
    classes: list[list[str]] = []
    for pair in pairs:
        touched = [one for one in classes if {*one} & {*pair}]
        joined = list(dict.fromkeys(value for one in (*touched, list(pair)) for value in one))
        classes = [one for one in classes if one not in touched] + [joined]
    return classes


def _never(key: str, values: Sequence[str], pairs: int) -> Doubt:
    names = f"{', '.join(values[:-1])} and {values[-1]}"
    where = f"all {pairs:,} pairs" if pairs > 1 else "the one pair"
    return Doubt(
        f"{key} {names} never differed",
        f"{key} {names} came out the same in every counter in {where} of runs that differ in nothing else: that "
        "setting had no effect here.",
    )


def _seldom(key: str, pair: tuple[str, str], equal: Sequence[bool]) -> Doubt:
    names, differ = " and ".join(pair), len(equal) - sum(equal)
    return Doubt(
        f"{key} {names} differed in {differ:,} of {len(equal):,} pairs",
        f"{key} {names} came out the same in every counter in {sum(equal):,} of {len(equal):,} pairs of runs that "
        "differ in nothing else.",
    )


def _together_alike(keys: Sequence[str], groups: list[list[Run]], prints: dict[str, object]) -> list[Doubt]:
    """Settings that are only varied together, and made no difference together."""
    equal = [
        prints[one.result.id] == prints[other.result.id] for group in groups for one, other in combinations(group, 2)
    ]
    if not equal or not all(equal):
        return []
    names = " and ".join(keys)
    return [Doubt(f"{names} made no difference", f"{names} made no difference: every counter is the same.")]


def _seeds_alike(groups: list[list[Run]], prints: dict[str, object]) -> list[Doubt]:
    several = [group for group in groups if len(group) > 1]
    if not several or any(prints[run.result.id] != prints[group[0].result.id] for group in several for run in group):
        return []
    why = "nothing in it is left to chance, so more seeds are no more evidence, and the intervals are empty"
    return [Doubt("seeds never differed", f"Every seed gave the same in every counter: {why}.")]


def _fingerprints(runs: list[Run], keys: Sequence[str]) -> dict[str, object]:
    """Per run id every counter of the engine that all runs have; knobs and what policies count are none."""
    shared = set.intersection(*(set(run.result.metrics) for run in runs)) - _NOT_TOLD_APART - set(keys)
    names = sorted(name for name in shared if not name.startswith("policy.") and not is_knob(name))
    return {run.result.id: tuple(run.result.metrics[name] for name in names) for run in runs}


def _constant(collection: Collection, runs: list[Run]) -> list[Doubt]:
    """Headline figures that are the same in all runs although their settings differ."""
    if len(set(_fingerprints(runs, swept(collection)).values())) < 2:
        return []
    constant = []
    for column in COLUMNS:
        values = {column.value(run.result) for run in runs}
        if column.better and column.title not in _OFTEN_CONSTANT and len(values) == 1 and (value := values.pop()):
            constant.append(f"{column.title} ({text(value, column.unit)})")
    if not constant:
        return []
    names = ", ".join(constant)
    return [Doubt(f"constant: {names}", f"The same in all {_runs(len(runs))}, whatever was set: {names}.")]


def _not_sampled(_collection: Collection, runs: list[Run]) -> list[Doubt]:
    """Runs that ended before their first periodic sample was due."""
    found = []
    for name, key in (("measure.warmup", "warmup_ns"), ("measure.every", "every_ns")):
        late = [run for run in runs if _elapsed(run) < (spec_of(run, "measure", key) or 0)]
        if late and spec_of(late[0], "measure", "every_ns"):
            span, length = duration(spec_of(late[0], "measure", key)), duration(_elapsed(late[0]))
            found.append(
                Doubt(
                    f"{name} is longer than the run",
                    f"{name} ({span}) is longer than the run ({length}) in {len(late):,} of {_runs(len(runs))}, so "
                    "nothing was sampled before the end.",
                )
            )
    return found


def _elapsed(run: Run) -> int:
    return int(run.result.metrics.get("time.elapsed", 0))


def _runs(count: int) -> str:
    return "one run" if count == 1 else f"{count:,} runs"


def _reached(run: Run, name: str) -> bool:
    """Did a metric ever leave zero in a run?"""
    return bool(run.result.metrics.get(name, 0)) or bool(name in run.result.series and run.result.series[name].any())
