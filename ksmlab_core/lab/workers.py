"""Runs in several processes: the same results as in one, and none lost when a worker dies.

Workers are spawned, not forked, because numba's and BLAS's threads do not survive a fork. They get plain run
specifications and load the plugins themselves: classes loaded from a path cannot be sent.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ksmlab_core.errors import BadInput, KsmlabError, ResultsNotWritten, as_data
from ksmlab_core.lab.once import Task, failed, perform

if TYPE_CHECKING:
    from ksmlab_core.policy.registry import Registry
    from ksmlab_core.simulation import RunResult


@dataclass(frozen=True)
class Refused:
    """An error that ends the whole plan, on its way from a worker; exceptions with fields do not pickle."""

    message: str
    folder: str | None = None

    def error(self) -> KsmlabError:
        """The exception again, for the parent to raise."""
        return ResultsNotWritten(self.folder, self.message) if self.folder is not None else BadInput(self.message)


def in_processes(tasks: Iterable[Task], jobs: int) -> Generator[tuple[Task, RunResult], None, None]:
    """Do tasks in up to `jobs` workers, giving each as it finishes.

    A worker that dies takes the whole pool with it, and nobody can say which run was to blame: each run that was under
    way is repeated in a worker of its own. The one that kills its worker again has failed; the others finish.

    Raises:
        BadInput: a run could not begin, because of something the user gave.
        ResultsNotWritten: a run's log could not be written.
    """
    waiting = iter(tasks)
    with TemporaryDirectory(prefix="ksmlab-") as spool:
        while True:
            suspects = yield from _until_broken(waiting, jobs, spool)
            if suspects is None:
                return
            for task in suspects:
                yield task, _alone(task, spool)


def _until_broken(
    waiting: Iterator[Task], jobs: int, spool: str
) -> Generator[tuple[Task, RunResult], None, list[Task] | None]:
    """Work through tasks until none is left (None) or the pool breaks (the tasks that were under way)."""
    running: dict[Future[str], Task] = {}
    suspects: list[Task] = []
    with _pool(jobs) as (executor, _):
        while not suspects:
            for task in _fill(waiting, jobs - len(running)):
                try:
                    running[executor.submit(work, task, spool)] = task
                except BrokenProcessPool:
                    suspects.append(task)
                    break
            if not running:
                return suspects or None
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            yield from _harvest(finished, running, suspects)
        wait(running)
        yield from _harvest(set(running), running, suspects)
    return sorted(suspects, key=lambda task: task.position)


def _fill(waiting: Iterator[Task], room: int) -> Iterator[Task]:
    """The next tasks, no more than there is room for; made only when they are asked for."""
    for _ in range(room):
        task = next(waiting, None)
        if task is None:
            return
        yield task


def _harvest(
    finished: set[Future[str]],
    running: dict[Future[str], Task],
    suspects: list[Task],
) -> Iterator[tuple[Task, RunResult]]:
    """Give the results of finished futures in the order of their tasks; what broke goes to `suspects`."""
    for future in sorted(finished, key=lambda one: running[one].position):
        task = running.pop(future)
        try:
            result = _opened(task, future)
        except BrokenProcessPool:
            suspects.append(task)
        else:
            yield task, result


def _opened(task: Task, future: Future[str]) -> RunResult:
    """A future's result; a worker's refusal is raised here, any other error of its becomes a failed result."""
    try:
        answer = _fetched(future.result())
    except BrokenProcessPool:
        raise
    except Exception as error:
        return failed(task.spec, as_data(error))
    if isinstance(answer, Refused):
        raise answer.error()
    return answer


def _alone(task: Task, spool: str) -> RunResult:
    """Repeat one task in a worker of its own; if that dies too, the run has failed."""
    with _pool(1) as (executor, workers):
        future = executor.submit(work, task, spool)
        mine = workers()
        try:
            return _opened(task, future)
        except BrokenProcessPool:
            reason = f"the worker process {_end_of(mine)} during this run, twice; other runs went on"
            return failed(
                task.spec, {"type": "WorkerDied", "message": reason, "file": None, "line": None, "trace": None}
            )


def _end_of(workers: list[BaseProcess]) -> str:
    """How a worker ended, in words.

    The pool's own thread waits for the worker too. When it is the first to reap it, a `join` here returns before that
    thread has written the exit code down, so the code is asked for until it is there.
    """
    until = time.monotonic() + 5
    codes: list[int] = []
    while not codes and time.monotonic() < until:
        for worker in workers:
            worker.join(0.1)
        codes = [worker.exitcode for worker in workers if worker.exitcode is not None]
        time.sleep(0 if codes else 0.01)
    if not codes:
        return "died"
    if codes[0] < 0:
        return f"was killed by {_signal_name(-codes[0])}"
    return f"exited with status {codes[0]}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@contextmanager
def _pool(jobs: int) -> Iterator[tuple[ProcessPoolExecutor, _Workers]]:
    """A pool whose workers are ended, not waited for, when the block is left by an exception."""
    workers = _Workers()
    executor = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_ignore_interrupt)
    try:
        yield executor, workers
    except BaseException:
        for worker in workers():
            worker.terminate()
        executor.shutdown(cancel_futures=True)
        raise
    executor.shutdown()


class _Workers:
    """The processes that were started since this was made."""

    def __init__(self) -> None:
        self._before = set(multiprocessing.active_children())

    def __call__(self) -> list[BaseProcess]:
        return [child for child in multiprocessing.active_children() if child not in self._before]


def _ignore_interrupt() -> None:
    """Leave Ctrl-C to the parent, which ends its workers: their tracebacks would say nothing."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def work(task: Task, spool: str) -> str:
    """Do one task in a worker; the name of the file that holds what came of it.

    Results go by a file, not by the pool's pipe: a worker killed while it writes a long message into that pipe would
    leave the parent waiting for the rest for ever. A short one is written at once or not at all.
    """
    answer: RunResult | Refused
    try:
        answer = perform(task, _registry(tuple(task.spec.plugins), task.spec.base_dir))
    except ResultsNotWritten as error:
        answer = Refused(error.reason, error.folder)
    except BadInput as error:
        answer = Refused(str(error))
    file = Path(spool) / str(task.position)
    try:
        file.write_bytes(pickle.dumps(answer))
    except OSError as error:
        raise OSError(error.errno, f"{spool}: {error.strerror}") from None
    return str(file)


def _fetched(file: str) -> RunResult | Refused:
    """What a worker left in a file, which is not needed any more."""
    path = Path(file)
    answer: RunResult | Refused = pickle.loads(path.read_bytes())
    path.unlink()
    return answer


@lru_cache(maxsize=8)
def _registry(plugins: tuple[str, ...], base_dir: str) -> Registry:
    """The registry of a run's plugins, loaded once per worker."""
    from ksmlab_core.policy.registry import load_registry

    return load_registry(plugins, base_dir=Path(base_dir))
