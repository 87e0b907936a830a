"""Golden results in pytest: comparing a run with them, writing them anew, telling which belong to nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from ksmlab_core.cli.text import aligned
from ksmlab_core.errors import BadInput
from ksmlab_core.lab.golden import (
    Change,
    Golden,
    changes,
    chosen,
    folder_of,
    golden_of,
    orphans,
    read,
    same_versions,
    stale,
    write,
)
from ksmlab_core.policy.loader import shown_path
from ksmlab_core.testing.pytest_recognition import is_experiment

if TYPE_CHECKING:
    from ksmlab_core.simulation import RunResult
    from ksmlab_core.testing.pytest_items import Point

MOST: Final = 40
"""Counters that a table of changes shows."""


def wants_golden(file: pytest.File) -> bool:
    """Are the runs of a file to be compared? If it has golden results; with --regen also if the user named it."""
    regen = file.config.getoption("regen") and file.session.isinitpath(file.path)
    return bool(regen) or folder_of(file.path).is_dir()


def compared(file: Path, point: Point, result: RunResult, *, regen: bool) -> list[str]:
    """Compare a run with its golden result, or write that anew; what is wrong, or nothing.

    Raises:
        ResultsNotWritten: It cannot be written.
        BadInput: What is there cannot be read.
    """
    place = Path(shown_path(folder_of(file) / f"{point.name}.json"))
    now = golden_of(point.name, point.plan, point.spec, point.settings, result)
    try:
        before = read(place)
    except BadInput:
        if not regen:
            raise
        before = None
    if before == now:
        return []
    if before is None:
        return _first(place, now, regen=regen)
    differing = changes(place, before, now)
    if regen and not (differing and same_versions(before, now)):
        write(place, now)
        return []
    return [*_table(place, differing), *_advice(point, before, now, regen=regen)] if differing else []


def _first(place: Path, now: Golden, *, regen: bool) -> list[str]:
    if not regen:
        return [f"{place}: there is no golden result of this run; pytest --regen writes it"]
    write(place, now)
    return []


def _table(place: Path, differing: Sequence[Change]) -> Iterator[str]:
    """The first counter as a line with its place, then all of them side by side."""
    first = differing[0]
    yield f"{place}:{first.line}: {first.metric}: wanted {_number(first.before)}, got {_number(first.after)}"
    rows = [
        (str(one.line), one.at, one.metric, _number(one.before), _number(one.after), _percent(one)) for one in differing
    ]
    yield from aligned([("line", "at", "counter", "before", "after", "change"), *rows[:MOST]], indent="  ")
    if len(rows) > MOST:
        yield f"  and {len(rows) - MOST} more"


def _number(value: int | None) -> str:
    return "none" if value is None else f"{value}"


def _percent(one: Change) -> str:
    if not one.before or one.after is None:
        return "–"
    return f"{100 * (one.after - one.before) / abs(one.before):+.3g} %"


def _advice(point: Point, before: Golden, now: Golden, *, regen: bool) -> Iterator[str]:
    """What to do if the new figures are meant."""
    if not same_versions(before, now):
        yield f"since then: {'; '.join(_since(before, now))}; if the new figures are meant, pytest --regen takes them"
        return
    versions = [f"ENGINE_VERSION of ksmlab_core.simulation ({now.engine})"]
    for key, entry in chosen(point.plan, point.spec).items():
        where = f"{shown_path(entry.file)}:{entry.line}"
        versions.append(f"version of {key} ({where}: {entry.cls.version})")
    refused = "not written: integers changed, but no version" if regen else "if the new figures are meant"
    yield f"{refused}; raise that of what changed, then pytest --regen: {' or '.join(versions)}"


def _since(before: Golden, now: Golden) -> Iterator[str]:
    if before.engine != now.engine:
        yield f"engine {before.engine} became {now.engine}"
    if before.plugins != now.plugins:
        yield f"plugins {_said(before)} became {_said(now)}"
    if before.asked != now.asked:
        yield "the experiment asks for something else"


def _said(golden: Golden) -> str:
    return ", ".join(f"{key} {version}" for key, version in golden.plugins.items()) or "none"


def orphans_here(file: Path) -> list[Path]:
    """Golden results of no file, told of by the first experiment of the folder."""
    found = list(orphans(file.parent))
    if not found:
        return []
    siblings = (path for path in sorted(file.parent.glob("*.y*ml")) if is_experiment(path, named=False))
    return found if next(siblings, file) == file else []


class GoldenItem(pytest.Item):
    """That no golden result is left of a run or a file that is gone."""

    def __init__(self, *, shown: Path, names: set[str], **rest: Any) -> None:
        super().__init__(**rest)
        self._shown, self._names = shown, names

    def reportinfo(self) -> tuple[Path, int, str]:
        """The file."""
        return self.path, 0, f"{self.path.name} {self.name}"

    def runtest(self) -> None:
        """Fail with what is left over; with --regen remove what belongs to no run of this file."""
        lines = [] if self.config.getoption("regen") else [*map(self._of_no_run, stale(self.path, self._names))]
        lines += [f"{shown_path(home)}: of no experiment file here; rename it or remove it" for home in self._orphans()]
        if lines:
            pytest.fail("\n".join(lines), pytrace=False)
        for path in stale(self.path, self._names):
            path.unlink(missing_ok=True)

    def _of_no_run(self, path: Path) -> str:
        return f"{shown_path(path)}: {self._shown} has no run {path.stem}; pytest --regen {self._shown} removes it"

    def _orphans(self) -> list[Path]:
        return orphans_here(self.path)
