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
    "machine.ksm_frames_mapped": "KSM pages that somebody maps",
    "machine.ksm_frames_unmapped": "KSM pages that nobody maps and that are still in memory",
    "machine.swapcache_mapped": "pages in the swap cache that somebody maps",
    "machine.swapcache_unmapped": "pages in the swap cache that nobody maps",
    "machine.pages_saved": "what sharing is worth: pages present in all processes minus machine.frames_mapped",
    "time.elapsed": "simulated time since the run began, ns",
    "time.ksmd": "CPU time of ksmd, ns",
    "time.fault_stall": "time that processes waited in faults, their own reclaim included, ns",
    "time.kswapd": "CPU time of kswapd, ns",
    "time.direct_reclaim": "time that faulting processes spent on reclaim themselves, ns",
    "time.swap_write": "time of the swap device for writes, which nobody waits for, ns",
    "process.NAME.resident_pages": "pages of the process that are in memory",
    "process.NAME.swapped_pages": "pages of the process that are in swap",
    "process.NAME.ksm_pages": "pages of the process that are KSM pages in memory",
    "policy.HOOK.COUNT": "what a policy counts about itself",
}


def metrics_of(profile: Profile) -> list[tuple[str, str]]:
    """Every metric that runs of a profile have, with its line, in the order of the names."""
    from ksmlab_core.mm.counters import FIXED_METRICS, PROCESS

    of_processes = [f"process.NAME.{name}" for name in PROCESS]
    names = {*profile.metrics, *FIXED_METRICS, *of_processes, "policy.HOOK.COUNT"}
    return [(name, WORDS.get(name, "")) for name in sorted(names)]
