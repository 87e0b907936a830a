"""Random scripts driven through the policies, every invariant checked after every step.

One case is one number: it stands for a script, a machine and a policy for each question. A step that the machine has a
reason to refuse (no memory left, a page that is not present) is refused and the case goes on; anything else that goes
wrong breaks the case::

    python -m ksmlab_core.testing.fuzz 4711            # carry the case out; minimise it if it breaks
    python -m ksmlab_core.testing.fuzz 0 --cases 1000  # a thousand cases
"""

from __future__ import annotations

import argparse
import contextlib
import re
import signal
import sys
import time
import traceback
import unittest.mock
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from ksmlab_core.errors import InvariantViolated, RunFailed, StepFailed
from ksmlab_core.experiment.plan import Step
from ksmlab_core.mm import state
from ksmlab_core.mm.machine import Machine
from ksmlab_core.mm.profile import SWITCHES, profile
from ksmlab_core.policy import RunInfo
from ksmlab_core.policy.building import build_policies
from ksmlab_core.policy.registry import load_registry
from ksmlab_core.simulation.engine import Engine
from ksmlab_core.simulation.expectations import Expectations
from ksmlab_core.simulation.script import Script
from ksmlab_core.simulation.seeds import stream
from ksmlab_core.simulation.watch import Watch
from ksmlab_core.testing.anyhow import Anyhow
from ksmlab_core.testing.random_scripts import Dice, Setting, random_script, random_setting

HOOKS = ("reclaim", "swapin", "scan")
DEADLINE_S = 10.0
REFUSALS = re.compile(
    r"out of memory: no frame is free and none can be reclaimed"
    r"|SIGBUS: the page could not be read from swap"
    r"|no process is registered with ksmd, so full_scans would never rise; .*"
    r"|ksmd cannot go on: no rmap_item can be had"
    r"|(madvise|mlock|munlock|mremap|swapoff|swapon|fork failed:|write to ksm\.run) ?(returned|)? ?(ENOMEM|EAGAIN|EINVAL|EBUSY)"
    r"|no process '\w+'.*|process '\w+' has exited|process '\w+' has no area '\w+'.*"
    r"|page \d+ of area '\w+' is not (present|mapped)|nothing of area '\w+' is mapped there"
    r"|area '\w+' of '\w+' is read-only: the write would be a SIGSEGV"
    r"|these pages were not pinned by one `pin` step of the same pages"
)
"""Why a step of a random script may be refused."""


@dataclass(frozen=True)
class Case:
    """One random run."""

    number: int
    setting: Setting
    policies: dict[str, dict[str, Any]]
    steps: Sequence[Step]


@dataclass
class Outcome:
    """What became of a case.

    Attributes:
        metrics: every metric at the end.
        refused: (line, kind, reason) of each step that could not be carried out.
        kinds: how often each kind of step was carried out.
    """

    metrics: dict[str, int] = field(default_factory=dict)
    refused: list[tuple[int, str, str]] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)


class TooSlow(Exception):
    """A case that does not come to its end."""


class Broken(Exception):
    """A case did what no case may do; `kind` is the same for the same kind of break."""

    def __init__(self, case: Case, kind: str, text: str) -> None:
        self.case, self.kind, self.text = case, kind, text
        super().__init__(f"case {case.number}: {kind}\n{text}")


@cache
def _registry() -> Any:
    return load_registry(autoload=False)


def _parameters(dice: Dice, hook: str, name: str) -> dict[str, Any]:
    """Some policies with other parameters than the defaults."""
    choices: dict[tuple[str, str], dict[str, list[Any]]] = {
        ("reclaim", "ksm-aware"): {"sharer_weight": [0.0, 1.0, 3.0], "write_weight": [0.0, 0.5], "ksm_weight": [0.0, 9.0]},
        ("swapin", "remerge"): {"min_sharers": [1, 2, 3]},
        ("scan", "changed-last"): {"skip_above": [0, 1, 255, 255]},
    }
    return {key: dice.one(values) for key, values in choices.get((hook, name), {}).items()}


def policies_of(number: int) -> dict[str, dict[str, Any]]:
    """The policies of a case: consecutive numbers go through all combinations."""
    dice = Dice(number, 3)
    chosen = {}
    for hook in HOOKS:
        names = [*(entry.name for entry in _registry().entries(hook)), Anyhow.name]
        number, place = divmod(number, len(names))
        chosen[hook] = {"use": names[place], "params": _parameters(dice, hook, names[place])}
    return chosen


def case_of(number: int) -> Case:
    """The case that a number stands for."""
    switches = {name: switch.values for name, switch in SWITCHES.items() if len(switch.values) > 1}
    size = Dice(number, 4).between(10, 60)
    return Case(number, random_setting(number, switches=switches), policies_of(number), random_script(number, size))


