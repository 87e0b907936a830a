"""Pages whose content kept changing come last.

ksmd's own rule against volatile pages is to wait until a checksum is the same twice (R-CMP). It still pays a
checksum for each of them in every scan; this order spends the beginning of a scan where a merge is likely to
hold.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ksmlab_core.policy import Field, ScanColumns, ScanOrder, hookimpl, smallest


class ChangedLast(ScanOrder):
    """Look first at pages that were never seen to change; leave out the worst if told to."""

    name = "changed-last"
    batch = 1024

    class Params(ScanOrder.Params):
        skip_above: int = Field(
            255, ge=0, le=255, description="leave out pages seen changed at more looks than this; 255: none"
        )

    def order(self, pages: ScanColumns, n: int) -> NDArray[np.intp]:
        changes = pages.changes
        due = np.flatnonzero((pages.last_scanned < pages.full_scans) & (changes <= self.params.skip_above))
        restless = 2 * changes[due] + ~pages.stable[due]  # of equal counts, those stable at the last look
        return due[smallest(restless, n)]


@hookimpl
def ksmlab_scan_orders() -> list[type[ScanOrder]]:
    return [ChangedLast]
