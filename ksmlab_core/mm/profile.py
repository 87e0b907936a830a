"""Which kernel the machine is: named switches, each with the change that brought it and its effect in one line.

A profile is data. `seed` is the commit that first let KSM pages be swapped; a later kernel is another set of values for
the same switches plus whatever mechanism a new value needs. A single switch can be set in an experiment file::

    kernel: {profile: seed, break_orphan: false}

Nothing here is compiled, so that experiment files can be read without loading the compiler.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Switch:
    """One behaviour that differs between kernels, and the values that the machine knows for it."""

    name: str
    values: tuple[Any, ...]
    introduced_by: str
    effect: str
    rules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Knob:
    """One file of ``/sys/kernel/mm/ksm`` that can be written. `default` None: depends on the machine's memory."""

    name: str
    default: int | None
    low: int
    high: int
    about: str


_SWITCHES = (
    Switch(
        "born_young",
        (True, False),
        "x86",
        "a pte built from the area's protection has its accessed bit set",
        ("R-OBJ-8",),
    ),
    Switch(
        "node_holds_ref",
        (True, False),
        "2.6.33-rc1 (dropped by 4035c07a8959, the keyhole reference)",
        "a stable node owns a reference on its page, so reclaim can unmap it but not free it",
        ("R-OBJ-5", "R-RECL-6", "R-B-OBJ-2", "INV-16"),
    ),
    Switch(
        "stale_node",
        ("give-up", "restart"),
        "2.6.33 (4035c07a8959); later kernels restart",
        "a tree walk that meets the node of a freed page prunes it and ends without a result, or starts again",
        ("R-B-OBJ-2", "X-9"),
    ),
    Switch(
        "alloc_on_first_merge",
        (True, False),
        "2.6.32 (dropped by 80e148226028)",
        "merging two pages allocates a third; later kernels upgrade the scanned page in place",
        ("R-MERGE-1", "R-B-OBJ-4", "X-6", "X-13"),
    ),
    Switch(
        "rmap_mode",
        ("items-only", "anon_vma"),
        "2.6.33-rc1 (anon_vma from db114b83ab60)",
        "reclaim finds the ptes of a KSM page through its items alone, or through real areas and fork children too",
        ("R-REF-4", "R-REF-5", "R-TTU-2", "R-TTU-3", "R-B-OBJ-1"),
    ),
    Switch(
        "free_node_on_last_item",
        (True, False),
        "2.6.32 (dropped with the keyhole reference)",
        "the last item takes its node along and leaves the page an orphan KSM page",
        ("R-OBJ-5", "R-REM-1", "R-B-OBJ-3", "X-8"),
    ),
    Switch(
        "stable_insert_equal",
        ("fail",),
        "2.6.32 (chains from 2c653d0ee2ae, 4.13)",
        "inserting content that the stable tree holds already fails",
        ("R-STAB-2",),
    ),
    Switch(
        "copy_test",
        ("pointer+index",),
        "5ad6468801d2",
        "a swap-in uses the page as it is only for the same anon_vma at the same index",
        ("R-SWAPIN-3",),
    ),
    Switch(
        "reclaim_ref_policy",
        ("any-activates",),
        "2.6.32",
        "any use since the last visit activates a page",
        ("R-RECL-4",),
    ),
    Switch(
        "swapin_exclusive",
        (False,),
        "5.19",
        "swap ptes do not remember that a page was exclusive; read faults map read-only",
        ("R-SWAPIN-9",),
    ),
    Switch(
        "max_kernel_pages",
        (True, False),
        "2.6.32 (dropped in 2.6.33)",
        "a limit on KSM pages refuses merges that would create another one",
        ("R-KNOB-2",),
    ),
    Switch(
        "checksum_before_stable",
        (False, True),
        "d58a361b0350 (6.11)",
        "an unchanged checksum is asked for before the stable tree is searched",
        ("R-CMP-2", "R-B-SCAN-3"),
    ),
    Switch(
        "break_orphan",
        (True, False),
        "5ad6468801d2 (dropped in 2.6.33)",
        "ksmd copies a KSM page without a node back to an ordinary page",
        ("R-CMP-3",),
    ),
    Switch(
        "mlock_transfer",
        (True, False),
        "5ad6468801d2",
        "a merge in a locked area locks the KSM page",
        ("R-MERGE-7", "R-MLOCK-2"),
    ),
    Switch(
        "shrink_falls_through",
        (True, False),
        "before 2.6.33",
        "an active list that need not shrink has its quota spent on the inactive list",
        ("R-RECL-1", "X-1"),
    ),
)

