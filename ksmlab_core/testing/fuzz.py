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
import hashlib
import json
import re
import signal
import sys
import time
import traceback
import unittest.mock
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numba

from ksmlab_core.errors import InvariantViolated, StepFailed
from ksmlab_core.experiment.plan import Step
from ksmlab_core.mm import state
from ksmlab_core.mm.machine import Machine
from ksmlab_core.policy import RunInfo
from ksmlab_core.policy.building import build_policies
from ksmlab_core.simulation.engine import Engine
from ksmlab_core.simulation.expectations import Expectations
from ksmlab_core.simulation.rows import describe_pages
from ksmlab_core.simulation.script import Script
from ksmlab_core.simulation.seeds import stream
from ksmlab_core.simulation.watch import Watch
from ksmlab_core.testing.anyhow import Anyhow
from ksmlab_core.testing.cases import HOOKS, Case, Setting, case_of, registry

Look = Callable[[Engine, Step], None]
DEADLINE_S: Final = 20.0 if numba.config.DISABLE_JIT else 600.0  # compiled, the first case waits for the compiler
REFUSALS: Final = re.compile(
    r"out of memory: no frame is free and none can be reclaimed"
    r"|SIGBUS: the page could not be read from swap"
    r"|no process is registered with ksmd, so full_scans would never rise; .*"
    r"|ksmd cannot go on: no rmap_item can be had"
    r"|(madvise|mlock|munlock|mremap|swapoff|swapon|prctl|write to ksm\.\w+) returned (ENOMEM|EAGAIN|EINVAL|EBUSY)"
    r"|fork failed: ENOMEM"
    r"|no process '\w+'.*|process '\w+' has exited|process '\w+' has no area '\w+'.*"
    r"|page \d+ of area '\w+' is not (present|mapped)|nothing of area '\w+' is mapped there"
    r"|area '\w+' of '\w+' is read-only: the write would be a SIGSEGV"
    r"|these pages were not pinned by one `pin` step of the same pages"
)
"""Why a step of a random script may be refused."""
RISING: Final = re.compile(
    r"vm\.(?!nr_)|time\.|policy\.|ksm\.(merges|pages_scanned|compares|checksums|forked|failed|orph)"
)
"""Metrics that count events or time: they never fall."""


@dataclass
class Outcome:
    """What became of a case.

    Attributes:
        metrics: every metric at the end.
        refused: (line, kind, reason) of each step that could not be carried out.
        kinds: how often each kind of step was carried out.
        digest: a hash of all metrics after every step, and of what was refused.
    """

    metrics: dict[str, int] = field(default_factory=dict)
    refused: list[tuple[int, str, str]] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    digest: str = ""


class TooSlow(BaseException):
    """A case that does not come to its end; no Exception, so that no guard takes it for a policy's fault."""


class Broken(Exception):
    """A case did what no case may do; `kind` is the same for the same kind of break."""

    def __init__(self, case: Case, kind: str, text: str) -> None:
        self.case, self.kind, self.text = case, kind, text
        super().__init__(f"case {case.number}: {kind}\n{text}")


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


def _policies(case: Case) -> dict[str, Any]:
    choices = {hook: choice for hook, choice in case.policies.items() if choice["use"] != Anyhow.name}
    policies: dict[str, Any] = build_policies(registry(), choices, lambda role: stream(case.number, role))
    anyhow = Anyhow(None, stream(case.number, "policy.anyhow"))
    policies.update({hook: anyhow for hook in HOOKS if hook not in choices})
    info = RunInfo(id=f"case-{case.number}", seed=case.number, frames=case.setting.frames, slots=case.setting.slots)
    for policy in {id(policy): policy for policy in policies.values()}.values():
        policy.started(info)
    return policies


def _machine(setting: Setting) -> Machine:
    sizes = dict.fromkeys(state._INITIAL, 3) if setting.small_tables else {}
    with unittest.mock.patch.dict(state._INITIAL, sizes):
        return Machine(
            setting.kernel,
            frames=setting.frames,
            slots=setting.slots,
            nodes=setting.nodes,
            swap_start=setting.swap_start,
            drained=setting.pagevecs == "drained",
        )


def _engine(case: Case, invariants: str) -> Engine:
    setting = case.setting
    machine = _machine(setting)
    engine = Engine(machine, _policies(case), every_ns=setting.every_ns, watch=Watch(machine, invariants))
    for knob, value in setting.ksm.items():
        machine.set_knob(knob, value)
    engine.knobs_changed()
    return engine


