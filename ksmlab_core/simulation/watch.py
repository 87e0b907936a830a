"""When the invariants are checked, and what is reported when one is violated."""

from __future__ import annotations

from typing import Any

from ksmlab_core.errors import InvariantViolated
from ksmlab_core.mm.invariants import Checker
from ksmlab_core.mm.machine import Machine


class Watch:
    """Looks at the machine after every step, at samples, or never.

    Args:
        machine: the machine.
        when: "steps", "samples" or "never".
    """

    def __init__(self, machine: Machine, when: str) -> None:
        self.when = when
        self.checks = 0
        self.checker = Checker(machine) if when != "never" else None

    def at_sample(self) -> None:
        """A sample was taken."""
        if self.when != "never":
            self.check("a sample")

    def after_step(self, step: str) -> None:
        """A step of the workload is over."""
        if self.when == "steps":
            self.check(step)

    def written(self, ptes: Any, contents: Any) -> None:
        """Accesses were carried out."""
        if self.checker is not None:
            self.checker.written(ptes, contents)

    def zeroed(self, ptes: Any) -> None:
        """Addresses are new or were given back."""
        if self.checker is not None:
            self.checker.zeroed(ptes)

    def copied(self, source: Any, target: Any) -> None:
        """A process was forked."""
        if self.checker is not None:
            self.checker.copied(source, target)

    def check(self, step: str) -> None:
        """Check everything now."""
        if self.checker is None:
            return
        self.checks += 1
        for violation in self.checker.violations():
            raise InvariantViolated(
                violation.invariant,
                violation.entity,
                violation.reason,
                step=step,
                dump=self.checker.dump(violation),
            )
