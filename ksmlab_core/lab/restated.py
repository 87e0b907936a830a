"""Results that stand, told in the words of the present file, which may have other lines now and another order.

What the numbers follow from is the same, or the run would be done again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ksmlab_core.experiment import Plan, RunSpec
    from ksmlab_core.lab.store import Stored
    from ksmlab_core.simulation import RunResult


def restated(
    stored: Stored, plan: Plan, spec: RunSpec, position: int, command: str
) -> tuple[RunResult, dict[str, Any]] | None:
    """A stored result and its manifest, as if it had been made from the present file.

    None if that cannot be told: a failure speaks of a line that is another one now.
    """
    lines = _moved_lines(stored.manifest["spec"], spec)
    if lines is None or (stored.result.error and any(old != new for old, new in lines.items())):
        return None
    expect = [one | {"line": lines.get(one["line"], one["line"])} for one in stored.result.expect]
    result = replace(stored.result, id=spec.id, seed=spec.seed, point=dict(spec.point), expect=expect)
    words = {
        "point": dict(spec.point),
        "experiment": plan.experiment,
        "about": plan.about,
        "file": str(plan.file),
        "position": position,
        "spec": spec.as_dict(),
    }
    about = stored.manifest | json.loads(json.dumps(words))
    # A command that differs by itself (another choice of runs, say) still does what the old one did.
    return result, about if about == stored.manifest else about | {"command": command}


def _moved_lines(old: Mapping[str, Any], spec: RunSpec) -> dict[int, int] | None:
    """The present line of each line that a step or an expectation was on; None where one became several."""
    before = [*old["workload"].get("script", ()), *old["expect"]]
    now = [*spec.workload.get("script", ()), *spec.expect]
    lines: dict[int, int] = {}
    for one, other in zip(before, now, strict=True):
        if lines.setdefault(one["line"], other.line) != other.line:
            return None
    return lines
