"""Least recently used: the page whose last access is longest ago goes first.

What CLOCK and the kernel's two lists approximate. Exact here, because the simulator knows the time of every
access; no kernel could afford it. A page that could not be reclaimed counts as used at that moment, or it
would be named for ever.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ksmlab_core.policy import FrameColumns, LastUse, ReclaimPolicy, RunInfo, hookimpl, smallest


class Lru(ReclaimPolicy):
    """Evict what was used longest ago."""

    name = "lru"
    batch = 256

    def started(self, run: RunInfo) -> None:
        self._last_use = LastUse()

    def victims(self, frames: FrameColumns, n: int) -> NDArray[np.int32]:
        return frames.index[smallest(self._last_use.read(frames), n)]

    def reclaimed(self, index: NDArray[np.int32], outcome: NDArray[np.int8]) -> None:
        self._last_use.note(index, outcome)


@hookimpl
def ksmlab_reclaim_policies() -> list[type[ReclaimPolicy]]:
    return [Lru]
