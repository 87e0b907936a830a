"""Second chance: a hand goes round the frames and takes pages not used since it last came by.

Corbató's algorithm for Multics (1968): nearly as good as LRU, and a referenced bit is all that the hardware
must bring. Here the bit is told from times: a page was used if its last access is later than the hand's last
visit. A page that the hand has never met counts as used, for its arrival was an access.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ksmlab_core.policy import FrameColumns, FrameNotes, ReclaimPolicy, RunInfo, hookimpl


class Clock(ReclaimPolicy):
    """Evict in frame order, but spare a page used since the hand last passed it."""

    name = "clock"
    batch = 256

    def started(self, run: RunInfo) -> None:
        self._visited = FrameNotes(default=-1)  # when the hand last passed the page, ns
        self._hand = 0  # the frame to look at next

    def victims(self, frames: FrameColumns, n: int) -> NDArray[np.int32]:
        used = frames.last_access_ns > self._visited.read(frames)
        turn = self._one_turn(frames.index)
        spared = used[turn]
        taken = np.flatnonzero(~spared)[:n]
        if len(taken) < n:  # a whole turn was not enough: the second finds the bits cleared
            again = np.flatnonzero(spared)[: n - len(taken)]
            passed, taken = np.flatnonzero(spared), np.concatenate((taken, again))
        else:
            passed = np.flatnonzero(spared[: taken[-1]]) if len(taken) else taken
        self._visited.write(frames.index[turn[passed]], frames.now_ns)
        victims = frames.index[turn[taken]]
        if len(victims):
            self._hand = int(victims[-1]) + 1
        return victims

    def _one_turn(self, index: NDArray[np.int32]) -> NDArray[np.intp]:
        """Rows in the order in which the hand comes to their frames."""
        rising = np.arange(len(index)) if (index[1:] > index[:-1]).all() else np.argsort(index, kind="stable")
        start = np.searchsorted(index[rising], self._hand)
        return np.concatenate((rising[start:], rising[:start]))


@hookimpl
def ksmlab_reclaim_policies() -> list[type[ReclaimPolicy]]:
    return [Clock]
