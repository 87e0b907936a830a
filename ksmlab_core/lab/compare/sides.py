"""What is compared with what: runs of the same point and seed; the first side is the base of the others."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ksmlab_core.errors import BadInput, UnknownName
from ksmlab_core.lab.collection import label_of_point, value_in_words
from ksmlab_core.lab.compare.figures import SAMPLED
from ksmlab_core.lab.store import Stored, find, read_all

Seeds = dict[int, Stored]
_MOST_SEEDS_TOLD = 8


@dataclass(frozen=True)
class Point:
    """The runs of one point that every side has, and that succeeded.

    Attributes:
        label: what the point sets, for people.
        settings: the same by dotted key.
        seeds: of each pair, in the order of `runs`.
        runs: per side, the base first, a run per seed.
    """

    label: str
    settings: dict[str, Any]
    seeds: list[int]
    runs: list[list[Stored]]


@dataclass
class Sides:
    """What was found on each side.

    Attributes:
        names: of the sides, the base first.
        by: the setting that tells them apart; None where folders do.
        points: in the order of the sweep.
        left_out: runs that have no partner and runs that failed, in words.
        lost: what of that the other sides should have had, because the base has it.
    """

    names: list[str]
    by: str | None
    points: list[Point]
    left_out: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def pairs(self) -> Iterator[tuple[Stored, Stored]]:
        """Every run of the base with each of its partners."""
        for point in self.points:
            base, *others = point.runs
            for other in others:
                yield from zip(base, other, strict=True)


def of_folders(folders: Sequence[Path]) -> Sides:
    """The runs of several folders, each of which may be a store, an experiment or a run.

    Experiments pair by their names, unless each folder has one only. Two runs given by themselves are a pair, whatever
    their points and seeds.

    Raises:
        BadInput: a folder has no results, or one is torn, or no run has a partner.
    """
    stored = [_read(folder) for folder in folders]
    one_each = all(len({run.manifest["experiment"] for run in runs}) == 1 for runs in stored)
    single = all(len(runs) == 1 for runs in stored)

    def place(run: Stored) -> _Place:
        known = stored[0][0] if single else run
        experiment = "" if one_each else run.manifest["experiment"]
        return _Place(experiment, dict(known.result.point), known.result.seed)

    sides = [[(place(run), run) for run in runs] for runs in stored]
    return _paired(_names(folders), None, sides)


def by_setting(folder: Path, setting: str, base: str | None = None) -> Sides:
    """The runs of one sweep, told apart by what it sets for one key.

    Args:
        folder: of results.
        setting: the dotted key, or its last part where that is plain.
        base: the value that the others are held against; the sweep's first if None.

    Raises:
        BadInput: the folder has no results, the key is not swept, it has one value only, or no run has a partner.
    """
    stored = _read(folder)
    key = _swept(setting, stored)
    several = len({run.manifest["experiment"] for run in stored}) > 1
    sides: dict[str, list[tuple[_Place, Stored]]] = {}
    for run in stored:
        if key in run.result.point:
            rest = {name: value for name, value in run.result.point.items() if name != key}
            place = _Place(run.manifest["experiment"] if several else "", rest, run.result.seed)
            sides.setdefault(value_in_words(run.result.point[key]), []).append((place, run))
    if len(sides) < 2:
        raise BadInput(f"{folder}: {key} is {next(iter(sides))} in every run; there is nothing to compare it with")
    common = _in_all_experiments(folder, key, sides)
    if base is not None and base not in common:
        raise UnknownName(f"value of {key}", base, common)
    names = sorted(common, key=lambda name: name != base) if base is not None else common
    found = _paired(names, key, [sides[name] for name in names])
    found.left_out += [f"{key} {name}: not in every experiment of {folder}" for name in sides if name not in common]
    return found


def _in_all_experiments(folder: Path, key: str, sides: Mapping[str, list[tuple[_Place, Stored]]]) -> list[str]:
    """The values that every experiment which sweeps the key has: unlike experiments may each have others."""
    values_of: dict[str, set[str]] = {}
    for name, side in sides.items():
        for _, run in side:
            values_of.setdefault(run.manifest["experiment"], set()).add(name)
    common = [name for name in sides if all(name in values for values in values_of.values())]
    if len(common) < 2:
        raise BadInput(
            f"{folder}: its experiments have no two values of {key} in common; compare within one: "
            f"{', '.join(sorted(values_of))}"
        )
    return common


@dataclass(frozen=True)
class _Place:
    """What two runs must have in common to be a pair."""

    experiment: str
    settings: dict[str, Any]
    seed: int

    @property
    def point(self) -> str:
        return json.dumps([self.experiment, self.settings], sort_keys=True)

    @property
    def label(self) -> str:
        return ", ".join(filter(None, (self.experiment, label_of_point(self.settings))))


def _read(folder: Path) -> list[Stored]:
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder of results")
    found = read_all(find(folder), SAMPLED)
    if not found:
        raise BadInput(f"{folder}: no results here; `ksmlab run FILE --out {folder}` puts some there")
    return sorted(found, key=lambda run: (run.manifest["experiment"], run.manifest["position"], run.result.id))


def _swept(setting: str, stored: Iterable[Stored]) -> str:
    known = list(dict.fromkeys(key for run in stored for key in run.result.point if key != "seed"))
    if setting in known:
        return setting
    meant = [key for key in known if key.rpartition(".")[2] == setting]
    if len(meant) == 1:
        return meant[0]
    raise UnknownName("setting of this sweep", setting, known)


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders as they were given; the same one twice gets a number."""
    names = [str(folder) for folder in folders]
    return [f"{name} ({nth})" if names.count(name) > 1 else name for nth, name in enumerate(names, 1)]


