"""What a run gives back, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ksmlab_core.errors import RunFailed, as_data


@dataclass
class RunResult:
    """The outcome of one run.

    Attributes:
        id: the run's name within its experiment.
        seed: from which every random choice came.
        point: what the sweep set, by dotted key.
        status: "succeeded" or "failed".
        error: None, or type, message, file, line and trace of what ended the run.
        samples: what was recorded under labels: ``{"at", "ns", "metrics"}``.
        metrics: every metric at the end (of what had been done, for a failed run).
        expect: each comparison: ``{"at", "metric", "want", "got", "ok", "line"}``.
        series: periodic samples as columns of equal length, "time.elapsed" among them.
        pages: every page's state, by the label of the sample that asked for it.
    """

    id: str
    seed: int
    point: Mapping[str, Any]
    status: str = "succeeded"
    error: dict[str, Any] | None = None
    samples: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, int] = field(default_factory=dict)
    expect: list[dict[str, Any]] = field(default_factory=list)
    series: dict[str, np.ndarray[Any, np.dtype[np.int64]]] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Did the run finish, with every expectation met?"""
        return self.status == "succeeded" and all(comparison["ok"] for comparison in self.expect)

    def fail(self, error: RunFailed) -> dict[str, Any]:
        """Note what ended the run, and give it as data."""
        self.status = "failed"
        self.error = as_data(error)
        return self.error
