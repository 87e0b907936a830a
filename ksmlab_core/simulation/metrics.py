"""Every metric of a run, read off the machine: integers that belong to the engine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm.counters import KSM_EVENTS, TIMES, VMSTAT
from ksmlab_core.mm.machine import Machine
from ksmlab_core.simulation.world import World


def _machine_metrics(machine: Machine, mapped: tuple[int, int]) -> dict[str, int]:
    """Frames and slots; `mapped` are the distinct ones that ptes refer to."""
    sc, m = machine.sc, machine.state.m
    pg, mapcount = m.frame.pg, m.frame.mapcount
    used = m.frame.refcount > 0
    ksm = used & ((pg & t.PAGE_MAPPING_FLAGS) == t.PAGE_MAPPING_FLAGS)
    cached = used & ((pg & t.PG_SWAPCACHE) != 0)
    free = int(sc[t.NR_FREE])
    in_hand = int(sc[t.SLOT_CACHE_NR] + sc[t.SLOT_CACHE_NR_RETURNED])
    return {
        "machine.frames_mapped": mapped[0],
        "machine.slots_mapped": mapped[1],
        "machine.frames_used": int(sc[t.NR_FRAMES]) - free,
        "machine.frames_free": free,
        "machine.slots_used": int(sc[t.SWAP_INUSE]) - in_hand,
        "machine.slots_in_hand": in_hand,
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


def distinct(machine: Machine, ptes: Any) -> tuple[int, int, int]:
    """(distinct frames, distinct slots, present ptes) among ptes; an array of them may hold NONE."""
    m = machine.state.m
    if not isinstance(ptes, slice):
        ptes = ptes[ptes >= 0]
    flags, target = m.pte_flags[ptes], m.pte_target[ptes]
    present = (flags & t.PTE_PRESENT) != 0
    seen = np.zeros(len(m.frame.refcount), np.bool_)
    seen[target[present]] = True
    named = np.zeros(len(m.slot.refs), np.bool_)
    named[target[(flags & t.PTE_SWAP) != 0]] = True
    return int(np.count_nonzero(seen)), int(np.count_nonzero(named)), int(np.count_nonzero(present))


def contents_mapped(machine: Machine) -> int:
    """Distinct contents of the frames that ptes refer to: as many frames as they need if all equal pages share."""
    m = machine.state.m
    flags = m.pte_flags[: machine.nr_ptes]
    seen = np.zeros(len(m.frame.refcount), np.bool_)
    seen[m.pte_target[: machine.nr_ptes][(flags & t.PTE_PRESENT) != 0]] = True
    contents = np.sort(m.frame.content[seen])  # several times as fast as np.unique, which hashes
    return int(np.count_nonzero(contents[1:] != contents[:-1])) + bool(len(contents))


def read_metrics(
    machine: Machine, world: World, policies: Iterable[tuple[str, Any]], *, contents: bool = True
) -> dict[str, int]:
    """Every metric now; `contents` takes `machine.contents_mapped` too, which costs more than all others together."""
    sc = machine.sc
    out = {f"ksm.{name}": value for name, value in machine.ksm_counters().items()}
    out.update({f"ksm.{name}": value for name, value in machine.knobs.items()})
    for group, scalars in (("ksm", KSM_EVENTS), ("vm", VMSTAT), ("time", TIMES)):
        out.update({f"{group}.{name}": int(sc[scalar]) for name, scalar in scalars.items()})
    frames, slots, present = distinct(machine, slice(machine.nr_ptes))
    out.update(_machine_metrics(machine, (frames, slots)))
    out["machine.pages_saved"] = present - frames
    if contents:
        out["machine.contents_mapped"] = contents_mapped(machine)
    shown = machine.process_counters()
    for process in world.live():
        resident, swapped, ksm = process_pages(machine, world.all_ptes(process))
        out[f"process.{process.name}.resident_pages"] = resident
        out[f"process.{process.name}.swapped_pages"] = swapped
        out[f"process.{process.name}.ksm_pages"] = ksm
        out.update({f"process.{process.name}.{name}": int(of[process.mm]) for name, of in shown.items()})
    for hook, policy in policies:
        out.update({f"policy.{hook}.{name}": int(n) for name, n in policy.counts.items()})
    return out
