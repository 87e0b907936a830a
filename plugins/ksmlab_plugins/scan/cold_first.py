"""Pages that nobody has used for long come first.

A page that is used is likely to be written, and a merge that the next write breaks costs a comparison, a copy
and a fault for nothing. Idle pages stay merged; and while the scan is under way, hot pages have time to cool
down.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ksmlab_core.policy import ScanColumns, ScanOrder, hookimpl, smallest


class ColdFirst(ScanOrder):
    """Look at the least recently used pages first, each once per scan."""

    name = "cold-first"
    batch = 1024

    def order(self, pages: ScanColumns, n: int) -> NDArray[np.intp]:
        due = np.flatnonzero(pages.last_scanned < pages.full_scans)
        return due[smallest(pages.last_access_ns[due], n)]


@hookimpl
def ksmlab_scan_orders() -> list[type[ScanOrder]]:
    return [ColdFirst]
