"""One run, in whatever process it happens: its log opened, its failure turned into data."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ksmlab_core.errors import BadInput, ResultsNotWritten, as_data
from ksmlab_core.lab.log import run_log

if TYPE_CHECKING:
    from ksmlab_core.experiment import RunSpec
    from ksmlab_core.lab.identity import Parts
    from ksmlab_core.policy.registry import Registry
    from ksmlab_core.simulation import RunResult

Simulate = Callable[..., "RunResult"]
Progress = Callable[[int, "int | None"], None]


WORKER_DIED = "WorkerDied"
"""The type of the error of a run whose worker died."""


@dataclass(frozen=True)
class Task:
    """One run to be done: plain data, so that it can be sent to another process."""

    spec: RunSpec
    position: int
    """Place of the run in the whole list of runs, from 0."""
    folder: str | None = None
    """Where the run's log goes while it lasts; None keeps none."""
    log_to_stderr: bool = False
    simulate: Simulate | None = None
    """Stands in for `ksmlab_core.simulation.run`; must be importable by name where workers are used."""
    parts: Parts = field(default_factory=dict)
    """What the run is made by where it was planned; a worker that has something else refuses it."""


@dataclass(frozen=True)
class Done:
    """What came of one run."""

    result: RunResult
    seconds: float | None = None
    """Wall time of the run itself; None if it did not come to its end."""
    log: bytes | None = None
    """The run's log, where it could not be written into the run's folder."""


def timed(task: Task, registry: Registry, progress: Progress | None = None) -> Done:
    """Do one run, and take the time; errors as for `perform`."""
    began = time.monotonic()
    return Done(perform(task, registry, progress), time.monotonic() - began)


def perform(task: Task, registry: Registry, progress: Progress | None = None) -> RunResult:
    """Do one run; what goes wrong in it comes back as a failed result.

    Raises:
        BadInput: the run could not begin, because of something the user gave.
        ResultsNotWritten: its log could not be written.
    """
    simulate = task.simulate or _simulation()
    folder = Path(task.folder) if task.folder else None
    with run_log(task.spec.id, folder, task.log_to_stderr) as on_event:
        try:
            return simulate(task.spec, registry, on_event=on_event, progress=progress)
        except (BadInput, ResultsNotWritten):
            raise
        except Exception as error:
            failure = as_data(error)
            if on_event is not None:
                on_event("run failed", **failure)
            return failed(task.spec, failure)


def failed(spec: RunSpec, error: dict[str, Any]) -> RunResult:
    """The result of a run of which nothing but its failure is known."""
    from ksmlab_core.simulation import RunResult

    return RunResult(id=spec.id, seed=spec.seed, point=dict(spec.point), status="failed", error=error)


def _simulation() -> Simulate:
    """The real simulation, imported only when a run begins: it brings numba with it."""
    from ksmlab_core import simulation

    return simulation.run
