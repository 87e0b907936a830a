"""Carrying one script out on the running kernel, from its specification to a result like the simulation's."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final

from ksmlab_core.errors import BadInput, NotSteady, RunFailed, StepFailed
from ksmlab_core.host import able, cgroup, guard, swap
from ksmlab_core.host.knobs import Knobs
from ksmlab_core.host.ksmd import Ksmd
from ksmlab_core.host.metrics import Metrics
from ksmlab_core.host.processes import Processes
from ksmlab_core.host.script import Host, Script
from ksmlab_core.simulation.expectations import Expectations
from ksmlab_core.simulation.result import RunResult

ATTEMPTS: Final = 5
"""How often a run is tried in which the kernel did not do exactly what was asked."""
_PYTHON_BYTES: Final = 2 << 20
_BYTES_PER_PAGE: Final = 32
"""What a process may use beside the pages of the script: Python, and the words and page tables of its largest area."""

OnEvent = Callable[..., None]
Progress = Callable[[int, "int | None"], None]


def run(
    spec: Any,
    registry: Any = None,
    *,
    on_event: OnEvent | None = None,
    progress: Progress | None = None,
    in_use_too: bool = False,
) -> RunResult:
    """Carry a scripted run out with real processes.

    Args:
        spec: a validated `RunSpec` with a script.
        registry: not used; there are no policies.
        on_event: told of what a log should hold: ``on_event(name, **fields)``.
        progress: told how many steps are done, and of how many.
        in_use_too: take KSM even if others on this host use it.

    Returns:
        The result; times in it are those of the host's clock. A run that failed says why in `error`.

    Raises:
        BadInput: the host, or the right to use it, is not such that the run could begin.
        HostNotRestored: something on the host could not be put back.
    """
    able.require_host()
    able.refuse_what_cannot_be_done([spec])
    tell = on_event or (lambda _name, **_fields: None)
    tell("run started", id=spec.id, experiment=spec.experiment, seed=spec.seed, linux=platform.release())
    for attempt in range(1, ATTEMPTS + 1):
        try:
            result = _Attempt(spec, tell, progress).carry_out(in_use_too)
            break
        except NotSteady as reason:
            tell("run repeated", attempt=attempt, reason=str(reason))
            last = reason
    else:
        error = NotSteady(f"{last}; this was attempt {ATTEMPTS} of {ATTEMPTS}, so there is no exact answer")
        result = _Attempt(spec, tell, progress).failed(error)
    tell("run finished", id=spec.id, status=result.status, ns=result.metrics.get("time.elapsed", 0))
    return result


class _Attempt:
    """One attempt at a run."""

    def __init__(self, spec: Any, tell: OnEvent, progress: Progress | None) -> None:
        self.spec, self.tell, self.progress = spec, tell, progress
        self.result = RunResult(spec.id, spec.seed, dict(spec.point))
        self.expectations = Expectations(spec.file, lambda comparison: tell("expectation failed", **comparison))

    def carry_out(self, in_use_too: bool) -> RunResult:
        with _host(self.spec, in_use_too) as host:
            script = Script(host, self.spec, self.expectations, self._record)
            try:
                script.run(self.progress)
                now = script.metrics()
                for one in self.spec.expect:
                    self.expectations.compare(one.metric, one.want, now, at="end", line=one.line)
            except (BadInput, NotSteady):
                raise
            except RunFailed as error:
                self.failed(error)
            with suppress(StepFailed):  # a run that failed because a process died has no figures any more
                self.result.metrics = script.metrics()
            self.result.expect = self.expectations.results
        return self.result

    def _record(self, label: str, metrics: dict[str, int]) -> None:
        ns = metrics["time.elapsed"]
        self.result.samples.append({"at": label, "ns": ns, "metrics": metrics})
        self.tell("sample", at=label, ns=ns, metrics=metrics)

    def failed(self, error: RunFailed) -> RunResult:
        """The result of a run that ended in an error."""
        self.tell("run failed", **self.result.fail(error))
        return self.result


@contextmanager
def _host(spec: Any, in_use_too: bool) -> Iterator[Host]:
    """The host made ready for one attempt: processes in a cgroup, swap, knobs; as it was when left."""
    with ExitStack() as stack:
        journal = stack.enter_context(guard.held(in_use_too=in_use_too))
        group = cgroup.Group(cgroup.find(), journal.note)
        area = swap.add(spec.machine["slots"], journal.note) if spec.machine["slots"] else None
        knobs = Knobs()
        _set(spec, knobs)
        journal.note({"undo": "kill", "folder": str(group.folder)})
        processes = stack.enter_context(Processes())
        processes.ready()
        group.adopt(processes.first_pid)
        group.limit(_limit(spec, group))
        yield Host(knobs, Ksmd(knobs), group, area, processes, Metrics(knobs, processes))


def _set(spec: Any, knobs: Knobs) -> None:
    for name, value in able.settings(spec).items():
        try:
            if knobs.read(name) != value:
                knobs.write(name, value)
        except OSError as error:
            raise BadInput(f"{spec.file}: ksm.{name}: {value} is refused ({error.strerror})") from None


def _limit(spec: Any, group: cgroup.Group) -> int:
    """Bytes that the cgroup may use: the machine's frames, and what every process needs that there will be."""
    steps = spec.workload["script"]
    made = 1 + sum(len(_names(step)) for step in steps)
    largest = max((step.args["pages"] for step in steps if step.kind == "mmap"), default=0)
    beside = made * (_PYTHON_BYTES + largest * _BYTES_PER_PAGE)
    return int(spec.machine["frames"]) * swap.PAGE + group.usage() + beside


def _names(step: Any) -> list[str]:
    return [step.args["child"]] if step.kind == "fork" else step.args["process"] if step.kind == "spawn" else []
