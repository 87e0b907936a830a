"""The runs of several plans in one row: which stand already, which are to be done, and keeping what comes of those."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ksmlab_core.errors import BadInput, ResultsNotWritten
from ksmlab_core.lab.leftovers import claimed, sweep
from ksmlab_core.lab.log import keep_log
from ksmlab_core.lab.manifest import manifest, now
from ksmlab_core.lab.observers import Fault, tell_finished, tell_started
from ksmlab_core.lab.once import Done, Simulate, Task
from ksmlab_core.lab.restated import restated
from ksmlab_core.lab.standing import Again, Standing, State, standings
from ksmlab_core.lab.store import MANIFEST, Store, Stored, read, read_all

if TYPE_CHECKING:
    from ksmlab_core.experiment import Plan, RunSpec
    from ksmlab_core.simulation import RunResult


@dataclass
class _Aside:
    """The hidden folder of a run under way, and the lock that shows it to be in use."""

    folder: Path
    lock: int

    def released(self) -> None:
        os.close(self.lock)


@dataclass
class _Begun:
    """A run under way: its hidden folder, if it is kept, when it was begun, and the observer that objected."""

    aside: _Aside | None
    at: datetime
    fault: Fault | None


class Campaign:
    """The runs of several plans in one row, each known by its position in it.

    Args:
        plans: what to run.
        store: where results are kept; None: nowhere.
        commands: per plan, the command line that does it again.
        log: write the runs' logs to standard error as well.
        simulate: stands in for the simulation.
        again: which runs are done although their results stand.
    """

    def __init__(
        self,
        plans: Sequence[Plan],
        store: Store | None,
        commands: Sequence[str],
        log: bool,
        simulate: Simulate | None,
        again: Again,
    ) -> None:
        self._store, self._log, self._simulate = store, log, simulate
        self._plans = plans
        self._commands = list(commands) or [""] * len(plans)
        self._again = Again(again)
        kept = None if self._again is Again.ALL else store
        self._row: list[tuple[int, int]] = []
        self._standing: list[Standing] = []
        for nth, plan in enumerate(plans):
            self._row += [(nth, point) for point in range(len(plan.points))]
            self._standing += standings(plan, kept, simulate)
        self._begun: dict[int, _Begun] = {}
        self._kept: dict[int, RunResult] = {}

    def plan(self, task: Task) -> Plan:
        """The plan that a task belongs to."""
        return self._plans[self._row[task.position][0]]

    def take_standing(self) -> list[tuple[Plan, RunResult]]:
        """Take over the results that stand; what dead runs left beside them is swept away."""
        if self._store is None:
            return []
        for plan in self._plans:
            sweep(self._store.root / plan.experiment)
        wanted = {State.DONE, State.FAILED} if self._again is Again.NONE else {State.DONE}
        positions = [position for position, one in enumerate(self._standing) if one.state in wanted]
        folders = [
            self._store.place(self._spec(position).experiment, self._spec(position).id) for position in positions
        ]
        for position, stored in zip(positions, _read(folders), strict=True):
            if stored is not None:
                self._take(self._store, position, stored)
        return [(self._plans[self._row[position][0]], result) for position, result in self._kept.items()]

    def _spec(self, position: int) -> RunSpec:
        nth, point = self._row[position]
        return self._plans[nth].points[point]

    def _take(self, store: Store, position: int, stored: Stored) -> None:
        """Take one result over; one that cannot be told in present words is made again."""
        nth, point = self._row[position]
        plan = self._plans[nth]
        told = restated(stored, plan, self._spec(position), plan.position(point), self._commands[nth])
        if told is None:
            return
        self._kept[position], about = told
        if about != stored.manifest:
            self._write_again(store, stored, *told)

    def _write_again(self, store: Store, stored: Stored, result: RunResult, about: dict[str, object]) -> None:
        aside = self._begin(store, stored.folder.parent.name, result.id)
        try:
            shutil.copytree(stored.folder, aside.folder, dirs_exist_ok=True, ignore=lambda *_: {MANIFEST})
            store.finish(aside.folder, result, about)
        except OSError as error:
            store.abandon(aside.folder)
            raise ResultsNotWritten(str(stored.folder), f"results not written: {error.strerror or error}") from error
        finally:
            aside.released()

    def tasks(self) -> Iterator[Task]:
        """The tasks to be done, in order; a run's hidden folder is made when its task is asked for."""
        for position, (nth, point) in enumerate(self._row):
            if position in self._kept:
                continue
            plan = self._plans[nth]
            spec = plan.points[point]
            aside = self._begin(self._store, plan.experiment, spec.id) if self._store else None
            self._begun[position] = _Begun(aside, now(), tell_started(plan.registry, spec))
            folder = str(aside.folder) if aside else None
            yield Task(spec, position, folder, self._log, self._simulate, self._standing[position].parts)

    def _begin(self, store: Store, experiment: str, run: str) -> _Aside:
        """Make a hidden folder and lock it; again if somebody swept it away in between."""
        while True:
            folder = store.begin(experiment, run)
            lock = claimed(folder)
            if lock is not None:
                return _Aside(folder, lock)

    def keep(self, task: Task, done: Done) -> RunResult:
        """Tell the observers of a finished run, then store it; an observer that raises fails it."""
        nth, point = self._row[task.position]
        plan = self._plans[nth]
        begun = self._begun[task.position]
        result = tell_finished(plan.registry, task.spec, done.result, begun.fault)
        self._kept[task.position] = result
        if done.log is not None and self._log:
            sys.stderr.write(done.log.decode())
        if self._store and begun.aside:
            if done.log is not None:
                keep_log(begun.aside.folder, task.spec.id, done.log)
            about = manifest(
                plan,
                task.spec,
                plan.position(point),
                command=self._commands[nth],
                started=begun.at,
                identity=self._standing[task.position].identity,
                seconds=done.seconds,
            )
            self._store.finish(begun.aside.folder, result, about)
            begun.aside.released()
        del self._begun[task.position]
        return result

    def abandon_unfinished(self) -> None:
        """Remove the hidden folders of runs that did not come to their end."""
        for begun in self._begun.values():
            if self._store and begun.aside:
                self._store.abandon(begun.aside.folder)
                begun.aside.released()

    def results(self) -> list[list[RunResult]]:
        """Per plan the results of its runs."""
        found: list[list[RunResult]] = [[] for _ in self._plans]
        for position, (nth, _) in enumerate(self._row):
            found[nth].append(self._kept[position])
        return found


def _read(folders: Sequence[Path]) -> list[Stored | None]:
    """Read results that stand; None for one that is not whole."""
    try:
        return list(read_all(folders))
    except BadInput:
        return [_read_one(folder) for folder in folders]


def _read_one(folder: Path) -> Stored | None:
    try:
        return read(folder)
    except BadInput:
        return None
