"""Carrying one run out, from its specification to its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ksmlab_core.errors import BadInput, RunFailed
from ksmlab_core.mm.errno import NAMES
from ksmlab_core.mm.machine import Machine
from ksmlab_core.mm.profile import profile
from ksmlab_core.policy import RunInfo
from ksmlab_core.policy.building import build_policies
from ksmlab_core.policy.faults import guard
from ksmlab_core.simulation.engine import Engine
from ksmlab_core.simulation.expectations import Expectations
from ksmlab_core.simulation.result import RunResult
from ksmlab_core.simulation.rows import describe_pages
from ksmlab_core.simulation.script import Script
from ksmlab_core.simulation.seeds import stream
from ksmlab_core.simulation.stream import Stream
from ksmlab_core.simulation.watch import Watch
from ksmlab_core.workload.protocol import checked

OnEvent = Callable[..., None]
Progress = Callable[[int, int | None], None]


def run(spec: Any, registry: Any, *, on_event: OnEvent | None = None, progress: Progress | None = None) -> RunResult:
    """Carry a run out.

    Args:
        spec: a validated `RunSpec`.
        registry: where its policies and its workload come from.
        on_event: told of what a log should hold: ``on_event(name, **fields)``.
        progress: told how far it is: accesses or steps done, and of how many if that is known.

    Returns:
        The result; a run that failed says why in `error` and keeps what was done until then.

    Raises:
        BadInput: the specification cannot be used on this machine.
    """
    return _Run(spec, registry, on_event, progress).carry_out()


class _Run:
    def __init__(self, spec: Any, registry: Any, on_event: OnEvent | None, progress: Progress | None) -> None:
        self.spec, self.registry, self.progress = spec, registry, progress
        self.on_event = on_event or (lambda _name, **_fields: None)
        self.result = RunResult(spec.id, spec.seed, dict(spec.point))
        self.expectations = Expectations(spec.file, self._expectation_failed)
        self.machine = self._machine()
        self.engine = self._engine()

    def _machine(self) -> Machine:
        spec = self.spec
        kernel = profile(spec.kernel["profile"]).with_switches(spec.kernel.get("switches") or {})
        try:
            machine = Machine(
                kernel,
                frames=spec.machine["frames"],
                slots=spec.machine["slots"],
                costs=spec.machine.get("costs", "default"),
                swap_start=spec.machine.get("swap_start", 1),
                drained=spec.machine.get("pagevecs", "drained") == "drained",
                nodes=spec.machine.get("nodes", 1),
                file_pages=spec.machine.get("file_pages", 0),
            )
        except MemoryError:
            raise BadInput(f"{spec.file}: machine: more than this computer's memory can simulate") from None
        return machine

    def _engine(self) -> Engine:
        spec = self.spec
        policies = build_policies(self.registry, spec.policies, lambda role: stream(spec.seed, role))
        every = (spec.measure or {}).get("every_ns")
        engine = Engine(
            self.machine,
            policies,
            every_ns=every,
            warmup_ns=(spec.measure or {}).get("warmup_ns") or 0,
            on_event=self.on_event,
            watch=Watch(self.machine, spec.machine.get("invariants", "never")),
        )
        info = RunInfo(
            id=spec.id,
            experiment=spec.experiment,
            seed=spec.seed,
            profile=spec.kernel["profile"],
            frames=spec.machine["frames"],
            slots=spec.machine["slots"],
            policies={hook: policy.name for hook, policy in policies.items()},
            point=spec.point,
        )
        self._policies_by_instance = {id(policy): (hook, policy) for hook, policy in policies.items()}
        self._info = info
        return engine

    def carry_out(self) -> RunResult:
        self.on_event("run started", id=self.spec.id, experiment=self.spec.experiment, seed=self.spec.seed)
        try:
            self._start()
            self._workload()
            self.engine.watch.at_sample()
            self._final_expectations()
        except BadInput:
            raise
        except RunFailed as error:
            self.on_event("run failed", **self.result.fail(error))
        self.result.metrics = self.engine.metrics()
        self.result.series = self.engine.columns()
        self.result.expect = self.expectations.results
        self.on_event("run finished", id=self.spec.id, status=self.result.status, ns=self.engine.now)
        return self.result

    def _start(self) -> None:
        for hook, policy in self._policies_by_instance.values():
            with guard(policy, hook):
                policy.started(self._info)
        knobs = dict(self.spec.ksm)
        last = {name: knobs.pop(name) for name in ("advisor_mode", "run") if name in knobs}
        for name, value in (*knobs.items(), *last.items()):
            self._set_knob(name, value)
        self.engine.knobs_changed()

    def _set_knob(self, name: str, value: int | str) -> None:
        error = self.machine.set_knob(name, value)
        if error:
            raise BadInput(f"{self.spec.file}: ksm.{name}: {value} is refused ({NAMES[error]})")

    def _workload(self) -> None:
        spec = self.spec
        if "script" in spec.workload:
            script = Script(self.engine, spec.workload["script"], spec.file, self.expectations, self._record)
            script.run(self.progress)
            return
        entry = self.registry.get("workload", spec.workload["use"])
        params = entry.params(**(spec.workload.get("params") or {}))
        with guard(entry.cls, "workload"):
            workload = entry.cls(params, stream(spec.seed, "workload"), Path(spec.base_dir))
            total = workload.duration_hint()
            events = checked(entry.name, workload.events())
        if spec.measure and spec.measure.get("every_ns") and self.engine.next_event() == 0:
            self.engine.do_due()
        Stream(self.engine, self._record).run(_guarded(events, entry.cls), total, self.progress)

    def _record(self, label: str, pages: bool) -> None:
        metrics = self.engine.metrics()
        self.result.samples.append({"at": label, "ns": self.engine.now, "metrics": metrics})
        if pages:
            self.result.pages[label] = describe_pages(self.machine, self.engine.world)
        self.on_event("sample", at=label, ns=self.engine.now, metrics=metrics)
        self.engine.watch.at_sample()

    def _final_expectations(self) -> None:
        if self.spec.measure and self.spec.measure.get("every_ns"):
            self.engine.periodic_sample(last=True)
        metrics = self.engine.metrics()
        for expectation in self.spec.expect:
            self.expectations.compare(expectation.metric, expectation.want, metrics, at="end", line=expectation.line)

    def _expectation_failed(self, comparison: Mapping[str, Any]) -> None:
        self.on_event("expectation failed", **comparison)


def _guarded(events: Any, cls: Any) -> Any:
    """The events of a workload, a fault in its code named as its own."""
    events = iter(events)
    while True:
        with guard(cls, "workload"):
            event = next(events, None)
        if event is None:
            return
        yield event


__all__ = ["run"]
