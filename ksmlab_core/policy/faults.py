"""From an exception inside a policy to a :class:`PolicyFault` that shows the policy's own lines, not ours."""

from __future__ import annotations

import inspect
import traceback
from pathlib import Path
from types import TracebackType

import ksmlab_core
from ksmlab_core.errors import KsmlabError, PolicyFault
from ksmlab_core.policy.base import Policy
from ksmlab_core.policy.inspection import source_of
from ksmlab_core.policy.loader import shown_path

CORE = str(Path(ksmlab_core.__file__).parent)


class guard:  # noqa: N801 - used as a function
    """Context in which an exception is the fault of `policy`.

    Cheap to enter and without state: one guard may serve a whole run, ``with asking: policy.decide(fault)``.

    Args:
        policy: an instance, or a class that is being built.
        hook: "reclaim", "swapin" or "scan".
    """

    __slots__ = ("hook", "policy")

    def __init__(self, policy: Policy | type[Policy], hook: str) -> None:
        self.policy, self.hook = policy, hook

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, (Exception, SystemExit)) and not _is_told_already(error, self.hook):
            raise fault_of(self.policy, self.hook, error) from error


def _is_told_already(error: BaseException, hook: str) -> bool:
    """Is this an error that goes on as it is? A workload may refuse its input; a policy can only be at fault."""
    return isinstance(error, KsmlabError if hook == "workload" else PolicyFault)


def fault_of(policy: Policy | type[Policy], hook: str, error: BaseException) -> PolicyFault:
    """The PolicyFault for an exception that a policy raised."""
    cls = policy if isinstance(policy, type) else type(policy)
    file, line = _place(cls, error)
    what = str(error)
    reason = f"{type(error).__name__}: {what}" if what else type(error).__name__
    return PolicyFault(cls.name, hook, f"{cls.__name__} raised {reason}", file=file, line=line, trace=_trace(error))


def wrong_answer(policy: Policy, hook: str, method: str, what: str) -> PolicyFault:
    """The PolicyFault for an answer that cannot be carried out: names the method and where it is written."""
    cls = type(policy)
    file, line = source_of(inspect.unwrap(getattr(cls, method)))
    return PolicyFault(cls.name, hook, f"{cls.__name__}.{method} {what}", file=file and shown_path(file), line=line)


def _place(cls: type, error: BaseException) -> tuple[str, int | None]:
    """Deepest line of the policy's own files that the error came through, else where the class is written."""
    own = {source_of(base)[0] for base in cls.__mro__ if base.__module__.partition(".")[0] != "ksmlab_core"}
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        if frame.filename in own:
            return shown_path(frame.filename), frame.lineno
    file, line = source_of(cls)
    return (shown_path(file) if file else ""), line


def _trace(error: BaseException) -> str:
    """The traceback as Python prints it, without the core's frames."""
    told = traceback.TracebackException.from_exception(error)
    _leave_out_core(told, set())
    return "".join(told.format())


def _leave_out_core(told: traceback.TracebackException, seen: set[int]) -> None:
    """Strip the core's frames from an exception and from those that it was raised from."""
    if id(told) in seen:
        return
    seen.add(id(told))
    theirs = [frame for frame in told.stack if not frame.filename.startswith(CORE)]
    told.stack = traceback.StackSummary.from_list(theirs)
    for earlier in (told.__cause__, told.__context__):
        if earlier is not None:
            _leave_out_core(earlier, seen)
