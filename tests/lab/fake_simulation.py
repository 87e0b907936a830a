"""A stand-in for the simulation: cheap, deterministic, and able to fail in every way that a run can.

A module of its own, importable by name, so that workers find it too.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np

from ksmlab_core.errors import BadInput, PolicyFault, StepFailed
from ksmlab_core.simulation import RunResult

SAMPLES = 200
MS = 1_000_000


def run(spec: Any, registry: Any, *, on_event: Any = None, progress: Any = None) -> RunResult:
    """A run whose numbers follow from its seed and its swap-in policy alone."""
    if on_event is not None:
        on_event("run started", seed=np.int64(spec.seed))
    if progress is not None:
        progress(1, 2)
        progress(2, 2)
    series = _series(spec.seed, spec.policies["swapin"]["use"])
    metrics = {name: int(values[-1]) for name, values in series.items()}
    return RunResult(
        id=spec.id,
        seed=spec.seed,
        point=dict(spec.point),
        status="succeeded",
        error=None,
        samples=[{"at": "wake-up", "ns": 1000 * MS, "metrics": {"ksm.merges": 7}}],
        metrics=metrics,
        expect=[_checked(one, metrics) for one in spec.expect],
        series=series,
        pages={"wake-up": "a0=P1"},
    )


def _checked(one: Any, metrics: dict[str, int]) -> dict[str, Any]:
    got = metrics.get(one.metric)
    low, high = (one.want.get("min"), one.want.get("max")) if isinstance(one.want, dict) else (one.want, one.want)
    ok = got is not None and (low is None or got >= low) and (high is None or got <= high)
    return {"at": "end", "metric": one.metric, "want": one.want, "got": got, "ok": ok, "line": one.line}


def _series(seed: int, swapin: str) -> dict[str, Any]:
    """Merging climbs, a wake-up at half time undoes some of it, and the policy decides how much comes back."""
    rng = np.random.default_rng(seed)
    time = np.arange(SAMPLES, dtype=np.int64) * 10 * MS
    awake = np.clip((time - 1000 * MS) / (400 * MS), 0, 1)
    lost = {"kernel": 0.7, "copy": 0.8, "remerge": 0.25, "defer": 0.5}[swapin]
    climb = 6000 * (1 - np.exp(-time / (300 * MS)))
    saved = climb * (1 - lost * awake) + rng.normal(0, 30, SAMPLES)
    noise = rng.random(SAMPLES)
    swapped_out = np.cumsum(20 * noise * (time > 400 * MS) * (1 + lost * awake)).astype(np.int64)
    swapped_in = np.cumsum(40 * noise * (awake > 0) * (0.6 + lost)).astype(np.int64)
    return {
        "time.elapsed": time,
        "machine.pages_saved": np.maximum(saved, 0).astype(np.int64),
        "ksm.merges": np.cumsum(np.diff(climb, prepend=0) + 5 * noise).astype(np.int64),
        "ksm.breaks": np.cumsum(lost * 20 * noise * awake).astype(np.int64),
        "vm.pswpout": swapped_out,
        "vm.pswpin": swapped_in,
        "vm.swapin_copies": (swapped_in * lost).astype(np.int64),
        "vm.swapin_remerges": (swapped_in * (1 - lost)).astype(np.int64),
        "vm.pgfault": swapped_in * 3 + 20_000,
        "vm.pgmajfault": swapped_in,
        "time.fault_stall": time // 4 + swapped_in * 10_000,
        "time.ksmd": time // 20 + swapped_in * int(5000 * lost),
        "time.kswapd": swapped_out * 12_000,
        "time.direct_reclaim": time // 50,
    }


def fails(spec: Any, registry: Any, *, on_event: Any = None, progress: Any = None) -> RunResult:
    """Point `remerge` fails in a step, `defer` in its policy, `copy` by a fault of ksmlab's own."""
    swapin = spec.policies["swapin"]["use"]
    if swapin == "remerge":
        raise StepFailed("process 'b' has exited", step="write", file=spec.file, line=12)
    if swapin == "defer":
        raise PolicyFault("defer", "swapin", "KeyError: 3", file="p.py", line=7, trace="Traceback ... p.py")
    if swapin == "copy":
        raise RuntimeError("a bug")
    return run(spec, registry, on_event=on_event, progress=progress)


def refuses(spec: Any, registry: Any, *, on_event: Any = None, progress: Any = None) -> RunResult:
    """Point `remerge` cannot begin."""
    if spec.policies["swapin"]["use"] == "remerge":
        raise BadInput("x.ksmcap: torn")
    return run(spec, registry, on_event=on_event, progress=progress)


def dies(spec: Any, registry: Any, *, on_event: Any = None, progress: Any = None) -> RunResult:
    """Point `remerge` takes its process with it."""
    if spec.policies["swapin"]["use"] == "remerge":
        os.kill(os.getpid(), signal.SIGKILL)
    return run(spec, registry, on_event=on_event, progress=progress)


def quits(spec: Any, registry: Any, *, on_event: Any = None, progress: Any = None) -> RunResult:
    """Point `remerge` leaves by the back door, others go on."""
    if spec.policies["swapin"]["use"] == "remerge":
        os._exit(3)
    return run(spec, registry, on_event=on_event, progress=progress)


def interrupted(spec: Any, registry: Any, *, on_event: Any = None, progress: Any = None) -> RunResult:
    """Ctrl-C during point `remerge`."""
    if spec.policies["swapin"]["use"] == "remerge":
        raise KeyboardInterrupt
    return run(spec, registry, on_event=on_event, progress=progress)


def dies_once(spec: Any, registry: Any, *, on_event: Any = None, progress: Any = None) -> RunResult:
    """Point `remerge` takes its process with it the first time that it is tried."""
    tried = Path(spec.base_dir) / f"{spec.experiment}-{spec.id}.tried"
    if spec.policies["swapin"]["use"] == "remerge" and not tried.exists():
        tried.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return run(spec, registry, on_event=on_event, progress=progress)


def counts(spec: Any, registry: Any, *, on_event: Any = None, progress: Any = None) -> RunResult:
    """Every run leaves a mark behind each time that it is done."""
    with (Path(spec.base_dir) / f"{spec.experiment}.done").open("a") as done:
        done.write(f"{spec.id}\n")
    return run(spec, registry, on_event=on_event, progress=progress)


def alike(spec: Any, registry: Any, *, on_event: Any = None, progress: Any = None) -> RunResult:
    """Whatever policy is asked for does what the kernel does."""
    return RunResult(id=spec.id, seed=spec.seed, point=dict(spec.point), metrics={"vm.pswpin": spec.seed})
