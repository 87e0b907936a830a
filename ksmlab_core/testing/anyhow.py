"""A policy that answers anything it may: every question of every hook gets a random legal answer."""

from __future__ import annotations

from typing import Any

from ksmlab_core.policy import FrameColumns, ReclaimPolicy, ScanColumns, ScanOrder, Swapin, SwapinFault, SwapinPolicy
from ksmlab_core.policy.columns import Columns


class Anyhow(ReclaimPolicy, SwapinPolicy, ScanOrder):
    """Answer at random; what holds under this policy holds under any."""

    name = "anyhow"
    batch = 7

    def victims(self, frames: FrameColumns, n: int) -> Any:
        self.count("asked")
        if self.rng.random() < 0.1:
            _read_all(frames)
        k = int(self.rng.integers(1, min(n, len(frames)) + 1))
        return self.rng.choice(frames.index, k, replace=False)

    def decide(self, fault: SwapinFault) -> Swapin:
        self.count("decided")
        answers = [Swapin.KERNEL, Swapin.COPY, Swapin.DEFER]
        if fault.ksm_twin is not None:
            answers.append(Swapin.REMERGE)
        elif fault.shareable and not fault.cached:
            answers.append(Swapin.SHARE)
        answer = answers[int(self.rng.integers(0, len(answers)))]
        self.count(answer.value)
        return answer

    def order(self, pages: ScanColumns, n: int) -> Any:
        self.count("ordered")
        if self.rng.random() < 0.1:
            _read_all(pages)
        most = min(n, len(pages))
        k = int(self.rng.integers(0 if self.rng.random() < 0.2 else min(1, most), most + 1))
        return self.rng.choice(len(pages), k, replace=False)


def _read_all(columns: Columns) -> None:
    """Read every column once: each is computed only when somebody reads it."""
    for name in columns.COLUMNS:
        column = getattr(columns, name)
        assert column is None or len(column) == len(columns), name
