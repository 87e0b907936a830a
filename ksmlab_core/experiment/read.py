"""Reading an experiment: from a file to a plan of validated runs, or to every problem of the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ksmlab_core.errors import Problem, Problems
from ksmlab_core.experiment.checking import Checker
from ksmlab_core.experiment.complaints import Complaints
from ksmlab_core.experiment.document import Document
from ksmlab_core.experiment.dotted import NotSettableError, assigned
from ksmlab_core.experiment.ids import point_ids, run_id
from ksmlab_core.experiment.models import LARGEST_SEED, Sweep
from ksmlab_core.experiment.overrides import overridden
from ksmlab_core.experiment.places import Moved
from ksmlab_core.experiment.plan import Plan, RunSpec
from ksmlab_core.experiment.quantities import is_whole
from ksmlab_core.experiment.surroundings import load_plugins
from ksmlab_core.experiment.sweep import Point, expand
from ksmlab_core.experiment.yaml_reader import read_document

ENOUGH: Final = 1000
"""Problems after which no further point is looked at."""


def read_experiment(path: Path, *, overrides: Sequence[str] = (), plugins: Sequence[str] = ()) -> Plan:
    """Read an experiment file and validate every run of it.

    Args:
        path: The file.
        overrides: Settings over those of the file, as ``dotted.key=YAML value``.
        plugins: Plugin files and modules beside those that the file names; files are relative to the working
            directory.

    Raises:
        Problems: Everything that is wrong with the file and the overrides, in the order of its lines.
        PluginRejected: One of `plugins` cannot be used.
    """
    return read_plan(read_document(path), path, overrides=overrides, plugins=plugins)


def read_plan(document: Document, path: Path, *, overrides: Sequence[str] = (), plugins: Sequence[str] = ()) -> Plan:
    """As `read_experiment`, of a file whose text was read already."""
    settings, places, conformance, problems = overridden(document, overrides)
    complaints = Complaints(places)
    sweep = _sweep(complaints, settings)
    points = expand(complaints, sweep)
    seeds = _seeds(complaints, sweep, settings)
    _check_count(complaints, sweep, len(points) * len(seeds))
    _check_overrides(complaints, points)
    around, registry = load_plugins(complaints, settings, document.file, path.resolve().parent, plugins)
    specs = _check_points(complaints, Checker(around), settings, points)
    problems += complaints.found
    if problems:
        raise Problems(list(dict.fromkeys(problems)))
    runs = _named_runs(complaints, sweep, specs, points, seeds)
    return Plan(settings["experiment"], settings.get("about", ""), path, runs, registry, conformance)


def _sweep(complaints: Complaints, settings: dict[str, Any]) -> Sweep:
    given = settings.get("sweep")
    sweep = None if given is None else complaints.validated(Sweep, given, ("sweep",))
    return sweep or Sweep()


def _seeds(complaints: Complaints, sweep: Sweep, settings: dict[str, Any]) -> list[int]:
    if isinstance(sweep.seeds, list):
        return sweep.seeds
    first = settings.get("seed", 0)
    first = first if is_whole(first) and 0 <= first <= LARGEST_SEED else 0
    if first + sweep.seeds - 1 > LARGEST_SEED:
        complaints.add(("sweep", "seeds"), f"seeds beyond {LARGEST_SEED}", f"at most {LARGEST_SEED}")
    return list(range(first, first + sweep.seeds))


def _check_count(complaints: Complaints, sweep: Sweep, runs: int) -> None:
    if runs > sweep.max_runs:
        allowed = f"at most {sweep.max_runs}, or raise sweep.max_runs"
        complaints.add(("sweep",), f"the sweep expands to {runs} runs", allowed, key=True)


def _check_overrides(complaints: Complaints, points: Sequence[Point]) -> None:
    """An override of what the sweep sets would be without effect."""
    swept = {tuple(setting.key.split(".")): setting for point in points for setting in point}
    for moved in complaints.places.moved:
        for length in range(1, len(moved.target) + 1):
            setting = swept.get(tuple(map(str, moved.target[:length])))
            if setting is not None and moved.target[0] != "sweep":
                place = complaints.places.of(setting.source, key=True)
                where = place.file if place.line is None else f"line {place.line}"
                complaints.add(moved.target, f"the sweep sets {setting.key} ({where})", "set sweep.* instead")


def _check_points(
    complaints: Complaints, checker: Checker, settings: dict[str, Any], points: Sequence[Point]
) -> list[RunSpec | None]:
    """Check every point.

    A problem that not all of them have names the first that has it, unless its place does.
    """
    specs: list[RunSpec | None] = []
    often: Counter[Problem] = Counter()
    first: dict[Problem, str] = {}
    apart: set[Problem] = set()
    for point, name in zip(points or [()], point_ids(points or [()]), strict=True):
        spec, checked = _check_point(complaints, checker, settings, point)
        specs.append(spec)
        often.update(set(checked.found))
        apart |= checked.set_apart
        first.update({problem: name for problem in checked.found if problem not in first})
        if len(often) > ENOUGH:
            break
    for problem, times in often.items():
        common = times == len(specs) or problem in apart
        where = "" if common else f" (at the point {first[problem]})"
        complaints.found.append(replace(problem, what=problem.what + where))
    return specs


def _check_point(
    complaints: Complaints, checker: Checker, settings: dict[str, Any], point: Point
) -> tuple[RunSpec | None, Complaints]:
    places = complaints.places
    for setting in sorted(point, key=lambda setting: setting.key.count(".")):
        try:
            settings, path = assigned(settings, setting.key.split("."), setting.value)
        except NotSettableError as error:
            complaints.add(setting.source, error.what, error.allowed, key=True)
            continue
        places = places.with_moved(Moved(path, *complaints.places.source(setting.source)))
    return checker.check(settings, places)


def _named_runs(
    complaints: Complaints,
    sweep: Sweep,
    specs: Sequence[RunSpec | None],
    points: Sequence[Point],
    seeds: list[int],
) -> list[RunSpec]:
    seeded = "seeds" in sweep.model_fields_set
    place = complaints.places.of(("sweep", "seeds"))
    origin: dict[str, int | str] = {"seed": place.line or place.file} if seeded else {}
    runs = []
    for spec, point, name in zip(specs, points, point_ids(points), strict=True):
        if spec is None:
            continue
        said = {setting.key: setting.value for setting in point}
        common = replace(spec, point=said, provenance={**spec.provenance, **origin})
        runs += [replace(common, id=run_id(name, seed, seeded=seeded), seed=seed) for seed in seeds]
    return runs
