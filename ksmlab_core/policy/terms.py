"""The words of the three questions: what a policy is told besides columns, and what it may answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum


class Swapin(Enum):
    """The answers to "copy or remerge?"."""

    KERNEL = "kernel"  # what the simulated kernel does by itself
    COPY = "copy"  # a page of its own for this process
    REMERGE = "remerge"  # map the KSM page of equal content that exists now (needs `fault.ksm_twin`)
    SHARE = "share"  # make the page that was swapped in a KSM page and map that
    DEFER = "defer"  # copy, and let ksmd look at this address first when it next runs


class Outcome(IntEnum):
    """What became of a frame that a reclaim policy named; the values fill the array given to `reclaimed`."""

    FREED = 0  # the frame is free now
    WRITING = 1  # unmapped, its page is being written to swap; a later visit frees it
    UNMAPPED = 2  # no process maps it any more, but its KSM node keeps the frame (R-RECL-6)
    ACTIVATED = 3  # still mapped: it was in use, or could not be unmapped (R-RECL-4 #5, #8)
    MLOCKED = 4  # found locked in memory and moved to the unevictable list (R-RECL-4 #2, #10)
    LOCKED = 5  # somebody else held the page lock (R-RECL-4 #1)
    PINNED = 6  # an extra reference keeps the page (R-RECL-4 #13)
    NO_SWAP = 7  # there was no swap slot for it (R-RECL-4 #7)
    KEPT = 8  # kept for any other reason


class ItemState(IntEnum):
    """Where ksmd has put the address of a page: the column `state` of :class:`ScanColumns`."""

    NONE = 0  # in neither tree
    UNSTABLE = 1  # in the unstable tree: a candidate, not write-protected
    STABLE = 2  # hangs on a node of the stable tree: shares a KSM page


@dataclass(slots=True)
class Twin:
    """The KSM page that holds now what the fault is about to bring in."""

    frame: int  # frame number
    mapcount: int  # ptes that map it now
    sharers: int  # ptes and swap ptes that refer to it


@dataclass(slots=True)
class SwapinFault:
    """One swap-in whose page may be needed in more than one place."""

    process: str  # name of the faulting process
    address: int  # faulting address, as a page number
    write: bool = False  # the access is a write
    mergeable: bool = False  # the area was given to ksmd (VM_MERGEABLE)
    locked: bool = False  # the area is locked in memory (VM_LOCKED)
    ksm: bool = False  # the page in the swap cache is a KSM page
    orphan: bool = False  # ... which has lost its node of the stable tree
    cached: bool = False  # the page was found in the swap cache (a minor fault)
    mapcount: int = 0  # ptes that map the page in the swap cache
    references: int = 1  # swap ptes that name the slot, this one included
    shareable: bool = False  # SHARE is possible: nobody maps the page yet, and its content is in no KSM page
    ksm_twin: Twin | None = None  # the KSM page of equal content, if there is one now
    kernel: Swapin = Swapin.KERNEL  # what the kernel would do: COPY, or KERNEL: map the page as it is
    now_ns: int = 0  # simulated time, ns
    process_number: int = -1  # number of the faulting process, as in the column `process` of ScanColumns
