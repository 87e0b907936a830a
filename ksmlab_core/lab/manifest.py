"""What is kept beside a run's numbers: what was run, with what, and when."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ksmlab_core.experiment import Plan, RunSpec
    from ksmlab_core.policy.registry import Registry


def manifest(plan: Plan, spec: RunSpec, position: int, *, command: str, started: datetime) -> dict[str, Any]:
    """Everything about a run that is not its result; the only place for times of day."""
    finished = now()
    return {
        "experiment": plan.experiment,
        "about": plan.about,
        "file": str(plan.file),
        "command": command,
        "position": position,
        "spec": spec.as_dict(),
        "versions": versions(),
        "plugins": provenance(spec, plan.registry),
        "started": started.isoformat(timespec="milliseconds"),
        "finished": finished.isoformat(timespec="milliseconds"),
    }


def now() -> datetime:
    """The time of day, UTC."""
    return datetime.now(UTC)


def versions() -> dict[str, str]:
    """Versions of what a result depends on, without importing any of it."""
    return {"python": platform.python_version()} | {name: _version(name) for name in ("numpy", "numba", "ksmlab")}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def provenance(spec: RunSpec, registry: Registry) -> list[dict[str, Any]]:
    """Where each policy and the workload of a run come from: provider, version, file and its sha256."""
    chosen = [(hook, choice["use"]) for hook, choice in sorted(spec.policies.items())]
    if "use" in spec.workload:
        chosen.append(("workload", spec.workload["use"]))
    return [registry.get(kind, name).provenance() for kind, name in chosen]
