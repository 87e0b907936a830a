"""What a run's result follows from, and one name for all of it.

Two runs of one identity give the same integers, so the second need not be done. Settings count as they were resolved,
sources and files by their content. Where things lie, what they are called and on which line they were written does not
count. Of a plugin only the file counts that holds what was chosen, not what that file imports.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import ksmlab_core
from ksmlab_core.lab.manifest import chosen, versions
from ksmlab_core.lab.observers import observing

if TYPE_CHECKING:
    from ksmlab_core.experiment import RunSpec
    from ksmlab_core.lab.once import Simulate
    from ksmlab_core.policy.registry import Registry

ROOMS = ("capture", "mm", "policy", "simulation", "workload")
"""Where the sources lie that a simulated run is made by."""
_NAMES_AND_PLACES = ("id", "experiment", "file", "plugins", "point", "base_dir", "provenance")


class Part(NamedTuple):
    """Something that a run is made by."""

    digest: str
    """SHA-256, or a version where there is no file."""
    file: str
    """Where it lies here; empty where there is no file."""


Parts = Mapping[str, Part]
"""All of them, by what they are for: engine, numpy, policies.swapin, workload, workload.capture ..."""


def identity(spec: RunSpec, registry: Registry, parts: Parts) -> str:
    """A name for everything that a run's result follows from.

    Observers count too: they can fail a run, and hear of no run that is not done.
    """
    resolved = _settings(spec)
    made_by = {name: part.digest for name, part in parts.items()}
    text = json.dumps([resolved, made_by, sorted(one.sha256 for one in observing(registry))], default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def parts_of(spec: RunSpec, registry: Registry, simulate: Simulate | None = None) -> dict[str, Part]:
    """What a run is made by on this machine, besides its settings.

    Raises:
        UnknownName: a policy or workload of the run is not registered here.
    """
    parts = _engine(simulate)
    for name, kind, use in chosen(spec):
        entry = registry.get(kind, use)
        parts[name] = Part(f"{entry.version} {entry.sha256}", entry.file)
    base = Path(spec.base_dir)
    for name, value in _parameters(spec):
        _read_in(name, value, base, parts)
    return parts


def _engine(simulate: Simulate | None) -> dict[str, Part]:
    """The program that carries the run out."""
    feature = ".".join(versions()["numpy"].split(".")[:2])  # numpy may change its random streams from one to the next
    engine = {
        "engine": Part(f"{versions()['ksmlab']} {sources()}", str(Path(ksmlab_core.__file__).parent)),
        "numpy": Part(feature, ""),
    }
    if simulate is None:
        return engine
    function = getattr(simulate, "func", simulate)
    engine["carried out by"] = Part(f"{function.__module__}.{function.__qualname__} {platform.release()}", "")
    return engine


@lru_cache(maxsize=1)
def sources() -> str:
    """SHA-256 of the sources that every simulated run is made by."""
    core, digest = Path(ksmlab_core.__file__).parent, hashlib.sha256()
    for path in sorted(path for room in ROOMS for path in (core / room).rglob("*.py")):
        digest.update(f"{path.relative_to(core)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _settings(spec: RunSpec) -> dict[str, Any]:
    """The resolved settings without names and places; files that are named in it are told apart by their content."""
    settings = {name: value for name, value in spec.as_dict().items() if name not in _NAMES_AND_PLACES}
    for step in (*settings["workload"].get("script", ()), *settings["expect"]):
        step.pop("line")
        step.pop("column", None)
    base = Path(spec.base_dir)
    for holder in (*settings["policies"].values(), settings["workload"]):
        if "params" in holder:
            holder["params"] = _read_in("", holder["params"], base, {})
    return settings


def _parameters(spec: RunSpec) -> list[tuple[str, Any]]:
    found = [(f"policies.{hook}", choice["params"]) for hook, choice in sorted(spec.policies.items())]
    return [*found, ("workload", spec.workload.get("params", {}))]


def _read_in(name: str, value: Any, base: Path, found: dict[str, Part]) -> Any:
    """Put every file that a parameter names into `found`; the value with its name left out."""
    if isinstance(value, dict):
        return {key: _read_in(f"{name}.{key}", inner, base, found) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_read_in(f"{name}.{nth}", inner, base, found) for nth, inner in enumerate(value)]
    if not isinstance(value, str) or (digest := digest_of(base / value)) is None:
        return value
    found[name] = Part(digest, str(base / value))
    return "(a file)"


def digest_of(path: Path) -> str | None:
    """SHA-256 of a file, None if there is none of that name."""
    try:
        if not path.is_file():
            return None
        found = path.stat()
        return _digest_of_version(path, found.st_size, found.st_mtime_ns)
    except OSError:
        return None


@lru_cache(maxsize=256)
def _digest_of_version(path: Path, _size: int, _changed_ns: int) -> str:
    """As `digest_of`; a file that did not change is read once."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
