"""The machine's records: every array that holds state, with a comment and a unit per field.

Floor 0 keeps its state in numpy arrays and nowhere else. What the hit path of an access touches are plain columns
(``pte_flags``, ``pte_target``, ``last_access``); the rest are structured arrays, one per kind of record. Compiled code
receives the arrays one by one at its doors and bundles them into one `Memory` tuple, by whose field names all rooms
speak: ``m.frame.refcount[pfn]``.

Numbers that mean "none" are `NONE` (-1). Addresses are page numbers of a process's address space ("vpn"). Page
contents are 64-bit content numbers: equal number, equal bytes; the order of the numbers is the order of ``memcmp``.
"""

from __future__ import annotations

from itertools import count
from typing import Any, NamedTuple

import numpy as np

NONE = -1

# --------------------------------------------------------------------------------------------------------------
# pte flags (column pte_flags, one byte per pte)
PTE_PRESENT = 1  # pte_target is a frame
PTE_YOUNG = 2  # the accessed bit
PTE_DIRTY = 4
PTE_WRITE = 8  # writable
PTE_SWAP = 16  # pte_target is a swap slot
PTE_SWP_EXCLUSIVE = 32  # ... whose page was this pte's alone when it was unmapped (5.19)

PTE = np.dtype(
    [
        ("vma", np.int32),  # the area that this pte belongs to
        ("rmap_item", np.int32),  # the rmap_item of this address, or NONE
    ],
    align=True,
)

# --------------------------------------------------------------------------------------------------------------
# page flags (frame.pg); the two mapping bits are the low tag bits of page->mapping (R-OBJ-9)
PG_LOCKED = 1 << 0  # held by somebody else for the whole step (the `lock` step): trylock fails
PG_REFERENCED = 1 << 1
PG_UPTODATE = 1 << 2
PG_DIRTY = 1 << 3
PG_LRU = 1 << 4
PG_ACTIVE = 1 << 5
PG_UNEVICTABLE = 1 << 6
PG_MLOCKED = 1 << 7
PG_SWAPBACKED = 1 << 8
PG_SWAPCACHE = 1 << 9
PG_WRITEBACK = 1 << 10
PG_RECLAIM = 1 << 11
PG_READAHEAD = 1 << 13  # read ahead by address, and not wanted since
PG_ANON_EXCLUSIVE = 1 << 12  # mapped by one pte that may write it without a copy (5.19)
PAGE_MAPPING_ANON = 1 << 16  # mapping is an anon_vma ...
PAGE_MAPPING_KSM = 1 << 17  # ... or, with both bits, a stable node (NONE: orphan KSM page)
PAGE_MAPPING_FLAGS = PAGE_MAPPING_ANON | PAGE_MAPPING_KSM

ZERO_PAGE = 0  # frame 0: the shared zero page; never counted, never PageAnon

FRAME = np.dtype(
    [
        ("content", np.int64),  # content number of the page's bytes
        ("inserted", np.int64),  # order of arrival: ns of its allocation, made unique and rising
        ("refcount", np.int32),  # page_count (R-OBJ-12); 0 = free
        ("mapcount", np.int32),  # number of present ptes (the kernel stores one less)
        ("mapping", np.int32),  # anon_vma or stable node, told apart by the mapping bits in pg
        ("index", np.int32),  # linear page index in its anon_vma; meaningless for KSM pages
        ("pg", np.int32),  # page flags
        ("private", np.int32),  # swap slot while PG_SWAPCACHE, else NONE
        ("lru_next", np.int32),  # towards the tail; also the link of the free list
        ("lru_prev", np.int32),  # towards the head
    ],
    align=True,
)

# --------------------------------------------------------------------------------------------------------------
# rmap_item states (R-OBJ-4)
ITEM_NONE = 0
ITEM_UNSTABLE = 1
ITEM_STABLE = 2

