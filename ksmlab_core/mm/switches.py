"""The switches: each behaviour that differs between kernels, the change that brought it, and its effect in one line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
        "mlock_batch",
        (0, 15, 31),
        "2fbb0c10d1e8 (15: 5.18; 31: 9cecde80aae0, 6.9)",
        "pages that are locked or unlocked wait in a batch, so many at most, which holds a reference: what ksmd takes"
        " out of a locked area is not merged elsewhere until the batch is drained",
        ("R-MERGE-4", "R-B-MLOCK-1"),
    ),
    Switch(
        "anon_vma_chains",
        (False, True),
        "5beb49305251 (2.6.34)",
        "an area that a fork copies gets an anon_vma of its own: from the items of a child reclaim does not find the"
        " ptes of its parent",
        ("R-B-OBJ-1", "R-TTU-1"),
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
