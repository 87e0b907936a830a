"""The policies and workloads that ksmlab ships, one file each, written against the public API only."""

MODULES = (
    "ksmlab_plugins.reclaim.clock",
    "ksmlab_plugins.reclaim.fifo",
    "ksmlab_plugins.reclaim.ksm_aware",
    "ksmlab_plugins.reclaim.ksm_first",
    "ksmlab_plugins.reclaim.ksm_last",
    "ksmlab_plugins.reclaim.lru",
    "ksmlab_plugins.reclaim.random_choice",
    "ksmlab_plugins.scan.changed_last",
    "ksmlab_plugins.scan.cold_first",
    "ksmlab_plugins.scan.random_order",
    "ksmlab_plugins.swapin.copy",
    "ksmlab_plugins.swapin.defer",
    "ksmlab_plugins.swapin.remerge",
    "ksmlab_plugins.workload.clones",
    "ksmlab_plugins.workload.snapshot",
    "ksmlab_plugins.workload.trace",
    "ksmlab_plugins.workload.zipf",
)
