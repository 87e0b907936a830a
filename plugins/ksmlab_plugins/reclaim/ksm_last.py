"""KSM pages last: while any other page can go, no KSM page does.

One end of the range in which `ksm-aware` weighs, `ksm-first` is the other. A KSM page serves all its sharers with one
frame, so it is worth keeping; but those that nobody uses any more lie there, and the rest is squeezed for it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ksmlab_core.policy import FrameColumns, LastUse, ReclaimPolicy, RunInfo, hookimpl


class KsmLast(ReclaimPolicy):
    """Evict KSM pages only when nothing else is left, least recently used first."""

    name = "ksm-last"
    batch = 256

    def started(self, run: RunInfo) -> None:
        self._last_use = LastUse()

    def victims(self, frames: FrameColumns, n: int) -> NDArray[np.int32]:
        return frames.index[np.lexsort((self._last_use.read(frames), frames.ksm))[:n]]

    def reclaimed(self, index: NDArray[np.int32], outcome: NDArray[np.int8]) -> None:
        self._last_use.note(index, outcome)


@hookimpl
def ksmlab_reclaim_policies() -> list[type[ReclaimPolicy]]:
    return [KsmLast]