SWITCHES: Mapping[str, Switch] = MappingProxyType({switch.name: switch for switch in _SWITCHES})


def contradiction(switches: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """(switch, why it cannot have its value, what would be right) where two switches do not go together."""
    if switches["node_holds_ref"] and not switches["free_node_on_last_item"]:
        why = "a node that holds a reference on its page and stays without items would keep the page for ever"
        return "free_node_on_last_item", why, "true, or node_holds_ref: false"
    return None


_UINT_MAX = 2**32 - 1
_KNOBS_2009 = (
    Knob("run", 0, 0, 2, "0 stop, 1 run, 2 stop and unmerge everything"),
    Knob("pages_to_scan", 100, 0, _UINT_MAX, "pages per batch"),
    Knob("sleep_millisecs", 20, 0, _UINT_MAX, "milliseconds between batches"),
    Knob("max_kernel_pages", None, 0, 2**63 - 1, "most KSM pages that merging may create; 0 = no limit"),
)


def _knobs_of(switches: Mapping[str, Any]) -> dict[str, Knob]:
    """The knobs that come with switches."""
    return {knob.name: knob for knob in _KNOBS_2009 if switches.get(knob.name)}


_KSM_COUNTERS = ("pages_shared", "pages_sharing", "pages_unshared", "pages_volatile", "full_scans")


@dataclass(frozen=True)
class Profile:
    """One kernel.

    Attributes:
        name: as written in experiment files.
        about: one line.
        switches: a value for each of SWITCHES.
        knobs: the writable sysfs files.
        ksm_counters: the readable ones, as metrics ``ksm.<name>``.
        changed: switches that an experiment has set differently.
    """

    name: str
    about: str
    switches: Mapping[str, Any]
    knobs: Mapping[str, Knob]
    ksm_counters: tuple[str, ...]
    changed: Mapping[str, Any] = field(default_factory=dict)

    def with_switches(self, changes: Mapping[str, Any]) -> Profile:
        """The same kernel with some behaviours switched; ValueError names what is not known or not possible."""
        for name, value in changes.items():
            if name not in SWITCHES:
                raise ValueError(f"unknown switch {name!r}")
            if not any(type(value) is type(known) and value == known for known in SWITCHES[name].values):
                known = ", ".join(str(known).lower() for known in SWITCHES[name].values)
                raise ValueError(f"{name} cannot be {value!r} in this version; known: {known}")
        switches = {**self.switches, **changes}
        if (wrong := contradiction(switches)) is not None:
            name, why, right = wrong
            raise ValueError(f"{name} cannot be {str(switches[name]).lower()}: {why}; {name}: {right}")
        return replace(
            self,
            switches=MappingProxyType(switches),
            knobs=MappingProxyType({**self.knobs, **_knobs_of(switches)}),
            changed=MappingProxyType({**self.changed, **changes}),
        )

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the ``ksm.`` metrics that this kernel has."""
        return tuple(f"ksm.{name}" for name in (*self.ksm_counters, *self.knobs))


_SEED = Profile(
    name="seed",
    about='the commit "ksm: let shared pages be swappable" itself (5ad6468801d2, December 2009)',
    switches=MappingProxyType({switch.name: switch.values[0] for switch in _SWITCHES}),
    knobs=MappingProxyType({knob.name: knob for knob in _KNOBS_2009}),
    ksm_counters=_KSM_COUNTERS,
)

_V2_6_33 = Profile(
    name="v2.6.33",
    about="the 2.6.33 release (February 2010): nodes without a reference, pages upgraded in place, full rmap",
    switches=MappingProxyType(
        {
            **_SEED.switches,
            "node_holds_ref": False,
            "alloc_on_first_merge": False,
            "rmap_mode": "anon_vma",
            "free_node_on_last_item": False,
            "max_kernel_pages": False,
            "break_orphan": False,
            "shrink_falls_through": False,
        }
    ),
    knobs=MappingProxyType({knob.name: knob for knob in _KNOBS_2009 if knob.name != "max_kernel_pages"}),
    ksm_counters=_KSM_COUNTERS,
)

PROFILES: Mapping[str, Profile] = MappingProxyType({known.name: known for known in (_SEED, _V2_6_33)})


def profile(name: str) -> Profile:
    """The profile of this name; KeyError when there is none."""
    return PROFILES[name]
