"""Carrying tasks to workers and their results back, whoever the workers are: processes here, or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from ksmlab_core.errors import as_data
from ksmlab_core.lab.once import WORKER_DIED, Done, failed
from ksmlab_core.lab.workers import Refused

if TYPE_CHECKING:
    from ksmlab_core.experiment import RunSpec
    from ksmlab_core.lab.once import Task

Results = Generator[tuple["Task", Done], None, None]


class CrewBroken(Exception):
    """The workers are gone, one of the runs under way having ended one of them; nobody can say which."""


class Crew(Protocol):
    """Workers, for as long as they last."""

    @property
    def patience(self) -> float | None:
        """Seconds to wait for a result before `look` is called; None: for ever."""

    def room(self) -> int:
        """How many tasks may be under way at a time."""

    def submit(self, task: Task) -> Future[Any]:
        """Hand a task to a worker; raises CrewBroken."""

    def collect(self, task: Task, future: Future[Any]) -> Done | Refused:
        """What came of a finished future; raises CrewBroken."""

    def look(self) -> None:
        """Raise an error if there is no hope of results any more."""


def in_crew(
    tasks: Iterable[Task], hire: Callable[[], AbstractContextManager[Crew]], alone: Callable[[Task], Done]
) -> Results:
    """Do tasks in workers, giving each as it finishes.

    Where a worker that dies takes all with it, nobody can say which run was to blame: each run that was under way is
    repeated `alone`, the others go on in a new crew.

    Raises:
        BadInput: a run could not begin, because of something the user gave.
        ResultsNotWritten: a run's log could not be written.
    """
    waiting = iter(tasks)
    while True:
        suspects = yield from _until_broken(waiting, hire)
        if suspects is None:
            return
        for task in suspects:
            yield task, alone(task)


def _until_broken(
    waiting: Iterator[Task], hire: Callable[[], AbstractContextManager[Crew]]
) -> Generator[tuple[Task, Done], None, list[Task] | None]:
    """Work through tasks until none is left (None) or the crew breaks (the tasks that were under way)."""
    running: dict[Future[Any], Task] = {}
    suspects: list[Task] = []
    with hire() as crew:
        while not suspects:
            for task in _fill(waiting, crew.room() - len(running)):
                try:
                    running[crew.submit(task)] = task
                except CrewBroken:
                    suspects.append(task)
                    break
            if not running:
                return suspects or None
            finished, _ = wait(running, timeout=crew.patience, return_when=FIRST_COMPLETED)
            if not finished:
                crew.look()
            yield from _harvest(crew, finished, running, suspects)
        wait(running)
        yield from _harvest(crew, set(running), running, suspects)
    return sorted(suspects, key=lambda task: task.position)


def _fill(waiting: Iterator[Task], room: int) -> Iterator[Task]:
    """The next tasks, no more than there is room for; made only when they are asked for."""
    for _ in range(room):
        task = next(waiting, None)
        if task is None:
            return
        yield task


def _harvest(
    crew: Crew, finished: set[Future[Any]], running: dict[Future[Any], Task], suspects: list[Task]
) -> Iterator[tuple[Task, Done]]:
    """Give the results of finished futures in the order of their tasks; what broke goes to `suspects`."""
    for future in sorted(finished, key=lambda one: running[one].position):
        task = running.pop(future)
        try:
            done = collected(crew, task, future)
        except CrewBroken:
            suspects.append(task)
        else:
            yield task, done


def collected(crew: Crew, task: Task, future: Future[Any]) -> Done:
    """A future's result; a worker's refusal is raised here."""
    answer = crew.collect(task, future)
    if isinstance(answer, Refused):
        raise answer.error()
    return answer


def broken_off(task: Task, error: BaseException) -> Done:
    """The outcome of a run that ended in an error which none of its own parts raised."""
    return Done(failed(task.spec, as_data(error)))


def died(spec: RunSpec, end: str) -> Done:
    """The outcome of a run whose worker died each time that it was tried."""
    reason = f"the worker process {end}; other runs went on"
    return Done(failed(spec, {"type": WORKER_DIED, "message": reason, "file": None, "line": None, "trace": None}))
