"""Every metric of a run, read off the machine: integers that belong to the engine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm.machine import Machine
from ksmlab_core.simulation.world import World

VMSTAT = {
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
KSM_EVENTS = {
    "merges": t.KSM_MERGES,
    "pages_scanned": t.KSM_PAGES_SCANNED,
    "compares": t.KSM_COMPARES,
    "checksums": t.KSM_CHECKSUMS,
    "forked": t.KSM_FORKED,
    "failed_merges": t.KSM_FAILED_MERGES,
    "orphaned": t.KSM_ORPHANS,
    "rmap_items": t.KSM_RMAP_ITEMS,
}
TIMES = {
    "ksmd": t.TIME_KSMD,
    "fault_stall": t.TIME_STALL,
    "kswapd": t.TIME_KSWAPD,
    "direct_reclaim": t.TIME_DIRECT,
    "swap_write": t.TIME_SWAP_WRITE,
}
LRU = {"active_anon": t.LRU_ACTIVE_ANON, "inactive_anon": t.LRU_INACTIVE_ANON, "unevictable": t.LRU_UNEVICTABLE}


def _machine_metrics(machine: Machine, mapped: tuple[int, int]) -> dict[str, int]:
    """Frames and slots; `mapped` are the distinct ones that ptes refer to."""
    sc, m = machine.sc, machine.state.m
    pg, mapcount = m.frame.pg, m.frame.mapcount
    used = m.frame.refcount > 0
    ksm = used & ((pg & t.PAGE_MAPPING_FLAGS) == t.PAGE_MAPPING_FLAGS)
    cached = used & ((pg & t.PG_SWAPCACHE) != 0)
    free = int(sc[t.NR_FREE])
    return {
        "machine.frames_mapped": mapped[0],
        "machine.slots_mapped": mapped[1],
        "machine.frames_used": int(sc[t.NR_FRAMES]) - free,
        "machine.frames_free": free,
        "machine.slots_used": int(sc[t.SWAP_INUSE]),
        "machine.ksm_frames_mapped": int(np.count_nonzero(ksm & (mapcount > 0))),
        "machine.ksm_frames_unmapped": int(np.count_nonzero(ksm & (mapcount == 0))),
        "machine.swapcache_mapped": int(np.count_nonzero(cached & (mapcount > 0))),
        "machine.swapcache_unmapped": int(np.count_nonzero(cached & (mapcount == 0))),
    }


def process_pages(machine: Machine, ptes: np.ndarray[Any, np.dtype[np.int32]]) -> tuple[int, int, int]:
    """(present, swapped, present and KSM) among ptes."""
    m = machine.state.m
    ptes = ptes[ptes >= 0]
    flags = m.pte_flags[ptes]
    present = (flags & t.PTE_PRESENT) != 0
    pg = m.frame.pg[m.pte_target[ptes[present]]]
    ksm = int(np.count_nonzero((pg & t.PAGE_MAPPING_FLAGS) == t.PAGE_MAPPING_FLAGS))
    return int(np.count_nonzero(present)), int(np.count_nonzero(flags & t.PTE_SWAP)), ksm


def distinct(machine: Machine) -> tuple[int, int, int]:
    """(distinct frames, distinct slots, present ptes) over all processes."""
    m = machine.state.m
    flags = m.pte_flags[: machine.nr_ptes]
    target = m.pte_target[: machine.nr_ptes]
    present = (flags & t.PTE_PRESENT) != 0
    seen = np.zeros(len(m.frame.refcount), np.bool_)
    seen[target[present]] = True
    named = np.zeros(len(m.slot.refs), np.bool_)
    named[target[(flags & t.PTE_SWAP) != 0]] = True
    return int(np.count_nonzero(seen)), int(np.count_nonzero(named)), int(np.count_nonzero(present))


def read_metrics(machine: Machine, world: World, policies: Iterable[tuple[str, Any]]) -> dict[str, int]:
    """Every metric now."""
    sc = machine.sc
    out = {f"ksm.{name}": value for name, value in machine.ksm_counters().items()}
    out.update({f"ksm.{name}": value for name, value in machine.knobs.items()})
    out.update({f"ksm.{name}": int(sc[scalar]) for name, scalar in KSM_EVENTS.items()})
    out.update({f"vm.{name}": int(sc[scalar]) for name, scalar in VMSTAT.items()})
    out.update({f"vm.nr_{name}": int(sc[t.LRU_COUNT + lru]) for name, lru in LRU.items()})
    frames, slots, present = distinct(machine)
    out.update(_machine_metrics(machine, (frames, slots)))
    out["machine.pages_saved"] = present - frames
    for process in world.live():
        resident, swapped, ksm = process_pages(machine, world.all_ptes(process))
        out[f"process.{process.name}.resident_pages"] = resident
        out[f"process.{process.name}.swapped_pages"] = swapped
        out[f"process.{process.name}.ksm_pages"] = ksm
    out["time.elapsed"] = int(sc[t.NOW])
    out.update({f"time.{name}": int(sc[scalar]) for name, scalar in TIMES.items()})
    for hook, policy in policies:
        out.update({f"policy.{hook}.{name}": int(n) for name, n in policy.counts.items()})
    return out
