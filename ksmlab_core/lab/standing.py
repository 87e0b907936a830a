"""How a plan stands: which of its runs are done, which failed, which are still to be done, and how long that takes.

A run is done when the store holds its whole results, and they were made by what the run would be made by now
(`identity`). A failed run is not done, and is not repeated unasked either: it would fail again. One whose
worker died did not fail by itself: it is still to be done.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean
from typing import TYPE_CHECKING, Any

from ksmlab_core.lab.identity import Parts, identity, parts_of
from ksmlab_core.lab.once import WORKER_DIED
from ksmlab_core.lab.store import MANIFEST, Store

if TYPE_CHECKING:
    from ksmlab_core.experiment import Plan, RunSpec
    from ksmlab_core.lab.once import Simulate


class State(StrEnum):
    """How one run stands."""

    DONE = "done"
    FAILED = "failed"
    PENDING = "pending"


class Again(StrEnum):
    """Which runs are done again although their results stand."""

    NONE = "none"
    FAILED = "failed"
    ALL = "all"


@dataclass(frozen=True)
class Standing:
    """One run of a plan."""

    state: State
    identity: str
    parts: Parts


@dataclass(frozen=True)
class Survey:
    """A plan's runs, in the order of its points, and the seconds that each is expected to take, if anybody knows."""

    runs: list[Standing]
    seconds: list[float | None]

    def count(self, state: State) -> int:
        """How many runs stand so."""
        return sum(run.state is state for run in self.runs)

    def expected(self, jobs: int) -> float | None:
        """Seconds until all pending runs are done, so many at a time; None if nobody knows."""
        pending = [took for run, took in zip(self.runs, self.seconds, strict=True) if run.state is State.PENDING]
        known = [took for took in pending if took is not None]
        if pending and not known:
            return None
        return max(sum(known) / jobs, *known, 0.0)


def standings(plan: Plan, store: Store | None, simulate: Simulate | None = None) -> list[Standing]:
    """How each run of a plan stands; where nothing is kept, all are pending."""
    return [_standing(plan, spec, store, simulate) for spec in plan.points]


def survey(plan: Plan, store: Store) -> Survey:
    """How a plan stands, and how long it is expected to take."""
    return Survey(standings(plan, store), expected_seconds(plan, store))


def _standing(plan: Plan, spec: RunSpec, store: Store | None, simulate: Simulate | None) -> Standing:
    parts = parts_of(spec, plan.registry, simulate)
    name = identity(spec, plan.registry, parts)
    kept = _manifest(store, plan.experiment, spec.id) if store else None
    return Standing(_state(kept, name), name, parts)


def _state(kept: Mapping[str, Any] | None, name: str) -> State:
    if kept is None or kept.get("identity") != name:
        return State.PENDING
    if kept.get("status") == "succeeded":
        return State.DONE
    return State.PENDING if (kept.get("error") or {}).get("type") == WORKER_DIED else State.FAILED


def _manifest(store: Store, experiment: str, run: str) -> dict[str, Any] | None:
    """What is kept about a run; None if there is nothing, or it cannot be read."""
    try:
        kept = json.loads((store.place(experiment, run) / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return None
    return kept if isinstance(kept, dict) else None


def expected_seconds(plan: Plan, store: Store) -> list[float | None]:
    """Wall time that each run of a plan is expected to take, s, from what earlier runs of the experiment took.

    A run takes as long as it did before, whatever has changed since; one that was never done as long, on average, as
    the runs do that have the most settings of the sweep in common with it. None where there was no run at all.
    """
    times = dict(_times(store, plan.experiment))
    alike = _Alike(list(times.values()))
    return [times[spec.id][1] if spec.id in times else alike.expected(spec.point) for spec in plan.points]


_Timed = tuple[Mapping[str, Any], float]
"""What the sweep had set for a run, and the seconds that it took."""


def _times(store: Store, experiment: str) -> Iterator[tuple[str, _Timed]]:
    for path in sorted(store.place(experiment, "x").parent.glob(f"[!.]*/{MANIFEST}")):
        kept = _manifest(store, experiment, path.parent.name)
        if kept and isinstance(kept.get("seconds"), int | float) and isinstance(kept.get("point"), dict):
            yield path.parent.name, (kept["point"], kept["seconds"])


class _Alike:
    """Means of times over runs that the sweep had set the same for."""

    def __init__(self, timed: Sequence[_Timed]) -> None:
        groups: dict[str, tuple[Mapping[str, Any], list[float]]] = {}
        for point, seconds in timed:
            groups.setdefault(json.dumps(point, sort_keys=True), (point, []))[1].append(seconds)
        self._groups = list(groups.values())
        self._expected: dict[str, float | None] = {}

    def expected(self, point: Mapping[str, Any]) -> float | None:
        """The mean over the groups that have most in common with a point."""
        key = json.dumps(point, sort_keys=True)
        if key not in self._expected:
            self._expected[key] = self._nearest(point)
        return self._expected[key]

    def _nearest(self, point: Mapping[str, Any]) -> float | None:
        if not self._groups:
            return None
        common = [sum(point.get(key) == value for key, value in other.items()) for other, _ in self._groups]
        most = max(common)
        return fmean(
            took for (_, taken), shared in zip(self._groups, common, strict=True) if shared == most for took in taken
        )
