"""Scripted workloads: reading the steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ksmlab_core.errors import did_you_mean
from ksmlab_core.experiment.complaints import Complaints, shown
from ksmlab_core.experiment.document import KeyPath
from ksmlab_core.experiment.plan import Step
from ksmlab_core.experiment.rehearsal import Rehearsal
from ksmlab_core.experiment.steps import STEPS
from ksmlab_core.mm.profile import Profile

SCRIPT: Final[KeyPath] = ("workload", "script")
_FORM: Final = "one key, the name of the step, such as `spawn: a`"


@dataclass(frozen=True)
class Script:
    """A script that was read.

    Attributes:
        steps: Its steps.
        processes: Every process that it creates; None when a step was not understood.
    """

    steps: list[Step]
    processes: frozenset[str] | None


def check_script(complaints: Complaints, workload: dict[str, Any], profile: Profile | None) -> Script | None:
    """Read ``workload: {script: [...]}``, and rehearse it: who lives, what is mapped, when."""
    for key in workload:
        if key != "script":
            complaints.unknown(("workload", key), ("script",), "unknown key beside a script")
    items = workload["script"]
    if not isinstance(items, list) or not items:
        complaints.add(SCRIPT, f"{shown(items) if items else 'nothing'} is not a list of steps", _FORM)
        return None
    rehearsal = Rehearsal(complaints, profile)
    steps = []
    for place, item in enumerate(items):
        step = _read_step(complaints, item, (*SCRIPT, place))
        if step is None:
            rehearsal.missed(item)
        else:
            rehearsal.step(step, (*SCRIPT, place, step.kind))
            steps.append(step)
    return Script(steps, rehearsal.names() if rehearsal.all_known() else None)


def _read_step(complaints: Complaints, item: Any, path: KeyPath) -> Step | None:
    if not isinstance(item, dict):
        complaints.add(path, f"{shown(item)} is not a step", _FORM, _as_step(item))
        return None
    if len(item) != 1:
        said = ", ".join(item) or "no key"
        complaints.add(path, f"a step of {len(item)} keys: {shown(said)}", _FORM)
        return None
    kind, arguments = next(iter(item.items()))
    if kind not in STEPS:
        complaints.unknown((*path, kind), STEPS, "there is no such step")
        return None
    model = complaints.validated(STEPS[kind], arguments, (*path, kind))
    if model is None:
        return None
    place = complaints.places.of(path)
    return Step(kind, model.arguments(), place.line or 0, place.column or 0)


def _as_step(item: Any) -> str | None:
    """`swapoff: true` for a bare `swapoff`."""
    nearest = did_you_mean(item, STEPS) if isinstance(item, str) else None
    return f"{nearest}: ..." if nearest else None
