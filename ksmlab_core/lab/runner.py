"""Carrying plans out: every run done once, kept at once, its failure data like its success.

The integers of a result depend on the run's specification alone, so one worker and many give the same ones; only the
order in which runs finish differs, and the lists returned here are in the order of the plan.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ksmlab_core.errors import BadInput
from ksmlab_core.lab.manifest import manifest, now
from ksmlab_core.lab.observers import Fault, tell_finished, tell_started
from ksmlab_core.lab.once import Simulate, Task, perform
from ksmlab_core.lab.store import Store

if TYPE_CHECKING:
    from ksmlab_core.experiment import Plan, RunSpec
    from ksmlab_core.simulation import RunResult

OnResult = Callable[["Plan", "RunResult"], None]
OnProgress = Callable[["Plan", "RunSpec", int, "int | None"], None]


def carry_out(
    plan: Plan,
    *,
    jobs: int = 1,
    out: Path | None = None,
    on_result: OnResult | None = None,
    progress: OnProgress | None = None,
    log: bool = False,
    command: str = "",
    simulate: Simulate | None = None,
) -> list[RunResult]:
    """Do every run of one plan; arguments and errors as for `carry_out_all`."""
    return carry_out_all(
        [plan],
        jobs=jobs,
        out=out,
        on_result=on_result,
        progress=progress,
        log=log,
        commands=[command],
        simulate=simulate,
    )[0]


def carry_out_all(
    plans: Sequence[Plan],
    *,
    jobs: int = 1,
    out: Path | None = None,
    on_result: OnResult | None = None,
    progress: OnProgress | None = None,
    log: bool = False,
    commands: Sequence[str] = (),
    simulate: Simulate | None = None,
) -> list[list[RunResult]]:
    """Do every run of several plans, sharing the workers among them.

    Args:
        plans: what to run, every point already validated.
        jobs: runs at a time; 1 stays in this process.
        out: folder for results; each run's is whole there as soon as the run is over. None keeps nothing.
        on_result: told of each run as it finishes.
        progress: told how far the run in this process is (accesses or steps done, and of how many if known); silent
            when there are workers.
        log: write the runs' logs to standard error as well.
        commands: per plan, the command line that does it again; kept in the manifests.
        simulate: stands in for the simulation, in tests.

    Returns:
        Per plan the results of its runs, in the order of its points; failed runs among them.

    Raises:
        BadInput: a run could not begin. Runs that had finished are whole.
        ResultsNotWritten: a result could not be written. Runs that had finished are whole.
    """
    if out is not None:
        _refuse_collisions(plans)
    jobs = min(jobs, sum(len(plan.points) for plan in plans))
    if jobs > 1:
        _compile_once()
    campaign = _Campaign(plans, Store(out) if out is not None else None, commands, log, simulate)
    try:
        done = _in_workers(campaign, jobs) if jobs > 1 else _here(campaign, progress)
        with closing(done):
            for task, result in done:
                kept = campaign.keep(task, result)
                if on_result is not None:
                    on_result(campaign.plan(task), kept)
    finally:
        campaign.abandon_unfinished()
    return campaign.results()


@dataclass
class _Begun:
    """A run under way: its hidden folder, if it is kept, when it was begun, and the observer that objected."""

    aside: Path | None
    at: datetime
    fault: Fault | None


class _Campaign:
    """The runs of several plans in one row, each known by its position in it."""

    def __init__(
        self,
        plans: Sequence[Plan],
        store: Store | None,
        commands: Sequence[str],
        log: bool,
        simulate: Simulate | None,
    ) -> None:
        self._store, self._log, self._simulate = store, log, simulate
        self._plans = plans
        self._commands = list(commands) or [""] * len(plans)
        self._row = [(nth, point) for nth, plan in enumerate(plans) for point in range(len(plan.points))]
        self._begun: dict[int, _Begun] = {}
        self._kept: dict[tuple[int, int], RunResult] = {}

    def plan(self, task: Task) -> Plan:
        return self._plans[self._row[task.position][0]]

    def tasks(self) -> Iterator[Task]:
        """The tasks in order; a run's hidden folder is made when its task is asked for."""
        for position, (nth, point) in enumerate(self._row):
            plan = self._plans[nth]
            spec = plan.points[point]
            aside = self._store.begin(plan.experiment, spec.id) if self._store else None
            self._begun[position] = _Begun(aside, now(), tell_started(plan.registry, spec))
            yield Task(spec, position, str(aside) if aside else None, self._log, self._simulate)

    def keep(self, task: Task, result: RunResult) -> RunResult:
        """Tell the observers of a finished run, then store it; an observer that raises fails it."""
        nth, point = self._row[task.position]
        plan = self._plans[nth]
        begun = self._begun[task.position]
        result = tell_finished(plan.registry, task.spec, result, begun.fault)
        self._kept[nth, point] = result
        if self._store and begun.aside:
            about = manifest(plan, task.spec, point, command=self._commands[nth], started=begun.at)
            self._store.finish(begun.aside, result, about)
        del self._begun[task.position]
        return result

    def abandon_unfinished(self) -> None:
        for begun in self._begun.values():
            if self._store and begun.aside:
                self._store.abandon(begun.aside)

    def results(self) -> list[list[RunResult]]:
        return [[self._kept[nth, point] for point in range(len(plan.points))] for nth, plan in enumerate(self._plans)]


def _here(campaign: _Campaign, progress: OnProgress | None) -> Generator[tuple[Task, RunResult], None, None]:
    """Do the tasks in this process, one after the other."""
    for task in campaign.tasks():
        plan = campaign.plan(task)
        yield task, perform(task, plan.registry, _for_run(progress, plan, task.spec))


def _for_run(progress: OnProgress | None, plan: Plan, spec: RunSpec) -> Callable[[int, int | None], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress(plan, spec, done, total)


def _in_workers(campaign: _Campaign, jobs: int) -> Generator[tuple[Task, RunResult], None, None]:
    """Do the tasks in workers; imported here because most commands never need them."""
    from ksmlab_core.lab.workers import in_processes

    return in_processes(campaign.tasks(), jobs)


def _compile_once() -> None:
    """Fill the cache of compiled functions before the workers start, so that they do not all compile the same."""
    from ksmlab_core.mm import precompile

    precompile()


def _refuse_collisions(plans: Sequence[Plan]) -> None:
    """Two files that would write into the same folder of results are an error before anything is run."""
    seen: dict[tuple[str, str], Plan] = {}
    for plan in plans:
        for spec in plan.points:
            other = seen.setdefault((plan.experiment, spec.id), plan)
            if other is not plan:
                raise BadInput(
                    f"{plan.file}: experiment {plan.experiment!r} has a run {spec.id!r}, and so has {other.file}; "
                    "one would overwrite the other's results: rename one, or run them with different --out"
                )