def carry_out(case: Case, *, invariants: str = "steps", look: Look | None = None) -> Outcome:
    """Carry a case out.

    Args:
        case: what to carry out.
        invariants: when they are checked: "steps", "samples" or "never".
        look: called after every step.

    Raises:
        Broken: an invariant was violated, a policy was at fault, or something raised what it should not.
    """
    step = None
    try:
        with _deadline(DEADLINE_S):
            engine = _engine(case, invariants)
            run = _Run(engine, case)
            for step in case.steps:
                run.step(step)
                if look is not None:
                    look(engine, step)
            return run.ended()
    except TooSlow:
        raise Broken(case, f"too slow in {step.kind if step else 'nothing'}", f"after {DEADLINE_S} s: {step}") from None
    except InvariantViolated as error:
        raise Broken(case, error.invariant, str(error)) from error
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"at line {step.line if step else 0}: {error}\n{traceback.format_exc()}"
        raise Broken(case, f"{type(error).__name__} in {where.name}", text) from error


class _Run:
    """A script that goes on behind a step that was refused."""

    def __init__(self, engine: Engine, case: Case) -> None:
        self.engine = engine
        self.script = Script(engine, case.steps, f"case-{case.number}", Expectations(""), self._sample)
        self.outcome = Outcome()
        self._digest = hashlib.blake2b(digest_size=12)
        self._before: Mapping[str, int] = {}

    def _sample(self, _label: str, pages: bool) -> None:
        if pages:
            self._digest.update(describe_pages(self.engine.machine, self.engine.world).encode())
        self.engine.watch.at_sample()

    def step(self, step: Step) -> None:
        try:
            self.script.step(step)
            self.outcome.kinds[step.kind] += 1
        except StepFailed as refusal:
            if not REFUSALS.fullmatch(refusal.reason):
                raise
            self.outcome.refused.append((step.line, step.kind, refusal.reason))
            self.engine.watch.after_step(f"step {step.kind!r} of line {step.line}, which was refused")
        metrics = self.engine.metrics()
        self._check(metrics, step)
        self._digest.update(json.dumps(metrics, sort_keys=True).encode())

    def _check(self, metrics: Mapping[str, int], step: Step) -> None:
        """No metric is negative, no event is taken back, and time does not run backwards."""
        for name, value in metrics.items():
            if name.endswith("_profit"):  # what merging costs in memory can be more than it saves
                continue
            least = self._before.get(name, 0) if RISING.match(name) else 0
            assert value >= least, (
                f"{name} is {value} after {step.kind!r} of line {step.line}, at least {least} expected"
            )
        self._before = metrics

    def ended(self) -> Outcome:
        outcome = self.outcome
        outcome.metrics = self.engine.metrics()
        self._digest.update(json.dumps(outcome.refused).encode())
        outcome.digest = self._digest.hexdigest()
        return outcome


# -- the command --------------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """What many cases came to."""

    cases: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)  # metrics at the end, added up
    broken: list[Broken] = field(default_factory=list)

    def add(self, case: Case) -> Outcome | None:
        """Carry one case out and count what happened; None if it broke."""
        self.cases += 1
        try:
            outcome = carry_out(case)
        except Broken as error:
            self.broken.append(error)
            return None
        self.kinds.update(outcome.kinds)
        self.refusals.update(re.sub(r"'\w+'|\d+", "?", reason) for _line, _kind, reason in outcome.refused)
        self.events.update(outcome.metrics)
        return outcome

    def __str__(self) -> str:
        steps, refused = sum(self.kinds.values()), sum(self.refusals.values())
        return (
            f"{self.cases} cases, {len(self.broken)} broken; {steps} steps, {refused} more refused\n"
            f"steps: {dict(self.kinds.most_common())}\nrefused: {dict(self.refusals.most_common())}"
        )


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ksmlab_core.testing.fuzz", description="Random scripts.")
    parser.add_argument("first", type=int, help="number of the first case")
    parser.add_argument("--cases", type=int, default=1, help="how many (1)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no case after this long")
    parser.add_argument("--digests", action="store_true", help="print a hash of each case's metrics")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry cases out, those that break as small as they get; 1 if one broke."""
    from ksmlab_core.testing.shrink import described, simplest

    options = _arguments(arguments)
    began, tally = time.monotonic(), Tally()
    for number in range(options.first, options.first + options.cases):
        if time.monotonic() - began > options.seconds:
            break
        outcome = tally.add(case_of(number))
        if outcome is None:
            print(f"case {number} broke:\n{described(simplest(tally.broken[-1]))}", flush=True)
        elif options.digests:
            print(number, outcome.digest)
        if tally.cases % 1000 == 0:
            print(f"{tally.cases} cases, {len(tally.broken)} broken", file=sys.stderr, flush=True)
    if not options.digests:
        print(f"{tally}\nin {time.monotonic() - began:.0f} s")
    return 1 if tally.broken else 0


if __name__ == "__main__":
    sys.exit(main())
