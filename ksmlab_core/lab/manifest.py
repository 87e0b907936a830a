"""What is kept beside a run's numbers: what was run, with what, and when."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ksmlab_core.experiment import Plan, RunSpec
    from ksmlab_core.policy.registry import Registry

_DEPENDS_ON = ("numpy", "numba", "llvmlite", "duckdb", "ksmlab")
_STEERS = ("NUMBA_", "KSMLAB_")
"""Beginnings of the names of environment variables that are told."""


def manifest(
    plan: Plan,
    spec: RunSpec,
    position: int,
    *,
    command: str,
    started: datetime,
    identity: str = "",
    seconds: float | None = None,
) -> dict[str, Any]:
    """Everything about a run that is not its result; the only place for times of day.

    Args:
        plan: what the run is of.
        spec: the run.
        position: its place in the sweep, from 0.
        command: the command line that does it again.
        started: when it was begun.
        identity: of all that its result follows from.
        seconds: that the run itself took, s; None if nobody knows.
    """
    finished = now()
    return {
        "experiment": plan.experiment,
        "about": plan.about,
        "file": str(plan.file),
        "command": command,
        "position": position,
        "identity": identity,
        "spec": spec.as_dict(),
        "versions": versions(),
        "host": host(),
        "plugins": provenance(spec, plan.registry),
        "started": started.isoformat(timespec="milliseconds"),
        "finished": finished.isoformat(timespec="milliseconds"),
        "seconds": None if seconds is None else round(seconds, 4),
    }


def now() -> datetime:
    """The time of day, UTC."""
    return datetime.now(UTC)


@cache
def versions() -> dict[str, str]:
    """Versions of what a result depends on, without importing any of it."""
    return {"python": platform.python_version()} | {name: _version(name) for name in _DEPENDS_ON}


@cache
def host() -> dict[str, Any]:
    """Where this process runs: name, kernel, processor, and what of the environment steers compiled code."""
    return {
        "name": platform.node(),
        "kernel": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpu": _processor(),
        "cpus": os.cpu_count(),
        "environment": {name: value for name, value in sorted(os.environ.items()) if name.startswith(_STEERS)},
    }


def _processor() -> str:
    """The processor's name as /proc/cpuinfo has it; empty where it has none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def provenance(spec: RunSpec, registry: Registry) -> list[dict[str, Any]]:
    """Where each policy and the workload of a run come from: provider, version, file and its sha256."""
    return [registry.get(kind, use).provenance() for _, kind, use in chosen(spec)]


def chosen(spec: RunSpec) -> list[tuple[str, str, str]]:
    """What a run has chosen by name: the setting, the kind, the name."""
    found = [(f"policies.{hook}", hook, choice["use"]) for hook, choice in sorted(spec.policies.items())]
    return [*found, ("workload", "workload", spec.workload["use"])] if "use" in spec.workload else found
