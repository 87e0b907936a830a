"""Everything that ksmlab raises on purpose, as one tree.

::

    KsmlabError                     prints as one line (or one line per problem)
    ├── BadInput                    what the user gave is wrong: exit status 2
    │   ├── Problems                several of them, found in one reading
    │   ├── UnknownName             no such policy, workload, metric, profile ...
    │   ├── PluginRejected          a plugin file or package that cannot be used
    │   ├── CaptureRejected         a capture file that is torn, foreign or too new
    │   ├── TraceRejected           a trace file that is torn or foreign
    │   ├── HostUnfit               the running kernel, or who asks, lacks what a run on it needs
    │   └── HostInUse               somebody else uses what such a run would take for itself
    └── RunFailed                   the input was fine, the run was not: exit status 1
        ├── StepFailed              a script step that cannot be carried out
        ├── PolicyFault             a policy raised, or answered nonsense
        ├── InvariantViolated       the machine contradicts one of INV-1 to INV-20
        ├── NotSteady               the running kernel did not do exactly what was asked, however often it was repeated
        ├── HostNotRestored         something on the host could not be put back as it was
        ├── ClusterLost             the cluster that runs were carried out on went away
        └── ResultsNotWritten       the results' folder cannot be written

Each class carries data; ``str()`` of it is what a person reads.
"""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The known name closest to `word`, or None when none is close."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


class KsmlabError(Exception):
    """Base of all errors that carry a message for the user."""

    exit_status = 1


@dataclass(frozen=True)
class Problem:
    """One thing wrong in one place of a file.

    Prints as ``FILE:LINE:COL: path.to.key: what is wrong; what is allowed; did you mean 'x'?``
    """

    file: str
    line: int | None
    column: int | None
    path: str
    what: str
    allowed: str | None = None
    suggestion: str | None = None

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        message = f"{place}: {self.path}: {self.what}" if self.path else f"{place}: {self.what}"
        if self.allowed:
            message += f"; {self.allowed}"
        if self.suggestion:
            message += f"; did you mean {self.suggestion!r}?"
        return message


class BadInput(KsmlabError):
    """What the user gave cannot be used."""

    exit_status = 2


class Problems(BadInput):
    """Every problem of one file, in the order of its lines."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = sorted(problems, key=lambda p: (p.file, p.line or 0, p.column or 0))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UnknownName(BadInput):
    """A name that nothing is registered under."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        self.suggestion = did_you_mean(name, self.known)
        message = f"no {kind} is called {name!r}; known: {', '.join(self.known) or 'none'}"
        if self.suggestion:
            message += f"; did you mean {self.suggestion!r}?"
        super().__init__(message)


class PluginRejected(BadInput):
    """A plugin that cannot be loaded or registered."""

    def __init__(self, source: str, reason: str) -> None:
        self.source, self.reason = source, reason
        super().__init__(f"{source}: {reason}")


class CaptureRejected(BadInput):
    """A capture file that cannot be read."""

    def __init__(self, file: str, reason: str) -> None:
        self.file, self.reason = file, reason
        super().__init__(f"{file}: {reason}")


class TraceRejected(BadInput):
    """A trace file that cannot be read."""

    def __init__(self, file: str, reason: str) -> None:
        self.file, self.reason = file, reason
        super().__init__(f"{file}: {reason}")


class HostUnfit(BadInput):
    """The running kernel cannot be used; the message says what is missing."""


class HostInUse(BadInput):
    """KSM of this host is in use; the message says by whom."""


class RunFailed(KsmlabError):
    """A run that could not be finished."""


class StepFailed(RunFailed):
    """A script step that cannot be carried out, with the place that asked for it."""

    def __init__(self, reason: str, *, step: str = "", file: str = "", line: int | None = None) -> None:
        self.reason, self.step, self.file, self.line = reason, step, file, line
        place = f"{file}:{line}: " if file and line is not None else (f"{file}: " if file else "")
        super().__init__(f"{place}{step}: {reason}" if step else f"{place}{reason}")


class PolicyFault(RunFailed):
    """A policy that raised or gave an answer that cannot be carried out."""

    def __init__(
        self, policy: str, hook: str, reason: str, *, file: str = "", line: int | None = None, trace: str = ""
    ) -> None:
        self.policy, self.hook, self.reason = policy, hook, reason
        self.file, self.line, self.trace = file, line, trace
        place = f" ({file}:{line})" if file and line is not None else (f" ({file})" if file else "")
        super().__init__(f"policy {policy!r} ({hook}){place}: {reason}")


class InvariantViolated(RunFailed):
    """The machine's state contradicts an invariant of the specification."""

    def __init__(self, invariant: str, entity: str, reason: str, *, step: str = "", dump: str = "") -> None:
        self.invariant, self.entity, self.reason = invariant, entity, reason
        self.step, self.dump = step, dump
        after = f" after {step}" if step else ""
        super().__init__(f"{invariant} violated{after}: {entity}: {reason}" + (f"\n{dump}" if dump else ""))


class NotSteady(RunFailed):
    """What the running kernel did is not what was asked for, and repeating the run did not help."""


class HostNotRestored(RunFailed):
    """Something on the host is not as it was; the message says what."""


class ClusterLost(RunFailed):
    """The cluster that runs were carried out on is not there any more."""

    def __init__(self, address: str, what: str = "the cluster is gone") -> None:
        self.address = address
        super().__init__(f"{address}: {what}; runs that had finished are kept, the same command does the others")


class ResultsNotWritten(RunFailed):
    """The results of a run could not be stored."""

    def __init__(self, folder: str, reason: str) -> None:
        self.folder, self.reason = folder, reason
        super().__init__(f"{folder}: {reason}")


def as_data(error: BaseException) -> dict[str, Any]:
    """An exception as the `error` mapping of a failed run: type, message, file, line, trace.

    The trace is the plugin's where one is at fault, and ours where we are; a run that failed as runs do has none.
    """
    trace = ""
    if isinstance(error, PolicyFault):
        trace = error.trace
    elif not isinstance(error, RunFailed):
        trace = "".join(traceback.format_exception(error))
    file, line = "", None
    if isinstance(error, PolicyFault | StepFailed):
        file, line = error.file, error.line
    message = str(error) if isinstance(error, RunFailed) else f"a fault in ksmlab itself: {error!r}"
    described = {
        "type": type(error).__name__,
        "message": message,
        "file": file or None,
        "line": line,
        "trace": trace or None,
    }
    if isinstance(error, InvariantViolated):
        described["invariant"] = error.invariant
    return described
