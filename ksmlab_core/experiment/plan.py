"""A validated experiment: the runs to carry out, as plain data that can be pickled and stored."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ksmlab_core.experiment.conformance import Conformance
    from ksmlab_core.policy.registry import Registry


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a script.

    Attributes:
        kind: The name of the step, a key of `steps.STEPS`.
        args: What `arguments()` of its model gives.
        line: Line of the file, from 1; 0 when the step came from the command line.
        column: Column of the file, likewise.
    """

    kind: str
    args: dict[str, Any]
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a metric has to be at the end of the run.

    Attributes:
        metric: Name of the metric.
        want: A number, or a mapping with `min`, `max` or both.
        line: Line of the file, from 1; 0 when it came from the command line.
    """

    metric: str
    want: int | float | dict[str, int | float]
    line: int


@dataclass(frozen=True, slots=True)
class RunSpec:
    """Everything that one run needs to know; equal specifications give equal results.

    Attributes:
        id: Name of the run within its experiment, of ``[a-z0-9._-]``.
        experiment: Name of the experiment.
        file: The experiment file, as it was named by the user.
        seed: From which every random choice comes.
        kernel: ``{"profile": str, "switches": {name: value}}``, the switches that the file sets.
        machine: ``{"frames": int, "slots": int, "pagevecs": str, "costs": str | {event: ns},
            "file_pages": int, "nodes": int, "swap_start": int, "invariants": str}``.
        ksm: The knobs that the file sets, by their sysfs names.
        policies: ``{hook: {"use": str, "params": {...}}}`` for every hook, parameters with their defaults.
        plugins: Plugin files and modules; relative ones start from `base_dir`.
        workload: ``{"use": str, "params": {...}}`` or ``{"script": [Step, ...]}``.
        measure: ``{"every_ns": int | None, "warmup_ns": int}``.
        expect: Checked at the end of the run.
        point: What the sweep set, by dotted key.
        base_dir: Folder that relative file names start from.
        provenance: Where each setting was written, by dotted key: a line of the file, or the text of the
            ``--set`` that gave it.
    """

    id: str
    experiment: str
    file: str
    seed: int
    kernel: dict[str, Any]
    machine: dict[str, Any]
    ksm: dict[str, int | str]
    policies: dict[str, dict[str, Any]]
    plugins: list[str]
    workload: dict[str, Any]
    measure: dict[str, Any]
    expect: list[Expectation]
    point: dict[str, Any]
    base_dir: str
    provenance: dict[str, int | str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The specification as JSON data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RunSpec:
        """The specification that `as_dict` gave `data` of."""
        workload = dict(data["workload"])
        if "script" in workload:
            workload["script"] = [Step(**step) for step in workload["script"]]
        expect = [Expectation(**expectation) for expectation in data["expect"]]
        return cls(**{**data, "workload": workload, "expect": expect})


@dataclass(frozen=True)
class Plan:
    """The runs of one experiment file.

    Attributes:
        experiment: Name of the experiment.
        about: What it is to find out.
        file: The file.
        points: The runs, in the order of the sweep, seeds fastest, or those of them that were asked for.
        registry: The policies and workloads that the file can choose from, its own plugins included.
        conformance: Of which suite it is a scenario, if it is one, and which kernels it holds for.
        positions: Where not all runs were asked for, the place of each in the whole sweep, from 0.
    """

    experiment: str
    about: str
    file: Path
    points: list[RunSpec]
    registry: Registry
    conformance: Conformance | None = None
    positions: tuple[int, ...] | None = None

    def position(self, point: int) -> int:
        """The place in the whole sweep of the run at this place of `points`."""
        return point if self.positions is None else self.positions[point]

    def shard(self, number: int, of: int) -> Plan:
        """The runs that fall to one of several machines.

        Which one does a run depends on the run's name and `of` alone: all shards together are the plan.

        Args:
            number: Which shard, from 1.
            of: How many there are.
        """
        return self.keeping(lambda spec: _shard_of(self.experiment, spec.id, of) == number)

    def keeping(self, wanted: Callable[[RunSpec], bool]) -> Plan:
        """Some of the runs, in the order of the sweep."""
        kept = [place for place, spec in enumerate(self.points) if wanted(spec)]
        positions = tuple(self.position(place) for place in kept)
        return replace(self, points=[self.points[place] for place in kept], positions=positions)


def _shard_of(experiment: str, run: str, of: int) -> int:
    digest = hashlib.blake2b(f"{experiment}/{run}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % of + 1
