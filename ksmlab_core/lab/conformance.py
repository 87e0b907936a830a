"""Conformance: holding every kernel profile to what tests and real kernels say of it.

A **scenario** is an experiment file under one kernel: a file with a `conformance` block under each kernel that it
names, a file without one (a measured table, a derived trace) under its own. What a scenario checks becomes **rows**:
one for each stage of a file with a block, where a `sample` begins a stage; one for a whole file without.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ksmlab_core.errors import BadInput, Problem, Problems
from ksmlab_core.experiment.conformance import block_of, in_order, is_release, rules_in
from ksmlab_core.experiment.document import Document
from ksmlab_core.experiment.read import read_plan
from ksmlab_core.experiment.yaml_reader import read_document
from ksmlab_core.lab.runner import OnProgress, OnResult, carry_out_all
from ksmlab_core.mm.profile import PROFILES

if TYPE_CHECKING:
    from ksmlab_core.experiment import Plan, RunSpec
    from ksmlab_core.simulation import RunResult

FOLDERS: Final = ("conformance", "traces", "measured")
"""Where scenarios lie in a folder of experiments."""


@dataclass(frozen=True)
class Scenario:
    """One experiment file under one kernel.

    Attributes:
        suite: Whose scenario it is: ltp, selftests, measured.
        name: Its name there.
        kernel: Profile that is held to it.
        rules: Rules that its figures follow from.
        staged: Whether each stage makes a row of its own.
        plan: What is to be run.
    """

    suite: str
    name: str
    kernel: str
    rules: tuple[str, ...]
    staged: bool
    plan: Plan


@dataclass(frozen=True)
class Row:
    """What one stage of a scenario expected and got; for a file without stages, the whole of it.

    Attributes:
        suite, scenario, kernel, rules: Of the scenario.
        stage: Label of the sample that began the stage; "" before the first, and for a whole file.
        file: The experiment file.
        checks: Each comparison: ``{"at", "metric", "want", "got", "ok", "line"}``.
        error: Why the scenario could not be carried out to its end.
    """

    suite: str
    scenario: str
    kernel: str
    rules: tuple[str, ...]
    stage: str
    file: str
    checks: list[dict[str, Any]]
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Was something checked, and all of it right?"""
        return self.error is None and bool(self.checks) and all(check["ok"] for check in self.checks)


@dataclass
class Scenarios:
    """What was found.

    Attributes:
        found: Scenarios of the kernels that were asked for, suite by suite.
        absent: Files that hold for none of the kernels of this version.
    """

    found: list[Scenario] = field(default_factory=list)
    absent: list[Path] = field(default_factory=list)


def scenarios(places: Sequence[Path], kernels: Sequence[str] = ()) -> Scenarios:
    """The scenarios of files and folders, under some kernels or all.

    Args:
        places: Experiment files, and folders of them.
        kernels: Profiles to be held to them; none: every profile of this version.

    Raises:
        BadInput: Everything that is wrong with the files; no file or no scenario at all; one scenario in two files.
    """
    files = list(_files(places))
    if not files:
        raise BadInput(f"{', '.join(map(str, places)) or 'nothing'}: no experiment files there")
    all_of, refused = Scenarios(), []
    for file in files:
        try:
            _gather(file, kernels or in_order(PROFILES), all_of)
        except BadInput as error:
            refused.append(str(error))
    if refused:
        raise BadInput("\n".join(dict.fromkeys(refused)))
    if not all_of.found:
        there = ", ".join(map(str, places))
        raise BadInput(f"{there}: nothing there holds for {', '.join(kernels) or 'a kernel of this version'}")
    _refuse_doubles(all_of.found)
    return all_of


def _files(places: Iterable[Path]) -> Iterator[Path]:
    """The files themselves; of a folder of experiments those in FOLDERS, of another all in it."""
    for place in places:
        if not place.is_dir():
            yield place
            continue
        whole = (place / FOLDERS[0]).is_dir()
        for folder in [place / name for name in FOLDERS] if whole else [place]:
            yield from sorted(folder.rglob("*.yaml"))


def _gather(file: Path, kernels: Collection[str], into: Scenarios) -> None:
    """Add the scenarios of one file, without reading it under kernels that are not wanted."""
    document = read_document(file)
    own = document.data.get("kernel")
    if isinstance(own, dict):
        raise BadInput(f"{file}: kernel: kernels are held to what they are, not to what a switch makes of them")
    if document.data.get("conformance") is None:
        _gather_plain(document, file, own, kernels, into)
        return
    block = block_of(document)
    for kernel, plan in _plans_under(document, file, filter(block.holds_for, kernels)):
        into.found.append(Scenario(block.suite, block.scenario, kernel, tuple(block.rules), True, plan))
    if not any(map(block.holds_for, PROFILES)):
        into.absent.append(file)