@contextlib.contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Raise TooSlow in the main thread after so long (compiled code is not interrupted)."""

    def give_up(_signal: int, _frame: Any) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# -- carrying a case out ------------------------------------------------------------------------------------------


def _policies(case: Case, machine_info: RunInfo) -> dict[str, Any]:
    choices = {hook: choice for hook, choice in case.policies.items() if choice["use"] != Anyhow.name}
    policies: dict[str, Any] = build_policies(_registry(), choices, lambda role: stream(case.number, role))
    anyhow = Anyhow(None, stream(case.number, "policy.anyhow"))
    policies.update({hook: anyhow for hook in HOOKS if hook not in choices})
    for policy in {id(policy): policy for policy in policies.values()}.values():
        policy.started(machine_info)
    return policies


def _machine(setting: Setting) -> Machine:
    sizes = dict.fromkeys(state._INITIAL, 3) if setting.small_tables else {}
    with unittest.mock.patch.dict(state._INITIAL, sizes):
        return Machine(
            profile("seed").with_switches(setting.switches),
            frames=setting.frames,
            slots=setting.slots,
            swap_start=setting.swap_start,
            drained=setting.pagevecs == "drained",
        )


def _engine(case: Case, invariants: str) -> Engine:
    setting = case.setting
    machine = _machine(setting)
    info = RunInfo(id=f"case-{case.number}", seed=case.number, frames=setting.frames, slots=setting.slots)
    engine = Engine(machine, _policies(case, info), every_ns=setting.every_ns, watch=Watch(machine, invariants))
    for knob, value in setting.ksm.items():
        machine.set_knob(knob, value)
    engine.knobs_changed()
    return engine


def carry_out(case: Case, *, invariants: str = "steps", look: Callable[[Engine, Step], None] | None = None) -> Outcome:
    """Carry a case out.

    Args:
        invariants: when they are checked, as in `machine.invariants`.
        look: called after every step.

    Raises:
        Broken: an invariant was violated, a policy of ours was at fault, or something raised what it should not.
    """
    outcome = Outcome()
    step = case.steps[0] if case.steps else None
    try:
        with _deadline(DEADLINE_S):
            engine = _engine(case, invariants)
            script = Script(engine, case.steps, f"case-{case.number}", Expectations(""), lambda _label, _pages: None)
            script.record = lambda label, pages: _record(engine, outcome, pages)
            for step in case.steps:
                _carry_out_step(script, step, outcome)
                if look is not None:
                    look(engine, step)
            outcome.metrics = engine.metrics()
    except TooSlow:
        raise Broken(case, f"TooSlow in {step.kind if step else 'nothing'}", f"at {step}") from None
    except InvariantViolated as error:
        raise Broken(case, error.invariant, f"{error}") from error
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        kind = f"{type(error).__name__} in {where.name}"
        raise Broken(case, kind, f"at line {step.line if step else 0}: {error}\n{traceback.format_exc()}") from error
    return outcome


def _record(engine: Engine, outcome: Outcome, pages: bool) -> None:
    from ksmlab_core.simulation.rows import describe_pages

    engine.metrics()
    if pages:
        describe_pages(engine.machine, engine.world)
    engine.watch.at_sample()


def _carry_out_step(script: Script, step: Step, outcome: Outcome) -> None:
    try:
        script._line = step.line
        script.step(step)
        outcome.kinds[step.kind] += 1
    except StepFailed as refusal:
        if not REFUSALS.fullmatch(refusal.reason):
            raise
        outcome.refused.append((step.line, step.kind, refusal.reason))
        script.engine.watch.after_step(f"step {step.kind!r} (line {step.line}), which was refused")


# -- making a broken case small -----------------------------------------------------------------------------------


def broken(case: Case) -> Broken | None:
    """How the case breaks, if it does."""
    try:
        carry_out(case)
    except Broken as error:
        return error
    return None


def minimised(error: Broken) -> Broken:
    """The same break with as few steps as leaving out steps can reach."""
    size = max(1, len(error.case.steps) // 2)
    while True:
        smaller = _without_some(error, size)
        if smaller is not None:
            error = smaller
        elif size == 1:
            return error
        size = max(1, min(size, len(error.case.steps)) // 2) if smaller is None else size


def _without_some(error: Broken, size: int) -> Broken | None:
    steps = list(error.case.steps)
    for first in range(len(steps) - 1, -1, -size):
        rest = steps[: max(0, first - size + 1)] + steps[first + 1 :]
        found = broken(replace(error.case, steps=rest))
        if found is not None and found.kind == error.kind:
            return found
    return None


def simplest(error: Broken) -> Broken:
    """A minimised break, with the kernel's own policies wherever they break it too."""
    error = minimised(error)
    for hook in HOOKS:
        plain = {**error.case.policies, hook: {"use": "kernel", "params": {}}}
        found = broken(replace(error.case, policies=plain))
        if found is not None and found.kind == error.kind:
            error = found
    plain_setting = replace(error.case.setting, switches={}, every_ns=None)
    found = broken(replace(error.case, setting=plain_setting))
    return found if found is not None and found.kind == error.kind else error


def described(error: Broken) -> str:
    """A broken case for a person: what broke, and the steps."""
    case = error.case
    lines = [f"{error.kind}: {error.text}", f"setting: {case.setting}", f"policies: {case.policies}", "steps:"]
    lines += [f"  {step.line}: {step.kind} {step.args}" for step in case.steps]
    lines.append(f"again: python -m ksmlab_core.testing.fuzz {case.number}")
    return "\n".join(lines)


# -- the command --------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry cases out; 1 if one broke."""
    parser = argparse.ArgumentParser(prog="python -m ksmlab_core.testing.fuzz")
    parser.add_argument("first", type=int, help="number of the first case")
    parser.add_argument("--cases", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this long")
    options = parser.parse_args(arguments)
    began, status, steps, refusals = time.monotonic(), 0, Counter[str](), Counter[str]()
    number = options.first
    while number < options.first + options.cases and time.monotonic() - began < options.seconds:
        try:
            outcome = carry_out(case_of(number))
            steps.update(outcome.kinds)
            refusals.update(re.sub(r"'\w+'|\d+", "?", reason) for _line, _kind, reason in outcome.refused)
        except Broken as error:
            status = 1
            print(f"case {number}: {error.kind}", flush=True)
            print(described(simplest(error)), flush=True)
        number += 1
    done, seconds = number - options.first, time.monotonic() - began
    print(f"{done} cases in {seconds:.0f} s; {sum(steps.values())} steps, {sum(refusals.values())} refused")
    print(dict(steps.most_common()), dict(refusals.most_common()), sep="\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
