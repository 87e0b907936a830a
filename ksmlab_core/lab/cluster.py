"""Workers of a Dask cluster, through its `concurrent.futures` interface; no file system is shared with them.

A worker needs the same ksmlab, and the plugins and captures of a run at the same places with the same content. Dask
itself carries the runs of a worker that died to others.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from socket import gethostname
from tempfile import TemporaryDirectory
from typing import Any

from ksmlab_core.errors import BadInput, ClusterLost
from ksmlab_core.lab.crew import CrewBroken, Results, collected, died, in_crew
from ksmlab_core.lab.identity import Part
from ksmlab_core.lab.log import LOG_FILE
from ksmlab_core.lab.once import Done, Task
from ksmlab_core.lab.workers import Refused, answer

HOW_TO_GET_IT = "a Dask cluster needs one more package: pip install 'ksmlab[cluster]'"
_CONNECT = 10
"""Seconds to wait for the scheduler."""
_ANSWER = 10
"""Seconds to wait for the scheduler's answer to a question."""
_FIRST_WORKER = 30
"""Seconds to wait for its first worker."""
_WITHOUT_WORKERS = 60
"""Seconds for which a cluster may be without any worker when it has had some."""
_ONE_AT_A_TIME = threading.Lock()
"""Runs of one worker process go one after the other, however many threads it has."""


@dataclass(frozen=True)
class Cluster:
    """A Dask cluster.

    Attributes:
        address: of its scheduler, such as tcp://localhost:8786; empty: one of this machine's own, for these runs.
        workers: of that own one; runs at a time on another, None for as many as it has room for.
    """

    address: str = ""
    workers: int | None = None


def in_cluster(tasks: Iterable[Task], cluster: Cluster) -> Results:
    """Do tasks on a cluster, giving each as it finishes.

    Raises:
        BadInput: there is no such cluster, a worker cannot do the runs, or a run could not begin.
        ClusterLost: the cluster went away. Runs that had finished were given.
    """
    if find_spec("distributed") is None:
        raise BadInput(HOW_TO_GET_IT)
    return in_crew(tasks, partial(_connected, cluster), partial(_alone, cluster=cluster))


def _alone(task: Task, cluster: Cluster) -> Done:
    """Do a run with nothing beside it that could be to blame when its workers die."""
    with _connected(replace(cluster, workers=1), _WITHOUT_WORKERS) as crew:
        future = crew.submit(task)
        try:
            return collected(crew, task, future)
        except CrewBroken:
            return died(task.spec, "died during this run, with nothing beside it")


class _Workers:
    """The workers of a cluster, as they come and go."""

    patience = 1.0

    def __init__(self, client: Any, limit: int | None, address: str) -> None:
        self._client, self._executor, self._limit = client, client.get_executor(), limit
        self._address = address
        self._seen = time.monotonic()

    def room(self) -> int:
        """Two runs for each worker, so that none waits for its next; as many as were asked for, if that is less."""
        room = 2 * max(1, self._count())
        return room if self._limit is None else min(room, self._limit)

    def _count(self) -> int:
        with self._reached():
            # As `nthreads`, which would wait for ever for a scheduler that died between question and answer.
            return len(self._client.sync(self._client.scheduler.ncores, callback_timeout=_ANSWER))

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Whatever goes wrong in speaking to the scheduler means that it is not there any more."""
        try:
            yield
        except Exception as error:
            raise ClusterLost(self._address) from error

    def submit(self, task: Task) -> Future[Done | Refused]:
        order = {
            "spec": task.spec.as_dict(),
            "position": task.position,
            "log": task.folder is not None or task.log_to_stderr,
            "simulate": task.simulate,
            "parts": {name: tuple(part) for name, part in task.parts.items()},
        }
        with self._reached():
            future: Future[Done | Refused] = self._executor.submit(work_far_away, order)
        return future

    def collect(self, task: Task, future: Future[Done | Refused]) -> Done | Refused:
        """What came of a run; Dask gives one up after several of its workers died, of which others may be guilty."""
        from distributed import KilledWorker

        try:
            return future.result()
        except KilledWorker as error:
            raise CrewBroken from error
        except (CancelledError, OSError) as error:
            raise ClusterLost(self._address) from error
        except Exception as error:
            what = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise BadInput(f"{self._address}: a worker cannot do runs: {what}; is this ksmlab there?") from error

    def give_up(self) -> None:
        """Cancel what is under way."""
        if self._client.status == "running":
            self._executor.shutdown(wait=False)

    def look(self) -> None:
        """Give a cluster without workers some time to get one."""
        now = time.monotonic()
        if self._client.status != "running":
            raise ClusterLost(self._address)
        if self._count():
            self._seen = now
        elif now - self._seen > _WITHOUT_WORKERS:
            raise ClusterLost(self._address, f"no worker for {_WITHOUT_WORKERS} s")


@contextmanager
def _connected(cluster: Cluster, patience: float | None = None) -> Iterator[_Workers]:
    """The workers of a cluster; runs that are under way when the block is left are given up."""
    patience = _FIRST_WORKER if patience is None else patience
    from distributed import Client

    connect: Any = Client  # without annotations of its own
    for name in ("distributed.client", "distributed.core", "distributed.comm"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what is wrong is told in one line, below
    with ExitStack() as stack:
        address: Any = cluster.address or stack.enter_context(_own(cluster.workers or 1))
        try:
            client = stack.enter_context(connect(address, timeout=_CONNECT, set_as_default=False))
            client.wait_for_workers(1, timeout=patience)
        except TimeoutError as error:
            started = f"dask worker {cluster.address}"
            raise BadInput(f"{cluster.address}: no worker is there; start one with: {started}") from error
        except (OSError, ValueError) as error:
            what = str(error).partition("\n")[0]
            raise BadInput(f"{cluster.address}: no Dask scheduler to be reached: {what}") from error
        limit = cluster.workers if cluster.address else None
        crew = _Workers(client, limit, cluster.address or "this machine's own cluster")
        stack.callback(crew.give_up)
        yield crew


@contextmanager
def _own(workers: int) -> Iterator[Any]:
    """A cluster of this machine, gone with the block."""
    from distributed import LocalCluster

    start: Any = LocalCluster  # without annotations of its own
    with start(
        n_workers=workers, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.CRITICAL
    ) as cluster:
        yield cluster


def work_far_away(order: dict[str, Any]) -> Done | Refused:
    """Do one task in a worker of a cluster; its log comes back with its result."""
    from ksmlab_core.experiment import RunSpec

    task = Task(
        RunSpec.from_dict(order["spec"]),
        order["position"],
        simulate=order["simulate"],
        parts={name: Part(*part) for name, part in order["parts"].items()},
    )
    with _ONE_AT_A_TIME:
        return _with_log(task) if order["log"] else answer(task)


def _with_log(task: Task) -> Done | Refused:
    """Do one task with a folder of its own for its log."""
    try:
        with TemporaryDirectory(prefix="ksmlab-") as folder:
            came = answer(replace(task, folder=folder))
            return came if isinstance(came, Refused) else replace(came, log=(Path(folder) / LOG_FILE).read_bytes())
    except OSError as error:
        return Refused(f"on worker {gethostname()}: {error}")
