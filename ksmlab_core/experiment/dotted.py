"""Settings by dotted key: ``policies.swapin.budget``, ``workload.script.3.scan.passes``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ksmlab_core.experiment.complaints import shown
from ksmlab_core.experiment.document import KeyPath, format_path
from ksmlab_core.policy.kinds import HOOKS

SHORTHANDS: Final[dict[KeyPath, str]] = {
    ("kernel",): "profile",
    **{("policies", hook): "use" for hook in HOOKS},
}
"""Where a bare name stands for a mapping with this one key."""


class NotSettableError(ValueError):
    """A key that leads nowhere."""

    def __init__(self, what: str, allowed: str) -> None:
        super().__init__(what)
        self.what, self.allowed = what, allowed


def assigned(data: Any, parts: Sequence[str], value: Any, done: KeyPath = ()) -> tuple[Any, KeyPath]:
    """A copy of `data` with one value set, and the path of that value.

    What is not on the way to the value is shared with `data`, not copied.

    Raises:
        NotSettableError: A part of the way is neither a mapping nor a list that has the item.
    """
    if not parts:
        return value, done
    if isinstance(data, list):
        place = _place(data, parts[0], done)
        item, path = assigned(data[place], parts[1:], value, (*done, place))
        return [*data[:place], item, *data[place + 1 :]], path
    mapping = _opened(data, done)
    entry, path = assigned(mapping.get(parts[0]), parts[1:], value, (*done, parts[0]))
    return {**mapping, parts[0]: entry}, path


def unfolded(path: KeyPath, value: Any) -> Any:
    """The mapping that a bare name at `path` stands for; any other value as it is."""
    return {SHORTHANDS[path]: value} if path in SHORTHANDS and isinstance(value, str) else value


def _opened(data: Any, path: KeyPath) -> dict[str, Any]:
    if data is None:
        return {}
    mapping = unfolded(path, data)
    if isinstance(mapping, dict):
        return mapping
    raise NotSettableError(f"{format_path(path)} is {shown(data)}, which has no keys", "a key of a mapping")


def _place(data: list[Any], part: str, path: KeyPath) -> int:
    if part.isascii() and part.isdigit() and len(part) < 10 and int(part) < len(data):
        return int(part)
    allowed = f"a position from 0 to {len(data) - 1}" if data else "the list is empty"
    raise NotSettableError(f"{format_path(path)} has no item {shown(part)}", allowed)