def plans_of(document: Document, file: Path) -> list[tuple[str | None, Plan]]:
    """What a file asks for: its own plan, or one under each kernel that its conformance block names.

    Raises:
        Problems: Everything that is wrong with the file, under whatever kernel.
    """
    if document.data.get("conformance") is None:
        return [(None, read_plan(document, file))]
    try:
        block = block_of(document)
    except Problems:
        read_plan(document, file)  # tells of the whole file
        raise
    return list(_plans_under(document, file, filter(block.holds_for, in_order(PROFILES))))


def _plans_under(document: Document, file: Path, kernels: Iterable[str]) -> Iterator[tuple[str, Plan]]:
    """A file's plan under each of some kernels; their problems come together, each once."""
    problems: list[Problem] = []
    for kernel in kernels:
        try:
            plan = read_plan(document, file, overrides=[f"kernel={kernel}"])
        except Problems as error:
            problems += error.problems
        else:
            yield kernel, plan
    if problems:
        raise Problems(list(dict.fromkeys(problems)))


def _gather_plain(document: Document, file: Path, own: Any, kernels: Collection[str], into: Scenarios) -> None:
    """A file without a conformance block: it is its own kernel's alone."""
    known = isinstance(own, str) and own in PROFILES
    if is_release(own) and not known:
        into.absent.append(file)
    elif not known or own in kernels:
        plan = read_plan(document, file)
        into.found.append(Scenario(_suite_of(file), file.stem, own, rules_in(plan.about), False, plan))


def _suite_of(file: Path) -> str:
    """The folder of a file; the one above it where folders are named after kernels."""
    folder = file.absolute().parent
    return folder.parent.name if is_release(folder.name) else folder.name


def _refuse_doubles(found: Sequence[Scenario]) -> None:
    seen: dict[tuple[str, str, str], Scenario] = {}
    for one in found:
        other = seen.setdefault((one.suite, one.name, one.kernel), one)
        if other is not one:
            raise BadInput(
                f"{one.plan.file}: {one.suite} {one.name!r} under {one.kernel} is in {other.plan.file} too;"
                " give it another name, or kernels that do not overlap"
            )


def conform(
    found: Sequence[Scenario],
    *,
    jobs: int = 1,
    on_result: OnResult | None = None,
    progress: OnProgress | None = None,
) -> list[Row]:
    """Carry scenarios out, the largest first so that workers end together, and tell what came of them in their order.

    Raises:
        BadInput: a run could not begin.
    """
    largest_first = sorted(range(len(found)), key=lambda place: -sum(map(pages_of, found[place].plan.points)))
    plans = [found[place].plan for place in largest_first]
    results = carry_out_all(plans, jobs=jobs, on_result=on_result, progress=progress)
    by_place = dict(zip(largest_first, results, strict=True))
    return [row for place, one in enumerate(found) for row in _rows(one, by_place[place])]


def pages_of(spec: RunSpec) -> int:
    """Pages of memory that a run's script maps: how long it takes, roughly."""
    steps = [step for step in spec.workload.get("script", ()) if step.kind == "mmap"]
    return sum(step.args["pages"] * len(step.args["process"]) for step in steps)


def _rows(scenario: Scenario, results: Sequence[RunResult]) -> Iterator[Row]:
    for spec, result in zip(scenario.plan.points, results, strict=True):
        stages: dict[str, list[dict[str, Any]]] = {}
        for check in result.expect:
            stages.setdefault(_stage(spec, check) if scenario.staged else "", []).append(check)
        for stage, checks in stages.items():
            yield _row(scenario, _named(spec, stage), checks, None)
        if result.error is not None or not stages:
            message = result.error["message"] if result.error else "nothing is expected of it"
            yield _row(scenario, _named(spec, ""), [], str(message))


def _row(scenario: Scenario, stage: str, checks: list[dict[str, Any]], error: str | None) -> Row:
    file = str(scenario.plan.file)
    about = (scenario.suite, scenario.name, scenario.kernel, scenario.rules)
    return Row(*about, stage=stage, file=file, checks=checks, error=error)


def _stage(spec: RunSpec, check: dict[str, Any]) -> str:
    """The label of the last sample above a comparison; what is checked at the end of the run belongs to the last."""
    samples = [step for step in spec.workload.get("script", ()) if step.kind == "sample"]
    above = [step.args["label"] for step in samples if check["at"] == "end" or step.line <= (check["line"] or 0)]
    return above[-1] if above else ""


def _named(spec: RunSpec, stage: str) -> str:
    """A stage's name in a file that sweeps: what the point sets, then the stage."""
    said = {key.rpartition(".")[2]: value for key, value in spec.point.items()}
    point = [f"{name}={value}" for name, value in said.items() if isinstance(value, str | int | float)]
    return ", ".join([*point, *([stage] if stage else [])])


def tally(rows: Iterable[Row]) -> Counter[str]:
    """How many scenarios, figures and figures that differ."""
    count: Counter[str] = Counter()
    seen = set()
    for row in rows:
        seen.add((row.suite, row.scenario, row.kernel))
        count["figures"] += len(row.checks)
        count["differ"] += sum(not check["ok"] for check in row.checks) + (row.error is not None)
    count["scenarios"] = len(seen)
    return count
