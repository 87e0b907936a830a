"""Experiment files as pytest's collectors, their runs as its items."""

from __future__ import annotations

import hashlib
import os
import shlex
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from traceback import format_exc
from typing import TYPE_CHECKING, Any, cast

import pytest

from ksmlab_core.errors import BadInput, KsmlabError
from ksmlab_core.experiment.document import Document
from ksmlab_core.experiment.yaml_reader import read_document
from ksmlab_core.lab.conformance import plans_of
from ksmlab_core.lab.golden import settings_of
from ksmlab_core.policy.loader import shown_path
from ksmlab_core.testing.pytest_golden import GoldenItem, compared, orphans_here, wants_golden
from ksmlab_core.testing.pytest_plugin import MARK

if TYPE_CHECKING:
    from ksmlab_core.experiment import Plan, RunSpec
    from ksmlab_core.simulation import RunResult


@dataclass(frozen=True)
class Point:
    """One run of a file: what pytest calls it, what it is, and how to repeat it.

    Attributes:
        name: Unique in the file; under a kernel of a conformance block it begins with the kernel.
        kernel: That kernel; None where the file chooses its own.
        plan: The plan that the run is of.
        spec: The run.
        settings: What the file says that it does.
        line: Line of the file that made it, from 1.
    """

    name: str
    kernel: str | None
    plan: Plan
    spec: RunSpec
    settings: dict[str, Any]
    line: int

    @property
    def command(self) -> str:
        """The command line that does this run and no other."""
        kernel = ["--set", f"kernel={self.kernel}"] if self.kernel else []
        only = ["--only", self.spec.id] if len(self.plan.points) > 1 else []
        return shlex.join(["ksmlab", "run", str(self.plan.file), *kernel, *only])


def points_of(path: Path) -> list[Point]:
    """Every run of an experiment file: under its own kernel, or under each that its conformance block names.

    Raises:
        BadInput: Everything that is wrong with the file.
    """
    document = read_document(path)
    return [
        Point(_name(kernel, plan, spec), kernel, plan, spec, settings, _line(document, spec))
        for kernel, plan in plans_of(document, path)
        for settings in [settings_of(document, kernel)]
        for spec in plan.points
    ]


def _name(kernel: str | None, plan: Plan, spec: RunSpec) -> str:
    if kernel is None:
        return spec.id
    return f"{kernel}-{spec.id}" if len(plan.points) > 1 else kernel


def _line(document: Document, spec: RunSpec) -> int:
    """Where the first thing that the sweep sets for a run is written, else the beginning of the experiment."""
    lines = [spec.provenance.get(key) for key in spec.point]
    begin = document.keys[("experiment",)].line
    return next((line for line in lines if isinstance(line, int)), begin)


class ExperimentFile(pytest.File):
    """An experiment file; whatever is wrong with it becomes an item that fails, so that other files are run."""

    def collect(self) -> list[pytest.Item]:
        """An item for each run."""
        shown = Path(shown_path(self.path))
        try:
            self.digest = _digest(self.path)
            points = points_of(shown)
        except Exception as error:  # one that is raised here would end a session, or be told by every worker
            complaint = (
                str(error) if isinstance(error, BadInput) else f"{shown}: a fault in ksmlab itself:\n{format_exc()}"
            )
            return [BrokenItem.from_parent(self, name="broken-file", complaint=complaint, shown=shown)]
        if not points:
            return [NowhereItem.from_parent(self, name="no-kernel")]
        items: list[pytest.Item] = [RunItem.from_parent(self, name=point.name, point=point) for point in points]
        if wants_golden(self) or orphans_here(self.path):
            names = {point.name for point in points}
            items.append(GoldenItem.from_parent(self, name="golden-files", shown=shown, names=names))
        return items


def _digest(path: Path) -> bytes:
    try:
        return hashlib.blake2b(path.read_bytes()).digest()
    except OSError:
        return b""


class BrokenItem(pytest.Item):
    """A file that is no experiment yet."""

    def __init__(self, *, complaint: str, shown: Path, **rest: Any) -> None:
        super().__init__(**rest)
        self._complaint, self._shown = complaint, shown

    def runtest(self) -> None:
        """Fail with everything that is wrong."""
        pytest.fail(f"{self._complaint}\n{again(shlex.join(['ksmlab', 'plan', str(self._shown)]))}", pytrace=False)

    def reportinfo(self) -> tuple[Path, int, str]:
        """The file."""
        return self.path, 0, f"{self.path.name} {self.name}"


