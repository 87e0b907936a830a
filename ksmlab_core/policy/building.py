"""From the choices of an experiment file to the policies of one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from pydantic import BaseModel, ValidationError

from ksmlab_core.errors import BadInput, UnknownName
from ksmlab_core.policy.base import Policy
from ksmlab_core.policy.faults import guard
from ksmlab_core.policy.kinds import HOOKS, KINDS

if TYPE_CHECKING:
    from ksmlab_core.policy.registry import Entry, Registry

Choice: TypeAlias = "str | Mapping[str, Any]"
DEFAULT = "kernel"


@dataclass(frozen=True)
class Resolved:
    """A choice that was found and whose parameters are valid."""

    entry: Entry
    params: BaseModel  # of all hooks that picked the same class together


def resolve_policies(registry: Registry, choices: Mapping[str, Choice]) -> dict[str, Resolved]:
    """Look the choices up and validate their parameters, without building anything.

    Args:
        choices: hook -> a name, ``{"use": name, **params}`` or ``{"use": name, "params": {...}}``, with the
            parameters that were given and no defaults. A hook that is left out gets ``kernel``.

    Raises:
        UnknownName: no such hook or policy.
        BadInput: wrong parameters, or two hooks that give one class different ones.
    """
    for hook in choices:
        if hook not in HOOKS:
            raise UnknownName("policy hook", hook, HOOKS)
    entries: dict[str, Entry] = {}
    given: dict[type, dict[str, tuple[str, Any]]] = {}
    for hook in HOOKS:
        name, params = _parts(hook, choices.get(hook, DEFAULT))
        entries[hook] = registry.get(hook, name)
        _unite(given.setdefault(entries[hook].cls, {}), hook, name, params)
    built = {cls: _validated(entries, cls, together) for cls, together in given.items()}
    return {hook: Resolved(entry, built[entry.cls]) for hook, entry in entries.items()}


def build_policies(
    registry: Registry, choices: Mapping[str, Choice], streams: Callable[[str], np.random.Generator]
) -> dict[str, Policy]:
    """The policies of one run, by hook. A class that was picked for several hooks is built once.

    Args:
        choices: as for :func:`resolve_policies`.
        streams: gives the random numbers of a role; called once per policy with ``policy.<hook>``, the first
            of its hooks in the order reclaim, swapin, scan.

    Raises:
        UnknownName, BadInput: as :func:`resolve_policies`.
        PolicyFault: a policy raised while it was built.
    """
    instances: dict[type, Policy] = {}
    policies: dict[str, Policy] = {}
    for hook, choice in resolve_policies(registry, choices).items():
        cls = choice.entry.cls
        if cls not in instances:
            with guard(cls, hook):
                instances[cls] = cls(choice.params, streams(f"policy.{hook}"))
        policies[hook] = instances[cls]
    return policies


def _parts(hook: str, choice: Choice) -> tuple[str, dict[str, Any]]:
    """Name and given parameters of a choice in any of its forms."""
    if isinstance(choice, str):
        return choice, {}
    rest = dict(choice)
    name = rest.pop("use", None)
    if not isinstance(name, str):
        raise BadInput(f"policies.{hook}: needs a name, or 'use: NAME' beside its parameters")
    nested = rest.get("params")
    if set(rest) == {"params"} and isinstance(nested, Mapping):
        return name, dict(nested)
    return name, rest


def _unite(together: dict[str, tuple[str, Any]], hook: str, name: str, params: Mapping[str, Any]) -> None:
    """Add what one hook gives to what the same class was given by others."""
    for key, value in params.items():
        first, there = together.setdefault(key, (hook, value))
        if there != value:
            raise BadInput(
                f"policies.{first} and policies.{hook} are one instance of {name!r}, "
                f"but {key} is {there!r} in one and {value!r} in the other"
            )


def _validated(entries: Mapping[str, Entry], cls: type[Any], together: Mapping[str, tuple[str, Any]]) -> BaseModel:
    """The parameters of a class, all hooks together; every problem named in one error."""
    hook, entry = next((hook, entry) for hook, entry in entries.items() if entry.cls is cls)
    try:
        return entry.params.model_validate({key: value for key, (_, value) in together.items()})
    except ValidationError as error:
        raise BadInput("\n".join(_problem(hook, entry, together, item) for item in error.errors())) from None


def _problem(hook: str, entry: Entry, together: Mapping[str, tuple[str, Any]], item: Mapping[str, Any]) -> str:
    """One line for one wrong parameter."""
    key = ".".join(str(part) for part in item["loc"])
    where = together[str(item["loc"][0])][0] if item["loc"] and item["loc"][0] in together else hook
    label = KINDS[where].label
    if item["type"] == "extra_forbidden":
        return str(UnknownName(f"parameter of {label} {entry.name!r}", key, entry.params.model_fields))
    what = item["msg"].removeprefix("Value error, ")
    return f"policies.{where}.{key}: {what} ({label} {entry.name!r})"
