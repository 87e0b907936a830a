"""The simulated machine beside the running kernel: the same run on both, and every figure in which they differ."""

from __future__ import annotations

import platform
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ksmlab_core.host.comparable import comparable
from ksmlab_core.lab.once import Simulate, Task, perform

if TYPE_CHECKING:
    from ksmlab_core.experiment import Plan, RunSpec
    from ksmlab_core.experiment.plan import Step
    from ksmlab_core.simulation import RunResult

_EXPECTING = ("expect", "measured")
_PROGRESS = frozenset({"ksm.full_scans", "ksm.pages_scanned", "ksm.pages_skipped"})
END = "(end)"
"""What the figures at the end of a run are called, beside its samples."""


@dataclass(frozen=True)
class Difference:
    """One figure that is not the same on both: label of the sample, metric, and the two values.

    Of a call that returned different things: the line, the call, and the two errors.
    """

    at: str
    metric: str
    machine: int | str
    kernel: int | str


@dataclass
class Verified:
    """One run on both machines.

    Attributes:
        id: name of the run within its experiment.
        compared: figures that were compared.
        differences: those that were not the same, in the order of the samples.
        failed: per machine ("machine", "kernel") why its run ended early.
    """

    id: str
    compared: int = 0
    differences: list[Difference] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Did both get to the end, with the same figures?"""
        return not self.differences and not self.failed

    def as_dict(self) -> dict[str, Any]:
        """The outcome as JSON data."""
        return {**asdict(self), "ok": self.ok}


def without_expectations(spec: RunSpec) -> RunSpec:
    """The run without what it expects: two machines are compared with each other, not with the file."""
    steps = [step for step in spec.workload.get("script", []) if step.kind not in _EXPECTING]
    workload = {"script": steps} if "script" in spec.workload else spec.workload
    return replace(spec, expect=[], workload=workload)


def sleeps(spec: RunSpec) -> bool:
    """Does a script sleep? What a running ksmd does meanwhile is a matter of the clock."""
    return any(step.kind == "sleep" for step in spec.workload.get("script", []))


def with_ksmd_held(spec: RunSpec) -> RunSpec:
    """The run with ksmd at work in `scan` steps only, and in sleeps, as it is on the running kernel.

    The simulated ksmd works beside the processes too, as `run: 1` asks, which no real one does in step with them.
    """
    if sleeps(spec) or "script" not in spec.workload:
        return spec
    steps = [replace(step, args=_stopped(step.args)) if step.kind == "set" else step for step in _script(spec)]
    ksm = {**spec.ksm, "run": 0} if spec.ksm.get("run") == 1 else spec.ksm
    return replace(spec, ksm=ksm, workload={"script": steps})


def _script(spec: RunSpec) -> list[Step]:
    steps: list[Step] = spec.workload["script"]
    return steps


def _stopped(args: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a `set` step that leaves ksmd stopped."""
    knobs = {name: 0 if (name, value) == ("ksm.run", 1) else value for name, value in args["knobs"].items()}
    return {**args, "knobs": knobs}


def verify(plan: Plan, spec: RunSpec, on_kernel: Simulate) -> Verified:
    """Do one run on both machines and compare.

    Args:
        plan: the experiment.
        spec: one of its points, `without_expectations`.
        on_kernel: carries a run out on the running kernel.
    """
    spec = with_ksmd_held(spec)
    machine = perform(Task(spec, 0), plan.registry)
    kernel = perform(Task(spec, 0, simulate=on_kernel), plan.registry)
    return compare(machine, kernel, _PROGRESS if sleeps(spec) else frozenset())


def compare(machine: RunResult, kernel: RunResult, leave_out: Collection[str] = ()) -> Verified:
    """Every comparable figure of two results of the same run, but for those to be left out."""
    outcome = Verified(machine.id)
    outcome.differences += _returned(machine, kernel)
    for at, ours, theirs in _pairs(machine, kernel):
        names = [name for name in comparable(ours, theirs) if name not in leave_out]
        outcome.compared += len(names)
        outcome.differences += [
            Difference(at, name, ours[name], theirs[name]) for name in names if ours[name] != theirs[name]
        ]
    for which, result in (("machine", machine), ("kernel", kernel)):
        if result.error is not None:
            outcome.failed[which] = result.error["message"]
    return outcome


def _returned(machine: RunResult, kernel: RunResult) -> Iterator[Difference]:
    """What calls returned of which the script says what they return."""
    for ours, theirs in zip(machine.expect, kernel.expect, strict=False):
        if ours["got"] != theirs["got"]:
            yield Difference(f"line {ours['line']}", ours["metric"], ours["got"], theirs["got"])


def _pairs(machine: RunResult, kernel: RunResult) -> Iterator[tuple[str, dict[str, int], dict[str, int]]]:
    """(label, metrics, metrics) of each sample that both have, and of the end if it tells more than the last sample."""
    before: list[dict[str, int]] = [{}, {}]
    for ours, theirs in zip(machine.samples, kernel.samples, strict=False):
        before = [ours["metrics"], theirs["metrics"]]
        yield ours["at"], ours["metrics"], theirs["metrics"]
    end = [machine.metrics, kernel.metrics]
    names = comparable(*end)
    tells_more = any(then.get(name) != now[name] for then, now in zip(before, end, strict=True) for name in names)
    if machine.error is None and kernel.error is None and tells_more:
        yield END, machine.metrics, kernel.metrics


def profile_doubt(specs: Sequence[RunSpec], release: str | None = None) -> str | None:
    """A line of warning where a file's profile is not the kernel that runs here; None where all are."""
    release = release or platform.release()
    running = re.match(r"\d+\.\d+", release)
    names = sorted({spec.kernel["profile"] for spec in specs})
    other = [name for name in names if running is None or name != f"v{running[0]}"]
    if not other:
        return None
    return f"profile {', '.join(other)} against Linux {release}: where the kernels differ, so do the figures"