_ITEM_FIELDS: list[tuple[str, Any, int]] = [
    ("mm", np.int32, 0),  # process
    ("address", np.int32, 4),  # vpn
    ("rmap_next", np.int32, 8),  # next item of the same process, ascending address; link of the free list
    ("oldchecksum", np.uint32, 12),  # checksum at ksmd's last look; 0 at creation
    # UNSTABLE: red-black links; STABLE: the node and the list of its items. One place for both, as in the kernel.
    ("rb_parent", np.int32, 16),
    ("rb_left", np.int32, 20),
    ("rb_right", np.int32, 24),
    ("head", np.int32, 16),  # stable node
    ("hlist_next", np.int32, 20),
    ("hlist_prev", np.int32, 24),
    ("last_look", np.int32, 28),  # 2 * pass of ksmd's last look + 1 if the checksum was unchanged then; NONE = never
    ("state", np.uint8, 32),  # ITEM_*
    ("seqnr", np.uint8, 33),  # low 8 bits of the pass in which it entered the unstable tree
    ("rb_color", np.uint8, 34),
    ("changes", np.uint8, 35),  # looks at which the checksum had changed, saturating at 255
    ("anon_vma", np.int32, 36),  # STABLE: the anon_vma of its area when it was merged, by which its ptes are found
    ("age", np.uint8, 40),  # encounters while smart_scan was on, saturating at 255
    ("remaining_skips", np.uint8, 41),
    ("nid", np.uint8, 42),  # UNSTABLE: NUMA node whose tree it is in
]
ITEM = np.dtype(
    {
        "names": [name for name, _, _ in _ITEM_FIELDS],
        "formats": [kind for _, kind, _ in _ITEM_FIELDS],
        "offsets": [offset for _, _, offset in _ITEM_FIELDS],
        "itemsize": 43,
    }
)

# stable nodes: one of its own in the tree, one of several of equal content, or what stands for these in the tree
NODE_PLAIN = 0
NODE_DUP = 1
NODE_CHAIN = 2

NODE = np.dtype(
    [
        ("kpage", np.int32),  # its frame; NONE = the node is free
        ("hlist", np.int32),  # first (newest) item; link of the free list
        ("nr_items", np.int32),
        ("rb_parent", np.int32),
        ("rb_left", np.int32),
        ("rb_right", np.int32),
        ("rb_color", np.uint8),
        ("kind", np.uint8),  # NODE_*
        ("nid", np.uint8),  # NUMA node whose tree it is in; 0 while there is one tree for all
        ("content", np.int64),  # content number of its page, which outlives the page; no kernel has this
    ],
    align=True,
)

# --------------------------------------------------------------------------------------------------------------
SLOT_NEVER_WRITTEN = -1  # slot.content before the first write
SLOT_IN_HAND = -1  # slot.refs: taken from the swap area, or on its way back, and used by no page (swap_slots.py)
SLOT_MAP_MAX = 0x3E  # above it the count continues in extra pages (R-OBJ-13)

SLOT = np.dtype(
    [
        ("content", np.int64),  # content number on the disk
        ("refs", np.int32),  # number of swap ptes that name it (the low count of swap_map)
        ("frame", np.int32),  # page in the swap cache (SWAP_HAS_CACHE), or NONE
        ("shadow", np.int32),  # NONRESIDENT_AGE when its page was evicted, or NONE
    ],
    align=True,
)

# --------------------------------------------------------------------------------------------------------------
MMF_VM_MERGEABLE = 1  # mm.mm_flags: registered with ksmd
MMF_VM_MERGE_ANY = 4  # has asked for all its areas to be merged (prctl)
MMF_IN_MEMCG = 2  # belongs to the memory cgroup that is being reclaimed (R-REF-3)

