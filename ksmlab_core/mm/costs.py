"""What events cost, in simulated nanoseconds.

The figures come from what is published of real machines: 2 to 8 us for ksmd's work on one anonymous page and a quarter
to half a microsecond for one that is merged already (histograms of ``cmp_and_merge_page``), 55.6 us for a swap read from
zram and 147 us for a swap-in that copies (so about 90 us for its allocation, copy and accounting). A minor fault with its
zeroed page is taken as about a microsecond, a plain memory access as 50 ns of work between two touches of pages.
"""

from __future__ import annotations

from ksmlab_core.mm import mm_types as t

COSTS: dict[str, tuple[int, str]] = {
    "hit": (50, "one access that needs no fault"),
    "fault": (700, "entering and leaving a page fault"),
    "zero_fill": (300, "a new zeroed page"),
    "copy": (400, "copying a page (COW, swap-in copy, new KSM page)"),
    "swap_lookup": (500, "a swap-in that misses the swap cache: readahead set-up"),
    "swap_read": (55_000, "reading one page from swap"),
    "swap_write": (30_000, "writing one page to swap (asynchronous: counted, not waited for)"),
    "scan_page": (700, "ksmd: fixed work on a page that is not merged"),
    "scan_ksm": (350, "ksmd: work on a page that is merged already"),
    "checksum": (900, "ksmd: checksum of a page"),
    "compare": (120, "ksmd: comparing two pages on the way down a tree"),
    "merge": (1_500, "ksmd: write-protecting and replacing a pte"),
    "referenced": (60, "reclaim: testing one pte for use"),
    "unmap": (250, "reclaim: turning one pte into a swap pte"),
    "reclaim_page": (150, "reclaim: fixed work on a page"),
}

FREE = dict.fromkeys(COSTS, 0)
PRESETS: dict[str, dict[str, int]] = {
    "default": {name: cost for name, (cost, _about) in COSTS.items()},
    "free": FREE,
}


def cost_scalar(name: str) -> int:
    """The scalar of mm_types that holds this cost."""
    scalar: int = getattr(t, "COST_" + name.upper())
    return scalar


def resolve_costs(costs: str | dict[str, int]) -> dict[str, int]:
    """A whole table from a preset's name or from a mapping that changes some entries of the default."""
    if isinstance(costs, str):
        return dict(PRESETS[costs])
    return {**PRESETS["default"], **costs}
