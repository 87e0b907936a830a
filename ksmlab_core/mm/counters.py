"""Every counter that the machine keeps, by the name that users read, and the scalar it lives in.

Nothing here is compiled: experiment files are checked against these names without loading the compiler.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ksmlab_core.mm import mm_types as t

KSM_EVENTS: Final[Mapping[str, int]] = {
    "merges": t.KSM_MERGES,
    "breaks": t.COW_KSM,
    "pages_scanned": t.KSM_PAGES_SCANNED,
    "compares": t.KSM_COMPARES,
    "checksums": t.KSM_CHECKSUMS,
    "forked": t.KSM_FORKED,
    "failed_merges": t.KSM_FAILED_MERGES,
    "orphaned": t.KSM_ORPHANS,
    "rmap_items": t.KSM_RMAP_ITEMS,
}
"""``ksm.<name>``: what ksmd did, beside the sysfs counters of the profile."""

VMSTAT: Final[Mapping[str, int]] = {
    "pgfault": t.PGFAULT,
    "pgmajfault": t.PGMAJFAULT,
    "pswpin": t.PSWPIN,
    "pswpout": t.PSWPOUT,
    "pgactivate": t.PGACTIVATE,
    "pgdeactivate": t.PGDEACTIVATE,
    "pgrefill": t.PGREFILL,
    "pgscan": t.PGSCAN_DIRECT,
    "pgsteal": t.PGSTEAL,
    "pgalloc": t.PGALLOC,
    "pgfree": t.PGFREE,
    "nr_anon_pages": t.NR_ANON_PAGES,
    "nr_mlock": t.NR_MLOCK,
    "nr_swapcache": t.NR_SWAPCACHE,
    "nr_active_anon": t.LRU_COUNT + t.LRU_ACTIVE_ANON,
    "nr_inactive_anon": t.LRU_COUNT + t.LRU_INACTIVE_ANON,
    "nr_unevictable": t.LRU_COUNT + t.LRU_UNEVICTABLE,
    "unevictable_pgs_mlocked": t.UNEVICTABLE_PGMLOCKED,
    "unevictable_pgs_munlocked": t.UNEVICTABLE_PGMUNLOCKED,
    "unevictable_pgs_cleared": t.UNEVICTABLE_PGCLEARED,
    "unevictable_pgs_culled": t.UNEVICTABLE_PGCULLED,
    "unevictable_pgs_rescued": t.UNEVICTABLE_PGRESCUED,
    "unevictable_pgs_stranded": t.UNEVICTABLE_PGSTRANDED,
    "ksm_swpin_copy": t.SWAPIN_COPIES,
    "swapin_copies": t.SWAPIN_COPIES,
    "swapin_remerges": t.SWAPIN_REMERGES,
    "swapin_deferred": t.SWAPIN_DEFERRED,
    "swapin_shared": t.SWAPIN_SHARED,
    "cow": t.COW_COPIES,
    "cow_ksm": t.COW_KSM,
    "oom_kill": t.OOM_KILL,
}
"""``vm.<name>``: the vmstat names the kernel has, and ours for what it does not count."""

TIMES: Final[Mapping[str, int]] = {
    "elapsed": t.NOW,
    "ksmd": t.TIME_KSMD,
    "fault_stall": t.TIME_STALL,
    "kswapd": t.TIME_KSWAPD,
    "direct_reclaim": t.TIME_DIRECT,
    "swap_write": t.TIME_SWAP_WRITE,
}
"""``time.<name>``, simulated ns."""

MACHINE: Final = (
    "frames_mapped",
    "slots_mapped",
    "frames_used",
    "frames_free",
    "slots_used",
    "slots_in_hand",
    "ksm_frames_mapped",
    "ksm_frames_unmapped",
    "swapcache_mapped",
    "swapcache_unmapped",
    "pages_saved",
    "contents_mapped",
)
"""``machine.<name>``: read off the page tables and the frame table, so never lagging."""

PROCESS: Final = ("resident_pages", "swapped_pages", "ksm_pages")
"""``process.<process>.<name>``."""

FIXED_METRICS: Final = frozenset(
    {f"vm.{name}" for name in VMSTAT}
    | {f"ksm.{name}" for name in KSM_EVENTS}
    | {f"time.{name}" for name in TIMES}
    | {f"machine.{name}" for name in MACHINE}
)
"""The metrics that every run has, whatever its profile, processes and policies."""