MM_HEAD = 0  # row 0 of the processes is the sentinel: ksm_mm_head and init_mm
MM = np.dtype(
    [
        ("users", np.int32),  # mm_users: 0 = exiting or gone
        ("rss", np.int32),  # anon_rss in pages (R-CTR-6)
        ("mmap", np.int32),  # first vma, ascending address
        ("next_free", np.int32),  # vpn at which the next area begins
        ("rmap_list", np.int32),  # first rmap_item, ascending address
        ("slot_next", np.int32),  # ring of mm_slots; NONE = no slot
        ("slot_prev", np.int32),
        ("list_next", np.int32),  # mmlist, the ring that swapoff walks; NONE = not on it
        ("list_prev", np.int32),
        ("ksm_zero_pages", np.int32),  # its ptes that ksmd merged with the zero page
        ("mm_flags", np.uint8),
    ],
    align=True,
)

VM_WRITE = 1 << 0
VM_LOCKED = 1 << 1
VM_MERGEABLE = 1 << 2
VM_SHARED = 1 << 3
VM_MAYSHARE = 1 << 4
VM_PFNMAP = 1 << 5
VM_IO = 1 << 6
VM_DONTEXPAND = 1 << 7
VM_RESERVED = 1 << 8
VM_HUGETLB = 1 << 9
VM_INSERTPAGE = 1 << 10
VM_NONLINEAR = 1 << 11
VM_MIXEDMAP = 1 << 12
VM_SAO = 1 << 13
VM_SEQ_READ = 1 << 14
VM_SPECIAL = VM_IO | VM_DONTEXPAND | VM_RESERVED | VM_PFNMAP

VMA = np.dtype(
    [
        ("mm", np.int32),
        ("vm_start", np.int32),  # vpn
        ("vm_end", np.int32),  # vpn, exclusive
        ("vm_pgoff", np.int32),  # linear index of vm_start; survives mremap
        ("vm_flags", np.int32),
        ("anon_vma", np.int32),  # the root of its anon_vmas; NONE until the first anon fault
        ("own_anon_vma", np.int32),  # the one that its ksmd items hold, and ...
        ("last_anon_vma", np.int32),  # ... the last that it is linked to: both the root unless a fork made the area
        ("pte_base", np.int32),  # pte of vm_start
        ("vm_next", np.int32),  # next vma of the process
        ("node", np.int32),  # NUMA node that its pages are to come from, or NONE: the first
        ("ra_address", np.int32),  # vpn of its last swap-in, for reading around the next
        ("ra_window", np.int32),  # pages that were read then
        ("ra_hits", np.int32),  # how many of those read ahead have been wanted since; 4 before the first
        ("anon_next", np.int32),  # next vma of the same anon_vma
        ("anon_prev", np.int32),
    ],
    align=True,
)

ANON_VMA = np.dtype(
    [
        ("first", np.int32),  # of a root: its areas and those that forks made of them
        ("last", np.int32),
        ("root", np.int32),  # itself, or (2.6.34) that of the area which a fork copied
        ("before", np.int32),  # an area linked to this one is linked to that one too; NONE for a root
        ("parent", np.int32),  # own_anon_vma of the area that was copied; a root is its own
        ("nr_children", np.int32),  # that have areas, itself included in a root
        ("nr_own", np.int32),  # areas whose own_anon_vma it is
        ("nr_vmas", np.int32),  # areas that are linked to it
    ],
    align=True,
)

# --------------------------------------------------------------------------------------------------------------
# LRU lists and page batches
LRU_INACTIVE_ANON = 0
LRU_ACTIVE_ANON = 1
LRU_UNEVICTABLE = 2
NR_LRU = 3
PAGEVEC_SIZE = 14
PVEC_ROTATE = 2  # the batches: to the inactive list, to the active list, to be rotated to the inactive tail, ...
PVEC_ACTIVATE = 3  # ... to be moved from the inactive list to the active one
NR_PVEC = 4
MAX_MLOCK_BATCH = 31

MAX_NUMNODES = 8
SWAP_CLUSTER_MAX = 32
SWAPFILE_CLUSTER = 256
SWAP_SLOTS_CACHE_SIZE = 64
DEF_PRIORITY = 12

