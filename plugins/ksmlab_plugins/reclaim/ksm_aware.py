"""Weigh what the loss of a frame costs all who share it against how long nobody has used it.

A frame costs the same memory whether one process maps it or forty, but losing a shared one makes every sharer
fault. LRU sees one last access and not how many wait behind it. The idea is that of cost-aware caching
(GreedyDual; Young, 1994), with the cost counted in faults:

    loss = 1 + sharer_weight * (sharers - 1) + write_weight * (must be written) + ksm_weight * (is a KSM page)

The rate at which that loss would come due is taken as loss / idle time, and the frames with the lowest go.
With all weights 0 this is LRU. Only + * / are used on floats, so that the choice is the same on every
machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ksmlab_core.policy import Field, FrameColumns, LastUse, ReclaimPolicy, RunInfo, hookimpl, smallest


class KsmAware(ReclaimPolicy):
    """Evict what costs its sharers least for the time that it has lain idle."""

    name = "ksm-aware"
    batch = 256

    class Params(ReclaimPolicy.Params):
        sharer_weight: float = Field(1.0, ge=0, description="loss added by each sharer after the first, faults")
        write_weight: float = Field(0.5, ge=0, description="loss added if the page must be written first, faults")
        ksm_weight: float = Field(
            0.0,
            ge=0,
            description="loss added to KSM pages, which the seed kernel unmaps long before it frees, faults",
        )

    def started(self, run: RunInfo) -> None:
        self._last_use = LastUse()

    def victims(self, frames: FrameColumns, n: int) -> NDArray[np.int32]:
        idle_ns = np.maximum(frames.now_ns - self._last_use.read(frames), 0) + 1
        return frames.index[smallest(self._loss(frames) / idle_ns, n)]

    def _loss(self, frames: FrameColumns) -> NDArray[np.float64]:
        """What losing each frame costs all its sharers together, in faults."""
        params = self.params
        loss: NDArray[np.float64] = np.maximum(frames.sharers, 1) * params.sharer_weight
        loss += 1.0 - params.sharer_weight
        loss += params.write_weight * (frames.dirty | ~frames.swapcache)
        if params.ksm_weight:
            loss += params.ksm_weight * frames.ksm
        return loss

    def reclaimed(self, index: NDArray[np.int32], outcome: NDArray[np.int8]) -> None:
        self._last_use.note(index, outcome)


@hookimpl
def ksmlab_reclaim_policies() -> list[type[ReclaimPolicy]]:
    return [KsmAware]
