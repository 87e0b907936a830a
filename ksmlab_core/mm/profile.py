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
    """One file of ``/sys/kernel/mm/ksm`` that can be written.

    Attributes:
        default: None: depends on the machine's memory.
        low, high: the least and the greatest number that can be written.
        words: what is written instead of a number, if it is words; the value is a word's place among them.
    """

    name: str
    default: int | None
    low: int
    high: int
    about: str
    words: tuple[str, ...] = ()

    def number(self, written: object) -> int | None:
        """The number that a write stands for; None if it is refused (EINVAL)."""
        if self.words:
            return self.words.index(written) if isinstance(written, str) and written in self.words else None
        return written if isinstance(written, int) and self.low <= written <= self.high else None


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
        ("fail", "chain"),
        "2.6.32 (chains from 2c653d0ee2ae, 4.13)",
        "inserting content that the stable tree holds already fails, or makes a chain of nodes of that content",
        ("R-STAB-2", "R-B-SCAN-7", "R-B-MAX-2"),
    ),
    Switch(
        "copy_test",
        ("pointer+index", "root+index"),
        "5ad6468801d2 (root+index: cbf86cfe04a6, 3.9)",
        "a swap-in uses the page as it is only for the same anon_vma at the same index; root+index copies a KSM page"
        " without a node too, and every one while run is 2",
        ("R-SWAPIN-3", "R-B-SWAPIN-1"),
    ),
    Switch(
        "reclaim_ref_policy",
        ("any-activates", "second-chance"),
        "2.6.32 (second-chance: 645747462435, 2.6.34, for anonymous pages 5.9)",
        "any use since the last visit activates a page; second-chance keeps a page that one pte has used once, and"
        " unmaps without asking again",
        ("R-RECL-4", "R-TTU-4", "R-B-RECL-1", "R-B-RECL-2"),
    ),
    Switch(
        "swapin_exclusive",
        (False, True),
        "6c287605fd56 (5.19)",
        "pages know whether one pte may write them without a copy, and swap ptes remember it; such a page is mapped"
        " writable at a read fault too",
        ("R-SWAPIN-9", "R-B-SWAPIN-2", "R-B-SWAPIN-3", "R-B-COW-1"),
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
    Switch(
        "readahead",
        ("slots", "addresses"),
        "ec560175c0b6 (addresses: 4.15)",
        "a swap-in also reads the slots around its own, or the swap ptes around its own",
        ("R-SWAPIN-1", "R-B-SWAPIN-4"),
    ),
    Switch(
        "new_pages",
        ("active", "inactive"),
        "b518154e59aa (inactive: 5.9)",
        "the list on which a new anonymous page begins",
        ("R-OBJ-14",),
    ),
    Switch(
        "swapoff_walk",
        ("slots", "processes"),
        "b56a2d8af914 (processes: 5.1)",
        "swapoff goes from slot to slot and looks for its ptes, or from pte to pte, with the copy test of a swap-in",
        ("R-OFF-1", "R-OFF-4", "R-B-OFF-1"),
    ),
    Switch(
        "mlock_by_mapping",
        (False, True),
        "cea86fe246b6 (5.18)",
        "a page is locked by being mapped into a locked area, and unlocked when the last such mapping goes",
        ("R-COW-3", "R-B-MLOCK-1"),
    ),
    Switch(
        "run_2_lasts",
        (False, True),
        "cbf86cfe04a6 (3.9)",
        "run=2 forgets nodes whose pages nobody maps, and processes registered while it is 2 come last",
        ("R-UNM-1", "R-B-UNM-2"),
    ),
    Switch(
        "merge_any",
        (False, True),
        "d7597f59d1d3 (6.4)",
        "a process can ask for all its areas to be merged (prctl PR_SET_MEMORY_MERGE)",
        ("R-B-PRCTL-1",),
    ),
    Switch(
        "fork_best_effort",
        (False, True),
        "6.12",
        "a child that cannot be registered with ksmd is born all the same",
        ("R-FORK-1", "R-B-FORK-1"),
    ),
    Switch(
        "mark_zero_pages",
        (False, True),
        "e2942062e01d (6.6)",
        "a pte that ksmd merged with the zero page is marked, counted, and broken by unmerging",
        ("R-B-ZERO-1",),
    ),
    Switch(
        "unshare",
        (False, True),
        "6cce3314b928 (6.2)",
        "a KSM page is broken by an unshare fault, after which the pte is neither writable nor dirty",
        ("R-B-UNM-1",),
    ),
    Switch(
        "upgrade_dirties",
        (False, True),
        "337ed7eb5fad (4.5)",
        "a page upgraded in place is dirty, also where the swap cache holds it clean: its slot will be written again",
        ("X-6", "X-13", "R-B-OBJ-4"),
    ),
    Switch(
        "free_swap_on_merge",
        (False, True),
        "between 2.6.33 and 6.1 (copies on write: 5.14)",
        "a page that a merge or a copy on write has unmapped gives its swap slot back",
        ("R-MERGE-6", "R-B-SCAN-6"),
    ),
    Switch(
        "check_readonly",
        (False, True),
        "between 2.6.33 and 6.1 (page exclusive: 5.19)",
        "the references of a page are checked before a merge although its pte is read-only, if the pte is dirty or the"
        " page exclusive",
        ("R-MERGE-4", "R-B-SCAN-6", "X-12"),
    ),
    Switch(
        "drain_at_pass",
        (False, True),
        "2919bfd0758b (2.6.38)",
        "the page batches are drained when a pass begins",
        ("R-OBJ-15", "R-B-SCAN-1"),
    ),
    Switch(
        "mlock_populates",
        (False, True),
        "2.6.38 (mprotect: 4.1)",
        "mlock faults in its whole range, for write where that is allowed, also what was locked already; mprotect does"
        " so where a locked area becomes writable",
        ("R-MLOCK-1", "R-B-MLOCK-1"),
    ),
    Switch(
        "slot_cache",
        (False, True),
        "67afa38e012e (4.11, dropped by 0ff67f990bd4, 6.15)",
        "swap slots are taken and given back 64 at a time; those in hand count as used",
        ("R-RECL-5", "INV-20"),
    ),
    Switch(
        "refault_activates",
        (False, True),
        "aae466b0052e (5.9)",
        "a page read from swap soon after its eviction begins on the active list",
        ("R-OBJ-14", "R-SWAPIN-1"),
    ),
    Switch(
        "activate_batch",
        (False, True),
        "eb709b0d062e (2.6.39)",
        "a page that is made active waits in a page batch until it moves to the active list",
        ("R-OBJ-15",),
    ),
    Switch(
        "pin_references",
        (False, True),
        "8ee53820edfd (2.6.38)",
        "a reference taken as get_user_pages_fast takes one marks the page referenced",
        ("R-MERGE-4", "R-OBJ-12"),
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
_ULONG_MAX = 2**63 - 1  # unsigned long, as far as the machine's own integers go
_KNOBS_2009 = (
    Knob("run", 0, 0, 2, "0 stop, 1 run, 2 stop and unmerge everything"),
    Knob("pages_to_scan", 100, 0, _UINT_MAX, "pages per batch"),
    Knob("sleep_millisecs", 20, 0, _UINT_MAX, "milliseconds between batches"),
    Knob("max_kernel_pages", None, 0, 2**63 - 1, "most KSM pages that merging may create; 0 = no limit"),
)

_KNOBS_4_13 = (
    Knob("merge_across_nodes", 1, 0, 1, "0: pages of different NUMA nodes are not merged"),
    Knob("use_zero_pages", 0, 0, 1, "1: pages of zeros are merged with the zero page"),
    Knob("max_page_sharing", 256, 2, 2**31 - 1, "most ptes that may share one KSM page"),
    Knob("stable_node_chains_prune_millisecs", 2000, 0, _UINT_MAX, "milliseconds between two walks of a whole chain"),
)
_KNOBS_6_8 = (
    Knob("smart_scan", 1, 0, 1, "1: pages that were looked at in vain are looked at more seldom"),
    Knob("advisor_mode", 0, 0, 1, "who sets pages_to_scan: none, or by how long a pass takes", ("none", "scan-time")),
    Knob("advisor_max_cpu", 70, 0, _UINT_MAX, "per cent of a processor that ksmd may take"),
    Knob("advisor_min_pages_to_scan", 500, 0, _ULONG_MAX, "pages_to_scan with which the advisor starts"),
    Knob("advisor_max_pages_to_scan", 30_000, 0, _ULONG_MAX, "most pages per batch that the advisor sets"),
    Knob("advisor_target_scan_time", 200, 1, _ULONG_MAX, "seconds that a pass is to take"),
)
KNOBS: Mapping[str, Knob] = MappingProxyType({k.name: k for k in (*_KNOBS_2009, *_KNOBS_4_13, *_KNOBS_6_8)})
"""Every knob of any kernel."""


def _knobs_of(switches: Mapping[str, Any]) -> dict[str, Knob]:
    """The knobs that come with switches."""
    return {knob.name: knob for knob in _KNOBS_2009 if switches.get(knob.name)}


_KSM_COUNTERS = ("pages_shared", "pages_sharing", "pages_unshared", "pages_volatile", "full_scans")
_KSM_COUNTERS_4_13 = ("stable_node_chains", "stable_node_dups")
_KSM_COUNTERS_6_8 = ("pages_scanned", "pages_skipped", "ksm_zero_pages", "general_profit")
KSM_COUNTERS = (*_KSM_COUNTERS, *_KSM_COUNTERS_4_13, *_KSM_COUNTERS_6_8)
"""Every read-only file of any kernel."""
_PROCESS_COUNTERS_6_1 = ("ksm_rmap_items", "ksm_merging_pages")
_PROCESS_COUNTERS_6_8 = ("ksm_zero_pages", "ksm_process_profit")
PROCESS_COUNTERS = (*_PROCESS_COUNTERS_6_1, *_PROCESS_COUNTERS_6_8)
"""Every figure of a process that any kernel shows in ``/proc/PID``."""


@dataclass(frozen=True)
class Profile:
    """One kernel.

    Attributes:
        name: as written in experiment files.
        about: one line.
        switches: a value for each of SWITCHES.
        knobs: the writable sysfs files.
        ksm_counters: the readable ones, as metrics ``ksm.<name>``.
        process_counters: what is shown of each process, as metrics ``process.<process>.<name>``.
        changed: switches that an experiment has set differently.
    """

    name: str
    about: str
    switches: Mapping[str, Any]
    knobs: Mapping[str, Knob]
    ksm_counters: tuple[str, ...]
    process_counters: tuple[str, ...] = ()
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
_KNOBS_OF_2_6_33 = tuple(knob for knob in _KNOBS_2009 if knob.name != "max_kernel_pages")

_V6_1 = Profile(
    name="v6.1",
    about="the 6.1 release (December 2022): sharing limit, NUMA trees, zero pages, exclusive pages",
    switches=MappingProxyType(
        {
            **_V2_6_33.switches,
            "stale_node": "restart",
            "stable_insert_equal": "chain",
            "copy_test": "root+index",
            "reclaim_ref_policy": "second-chance",
            "swapin_exclusive": True,
            "mlock_transfer": False,
            "mlock_by_mapping": True,
            "upgrade_dirties": True,
            "free_swap_on_merge": True,
            "check_readonly": True,
            "drain_at_pass": True,
            "mlock_populates": True,
            "readahead": "addresses",
            "new_pages": "inactive",
            "swapoff_walk": "processes",
            "run_2_lasts": True,
            "slot_cache": True,
            "refault_activates": True,
            "activate_batch": True,
            "pin_references": True,
        }
    ),
    knobs=MappingProxyType({knob.name: knob for knob in (*_KNOBS_OF_2_6_33, *_KNOBS_4_13)}),
    ksm_counters=(*_KSM_COUNTERS, *_KSM_COUNTERS_4_13),
    process_counters=_PROCESS_COUNTERS_6_1,
)

_V6_8 = Profile(
    name="v6.8",
    about="the 6.8 release (March 2024): smart scan, the advisor, merging of whole processes",
    switches=MappingProxyType({**_V6_1.switches, "unshare": True, "mark_zero_pages": True, "merge_any": True}),
    knobs=MappingProxyType({**_V6_1.knobs, **{knob.name: knob for knob in _KNOBS_6_8}}),
    ksm_counters=KSM_COUNTERS,
    process_counters=PROCESS_COUNTERS,
)

_V6_18 = Profile(
    name="v6.18",
    about="the 6.18 release (November 2025): the checksum before the stable tree, so two passes to join a KSM page",
    switches=MappingProxyType(
        {**_V6_8.switches, "checksum_before_stable": True, "fork_best_effort": True, "slot_cache": False}
    ),
    knobs=_V6_8.knobs,
    ksm_counters=KSM_COUNTERS,
    process_counters=PROCESS_COUNTERS,
)

PROFILES: Mapping[str, Profile] = MappingProxyType(
    {known.name: known for known in (_SEED, _V2_6_33, _V6_1, _V6_8, _V6_18)}
)


def profile(name: str) -> Profile:
    """The profile of this name; KeyError when there is none."""
    return PROFILES[name]
