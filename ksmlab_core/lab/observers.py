"""Telling observer plugins of a run, in the process that holds them, wherever the run itself is done."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ksmlab_core.errors import PolicyFault, RunFailed, as_data

if TYPE_CHECKING:
    from ksmlab_core.experiment import RunSpec
    from ksmlab_core.policy.base import RunInfo
    from ksmlab_core.policy.loader import Provider
    from ksmlab_core.policy.registry import Registry
    from ksmlab_core.simulation import RunResult

Fault = dict[str, Any]
OBSERVERS = ("ksmlab_run_started", "ksmlab_sampled", "ksmlab_run_finished", "ksmlab_run_failed")


def observing(registry: Registry) -> list[Provider]:
    """The plugins that observe runs."""
    hooks = (getattr(registry.hook, name) for name in OBSERVERS)
    watching = [one.plugin for hook in hooks for one in hook.get_hookimpls()]
    return [provider for provider in registry.providers if any(provider.module is plugin for plugin in watching)]


def tell_started(registry: Registry, spec: RunSpec) -> Fault | None:
    """Tell every observer that a run is about to begin; the fault of one that raised, or None."""
    return _fault_of(lambda: registry.hook.ksmlab_run_started(run=run_info(spec)))


def tell_finished(registry: Registry, spec: RunSpec, result: RunResult, fault: Fault | None) -> RunResult:
    """Tell every observer what a run came to: its samples, then its end.

    Args:
        registry: holds the observers.
        spec: the run.
        result: what came out.
        fault: what `tell_started` returned for this run.

    Returns:
        The result; failed, with the observer's own traceback, if an observer raised.
    """
    fault = fault or _fault_of(lambda: _tell_all(registry, run_info(spec), result))
    return replace(result, status="failed", error=fault) if fault else result


def _tell_all(registry: Registry, run: RunInfo, result: RunResult) -> None:
    hook = registry.hook
    for sample in result.samples:
        hook.ksmlab_sampled(run=run, sample=sample)
    if result.error is None:
        hook.ksmlab_run_finished(run=run, result=result)
    else:
        hook.ksmlab_run_failed(run=run, failure=RunFailed(result.error["message"]))


def run_info(spec: RunSpec) -> RunInfo:
    """What plugins are told about a run."""
    from ksmlab_core.policy.base import RunInfo

    return RunInfo(
        id=spec.id,
        experiment=spec.experiment,
        seed=spec.seed,
        profile=spec.kernel["profile"],
        frames=spec.machine["frames"],
        slots=spec.machine["slots"],
        policies={hook: choice["use"] for hook, choice in spec.policies.items()},
        point=spec.point,
    )


def _fault_of(tell: Callable[[], object]) -> Fault | None:
    """Call something that calls plugins; what one raises becomes the fault of that plugin."""
    try:
        tell()
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return as_data(
            PolicyFault(
                last.name,
                "observer",
                f"{type(error).__name__}: {error}",
                file=last.filename,
                line=last.lineno,
                trace="".join(traceback.format_exception(error)),
            )
        )
    return None
