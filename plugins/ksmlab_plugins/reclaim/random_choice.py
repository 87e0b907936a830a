"""Any page, each as likely as the others.

The baseline without a memory: what a policy gains over this one, it gains by what it knows of use. On loops a little
larger than memory it beats LRU, which always evicts the page that is wanted next.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ksmlab_core.policy import FrameColumns, ReclaimPolicy, hookimpl


class Random(ReclaimPolicy):
    """Evict pages drawn at random."""

    name = "random"
    batch = 256

    def victims(self, frames: FrameColumns, n: int) -> NDArray[np.int32]:
        return self.rng.choice(frames.index, min(n, len(frames)), replace=False)


@hookimpl
def ksmlab_reclaim_policies() -> list[type[ReclaimPolicy]]:
    return [Random]
