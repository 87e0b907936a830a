"""What events cost, in simulated nanoseconds.

Sources: histograms of ``cmp_and_merge_page`` published with the 6.11 series (2 to 8 us for an anonymous page, a quarter
to half a microsecond for one that is merged already), and the swap-in measurements of 2022 on zram (55.6 us for
``swap_readpage``; 147 us for a swap-in that copies). The rest are round figures of today's machines: a minor fault with
its zeroed page takes about a microsecond, and 50 ns of work lie between two accesses of pages. All can be set in an
experiment file; counters that are not times depend on them only through when ksmd and reclaim run.
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
