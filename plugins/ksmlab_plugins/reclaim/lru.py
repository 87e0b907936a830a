"""Least recently used: the page whose last access is longest ago goes first.

What CLOCK and the kernel's two lists approximate. Exact here, because the simulator knows the time of every
access; no kernel could afford it. A page that could not be reclaimed counts as used at that moment, or it
would be named for ever.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ksmlab_core.policy import FrameColumns, FrameNotes, Outcome, ReclaimPolicy, RunInfo, hookimpl, smallest


class Lru(ReclaimPolicy):
    """Evict what was used longest ago."""

    name = "lru"
    batch = 256

    def started(self, run: RunInfo) -> None:
        self._put_back = FrameNotes(default=-1)  # when the page was last named and stayed, ns
        self._asked_ns = 0

    def victims(self, frames: FrameColumns, n: int) -> NDArray[np.int32]:
        self._asked_ns = frames.now_ns
        used = np.maximum(frames.last_access_ns, self._put_back.read(frames))
        return frames.index[smallest(used, n)]

    def reclaimed(self, index: NDArray[np.int32], outcome: NDArray[np.int8]) -> None:
        self._put_back.write(index[outcome != Outcome.FREED], self._asked_ns)


@hookimpl
def ksmlab_reclaim_policies() -> list[type[ReclaimPolicy]]:
    return [Lru]
