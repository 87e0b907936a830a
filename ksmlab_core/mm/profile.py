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

from ksmlab_core.mm.switches import SWITCHES, contradiction


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
    switches=MappingProxyType({switch.name: switch.values[0] for switch in SWITCHES.values()}),
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
            "mlock_batch": 15,
            "anon_vma_chains": True,
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
        {
            **_V6_8.switches,
            "checksum_before_stable": True,
            "fork_best_effort": True,
            "slot_cache": False,
            "mlock_batch": 31,
        }
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
