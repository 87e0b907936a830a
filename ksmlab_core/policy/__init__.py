"""What an author of a plugin imports: the three questions, what they show, what may be answered.

A policy is a class. It is registered by a function marked :data:`hookimpl`, chosen in an experiment file by
its ``name``, built once per run, and asked directly. ``plugins/README.md`` shows whole files.

Nothing here imports the compiled machine: reading an experiment file or writing a plugin costs no compiler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ksmlab_core.policy.base import Policy, ReclaimPolicy, RunInfo, ScanOrder, SwapinPolicy
from ksmlab_core.policy.columns import FrameColumns, ScanColumns
from ksmlab_core.policy.hookspecs import hookimpl
from ksmlab_core.policy.terms import ItemState, Outcome, Swapin, SwapinFault, Twin
from ksmlab_core.policy.tools import FrameNotes, LastUse, smallest

if TYPE_CHECKING:
    from ksmlab_core.policy.registry import load_registry
    from ksmlab_core.workload.base import Workload

__all__ = [
    "Field",
    "FrameColumns",
    "FrameNotes",
    "ItemState",
    "LastUse",
    "Outcome",
    "Policy",
    "ReclaimPolicy",
    "RunInfo",
    "ScanColumns",
    "ScanOrder",
    "Swapin",
    "SwapinFault",
    "SwapinPolicy",
    "Twin",
    "Workload",
    "hookimpl",
    "load_registry",
    "smallest",
]

_LATE = {"Workload": "ksmlab_core.workload.base", "load_registry": "ksmlab_core.policy.registry"}


def __getattr__(name: str) -> Any:
    """Import the two names that most policies never need only when they are asked for."""
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LATE[name]), name)
