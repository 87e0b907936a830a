"""Every metric in one line, with its unit: pages unless it says otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ksmlab_core.mm.profile import Profile

WORDS: Final = {
    "ksm.pages_shared": "KSM pages in the stable tree, as sysfs counts them (it may lag behind)",
    "ksm.pages_sharing": "ptes that share those pages beyond the first of each, as sysfs counts them",
    "ksm.pages_unshared": "pages in the unstable tree: unchanged, but without a twin so far",
    "ksm.pages_volatile": "pages with an rmap_item that are in neither tree: they change too fast",
    "ksm.full_scans": "times that ksmd has looked at everything mergeable",
    "ksm.run": "knob: 0 stop, 1 run, 2 stop and unmerge everything",
    "ksm.pages_to_scan": "knob: pages per batch of ksmd",
    "ksm.sleep_millisecs": "knob: milliseconds between two batches",
    "ksm.max_kernel_pages": "knob: most KSM pages that merging may create; 0 is no limit",
    "ksm.merge_across_nodes": "knob: 0 keeps pages of different NUMA nodes apart",
    "ksm.use_zero_pages": "knob: 1 merges pages of zeros with the zero page",
    "ksm.max_page_sharing": "knob: most ptes that may share one KSM page",
    "ksm.stable_node_chains_prune_millisecs": "knob: milliseconds between two walks of a whole chain",
    "ksm.smart_scan": "knob: 1 looks more seldom at pages that were looked at in vain",
    "ksm.advisor_mode": "knob: 0 none, 1 scan-time: pages_to_scan is set by how long a pass takes",
    "ksm.advisor_max_cpu": "knob: per cent of a processor that ksmd may take",
    "ksm.advisor_min_pages_to_scan": "knob: pages per batch with which the advisor starts",
    "ksm.advisor_max_pages_to_scan": "knob: most pages per batch that the advisor sets",
    "ksm.advisor_target_scan_time": "knob: seconds that a pass is to take",
    "ksm.stable_node_chains": "contents that have several KSM pages because of max_page_sharing",
    "ksm.stable_node_dups": "KSM pages of such contents",
    "ksm.pages_skipped": "pages that smart_scan has passed over",
    "ksm.ksm_zero_pages": "ptes that ksmd has merged with the zero page",
    "ksm.general_profit": "bytes that merging saves, less those that the rmap_items take",
    "ksm.merges": "pages that ksmd has made to share a KSM page",
    "ksm.breaks": "shared pages that were written to and became a process's own (also vm.cow_ksm)",
    "ksm.pages_scanned": "pages that ksmd has looked at",
    "ksm.compares": "comparisons of two pages' contents on the way down the trees (a count)",
    "ksm.checksums": "checksums taken (a count)",
    "ksm.forked": "ptes that ksmd found sharing a KSM page already, after a fork or swap-in, and listed",
    "ksm.failed_merges": "merges that were begun and given up (a count)",
    "ksm.orphaned": "KSM pages whose stable node went away under them",
    "ksm.rmap_items": "rmap_items that exist: pages that ksmd keeps track of",
    "vm.pgfault": "page faults of every kind (a count)",
    "vm.pgmajfault": "faults that had to read from swap (a count)",
    "vm.pswpin": "pages read from swap, readahead included",
    "vm.pswpout": "pages written to swap",
    "vm.pgactivate": "pages moved to the active list",
    "vm.pgdeactivate": "pages moved to the inactive list",
    "vm.pgrefill": "pages looked at on the active list",
    "vm.pgscan": "pages looked at on the inactive list",
    "vm.pgsteal": "pages that reclaim freed",
    "vm.pgalloc": "page frames allocated (a count)",
    "vm.pgfree": "page frames freed (a count)",
    "vm.nr_anon_pages": "anonymous pages mapped, KSM pages counted once",
    "vm.nr_mlock": "pages that mlock keeps in memory",
    "vm.nr_swapcache": "pages in the swap cache",
    "vm.nr_active_anon": "pages on the active list",
    "vm.nr_inactive_anon": "pages on the inactive list",
    "vm.nr_unevictable": "pages on the unevictable list",
    "vm.unevictable_pgs_mlocked": "pages that became locked",
    "vm.unevictable_pgs_munlocked": "pages that were unlocked",
    "vm.unevictable_pgs_cleared": "locked pages that were freed or unmapped",
    "vm.unevictable_pgs_culled": "pages that reclaim found locked and set aside",
    "vm.unevictable_pgs_rescued": "pages that came back from the unevictable list",
    "vm.unevictable_pgs_stranded": "pages unlocked while they were off the lists",
    "vm.ksm_swpin_copy": "the name later kernels have for vm.swapin_copies",
    "vm.swapin_copies": "pages copied at swap-in because the page read might not be mapped there as it is",
    "vm.swapin_remerges": "swap-ins answered with the KSM page of equal content (a policy's doing)",
    "vm.swapin_deferred": "copies at swap-in put at the head of ksmd's queue (a policy's doing)",
    "vm.swapin_shared": "swapped-in pages that became KSM pages at once (a policy's doing)",
    "vm.cow": "pages copied because they were written to while shared, KSM pages not among them",
    "vm.cow_ksm": "KSM pages copied because they were written to",
    "vm.oom_kill": "faults that found no memory and could not be given any (a count)",
    "machine.frames_mapped": "distinct page frames that the areas refer to, the zero page being one",
    "machine.slots_mapped": "distinct swap slots that the areas refer to",
    "machine.frames_used": "page frames in use for whatever reason",
    "machine.frames_free": "page frames that are free",
    "machine.slots_used": "swap slots in use",
    "machine.slots_in_hand": "swap slots that the processor keeps in hand, for no page (kernels 4.11 to 6.14)",
    "machine.ksm_frames_mapped": "KSM pages that somebody maps",
    "machine.ksm_frames_unmapped": "KSM pages that nobody maps and that are still in memory",
    "machine.swapcache_mapped": "pages in the swap cache that somebody maps",
    "machine.swapcache_unmapped": "pages in the swap cache that nobody maps",
    "machine.pages_saved": "what sharing is worth: pages present in all processes minus machine.frames_mapped",
    "machine.contents_mapped": (
        "distinct contents of those frames: what they would shrink to if all equal pages shared; "
        "the first 32 periodic samples, every eighth after them and the last have it, the others 0"
    ),
    "time.elapsed": "simulated time since the run began, ns",
    "time.ksmd": "CPU time of ksmd, ns",
    "time.fault_stall": "time that processes waited in faults, their own reclaim included, ns",
    "time.kswapd": "CPU time of kswapd, ns",
    "time.direct_reclaim": "time that faulting processes spent on reclaim themselves, ns",
    "time.swap_write": "time of the swap device for writes, which nobody waits for, ns",
    "process.NAME.resident_pages": "pages of the process that are in memory",
    "process.NAME.swapped_pages": "pages of the process that are in swap",
    "process.NAME.ksm_pages": "pages of the process that are KSM pages in memory",
    "process.NAME.ksm_rmap_items": "pages of the process that ksmd keeps track of",
    "process.NAME.ksm_merging_pages": "pages of the process that share a KSM page, as ksmd knows",
    "process.NAME.ksm_zero_pages": "ptes of the process that ksmd has merged with the zero page",
    "process.NAME.ksm_process_profit": "bytes that merging saves in the process, less those of its rmap_items",
    "policy.HOOK.COUNT": "what a policy counts about itself",
    "policy.HOOK.times_asked": "how often the policy was asked (a count; `kernel` is never asked, the machine does it)",
}


def is_knob(name: str) -> bool:
    """Is a metric what was set, not what came out?"""
    return WORDS.get(name, "").startswith("knob:")


def metrics_of(profile: Profile) -> list[tuple[str, str]]:
    """Every metric that runs of a profile have, with its line, in the order of the names."""
    from ksmlab_core.mm.counters import FIXED_METRICS, PROCESS

    of_processes = [f"process.NAME.{name}" for name in (*PROCESS, *profile.process_counters)]
    names = {*profile.metrics, *FIXED_METRICS, *of_processes, "policy.HOOK.COUNT", "policy.HOOK.times_asked"}
    return [(name, WORDS.get(name, "")) for name in sorted(names)]