# --------------------------------------------------------------------------------------------------------------
# Scalars (array sc, int64). Lists are given as head, tail, count.
_scalar = count()
NOW = next(_scalar)  # ns of simulated time
TICK = next(_scalar)  # ns charged by the operation under way, moved to an account by whoever called it
NR_FRAMES = next(_scalar)  # page frames the workload may use (frame 0, the zero page, not counted)
NR_FREE = next(_scalar)  # free frames
FREE_FRAME = next(_scalar)  # head of the free list, one per NUMA node
for _ in range(MAX_NUMNODES - 1):
    next(_scalar)
NR_NODES = next(_scalar)  # NUMA nodes, each with an equal share of the frames
ALLOC_NODE = next(_scalar)  # the node that the next allocation is to come from, if it has a frame
NEXT_INSERTED = next(_scalar)  # least order of arrival of the next allocation
LRU_HEAD = next(_scalar)
for _ in range(NR_LRU - 1):
    next(_scalar)
LRU_TAIL = next(_scalar)
for _ in range(NR_LRU - 1):
    next(_scalar)
LRU_COUNT = next(_scalar)
for _ in range(NR_LRU - 1):
    next(_scalar)
LRU_SAVED_SCAN = next(_scalar)  # pages still to be scanned, kept until they make a cluster (R-RECL-2)
for _ in range(NR_LRU - 1):
    next(_scalar)
PVEC_COUNT = next(_scalar)
for _ in range(NR_PVEC - 1):
    next(_scalar)
PVEC = next(_scalar)  # NR_PVEC x PAGEVEC_SIZE frames
for _ in range(NR_PVEC * PAGEVEC_SIZE - 1):
    next(_scalar)
MLOCK_BATCH_SIZE = next(_scalar)  # pages that the batch of mlock and munlock holds when it is full; 0: there is none
MLOCK_BATCH_COUNT = next(_scalar)
MLOCK_BATCH = next(_scalar)  # MAX_MLOCK_BATCH frames, of which one may be there several times
for _ in range(MAX_MLOCK_BATCH - 1):
    next(_scalar)
NR_WRITEBACK = next(_scalar)  # pages under writeback, in scratch until end_writeback

ITEM_ANON_VMAS = next(_scalar)  # 1: the field item.anon_vma is kept (layout.OPTIONAL)
ITEM_AGES = next(_scalar)  # 1: item.age, item.remaining_skips and item.nid are
NODE_CONTENTS = next(_scalar)  # 1: node.content is
SLOT_SHADOWS = next(_scalar)  # 1: slot.shadow is
FREE_ITEM = next(_scalar)  # heads of the free lists of records
FREE_NODE = next(_scalar)
NR_FREE_ITEMS = next(_scalar)
NR_FREE_NODES = next(_scalar)
NR_ANON_VMAS = next(_scalar)  # anon_vma numbers handed out; none is used twice
NR_ANON_VMAS_FREE = next(_scalar)  # rows of the anon_vma table still unused

SWAP_ON = next(_scalar)
SWAP_MAX = next(_scalar)  # slots 1 .. SWAP_MAX-1 can be used (slot 0 is the header)
SWAP_LOWEST = next(_scalar)  # lowest_bit
SWAP_HIGHEST = next(_scalar)  # highest_bit
SWAP_CLUSTER_NEXT = next(_scalar)
SWAP_CLUSTER_NR = next(_scalar)
SWAP_INUSE = next(_scalar)  # slots in use
SLOT_CACHE_ENABLED = next(_scalar)  # 0 during swapoff
SLOT_CACHE_ACTIVE = next(_scalar)  # 1 while there is enough free swap to keep slots in hand
SLOT_CACHE_NEXT = next(_scalar)  # place in SLOT_CACHE of the next slot to be given out
SLOT_CACHE_NR = next(_scalar)  # how many there are from there on
SLOT_CACHE_NR_RETURNED = next(_scalar)
NONRESIDENT_AGE = next(_scalar)  # pages evicted and activated so far: the clock of refaults (workingset.py)
NR_FILE_PAGES = next(_scalar)  # pages of files in memory, outside the frames
PAGE_CLUSTER = next(_scalar)  # log2 of the readahead window in slots

