"""First in, first out: the page that came first goes first, used or not.

The oldest replacement rule there is, and the floor to compare others with: it keeps no account of use, and
more memory can even give it more faults (Belady, Nelson and Shedler, 1969). A page that could not be
reclaimed goes to the tail of the queue.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ksmlab_core.policy import FrameColumns, FrameNotes, Outcome, ReclaimPolicy, RunInfo, hookimpl, smallest

BETWEEN = 1 << 20  # places in the queue between two arrivals, for pages that are put back


class Fifo(ReclaimPolicy):
    """Evict in the order of arrival."""

    name = "fifo"
    batch = 256

    def started(self, run: RunInfo) -> None:
        self._tail = FrameNotes(default=-1)  # the place that a page got when it was put back
        self._last = 0  # the last place given

    def victims(self, frames: FrameColumns, n: int) -> NDArray[np.int32]:
        place = np.maximum(frames.inserted * BETWEEN, self._tail.read(frames))
        self._last = max(self._last, int(place.max(initial=0)))
        return frames.index[smallest(place, n)]

    def reclaimed(self, index: NDArray[np.int32], outcome: NDArray[np.int8]) -> None:
        self._last += 1
        self._tail.write(index[outcome != Outcome.FREED], self._last)


@hookimpl
def ksmlab_reclaim_policies() -> list[type[ReclaimPolicy]]:
    return [Fifo]
