"""Setting pages_to_scan by how long a pass takes (the scan-time advisor, 6.8): R-B-ADV-1, R-B-ADV-2.

All in whole numbers, as the kernel reckons: seconds, per cents of a processor, per cents of the target.
"""

from __future__ import annotations

from ksmlab_core.mm._jit import jit
from ksmlab_core.mm.mm_types import (
    ADVISOR_CHANGE,
    ADVISOR_CPU_TIME,
    ADVISOR_MAX_CPU,
    ADVISOR_MAX_PAGES_TO_SCAN,
    ADVISOR_MODE,
    ADVISOR_SCAN_TIME,
    ADVISOR_STARTED,
    ADVISOR_TARGET_SCAN_TIME,
    KSM_PAGES_TO_SCAN,
    NOW,
    TICK,
    TIME_KSMD,
)

ADVISOR_NONE = 0
ADVISOR_SCAN_TIME_MODE = 1
EWMA_WEIGHT = 30  # per cent that the newest change counts
MIN_CPU = 10  # per cent of a processor that ksmd may always take
SECOND = 1_000_000_000
MILLISECOND = 1_000_000


@jit
def advisor_start_scan(m):
    """A pass begins."""
    if m.sc[ADVISOR_MODE]:
        m.sc[ADVISOR_STARTED] = m.sc[NOW] + m.sc[TICK]


@jit
def advised_pages(pages_to_scan, seconds, cpu_ms, last_seconds, last_change, target, max_cpu, max_pages):
    """(pages_to_scan of the next pass, smoothed change in per cent) after a pass of `seconds` and `cpu_ms` of ksmd.

    The arithmetic of R-B-ADV-2; times in s but for `cpu_ms`, `last_seconds` 0 at the first pass, `target` in s.
    """
    seconds = max(1, seconds)
    cpu_percent = max(1, cpu_ms * 100 // (seconds * 1000))
    factor = max(1, target * 100 // seconds)
    change = max(1, seconds * 100 // (last_seconds if last_seconds else seconds))
    change = ((100 - EWMA_WEIGHT) * last_change + EWMA_WEIGHT * change) // 100
    pages = pages_to_scan * 100 // factor * change // 100
    cost = max(1, pages_to_scan // cpu_percent)
    pages = min(pages, cost * max_cpu)
    pages = max(pages, cost * MIN_CPU)
    return min(pages, max_pages), change


@jit
def advisor_stop_scan(m):
    """A pass is over: set pages_to_scan for the next."""
    sc = m.sc
    if not sc[ADVISOR_MODE]:
        return
    seconds = max(1, (sc[NOW] + sc[TICK] - sc[ADVISOR_STARTED]) // MILLISECOND // 1000)
    cpu = sc[TIME_KSMD] + sc[TICK]
    pages, change = advised_pages(
        sc[KSM_PAGES_TO_SCAN],
        seconds,
        (cpu - sc[ADVISOR_CPU_TIME]) // MILLISECOND,
        sc[ADVISOR_SCAN_TIME],
        sc[ADVISOR_CHANGE],
        sc[ADVISOR_TARGET_SCAN_TIME],
        sc[ADVISOR_MAX_CPU],
        sc[ADVISOR_MAX_PAGES_TO_SCAN],
    )
    sc[KSM_PAGES_TO_SCAN] = pages
    sc[ADVISOR_CHANGE] = change
    sc[ADVISOR_SCAN_TIME] = seconds
    sc[ADVISOR_CPU_TIME] = cpu
