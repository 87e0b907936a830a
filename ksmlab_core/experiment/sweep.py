"""From a sweep to its points: matrix, zip, exclude, include."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from ksmlab_core.errors import did_you_mean
from ksmlab_core.experiment.complaints import Complaints, one_of, shown
from ksmlab_core.experiment.document import KeyPath
from ksmlab_core.experiment.dotted import unfolded
from ksmlab_core.experiment.models import MOST_RUNS, Sweep

SWEEPABLE: Final = ("kernel", "ksm", "machine", "measure", "policies", "workload")
"""Top-level keys that a sweep may change."""


@dataclass(frozen=True)
class Setting:
    """One dotted key with a value, and where the sweep says so."""

    key: str
    value: Any
    source: KeyPath


Point: TypeAlias = tuple[Setting, ...]
"""What one point of a sweep sets."""


def expand(complaints: Complaints, sweep: Sweep) -> list[Point]:
    """The points of a sweep, in the order of the file, first key slowest; seeds not counted.

    Matrix and zip make a grid, exclude takes points out of it, include adds points of its own. A sweep of
    neither matrix nor zip is the file's own settings, or what include says.
    """
    wrong = _check_keys(complaints, sweep)
    grid = _grid(complaints, sweep)
    included = [
        tuple(Setting(key, value, ("sweep", "include", place, key)) for key, value in settings.items())
        for place, settings in enumerate(sweep.include)
    ]
    points = _excluded(complaints, sweep, grid) + included
    if included and not sweep.matrix and not sweep.zip:
        points = included
    if not points and not complaints.found:
        complaints.add(("sweep", "exclude"), "the sweep leaves no point")
    _check_different(complaints, points)
    return [tuple(setting for setting in point if setting.key not in wrong) for point in points]


def _check_keys(complaints: Complaints, sweep: Sweep) -> set[str]:
    """Complain of keys that cannot be swept, and tell which."""
    wrong = set()
    for path in _key_paths(sweep):
        key = str(path[-1])
        root, *rest = key.split(".")
        if root in SWEEPABLE and all(rest):
            continue
        wrong.add(key)
        if root == "seed":
            complaints.add(path, "a seed cannot be swept like this", "sweep.seeds: 5, or a list", key=True)
        elif root in SWEEPABLE:
            complaints.add(path, "a dotted key with an empty part", "such as machine.memory", key=True)
        else:
            what = f"{shown(root)} cannot be swept"
            complaints.add(path, what, one_of(SWEEPABLE), did_you_mean(root, SWEEPABLE), key=True)
    return wrong


def _key_paths(sweep: Sweep) -> Iterable[KeyPath]:
    yield from (("sweep", "matrix", key) for key in sweep.matrix)
    blocks: list[tuple[str, list[dict[str, Any]]]]
    blocks = [("zip", sweep.zip), ("include", sweep.include), ("exclude", sweep.exclude)]
    for name, entries in blocks:
        for place, entry in enumerate(entries):
            yield from (("sweep", name, place, key) for key in entry)


def _grid(complaints: Complaints, sweep: Sweep) -> list[Point]:
    dimensions = [_column(key, values, ("sweep", "matrix", key)) for key, values in sweep.matrix.items()]
    for place, block in enumerate(sweep.zip):
        columns = [_column(key, values, ("sweep", "zip", place, key)) for key, values in block.items()]
        lengths = {key: len(values) for key, values in block.items()}
        if len(set(lengths.values())) > 1:
            said = ", ".join(f"{key} has {length}" for key, length in lengths.items())
            complaints.add(("sweep", "zip", place), f"lists of different lengths: {said}", "equal lengths")
        dimensions.append([tuple(itertools.chain(*row)) for row in zip(*columns, strict=False)])
    _check_swept_once(complaints, dimensions)
    size = math.prod(len(dimension) for dimension in dimensions)
    if size > MOST_RUNS:
        complaints.add(("sweep",), f"{size} points", f"at most {MOST_RUNS}")
        return []
    return [tuple(itertools.chain(*parts)) for parts in itertools.product(*dimensions)]


def _column(key: str, values: Sequence[Any], path: KeyPath) -> list[Point]:
    return [(Setting(key, value, (*path, place)),) for place, value in enumerate(values)]


def _check_swept_once(complaints: Complaints, dimensions: list[list[Point]]) -> None:
    seen: set[str] = set()
    for setting in itertools.chain(*(dimension[0] for dimension in dimensions)):
        if setting.key in seen:
            complaints.add(setting.source[:-1], "swept twice", "one place for each key", key=True)
        seen.add(setting.key)


def _excluded(complaints: Complaints, sweep: Sweep, grid: list[Point]) -> list[Point]:
    swept = {setting.key for point in grid for setting in point}
    kept = grid
    for place, pattern in enumerate(sweep.exclude):
        path: KeyPath = ("sweep", "exclude", place)
        strange = [key for key in pattern if not any(_begins(key, other) for other in swept)]
        for key in strange:
            complaints.unknown((*path, key), swept, "the sweep does not set this")
        if not strange and not any(_matches(point, pattern) for point in grid):
            complaints.add(path, "excludes nothing", "values of the sweep, of one point at least")
        kept = [point for point in kept if not _matches(point, pattern)]
    return kept


def _matches(point: Point, pattern: dict[str, Any]) -> bool:
    return all(any(_says(setting, key, value) for setting in point) for key, value in pattern.items())


def _says(setting: Setting, key: str, value: Any) -> bool:
    """Whether a setting gives `key`, or something inside it, this value."""
    if not _begins(key, setting.key):
        return False
    path = tuple(setting.key.split("."))
    here = unfolded(path, setting.value)
    for part in key.split(".")[len(path) :]:
        if not isinstance(here, dict) or part not in here:
            return False
        here = here[part]
    return _canonical(here) == _canonical(unfolded(tuple(key.split(".")), value))


def _begins(key: str, beginning: str) -> bool:
    return key == beginning or key.startswith(beginning + ".")


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _check_different(complaints: Complaints, points: list[Point]) -> None:
    seen: set[str] = set()
    for point in points:
        said = {setting.key: unfolded(tuple(setting.key.split(".")), setting.value) for setting in point}
        text = _canonical(said)
        if text in seen:
            complaints.add(point[-1].source if point else ("sweep",), "the same point twice", "each point once")
        seen.add(text)
