"""What the lab adds to a run: planning, workers, storing; over 500 runs that take no time themselves."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .measure import Figure

if TYPE_CHECKING:
    from ksmlab_core.simulation import RunResult

RUNS = 500
_METRICS, _SAMPLES = 135, 50
_FILE = f"""\
experiment: overhead
kernel: v6.18
machine: {{memory: 1MiB, swap: 4MiB}}
workload: {{use: zipf, processes: 2, pages: 40, accesses: 100}}
measure: {{every: 1ms}}
sweep:
  matrix: {{policies.swapin: [kernel, remerge], ksm.pages_to_scan: [100, 200, 300, 400, 500]}}
  seeds: {RUNS // 10}
"""


def no_time(spec: Any, registry: Any, *, on_event: Any = None, progress: Any = None) -> RunResult:
    """A result as large as that of a real run, out of nothing."""
    from ksmlab_core.simulation import RunResult

    values = np.arange(_SAMPLES, dtype=np.int64) * (spec.seed + 1)
    series = {f"vm.metric_{number}": values * number for number in range(_METRICS - 1)} | {"time.elapsed": values}
    metrics = {name: int(column[-1]) for name, column in series.items()}
    return RunResult(id=spec.id, seed=spec.seed, point=dict(spec.point), metrics=metrics, series=series)


def overhead(rounds: int, share: float) -> list[Figure]:
    """Milliseconds a run, on the clock: in one process, with two workers, and where all stand already."""
    one, two, standing = [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            one.append(_round(Path(folder), 1, share))
            standing.append(_round(Path(folder), 1, share))
        with tempfile.TemporaryDirectory() as folder:
            two.append(_round(Path(folder), 2, share))
    return [
        Figure(f"a run's share of the lab, {RUNS} runs, -j 1", "ms", one, target=50),
        Figure(f"a run's share of the lab, {RUNS} runs, -j 2", "ms", two, target=50),
        Figure("finding that a run stands, and reading it", "ms", standing),
    ]


def _round(folder: Path, jobs: int, share: float) -> float:
    """Milliseconds a run, from the file to the last result."""
    from ksmlab_core.experiment import read_experiment
    from ksmlab_core.lab.runner import carry_out

    file = folder / "overhead.yaml"
    file.write_text(_FILE.replace(f"seeds: {RUNS // 10}", f"seeds: {max(1, round(RUNS * share) // 10)}"))
    start = time.perf_counter()
    plan = read_experiment(file)
    results = carry_out(plan, jobs=jobs, out=folder / "runs", simulate=no_time)
    return (time.perf_counter() - start) * 1e3 / len(results)
