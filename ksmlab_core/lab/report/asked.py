"""What was asked for: settings by dotted name, their values in words, and the line of the file that each came from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ksmlab_core.lab.headline import text

if TYPE_CHECKING:
    from ksmlab_core.lab.collection import Collection, Run

PAGE_SIZE = 4096
_FILE_NAMES = {
    "kernel.profile": "kernel",
    "machine.frames": "machine.memory",
    "machine.slots": "machine.swap",
    "measure.every_ns": "measure.every",
    "measure.warmup_ns": "measure.warmup",
}
"""What settings are called in an experiment file, where a run's specification has another name."""


@dataclass(frozen=True)
class Setting:
    """One setting of a run."""

    name: str
    value: str
    origin: str
    """`line 12`, `--set ...`, or `default`."""


def settings_of(run: Run) -> list[Setting]:
    """Everything that was set for a run, or left at its default."""
    origins = run.spec.get("provenance", {})
    return [Setting(name, value, _origin(name, origins)) for name, value in _flat(_shown(run.spec))]


def settings(collection: Collection) -> tuple[list[Setting], list[list[Setting]]]:
    """What all runs share, once; and per run what others have otherwise."""
    of = [{one.name: one for one in settings_of(run)} for run in collection.runs]
    names = dict.fromkeys(name for one in of for name in one)
    values = {name: {one[name].value if name in one else None for one in of} for name in names}
    shared = [of[0][name] for name in names if len(values[name]) == 1]
    return shared, [[one for name, one in mine.items() if len(values[name]) > 1] for mine in of]


def _origin(name: str, origins: dict[str, int | str]) -> str:
    """Where a setting was written: it, or what it is part of."""
    path = _FILE_NAMES.get(name, name).replace(".params", "")
    while path:
        if path in origins:
            at = origins[path]
            return f"line {at}" if isinstance(at, int) and at else str(at) if at else "command line"
        path = path.rpartition(".")[0]
    return "default"


def _shown(spec: dict[str, Any]) -> dict[str, Any]:
    """The parts of a run's specification that say what was run."""
    return {
        name: spec[name]
        for name in ("seed", "kernel", "machine", "ksm", "policies", "workload", "measure")
        if name in spec
    }


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Leaves of nested mappings by dotted name; a script is only counted."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        yield path, f"{len(value)} steps"
    else:
        yield path, _leaf(path, value)


def _leaf(path: str, value: Any) -> str:
    if path in ("machine.frames", "machine.slots"):
        return f"{value:,} ({value * PAGE_SIZE / 2**20:,.0f} MiB)"
    if path.endswith("_ns") and isinstance(value, int):
        return text(value, "ns")
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}" if path != "seed" else str(value)
    return "–" if value is None else str(value)
