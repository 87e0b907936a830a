"""Making a broken case small enough for a person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ksmlab_core.testing.cases import HOOKS, Case
from ksmlab_core.testing.fuzz import Broken, carry_out
from ksmlab_core.testing.script_text import experiment_text

Try = Callable[[Case], "Broken | None"]


def broken(case: Case) -> Broken | None:
    """How the case breaks, if it does."""
    try:
        carry_out(case)
    except Broken as error:
        return error
    return None


def minimised(error: Broken, attempt: Try = broken) -> Broken:
    """The same kind of break with no step that could be left out.

    Args:
        error: the break.
        attempt: carries a case out and says how it breaks.
    """
    size = len(error.case.steps)
    while size > 0:
        smaller = _without_some(error, size, attempt)
        while smaller is not None:
            error = smaller
            smaller = _without_some(error, size, attempt)
        size = min(size, len(error.case.steps)) // 2
    return error


def _without_some(error: Broken, size: int, attempt: Try) -> Broken | None:
    """The break without `size` steps that follow each other, the last such steps that it does not need."""
    steps = list(error.case.steps)
    for end in range(len(steps), 0, -size):
        found = attempt(replace(error.case, steps=steps[: max(0, end - size)] + steps[end:]))
        if found is not None and found.kind == error.kind:
            return found
    return None


def simplest(error: Broken) -> Broken:
    """A minimised break on as plain a machine, with as many of the kernel's own policies, as show it too."""
    error = minimised(error)
    kernel: dict[str, Any] = {"use": "kernel", "params": {}}
    for hook in HOOKS:
        error = _if_the_same(error, replace(error.case, policies={**error.case.policies, hook: kernel}))
    plainer: list[dict[str, Any]] = [
        {"switches": {}},
        {"profile": "seed"},
        {"every_ns": None},
        {"small_tables": False},
        {"swap_start": 1},
    ]
    for plain in plainer:
        error = _if_the_same(error, replace(error.case, setting=replace(error.case.setting, **plain)))
    return minimised(error)


def _if_the_same(error: Broken, case: Case) -> Broken:
    found = broken(case)
    return found if found is not None and found.kind == error.kind else error


def described(error: Broken) -> str:
    """A broken case for a person: what broke, how to see it again, and the experiment."""
    again = f"again, from the whole script: python -m ksmlab_core.testing.fuzz {error.case.number}"
    return f"{error.kind}: {error.text}\n{again}\n{experiment_text(error.case)}"