ROOT_STABLE = next(_scalar)  # roots of the two trees, one per NUMA node
for _ in range(MAX_NUMNODES - 1):
    next(_scalar)
ROOT_UNSTABLE = next(_scalar)
for _ in range(MAX_NUMNODES - 1):
    next(_scalar)
SCAN_SLOT = next(_scalar)  # the cursor: slot, address (vpn), item before the next one, number of the pass
SCAN_ADDRESS = next(_scalar)
SCAN_PREV = next(_scalar)
SCAN_SEQNR = next(_scalar)
KSM_PAGES_SHARED = next(_scalar)
KSM_PAGES_SHARING = next(_scalar)
KSM_PAGES_UNSHARED = next(_scalar)
KSM_RMAP_ITEMS = next(_scalar)  # items in use
KSM_RUN = next(_scalar)
KSM_MAX_KERNEL_PAGES = next(_scalar)
KSM_QUEUE = next(_scalar)  # ptes waiting at the head of ksmd's queue (array queue, a ring)
KSM_QUEUE_HEAD = next(_scalar)

# Knobs of later kernels, as the machine's code reads them (sysfs.py). At 0 the mechanism is not there.
KSM_SMART_SCAN = next(_scalar)
KSM_USE_ZERO_PAGES = next(_scalar)
KSM_MAX_PAGE_SHARING = next(_scalar)
KSM_ONE_TREE_PER_NODE = next(_scalar)  # merge_across_nodes the other way round
KSM_CHAINS_PRUNE_MILLISECS = next(_scalar)
KSM_PAGES_TO_SCAN = next(_scalar)  # as the advisor sets it
ADVISOR_MODE = next(_scalar)
ADVISOR_MAX_CPU = next(_scalar)  # per cent
ADVISOR_MAX_PAGES_TO_SCAN = next(_scalar)
ADVISOR_TARGET_SCAN_TIME = next(_scalar)  # s
ADVISOR_STARTED = next(_scalar)  # ns: when the pass began
ADVISOR_SCAN_TIME = next(_scalar)  # s that the pass before took; 0: none was timed yet
ADVISOR_CHANGE = next(_scalar)  # per cent, smoothed
ADVISOR_CPU_TIME = next(_scalar)  # ns that ksmd had run when the pass before ended
KSM_PAGES_SKIPPED = next(_scalar)
KSM_ZERO_PAGES = next(_scalar)  # ptes that map the zero page because ksmd merged them with it
KSM_STABLE_NODE_CHAINS = next(_scalar)
KSM_STABLE_NODE_DUPS = next(_scalar)

NR_ANON_PAGES = next(_scalar)
NR_MLOCK = next(_scalar)
NR_SWAPCACHE = next(_scalar)
RECENT_SCANNED = next(_scalar)
RECENT_ROTATED = next(_scalar)
MEMCG_RECLAIM = next(_scalar)  # 1 while reclaim is for a memory cgroup

# What goes wrong on request: the n-th next attempt fails (0 = none does).
FAIL_ALLOC_PAGE = next(_scalar)
FAIL_RMAP_ITEM = next(_scalar)
FAIL_STABLE_NODE = next(_scalar)
FAIL_MM_SLOT = next(_scalar)
FAIL_FALLBACK_VMA = next(_scalar)
FAIL_SWAP_CONTINUATION = next(_scalar)
FAIL_SWAP_READ = next(_scalar)