class NowhereItem(pytest.Item):
    """A scenario of kernels that there are no profiles of."""

    def runtest(self) -> None:
        """Say so."""
        pytest.skip("holds for none of the kernels of this version")


class RunItem(pytest.Item):
    """One run.

    Attributes:
        point: what is run.
    """

    def __init__(self, *, point: Point, **rest: Any) -> None:
        super().__init__(**rest)
        self.point = point
        spec = point.spec
        said = {MARK: spec.experiment, "ksmlab.run": spec.id, "ksmlab.kernel": spec.kernel["profile"]}
        said |= {"ksmlab.seed": spec.seed} | {f"ksmlab.point.{key}": value for key, value in spec.point.items()}
        self.user_properties.extend((name, str(value)) for name, value in said.items())

    def reportinfo(self) -> tuple[Path, int, str]:
        """File and line, which pytest counts from 0."""
        return self.path, self.point.line - 1, f"{self.path.name} {self.name}"

    def setup(self) -> None:
        """Under xdist let one worker compile the machine, and the others wait for it: they all need the same."""
        if hasattr(self.config, "workerinput") and os.environ.get("NUMBA_DISABLE_JIT", "0") != "1":
            compile_in_turn()

    def runtest(self) -> None:
        """Carry the run out; fail with what went wrong, and how to repeat it."""
        point = self.point
        if _digest(self.path) != cast(ExperimentFile, self.parent).digest:
            pytest.fail(f"{point.plan.file}: was changed while the tests ran; run them again", pytrace=False)
        try:
            lines, by = self._wrong(self._carried_out())
        except KsmlabError as error:
            lines, by = [str(error)], point.command
        if lines:
            pytest.fail("\n".join([*lines, again(by)]), pytrace=False)

    def _carried_out(self) -> RunResult:
        from ksmlab_core.lab.runner import carry_out
        from ksmlab_core.lab.standing import Again

        point = self.point
        only = replace(point.plan, points=[point.spec])
        # A test is carried out each time: results that were kept before may not stand for it.
        return carry_out(only, out=self._out(), again=Again.ALL, command=point.command)[0]

    def _out(self) -> Path | None:
        """A folder for the results that no other file or kernel has."""
        root = self.config.getoption("ksmlab_out")
        if not root:
            return None
        try:
            file = self.path.relative_to(self.config.rootpath)
        except ValueError:
            file = Path(*self.path.parts[1:])
        return Path(root) / file.with_suffix("") / (self.point.kernel or "")

    def _wrong(self, result: RunResult) -> tuple[list[str], str]:
        """What was not as it should be, and the command that shows it."""
        from ksmlab_core.cli.outcome import wrong

        lines = wrong(replace(self.point.plan, points=[self.point.spec]), [result])
        if lines or not wants_golden(cast(ExperimentFile, self.parent)):
            return lines, self.point.command
        by = shlex.join(["pytest", "-p", "no:xdist", f"{self.point.plan.file}::{self.name}"])
        return compared(self.path, self.point, result, regen=self.config.getoption("regen")), by


def again(command: str) -> str:
    """How to repeat what failed."""
    return f"again: {command}"


def after_a_crash(config: pytest.Config, nodeid: str) -> str | None:
    """How to repeat the run that a worker died at; None if it was no run of an experiment."""
    file, _, name = nodeid.partition("::")
    path = config.rootpath / file
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        return None
    try:
        return next((again(point.command) for point in points_of(Path(shown_path(path))) if point.name == name), None)
    except BadInput:
        return None


def compile_in_turn() -> None:
    """Compile the machine or load it, one process of this user at a time."""
    from filelock import FileLock

    from ksmlab_core.mm import precompile
    from ksmlab_core.mm._jit import cache_folder

    home = cache_folder().parent
    try:
        home.mkdir(parents=True, exist_ok=True)
        turn: Any = FileLock(home / "compiling.lock")
    except OSError:  # no cache to be had: everyone compiles for himself
        turn = nullcontext()
    with turn:
        precompile()
