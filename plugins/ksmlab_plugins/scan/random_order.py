"""Every page once per scan, in random order.

A baseline without a bias: whatever an order gains over this one, it gains by what it knows. It also breaks up
the runs of addresses in which pages of equal content lie in cloned machines.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ksmlab_core.policy import ScanColumns, ScanOrder, hookimpl


class Random(ScanOrder):
    """Look at pages in random order, each once per scan."""

    name = "random"
    batch = 1024

    def order(self, pages: ScanColumns, n: int) -> NDArray[np.intp]:
        due = np.flatnonzero(pages.last_scanned < pages.full_scans)
        return self.rng.permutation(due)[:n] if len(due) <= n else self.rng.choice(due, n, replace=False)


@hookimpl
def ksmlab_scan_orders() -> list[type[ScanOrder]]:
    return [Random]