# Switches of the profile (profile.py names them).
SW_BORN_YOUNG = next(_scalar)
SW_MAX_KERNEL_PAGES = next(_scalar)
SW_BREAK_ORPHAN = next(_scalar)
SW_CHECKSUM_BEFORE_STABLE = next(_scalar)
SW_MLOCK_TRANSFER = next(_scalar)
SW_SHRINK_FALLS_THROUGH = next(_scalar)
SW_NODE_HOLDS_REF = next(_scalar)
SW_STALE_NODE_RESTARTS = next(_scalar)
SW_FREE_NODE_ON_LAST_ITEM = next(_scalar)
SW_ALLOC_ON_FIRST_MERGE = next(_scalar)
SW_RMAP_ANON_VMA = next(_scalar)
SW_CHAIN_EQUAL = next(_scalar)
SW_MARK_ZERO_PAGES = next(_scalar)
SW_FORK_BEST_EFFORT = next(_scalar)
SW_READ_AROUND = next(_scalar)
SW_UPGRADE_DIRTIES = next(_scalar)
SW_RUN_2_LASTS = next(_scalar)
SW_COPY_TEST_ROOT = next(_scalar)
SW_SWAPIN_EXCLUSIVE = next(_scalar)
SW_SECOND_CHANCE = next(_scalar)
SW_NEW_INACTIVE = next(_scalar)
SW_SWAPOFF_BY_MM = next(_scalar)
SW_MLOCK_BY_MAPPING = next(_scalar)
SW_UNSHARE = next(_scalar)
SW_FREE_SWAP_ON_MERGE = next(_scalar)
SW_CHECK_READONLY = next(_scalar)
SW_DRAIN_AT_PASS = next(_scalar)
SW_MLOCK_POPULATES = next(_scalar)
SW_SLOT_CACHE = next(_scalar)
SW_ACTIVATE_BATCH = next(_scalar)
SW_PIN_REFERENCES = next(_scalar)
SW_ANON_VMA_CHAINS = next(_scalar)

# Decisions that compiled code leaves to a policy (door.py).
ASK_SWAPIN = next(_scalar)  # 1 = stop at swap-ins whose page may be needed in more than one place
DECIDED_PTE = next(_scalar)  # the pte for which DECISION was taken, or NONE
DECISION = next(_scalar)
QUEUE_SIZE = next(_scalar)  # entries that the ring can hold
SCRATCH_SIZE = next(_scalar)
NR_RESERVE = next(_scalar)  # frames that must be free before an operation that may allocate begins
LOW_WATERMARK = next(_scalar)  # frames: below it kswapd is woken
HIGH_WATERMARK = next(_scalar)  # frames: kswapd stops there
MIN_WATERMARK = next(_scalar)  # frames: below it the faulting process reclaims itself

# Costs in ns per event (costs.py).
COST_HIT = next(_scalar)
COST_FAULT = next(_scalar)
COST_ZERO_FILL = next(_scalar)
COST_COPY = next(_scalar)
COST_SWAP_LOOKUP = next(_scalar)
COST_SWAP_READ = next(_scalar)
COST_SWAP_WRITE = next(_scalar)
COST_SCAN_PAGE = next(_scalar)
COST_SCAN_KSM = next(_scalar)
COST_CHECKSUM = next(_scalar)
COST_COMPARE = next(_scalar)
COST_MERGE = next(_scalar)
COST_REFERENCED = next(_scalar)
COST_UNMAP = next(_scalar)
COST_RECLAIM_PAGE = next(_scalar)

