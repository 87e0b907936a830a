"""Cases as experiment files, for people and for other programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from ksmlab_core.experiment.plan import Step
from ksmlab_core.testing.cases import Case

PAGE_SIZE: Final = 4096


def experiment_text(case: Case) -> str:
    """The experiment file of a case."""
    setting = case.setting
    machine = {
        "memory": setting.frames * PAGE_SIZE,
        "swap": setting.slots * PAGE_SIZE,
        "nodes": setting.nodes,
        "swap_start": setting.swap_start,
        "pagevecs": setting.pagevecs,
        "invariants": "steps",
    }
    lines = [
        f"experiment: case-{case.number}",
        f"seed: {case.number}",
        f"kernel: {json.dumps({'profile': setting.profile, **setting.switches})}",
        f"machine: {json.dumps(machine)}",
        f"ksm: {json.dumps(setting.ksm)}",
        f"policies: {json.dumps({hook: {'use': c['use'], **c['params']} for hook, c in case.policies.items()})}",
        *([f"measure: {json.dumps({'every': setting.every_ns})}"] if setting.every_ns else []),
        "workload:",
        "  script:",
    ]
    return "\n".join([*lines, *(f"    - {json.dumps(written(step))}" for step in case.steps), ""])


def written(step: Step) -> dict[str, Any]:
    """A step as a file gives it: a mapping of one key."""
    args = {name: value for name, value in step.args.items() if value is not None}
    if "pages" in args and isinstance(args["pages"], list):
        args["pages"] = "{}..{}".format(*args["pages"])
    if "content" in args:
        args["content"] = _content(args["content"])
    return {step.kind: _SHORT[step.kind](args) if step.kind in _SHORT else args}


def _content(content: dict[str, Any]) -> Any:
    if content["kind"] == "cycle":
        return {"cycle": content["n"], "from": content["from"]}
    return content["name"] if content["kind"] == "named" else content["kind"]


def _measured(args: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in args.items() if name != "columns"}


_SHORT: Final[dict[str, Callable[[dict[str, Any]], Any]]] = {
    "spawn": lambda args: args["process"],
    "exit": lambda args: args["process"],
    "lru": lambda args: args["action"],
    "swapoff": lambda _args: True,
    "swapon": lambda _args: True,
    "sleep": lambda args: args["ns"],
    "reclaim": lambda args: args or "all",
    "set": lambda args: {**args["knobs"], **({"returns": args["returns"]} if "returns" in args else {})},
    "expect": lambda args: args["metrics"],
    "measured": _measured,
}
"""Steps that are not written as a mapping of their arguments."""
