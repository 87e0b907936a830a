"""A plan's results as a whole: what tables and reports are made of, fresh from the runner or read back from a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ksmlab_core.errors import BadInput
from ksmlab_core.experiment.document import shortened
from ksmlab_core.lab.manifest import versions
from ksmlab_core.lab.store import Stored, find, read_all

if TYPE_CHECKING:
    from ksmlab_core.experiment import Plan
    from ksmlab_core.simulation import RunResult


@dataclass(frozen=True)
class Run:
    """One run: what was asked for, as plain data, and what came out."""

    spec: dict[str, Any]
    result: RunResult

    @property
    def label(self) -> str:
        """The run's name for people: what the sweep set for it, or its id where nothing was swept."""
        return label_of_point(self.result.point) or self.result.id


@dataclass(frozen=True)
class Collection:
    """The runs of one experiment, in the order of its points."""

    experiment: str
    about: str
    file: str
    command: str
    version: str
    """ksmlab's own version."""
    runs: list[Run]

    @property
    def seeds(self) -> list[int]:
        return sorted({run.result.seed for run in self.runs})

    @property
    def label_of(self) -> dict[str, str]:
        """Per run id a label that no other run has: the seed is added where the rest does not tell runs apart."""
        labels = [run.label for run in self.runs]
        count = Counter(labels)
        return {
            run.result.id: f"{label}, seed {run.result.seed}" if count[label] > 1 else label
            for run, label in zip(self.runs, labels, strict=True)
        }


def label_of_point(point: Mapping[str, Any]) -> str:
    """What a point of a sweep sets, for people; the seed is left out."""
    return ", ".join(f"{_last(key)} {value_in_words(value)}" for key, value in point.items() if key != "seed")


def of_plan(plan: Plan, results: Sequence[RunResult], command: str) -> Collection:
    """What has just been run, as a collection."""
    runs = [Run(spec.as_dict(), result) for spec, result in zip(plan.points, results, strict=True)]
    return Collection(plan.experiment, plan.about or "", str(plan.file), command, versions()["ksmlab"], runs)


def of_folder(root: Path) -> list[tuple[Path, Collection]]:
    """Every experiment whose results are in a folder, with the experiment's own folder.

    Raises:
        BadInput: there are no results in the folder, or one is torn.
    """
    if not root.is_dir():
        raise BadInput(f"{root}: no such folder of results")
    stored = read_all(find(root))
    if not stored:
        raise BadInput(f"{root}: no results here; `ksmlab run FILE --out {root}` puts some there")
    homes: dict[Path, list[Stored]] = {}
    for one in stored:
        homes.setdefault(one.folder.parent, []).append(one)
    return [(home, _gathered(runs)) for home, runs in sorted(homes.items())]


def _gathered(stored: list[Stored]) -> Collection:
    """The runs of one experiment's folder, in the order their plan had."""
    stored = sorted(stored, key=lambda one: (one.manifest["position"], one.result.id))
    first = stored[0].manifest
    runs = [Run(one.manifest["spec"], one.result) for one in stored]
    return Collection(
        first["experiment"],
        first["about"] or "",
        first["file"],
        first["command"],
        first["versions"]["ksmlab"],
        runs,
    )


def _last(key: str) -> str:
    """The part of a dotted key that says most: `policies.swapin` is `swapin`."""
    return key.rpartition(".")[2]


def value_in_words(value: Any) -> str:
    """A swept value in few letters; a mapping with `use` is a policy with parameters, a list may be a whole script."""
    if isinstance(value, dict):
        name = str(value.get("use", ""))
        rest = ", ".join(f"{key}={value_in_words(inner)}" for key, inner in value.items() if key != "use")
        return f"{name}({rest})" if name and rest else name or rest
    return shortened(str(value)) if isinstance(value, list) else str(value)