# Events, counted since the machine was made (vmstat and ours).
PGFAULT = next(_scalar)
PGMAJFAULT = next(_scalar)
PSWPIN = next(_scalar)
PSWPOUT = next(_scalar)
PGACTIVATE = next(_scalar)
PGDEACTIVATE = next(_scalar)
PGREFILL = next(_scalar)
PGSCAN_KSWAPD = next(_scalar)
PGSCAN_DIRECT = next(_scalar)
PGSTEAL = next(_scalar)
PGFREE = next(_scalar)
PGALLOC = next(_scalar)
UNEVICTABLE_PGMLOCKED = next(_scalar)
UNEVICTABLE_PGMUNLOCKED = next(_scalar)
UNEVICTABLE_PGCLEARED = next(_scalar)
UNEVICTABLE_PGCULLED = next(_scalar)
UNEVICTABLE_PGRESCUED = next(_scalar)
UNEVICTABLE_PGSTRANDED = next(_scalar)
SWAPIN_COPIES = next(_scalar)  # copies made by ksm_does_need_to_copy
SWAPIN_REMERGES = next(_scalar)  # swap-ins that mapped an existing KSM page instead (policy)
SWAPIN_DEFERRED = next(_scalar)  # copies put at the head of ksmd's queue (policy)
SWAPIN_SHARED = next(_scalar)  # swapped-in pages that became KSM pages at once (policy)
COW_COPIES = next(_scalar)
ZERO_FILLS = next(_scalar)  # pages given out zeroed: first touches, and writes to the zero page
KSM_KPAGES = next(_scalar)  # KSM pages allocated by merging
COW_KSM = next(_scalar)  # write faults (or breaks) that copied a KSM page
KSM_MERGES = next(_scalar)  # ptes moved to a KSM page by ksmd
KSM_PAGES_SCANNED = next(_scalar)
KSM_COMPARES = next(_scalar)  # page comparisons of the tree walks and merges
KSM_CHECKSUMS = next(_scalar)
KSM_FORKED = next(_scalar)  # ptes found on a node's page already (fork, swap-in) and listed
KSM_FAILED_MERGES = next(_scalar)
KSM_ORPHANS = next(_scalar)  # pages whose node went away under them
FALLBACK_VMA_USED = next(_scalar)
OOM_KILL = next(_scalar)
TIME_KSMD = next(_scalar)  # ns
TIME_STALL = next(_scalar)
TIME_KSWAPD = next(_scalar)
TIME_DIRECT = next(_scalar)
TIME_SWAP_WRITE = next(_scalar)
SLOT_CACHE = next(_scalar)  # slots in hand to be given out
for _ in range(SWAP_SLOTS_CACHE_SIZE - 1):
    next(_scalar)
SLOT_CACHE_RETURNED = next(_scalar)  # slots in hand to be given back
for _ in range(SWAP_SLOTS_CACHE_SIZE - 1):
    next(_scalar)
NR_SCALARS = next(_scalar)


class Memory(NamedTuple):
    """All state of one machine, as compiled code sees it."""

    pte_flags: Any  # uint8 per pte
    pte_target: Any  # int32 per pte: frame or slot
    pte: Any  # PTE
    frame: Any  # FRAME, row 0 is the zero page
    last_access: Any  # int64 ns per frame
    item: Any  # ITEM
    node: Any  # NODE
    slot: Any  # SLOT, row 0 is the header
    mm: Any  # MM, row 0 is the sentinel
    vma: Any  # VMA
    anon: Any  # ANON_VMA
    sc: Any  # int64 scalars
    scratch: Any  # int32 frames: pages isolated by reclaim
    queue: Any  # int32 ptes: the head of ksmd's queue


class Columns:
    """A structured array as one object with a plain array per field, for code that runs without the compiler."""

    def __init__(self, records: np.ndarray) -> None:
        for name in records.dtype.names or ():
            setattr(self, name, records[name])


RECORDS = ("pte", "frame", "item", "node", "slot", "mm", "vma", "anon")


def bytes_per_record() -> dict[str, int]:
    """Bytes of one record of each kind, columns included."""
    return {
        "pte": 5 + PTE.itemsize,
        "frame": FRAME.itemsize + 8 + 4,
        "item": ITEM.itemsize,
        "node": NODE.itemsize,
        "slot": SLOT.itemsize,
    }