def _paired(names: list[str], by: str | None, sides: list[list[tuple[_Place, Stored]]]) -> Sides:
    """Put the runs of all sides together by point and seed."""
    found = Sides(names, by, [])
    places: dict[str, _Place] = {}
    runs: dict[str, list[Seeds]] = {}
    for nth, side in enumerate(sides):
        for place, run in side:
            places.setdefault(place.point, place)
            at = runs.setdefault(place.point, [{} for _ in sides])[nth]
            if place.seed in at:
                raise BadInput(
                    f"{run.folder} and {at[place.seed].folder} are of the same point and seed; name one of them"
                )
            at[place.seed] = run
    for point, of_sides in runs.items():
        seeds = _common(found, places[point], of_sides)
        if seeds:
            picked = [[side[seed] for seed in seeds] for side in of_sides]
            found.points.append(Point(places[point].label, places[point].settings, seeds, picked))
    if not found.points:
        raise BadInput(
            "; ".join(["nothing to compare: no point and seed has succeeded on every side", *found.left_out])
        )
    return found


def _common(found: Sides, place: _Place, of_sides: list[Seeds]) -> list[int]:
    """The seeds that succeeded on every side; the others are noted."""
    lacking: dict[str, list[int]] = {}
    for seed in sorted(set().union(*of_sides)):
        for name, side in zip(found.names, of_sides, strict=True):
            if seed not in side or not _good(side[seed]):
                lacking.setdefault(f"{'failed' if seed in side else 'missing'} in {name}", []).append(seed)
    for how, seeds in lacking.items():
        found.left_out.append(f"{_told(place, seeds)}: {how}")
        expected = [seed for seed in seeds if seed in of_sides[0] and _good(of_sides[0][seed])]
        if expected:
            found.lost.append(f"{_told(place, expected)}: {how}")
    left_out = set().union(*lacking.values())
    return [seed for seed in sorted(of_sides[0]) if seed not in left_out]


def _told(place: _Place, seeds: Sequence[int]) -> str:
    """A point and some of its seeds."""
    few = ", ".join(map(str, seeds)) if len(seeds) <= _MOST_SEEDS_TOLD else f"{len(seeds)} of them"
    return ", ".join(filter(None, (place.label, f"{'seed' if len(seeds) == 1 else 'seeds'} {few}")))


def _good(run: Stored) -> bool:
    return run.result.status == "succeeded"


def differing_settings(sides: Sides) -> dict[str, list[tuple[str, str]]]:
    """Per setting that pairs do not agree in, the values on either side, each once; names and places left out."""
    found: dict[str, dict[tuple[str, str], None]] = {}
    for one, other in sides.pairs():
        a, b = _flat(one.manifest["spec"]), _flat(other.manifest["spec"])
        for key in dict.fromkeys([*a, *b]):
            if a.get(key) != b.get(key):
                found.setdefault(key, {})[a.get(key, "nothing"), b.get(key, "nothing")] = None
    return {key: list(values) for key, values in found.items()}


_NAMES_AND_PLACES = frozenset({"id", "experiment", "file", "plugins", "point", "base_dir", "provenance", "expect"})


def _flat(spec: Mapping[str, Any]) -> dict[str, str]:
    """Every setting by its dotted key, as text."""
    flat: dict[str, str] = {}

    def walk(path: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{path}.{key}" if path else key, inner)
        else:
            flat[path] = value if isinstance(value, str) else json.dumps(value)

    walk("", {key: value for key, value in spec.items() if key not in _NAMES_AND_PLACES})
    return flat


def differing_makers(sides: Sides) -> list[str]:
    """What the runs of a pair were made by, where that is not the same: versions, and the sources of plugins."""
    found: dict[str, None] = {}
    for one, other in sides.pairs():
        a, b = one.manifest, other.manifest
        for name in dict.fromkeys([*a["versions"], *b["versions"]]):
            before, after = a["versions"].get(name, "none"), b["versions"].get(name, "none")
            if before != after:
                found[f"{name} {before} → {after}"] = None
        before, after = _plugins(a), _plugins(b)
        for plugin in before.keys() & after.keys():
            if before[plugin] != after[plugin]:
                found[f"{' '.join(plugin)}: its file is another one"] = None
    return list(found)


def _plugins(manifest: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    return {(one["kind"], one["name"]): one["sha256"] for one in manifest["plugins"]}
