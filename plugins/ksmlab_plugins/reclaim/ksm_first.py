"""KSM pages first: while there is one that can go, no other page does.

One end of the range in which `ksm-aware` weighs, `ksm-last` is the other. It takes the frames whose loss makes many
processes fault, and which come back as copies; under the seed kernel, reclaim unmaps KSM pages without freeing
them (R-RECL-6). So it shows how bad a choice can be.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ksmlab_core.policy import FrameColumns, LastUse, ReclaimPolicy, RunInfo, hookimpl


class KsmFirst(ReclaimPolicy):
    """Evict KSM pages before all others, least recently used first."""

    name = "ksm-first"
    batch = 256

    def started(self, run: RunInfo) -> None:
        self._last_use = LastUse()

    def victims(self, frames: FrameColumns, n: int) -> NDArray[np.int32]:
        return frames.index[np.lexsort((self._last_use.read(frames), ~frames.ksm))[:n]]

    def reclaimed(self, index: NDArray[np.int32], outcome: NDArray[np.int8]) -> None:
        self._last_use.note(index, outcome)


@hookimpl
def ksmlab_reclaim_policies() -> list[type[ReclaimPolicy]]:
    return [KsmFirst]
