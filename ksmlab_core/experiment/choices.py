"""Policies and workloads that a file chooses by name, with their parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ksmlab_core.errors import PluginRejected, UnknownName, did_you_mean
from ksmlab_core.experiment.complaints import Complaints, one_of, shown
from ksmlab_core.experiment.document import KeyPath
from ksmlab_core.policy.kinds import HOOKS

if TYPE_CHECKING:
    from ksmlab_core.policy.registry import Entry, Registry

DEFAULT: Final = "kernel"
"""The policy of a hook that nothing is chosen for."""


@dataclass(frozen=True)
class Chosen:
    """An entry of the registry, the parameters given for it at one place, and the place."""

    entry: Entry
    given: dict[str, Any]
    path: KeyPath


def check_policies(complaints: Complaints, value: Any, registry: Registry) -> dict[str, dict[str, Any]]:
    """``{hook: {"use": name, "params": {...}}}`` for every hook, parameters with their defaults.

    A class that is chosen for several hooks is one policy: it gets the parameters given at any of them.
    """
    choices = value if isinstance(value, dict) else {}
    if value is not None and not isinstance(value, dict):
        complaints.add(("policies",), f"{shown(value)} is not a mapping", one_of(HOOKS))
    for hook in choices:
        if hook not in HOOKS:
            complaints.unknown(("policies", hook), HOOKS, "there is no such hook")
    chosen = {
        hook: found
        for hook in HOOKS
        if (found := _choose(complaints, choices.get(hook, DEFAULT), hook, ("policies", hook), registry))
    }
    params = {}
    for cls in dict.fromkeys(found.entry.cls for found in chosen.values()):
        params[cls] = _parameters(complaints, [one for one in chosen.values() if one.entry.cls is cls])
    return {hook: {"use": found.entry.name, "params": params[found.entry.cls]} for hook, found in chosen.items()}


def check_generator(
    complaints: Complaints, value: dict[str, Any], registry: Registry, base_dir: Path
) -> dict[str, Any] | None:
    """``{"use": name, "params": {...}}`` of a workload that is chosen by name."""
    chosen = _choose(complaints, value, "workload", ("workload",), registry)
    if chosen is None:
        return None
    return {"use": chosen.entry.name, "params": _parameters(complaints, [chosen], base_dir)}


def _choose(complaints: Complaints, value: Any, kind: str, path: KeyPath, registry: Registry) -> Chosen | None:
    """The entry that a name, or a mapping with `use`, chooses."""
    given = dict(value) if isinstance(value, dict) else {"use": value}
    name = given.pop("use", None)
    where = (*path, "use") if isinstance(value, dict) else path
    if not isinstance(name, str):
        known = one_of(entry.name for entry in registry.entries(kind))
        what = "missing" if isinstance(value, dict) and name is None else f"{shown(name)} is not a name"
        complaints.add(where, what, known)
        return None
    try:
        return Chosen(registry.get(kind, name), given, path)
    except UnknownName as error:
        what = f"there is no {error.kind} {shown(name)}"
        complaints.add(where, what, one_of(error.known), did_you_mean(name, error.known))
        return None


def _parameters(complaints: Complaints, chosen: Sequence[Chosen], base_dir: Path | None = None) -> dict[str, Any]:
    """The validated parameters of one class with their defaults, as JSON data.

    Validators find the folder that relative file names start from as ``info.context["base_dir"]``.
    """
    together: dict[str, Any] = {}
    homes: dict[str, KeyPath] = {}
    for one in chosen:
        for name, value in one.given.items():
            if together.setdefault(name, value) != value:
                _complain_of_two(complaints, one, name, value, together[name])
            homes.setdefault(name, one.path)
    entry, path = chosen[0].entry, chosen[0].path
    try:
        params = complaints.validated(entry.params, together, path, context={"base_dir": base_dir}, homes=homes)
        return {} if params is None else params.model_dump(mode="json", by_alias=True)
    except Exception as error:  # a validator or serializer of the plugin's own
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise PluginRejected(entry.provider, f"the parameters of {entry.name!r} raised {reason}") from error


def _complain_of_two(complaints: Complaints, chosen: Chosen, name: str, value: Any, other: Any) -> None:
    complaints.add(
        (*chosen.path, name),
        f"{shown(value)} here, {shown(other)} at another hook",
        f"one {chosen.entry.name} fills both hooks, with the same parameters",
    )
