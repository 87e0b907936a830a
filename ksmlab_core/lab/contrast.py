"""Runs of a sweep set against each other: which settings differ, and which runs differ in one of them alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ksmlab_core.lab.collection import value_in_words

if TYPE_CHECKING:
    from ksmlab_core.lab.collection import Collection, Run

SEED = "seed"
KERNEL = "kernel"


def setting(run: Run, key: str) -> str:
    """What a run's point says about a key, in words; nothing where it says nothing."""
    if key == SEED:
        return str(run.result.seed)
    return value_in_words(run.result.point[key]) if key in run.result.point else ""


def settings(run: Run, keys: Sequence[str]) -> tuple[str, ...]:
    """The same for several keys."""
    return tuple(setting(run, key) for key in keys)


def swept(collection: Collection) -> list[str]:
    """The keys that differ between runs, in the order of the sweep, the seed left out."""
    keys = dict.fromkeys(key for run in collection.runs for key in run.result.point if key != SEED)
    return [key for key in keys if len({setting(run, key) for run in collection.runs}) > 1]


def succeeded(collection: Collection) -> list[Run]:
    """The runs that have results to look at."""
    return [run for run in collection.runs if run.result.status == "succeeded"]


def compared(collection: Collection) -> list[str]:
    """The keys whose values are set against each other: policies, else kernels, else what is not a number."""
    keys = swept(collection)
    for wanted in ("policies.", "kernel", "workload.use"):
        if found := [key for key in keys if key.startswith(wanted)]:
            return found
    return [key for key in keys if any(isinstance(run.result.point.get(key), dict) for run in collection.runs)]


def alike_but_for(runs: Iterable[Run], keys: Sequence[str], all_keys: Sequence[str]) -> list[list[Run]]:
    """Runs in groups that differ in nothing but these keys (which may include the seed).

    Args:
        runs: the runs.
        keys: what may differ within a group.
        all_keys: what the sweep varies; the seed is always taken to vary too.
    """
    rest = [key for key in (*all_keys, SEED) if key not in keys]
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault(settings(run, rest), []).append(run)
    return list(groups.values())


def words(keys: Sequence[str], values: Sequence[str]) -> str:
    """Settings for people: values alone where one key is meant, else each with the last part of its key."""
    if len(keys) == 1:
        return values[0]
    return ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in zip(keys, values, strict=True) if value)


def spec_of(run: Run, *path: str) -> Any:
    """A part of what was asked for, None where the run's specification has none."""
    found: Any = run.spec
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found
