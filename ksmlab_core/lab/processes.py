"""Workers as processes of this machine: the same results as in one process, and none lost when one dies.

They are spawned, not forked, because numba's and BLAS's threads do not survive a fork.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory

from ksmlab_core.lab.crew import CrewBroken, Results, broken_off, collected, died, in_crew
from ksmlab_core.lab.once import Done, Task
from ksmlab_core.lab.workers import Refused, answer


def in_processes(tasks: Iterable[Task], jobs: int) -> Results:
    """Do tasks in up to `jobs` workers, giving each as it finishes; errors as for `in_crew`.

    A worker that dies takes the whole pool with it: see `in_crew`. The run that kills its worker again has failed.
    """
    with TemporaryDirectory(prefix="ksmlab-") as spool:
        yield from in_crew(tasks, partial(_pool, jobs, spool), partial(_alone, spool=spool))


class _Pool:
    """Worker processes, and where they leave what is too long for their pipe."""

    patience = None

    def __init__(self, executor: ProcessPoolExecutor, jobs: int, spool: str) -> None:
        self._executor, self._jobs, self._spool = executor, jobs, spool
        self.workers = _Workers()

    def room(self) -> int:
        return self._jobs

    def submit(self, task: Task) -> Future[str | Refused]:
        try:
            return self._executor.submit(work, task, self._spool)
        except BrokenProcessPool as error:
            raise CrewBroken from error

    def collect(self, task: Task, future: Future[str | Refused]) -> Done | Refused:
        """What a worker left in its file; an error that is not the run's own becomes a failed result."""
        try:
            return _fetched(future.result())
        except BrokenProcessPool as error:
            raise CrewBroken from error
        except Exception as error:
            return broken_off(task, error)

    def look(self) -> None:
        """Workers that are gone break the pool."""


def _alone(task: Task, spool: str) -> Done:
    """Repeat one task in a worker of its own; if that dies too, the run has failed."""
    with _pool(1, spool) as pool:
        future = pool.submit(task)
        mine = pool.workers()
        try:
            return collected(pool, task, future)
        except CrewBroken:
            return died(task.spec, f"{_end_of(mine)} during this run, twice")


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
def _pool(jobs: int, spool: str) -> Iterator[_Pool]:
    """A pool whose workers are ended, not waited for, when the block is left by an exception."""
    executor = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_begin_worker)
    pool = _Pool(executor, jobs, spool)
    try:
        yield pool
    except BaseException:
        for worker in pool.workers():
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


def _begin_worker() -> None:
    """Leave Ctrl-C to the parent, which ends its workers: their tracebacks would say nothing. Do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker holds both ends of the pipe that it waits at, so a parent that was killed would never be missed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def work(task: Task, spool: str) -> str | Refused:
    """Do one task in a worker; the name of the file that holds what came of it, in the run's folder if it has one.

    Results go by a file, not by the pool's pipe: a worker killed while it writes a long message into that pipe would
    leave the parent waiting for the rest for ever. A short one is written at once or not at all.
    """
    file = Path(task.folder or spool) / f".answer-{task.position}"
    came = answer(task)
    try:
        file.write_bytes(pickle.dumps(came))
    except OSError as error:
        place = file.parent.with_name(task.spec.id) if task.folder else file.parent
        return Refused(f"results not written: {error.strerror or error}", str(place))
    return str(file)


def _fetched(file: str | Refused) -> Done | Refused:
    """What a worker left in a file, which is not needed any more."""
    if isinstance(file, Refused):
        return file
    path = Path(file)
    came: Done | Refused = pickle.loads(path.read_bytes())
    path.unlink()
    return came
