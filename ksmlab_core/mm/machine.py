"""The machine: the facade of floor 0.

Everything above speaks to `Machine`; nothing above touches the arrays. Its methods are the kernel's entry points
(system calls, ksmd, reclaim, swapoff), the script's levers (pins, locks, failures), and readings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ksmlab_core.mm import doors, prctl, sysfs
from ksmlab_core.mm import ksm as ksm_room
from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm.address_space import AddressSpaces
from ksmlab_core.mm.costs import cost_scalar, resolve_costs
from ksmlab_core.mm.errno import EBUSY, EINVAL, ENOMEM, OK
from ksmlab_core.mm.profile import Profile, profile
from ksmlab_core.mm.state import State

Int32 = np.ndarray[Any, np.dtype[np.int32]]
Int64 = np.ndarray[Any, np.dtype[np.int64]]

READ, TOUCH = doors.READ, doors.TOUCH
FOREVER = np.iinfo(np.int64).max

# A switch with words for values is 1 for the word that stands here.
_SWITCH_SCALARS = {
    "born_young": t.SW_BORN_YOUNG,
    "max_kernel_pages": t.SW_MAX_KERNEL_PAGES,
    "break_orphan": t.SW_BREAK_ORPHAN,
    "checksum_before_stable": t.SW_CHECKSUM_BEFORE_STABLE,
    "mlock_transfer": t.SW_MLOCK_TRANSFER,
    "shrink_falls_through": t.SW_SHRINK_FALLS_THROUGH,
    "node_holds_ref": t.SW_NODE_HOLDS_REF,
    "free_node_on_last_item": t.SW_FREE_NODE_ON_LAST_ITEM,
    "alloc_on_first_merge": t.SW_ALLOC_ON_FIRST_MERGE,
    "rmap_mode": t.SW_RMAP_ANON_VMA,
    "stale_node": t.SW_STALE_NODE_RESTARTS,
    "stable_insert_equal": t.SW_CHAIN_EQUAL,
    "upgrade_dirties": t.SW_UPGRADE_DIRTIES,
    "readahead": t.SW_READ_AROUND,
    "fork_best_effort": t.SW_FORK_BEST_EFFORT,
    "run_2_lasts": t.SW_RUN_2_LASTS,
    "copy_test": t.SW_COPY_TEST_ROOT,
    "swapin_exclusive": t.SW_SWAPIN_EXCLUSIVE,
    "reclaim_ref_policy": t.SW_SECOND_CHANCE,
    "new_pages": t.SW_NEW_INACTIVE,
    "swapoff_walk": t.SW_SWAPOFF_BY_MM,
    "mlock_by_mapping": t.SW_MLOCK_BY_MAPPING,
    "mark_zero_pages": t.SW_MARK_ZERO_PAGES,
    "unshare": t.SW_UNSHARE,
    "free_swap_on_merge": t.SW_FREE_SWAP_ON_MERGE,
    "check_readonly": t.SW_CHECK_READONLY,
    "drain_at_pass": t.SW_DRAIN_AT_PASS,
    "mlock_populates": t.SW_MLOCK_POPULATES,
    "slot_cache": t.SW_SLOT_CACHE,
    "refault_activates": t.SLOT_SHADOWS,
    "activate_batch": t.SW_ACTIVATE_BATCH,
    "pin_references": t.SW_PIN_REFERENCES,
    "anon_vma_chains": t.SW_ANON_VMA_CHAINS,
}
_SWITCHED_ON = {
    "rmap_mode": "anon_vma",
    "stale_node": "restart",
    "stable_insert_equal": "chain",
    "copy_test": "root+index",
    "reclaim_ref_policy": "second-chance",
    "new_pages": "inactive",
    "swapoff_walk": "processes",
    "readahead": "addresses",
}

FAILURES = {
    "alloc_page": t.FAIL_ALLOC_PAGE,
    "rmap_item": t.FAIL_RMAP_ITEM,
    "stable_node": t.FAIL_STABLE_NODE,
    "mm_slot": t.FAIL_MM_SLOT,
    "fallback_vma": t.FAIL_FALLBACK_VMA,
    "swap_continuation": t.FAIL_SWAP_CONTINUATION,
    "swap_read": t.FAIL_SWAP_READ,
}

PAGE_SIZE = 4096  # bytes
SIZEOF_RMAP_ITEM = 64  # bytes, in a kernel of 64 bits
PATIENCE = 3  # rounds of reclaim in which nothing moves before it is given up
MAX_RESERVE = 32  # frames that one fault can need: a readahead window, its copy, the batches in between


class NothingToScan(Exception):
    """A whole pass was asked for and no process is registered with ksmd, so no pass would ever end."""


class OutOfMemory(Exception):
    """No frame can be freed for a fault."""


class BusError(Exception):
    """A page could not be read back from swap (R-SWAPIN-8)."""


def profit(pages: Any, items: Any) -> Any:
    """Bytes that merging saves: the pages, less what the items for them take (R-B-CTR-2)."""
    return pages * PAGE_SIZE - items * SIZEOF_RMAP_ITEM


def _not_kept(kernel: Profile, nodes: int) -> set[tuple[str, str]]:
    """The optional fields that this kernel never looks at (layout.OPTIONAL)."""
    switches = kernel.switches
    unused = {
        ("item", "anon_vma"): switches["rmap_mode"] == "items-only",
        ("item", "age"): nodes == 1 and "smart_scan" not in kernel.knobs,
        ("node", "content"): switches["node_holds_ref"] and switches["stable_insert_equal"] == "fail",
        ("slot", "shadow"): not switches["refault_activates"],
    }
    return {field for field, is_unused in unused.items() if is_unused}


class Machine(AddressSpaces):
    """One machine with its processes.

    Args:
        kernel: whose behaviour.
        frames: page frames that the workload may use.
        slots: swap slots that can be used; 0 = no swap.
        costs: a preset's name or a mapping of costs in ns (costs.py).
        swap_start: slot at which allocation begins, as on a machine that has swapped before (then a kernel with the
            switch slot_cache holds the slots of its batch of 64).
        drained: drain the page batches before each pass and each reclaim step; otherwise they stay as the kernel
            leaves them.
        nodes: NUMA nodes, among which the frames are shared out evenly.
        file_pages: pages of files in memory beside these frames, which count as needed where a refault is judged.

    Attributes:
        unmerged_at: how often run=2 has succeeded, and PGFAULT and the pages scanned when it last did.
    """

    def __init__(
        self,
        kernel: Profile | None = None,
        *,
        frames: int,
        slots: int,
        costs: str | dict[str, int] = "default",
        swap_start: int = 1,
        drained: bool = True,
        nodes: int = 1,
        file_pages: int = 0,
    ) -> None:
        self.kernel = kernel or profile("seed")
        super().__init__(State(frames, slots, nodes, _not_kept(self.kernel, nodes)))
        self.drained = drained
        self.knobs: dict[str, int] = {}
        sysfs.set_defaults(self)
        self.pins: dict[int, int] = {}
        self.unmerged_at = (0, -1, -1)
        self.room_maker: Callable[[int], None] = self.kernel_reclaim
        sc = self.sc
        for name, scalar in _SWITCH_SCALARS.items():
            sc[scalar] = int(self.kernel.switches[name] == _SWITCHED_ON.get(name, True))
        sc[t.MLOCK_BATCH_SIZE] = self.kernel.switches["mlock_batch"]
        for name, cost in resolve_costs(costs).items():
            sc[cost_scalar(name)] = cost
        sc[t.PAGE_CLUSTER] = 3
        sc[t.NR_FILE_PAGES] = file_pages
        sc[t.NR_RESERVE] = min(MAX_RESERVE, max(2, frames // 8))
        self._set_watermarks(frames)
        if "max_kernel_pages" in self.knobs:
            self.set_knob("max_kernel_pages", frames // 4)
        sc[t.SWAP_MAX] = slots + 1
        if slots:
            self.swapon()
            if swap_start > 1:
                self._start_swapping_at(swap_start)

    def _set_watermarks(self, frames: int) -> None:
        """Watermarks in frames: min as the kernel's sqrt(16 * KiB) rule gives it, low 5/4 and high 3/2 of it."""
        sc = self.sc
        minimum = max(int((frames * 4 * 16) ** 0.5) // 4, int(sc[t.NR_RESERVE]))
        minimum = min(minimum, max(frames // 8, int(sc[t.NR_RESERVE])))
        sc[t.MIN_WATERMARK] = minimum
        sc[t.LOW_WATERMARK] = 0
        sc[t.HIGH_WATERMARK] = minimum + minimum // 2 + 1

    def _start_swapping_at(self, slot: int) -> None:
        """As on a machine that has swapped before; one that keeps slots in hand has given those before it back."""
        sc = self.sc
        sc[t.SWAP_CLUSTER_NR] = t.SWAPFILE_CLUSTER - 1
        before = (slot - 1) % t.SWAP_SLOTS_CACHE_SIZE if sc[t.SW_SLOT_CACHE] else 0
        sc[t.SWAP_CLUSTER_NEXT] = slot - before
        if before:
            self._call(doors.SWAP_BEFORE, before)

    def enable_kswapd(self) -> None:
        """Let accesses stop when free frames fall below the low watermark, for kswapd to be run."""
        sc = self.sc
        sc[t.LOW_WATERMARK] = sc[t.MIN_WATERMARK] + sc[t.MIN_WATERMARK] // 4 + 1

    @property
    def sc(self) -> Int64:
        """The scalars."""
        scalars: Int64 = self.state.arrays["sc"]
        return scalars

    # -- accesses ---------------------------------------------------------------------------------------------

    def access(
        self, ptes: Int32, contents: Int64, start: int = 0, until_ns: int = FOREVER, gap_ns: int = 0
    ) -> tuple[int, int]:
        """Carry out accesses until the end or a stop; (next access, doors.ACCESS_*)."""
        self._reserve_anon_vmas()
        i, reason = doors.access(*self.state.doors, ptes, contents, start, until_ns, gap_ns)
        return int(i), int(reason)

    def _reserve_anon_vmas(self) -> None:
        self.state.reserve_anon_vmas(self.nr_vmas)

    def access_all(self, ptes: Int32, contents: Int64) -> None:
        """Carry out all accesses, reclaiming as the kernel does where frames run out."""
        i, stuck = 0, False
        while True:
            before = i
            i, reason = self.access(ptes, contents, i)
            if reason == doors.ACCESS_DONE:
                return
            if reason == doors.ACCESS_SIGBUS:
                raise BusError
            if reason in (doors.ACCESS_LOW, doors.ACCESS_OOM):
                stuck = stuck and i == before
                if stuck or (not self.make_room(int(self.sc[t.NR_RESERVE])) and reason == doors.ACCESS_OOM):
                    raise OutOfMemory
                stuck = True
                if self.sc[t.NR_FREE] < self.sc[t.NR_RESERVE]:
                    self._access_without_reserve(ptes, contents, i)
                    i, stuck = i + 1, False

    def _access_without_reserve(self, ptes: Int32, contents: Int64, i: int) -> None:
        """One access with fewer free frames than one may need: it gets what there is, or fails."""
        reserve = int(self.sc[t.NR_RESERVE])
        self.sc[t.NR_RESERVE] = 0
        try:
            _i, reason = self.access(ptes[i : i + 1], contents[i : i + 1])
        finally:
            self.sc[t.NR_RESERVE] = reserve
        if reason == doors.ACCESS_OOM:
            raise OutOfMemory
        if reason == doors.ACCESS_SIGBUS:
            raise BusError

    def contents_of(self, ptes: Int32) -> Int64:
        """The content that a read of each pte would give; nothing is faulted in."""
        m = self.state.m
        flags, target = m.pte_flags[ptes], m.pte_target[ptes]
        out = np.zeros(len(ptes), np.int64)
        present = (flags & t.PTE_PRESENT) != 0
        out[present] = m.frame.content[target[present]]
        swapped = (flags & t.PTE_SWAP) != 0
        slots = target[swapped]
        cached = m.slot.frame[slots] != t.NONE
        out[swapped] = np.where(
            cached, m.frame.content[np.where(cached, m.slot.frame[slots], 0)], m.slot.content[slots]
        )
        return out

    # -- reclaim ----------------------------------------------------------------------------------------------

    def kernel_reclaim(self, target: int) -> None:
        """try_to_free_pages until `target` frames are free, or there is no progress."""
        for _ in range(3):
            if self.sc[t.NR_FREE] >= target:
                return
            doors.reclaim(*self.state.doors, doors.FREE_PAGES, target)

    def make_room(self, frames: int) -> bool:
        before = int(self.sc[t.NR_FREE])
        if before < frames:
            self.room_maker(frames)
        return int(self.sc[t.NR_FREE]) > before or before >= frames

    def drain(self) -> None:
        """Empty the page batches."""
        self._drain()

    def _drain_if_asked(self) -> None:
        if self.drained:
            self._drain()

    def deactivate(self) -> None:
        """shrink_active_list over the whole active anon list."""
        self._drain_if_asked()
        doors.reclaim(*self.state.doors, doors.SHRINK_ACTIVE, FOREVER)

    def shrink(self) -> int:
        """shrink_inactive_list once over the whole inactive anon list; pages freed."""
        self._drain_if_asked()
        return int(doors.reclaim(*self.state.doors, doors.SHRINK_INACTIVE, FOREVER))

    def reclaim_all(self, pages: int | None = None) -> int:
        """Rounds of deactivate and shrink until nothing moves any more, or `pages` were freed; pages freed.

        Where pages get a second chance, a round visits the inactive list twice. Several idle rounds are the end, not
        one: in the first, KSM pages that several ptes have used are only made active.
        """
        second_chance = bool(self.sc[t.SW_SECOND_CHANCE])
        freed, idle = 0, 0
        while idle < PATIENCE and (pages is None or freed < pages):
            before = self._reclaim_state()
            self.deactivate()
            freed += self.shrink()
            if second_chance:
                freed += self.shrink()
            idle = idle + 1 if self._reclaim_state() == before else 0
        return freed

    def _reclaim_state(self) -> tuple[int, ...]:
        return tuple(int(self.sc[i]) for i in (t.NR_FREE, t.NR_ANON_PAGES, t.SWAP_INUSE, t.PSWPOUT, t.NR_SWAPCACHE))

    def limit_to_memcg(self, mms: list[int] | None) -> None:
        """Reclaim on behalf of the memory cgroup of these processes; None: global reclaim (R-REF-3)."""
        m = self.state.m
        m.mm.mm_flags[:] &= np.uint8(0xFF ^ t.MMF_IN_MEMCG)
        self.sc[t.MEMCG_RECLAIM] = mms is not None
        for mm in mms or ():
            m.mm.mm_flags[mm] |= t.MMF_IN_MEMCG

    def evict(self, pages: Int32) -> Int64:
        """Evict the frames that a policy chose; what became of each (vmscan.PAGE_*)."""
        outcomes = np.zeros(len(pages), np.int64)
        doors.evict_pages(*self.state.doors, pages, outcomes)
        return outcomes

    # -- ksmd -------------------------------------------------------------------------------------------------

    def ksmd(self, budget: int, order: Int32 | None = None, stop_when_low: bool = True) -> tuple[int, int, int]:
        """Let ksmd look at up to `budget` pages; (looked at, entries of `order` used, reason)."""
        self._reserve_anon_vmas()
        ptes = order if order is not None else np.empty(0, np.int32)
        done = used = 0
        while True:
            left = (budget - done, ptes[used:], order is not None, stop_when_low)
            n, taken, reason = (int(number) for number in doors.ksmd(*self.state.doors, *left))
            done, used = done + n, used + taken
            if reason != doors.KSMD_NO_RECORD:
                sysfs.show_advised(self)
                return done, used, reason
            self._reserve_records(budget - done)

    def _reserve_records(self, pages: int) -> None:
        """Room for the rmap_items that `pages` more pages may need, and for some stable nodes."""
        without_item = int(np.count_nonzero(self.state.m.pte.rmap_item[: self.nr_ptes] == t.NONE))
        self.state.reserve_items(min(pages, without_item) + 1)  # the last one is never taken
        self.state.reserve_nodes(max(64, self.state.m.node.kpage.size // 8) if self.sc[t.NR_FREE_NODES] < 2 else 2)

    def scan_pages(self, pages: int) -> int:
        """Let ksmd look at exactly `pages` pages, over the ends of passes; fewer only if nothing is registered."""
        self._drain_if_asked()
        done, idle = 0, 0
        while done < pages and idle < 2:
            skipped = int(self.sc[t.KSM_PAGES_SKIPPED])
            n, _used, reason = self._ksmd_with_room(pages - done)
            done += n
            idle = 0 if n or skipped != self.sc[t.KSM_PAGES_SKIPPED] else idle + 1
            if reason == ksm_room.SCAN_NOTHING:
                break
        return done

    def _ksmd_with_room(self, budget: int) -> tuple[int, int, int]:
        """ksmd, making room where frames run out; without success it goes on and its allocations fail."""
        n, used, reason = self.ksmd(budget)
        while reason == doors.KSMD_LOW:
            room = self.make_room(int(self.sc[t.NR_RESERVE])) and self.sc[t.NR_FREE] >= self.sc[t.NR_RESERVE]
            more, used, reason = self.ksmd(budget - n, stop_when_low=bool(room))
            n += more
        return n, used, reason

    def scan_passes(self, passes: int) -> None:
        """Let ksmd run until full_scans has risen by exactly `passes`."""
        if passes and not self.registered():
            raise NothingToScan
        for _ in range(passes):
            self._drain_if_asked()
            target = int(self.sc[t.SCAN_SEQNR]) + 1
            while self.sc[t.SCAN_SEQNR] < target:
                _n, _used, reason = self._ksmd_with_room(1 << 30)
                if reason == ksm_room.SCAN_NOTHING:
                    break

    def registered(self) -> bool:
        """Is any process registered with ksmd?"""
        return bool(self.state.m.mm.slot_next[t.MM_HEAD] != t.MM_HEAD)

    def begin_ordered_pass(self) -> None:
        """Start a pass whose order a policy gives."""
        self._call(doors.BEGIN_PASS)

    def end_ordered_pass(self) -> None:
        """End such a pass: stale items go, full_scans rises."""
        self._call(doors.END_PASS)
        sysfs.show_advised(self)

    def set_knob(self, name: str, value: int | str) -> int:
        """Write a sysfs knob; 0, EINVAL, EBUSY, or ENOMEM when run=2 cannot unmerge (R-KNOB-1 to R-KNOB-3)."""
        knob = self.kernel.knobs.get(name)
        number = None if knob is None else knob.number(value)
        return EINVAL if number is None else sysfs.store(self, name, number)

    def set_run(self, value: int) -> int:
        """Write ``run``; 0, or ENOMEM and ksmd is stopped (R-KNOB-3)."""
        if value == self.knobs["run"]:
            return OK
        self.knobs["run"] = value
        self.sc[t.KSM_RUN] = value
        if value == 2 and self._unmerge_and_remove_all_rmap_items() != OK:
            self.knobs["run"] = 0
            self.sc[t.KSM_RUN] = 0
            return ENOMEM
        return OK

    def _unmerge_and_remove_all_rmap_items(self) -> int:
        """run=2: break everything that is present, forget all items (R-UNM-1)."""
        m = self.state.m
        mm = int(m.mm.slot_next[t.MM_HEAD])
        self.sc[t.SCAN_SLOT] = mm
        while mm != t.MM_HEAD:
            for vma in list(self.vmas(mm)) if self.alive(mm) else ():
                if m.vma.vm_flags[vma] & t.VM_MERGEABLE and self.unmerge_vma(vma) != OK:
                    self._abandon_pass()
                    return ENOMEM
            self._call(doors.REMOVE_ITEMS, mm)
            after = int(m.mm.slot_next[mm])
            self.sc[t.SCAN_SLOT] = after
            if not self.alive(mm):
                self._call(doors.FREE_SLOT, mm)
            mm = after
        if self.sc[t.SW_RUN_2_LASTS]:
            self.remove_all_stable_nodes()
        self.sc[t.SCAN_SEQNR] = 0
        self.sc[t.ROOT_UNSTABLE : t.ROOT_UNSTABLE + t.MAX_NUMNODES] = t.NONE
        self.unmerged_at = (self.unmerged_at[0] + 1, int(self.sc[t.PGFAULT]), int(self.sc[t.KSM_PAGES_SCANNED]))
        return OK

    def remove_all_stable_nodes(self) -> int:
        """Forget the nodes whose pages nobody maps; how many are left (R-B-UNM-2)."""
        return self._call(doors.REMOVE_NODES, len(self.state.m.node.kpage))

    def _abandon_pass(self) -> None:
        """Put the cursor on the head in mid-pass: the next pass has the same number, and an empty unstable tree.

        The kernel leaves this pass's items as they are and later erases them from a tree that they are not in. Here
        they count as the last pass's, which are in no tree (R-REM-2).
        """
        sc, item = self.sc, self.state.m.item
        sc[t.SCAN_SLOT] = t.MM_HEAD
        sc[t.ROOT_UNSTABLE : t.ROOT_UNSTABLE + t.MAX_NUMNODES] = t.NONE
        unstable = (item.mm != t.NONE) & (item.state == t.ITEM_UNSTABLE)
        item.seqnr[unstable] = (int(sc[t.SCAN_SEQNR]) - 1) & 0xFF

    # -- processes --------------------------------------------------------------------------------------------

    def prctl_memory_merge(self, mm: int, merge: bool) -> int:
        """``prctl(PR_SET_MEMORY_MERGE)``; 0, ENOMEM, or EINVAL where the kernel has no such thing (R-B-PRCTL-1)."""
        if not self.kernel.switches["merge_any"]:
            return EINVAL
        return prctl.set_memory_merge(self, mm, merge)

    # -- swap -------------------------------------------------------------------------------------------------

    def swapon(self) -> int:
        """Make all slots usable; 0, EINVAL without a swap area, or EBUSY when it is in use already."""
        sc = self.sc
        if sc[t.SWAP_MAX] <= 1:
            return EINVAL
        if sc[t.SWAP_ON]:
            return EBUSY
        sc[t.SWAP_ON] = 1
        sc[t.SWAP_LOWEST] = 1
        sc[t.SWAP_HIGHEST] = sc[t.SWAP_MAX] - 1
        sc[t.SWAP_CLUSTER_NEXT] = 1
        sc[t.SWAP_CLUSTER_NR] = 0
        sc[t.SWAP_INUSE] = 0
        sc[t.SLOT_CACHE_ENABLED] = 1
        return OK

    def swapoff(self) -> int:
        """Bring all back from swap; 0, EINVAL when swap is off, or ENOMEM and swap stays on (R-OFF-1 to R-OFF-4)."""
        sc = self.sc
        if not sc[t.SWAP_ON]:
            return EINVAL
        sc[t.SWAP_ON] = sc[t.SLOT_CACHE_ENABLED] = 0
        done, _slot, _start = doors.swapoff(*self.state.doors, 1, t.MM_HEAD, 1)
        if done:
            return OK
        sc[t.SWAP_ON] = sc[t.SLOT_CACHE_ENABLED] = 1
        return ENOMEM

    # -- levers of scripts ------------------------------------------------------------------------------------

    def fail(self, kind: str, n: int) -> None:
        """Let the n-th next attempt of this kind fail (FAILURES); 0 takes it back."""
        self.sc[FAILURES[kind]] = n

    def frames_of(self, ptes: Int32) -> Int32:
        """The frames that present ptes map; NONE elsewhere."""
        m = self.state.m
        present = (m.pte_flags[ptes] & t.PTE_PRESENT) != 0
        frames: Int32 = np.where(present, m.pte_target[ptes], t.NONE).astype(np.int32)
        return frames

    def pin(self, page: int) -> None:
        """Take a reference on a frame as get_user_pages does."""
        frame = self.state.m.frame
        frame.refcount[page] += 1
        if self.sc[t.SW_PIN_REFERENCES]:
            frame.pg[page] |= t.PG_REFERENCED
        self.pins[page] = self.pins.get(page, 0) + 1

    def unpin(self, page: int) -> None:
        """Drop such a reference."""
        self.pins[page] -= 1
        if not self.pins[page]:
            del self.pins[page]
        self._call(doors.PUT_PAGE, page)

    def lock_page(self, page: int, locked: bool) -> None:
        """Somebody else takes (or gives back) the page lock: trylocks fail meanwhile."""
        pg = self.state.m.frame.pg
        if locked:
            pg[page] |= t.PG_LOCKED
        else:
            pg[page] &= ~t.PG_LOCKED

    # -- readings ---------------------------------------------------------------------------------------------

    def ksm_counters(self) -> Mapping[str, int]:
        """The sysfs counters of the profile's kernel, as they lag behind reality (R-CTR-1 to R-CTR-4, R-CTR-8)."""
        sc = self.sc
        shared, sharing, unshared = (
            int(sc[i]) for i in (t.KSM_PAGES_SHARED, t.KSM_PAGES_SHARING, t.KSM_PAGES_UNSHARED)
        )
        items, zero_pages = int(sc[t.KSM_RMAP_ITEMS]), int(sc[t.KSM_ZERO_PAGES])
        every = {
            "pages_shared": shared,
            "pages_sharing": sharing,
            "pages_unshared": unshared,
            "pages_volatile": max(0, items - shared - sharing - unshared),
            "full_scans": int(sc[t.SCAN_SEQNR]),
            "stable_node_chains": int(sc[t.KSM_STABLE_NODE_CHAINS]),
            "stable_node_dups": int(sc[t.KSM_STABLE_NODE_DUPS]),
            "pages_scanned": int(sc[t.KSM_PAGES_SCANNED]),
            "pages_skipped": int(sc[t.KSM_PAGES_SKIPPED]),
            "ksm_zero_pages": zero_pages,
            "general_profit": profit(sharing + zero_pages, items),
        }
        return {name: every[name] for name in self.kernel.ksm_counters}

    def process_counters(self) -> Mapping[str, Int64]:
        """What ``/proc/PID`` shows of each process, by its number, as far as the profile's kernel does (R-B-CTR-3)."""
        if not self.kernel.process_counters:
            return {}
        m = self.state.m
        used = m.item.mm != t.NONE
        owners, stable = m.item.mm[used], m.item.state[used] == t.ITEM_STABLE
        items = np.bincount(owners, minlength=self.nr_mms)
        merging = np.bincount(owners[stable], minlength=self.nr_mms)
        zero_pages = m.mm.ksm_zero_pages[: self.nr_mms].astype(np.int64)
        every = {
            "ksm_rmap_items": items,
            "ksm_merging_pages": merging,
            "ksm_zero_pages": zero_pages,
            "ksm_process_profit": profit(merging + zero_pages, items),
        }
        return {name: every[name] for name in self.kernel.process_counters}


def precompile() -> None:
    """Compile every door (or load it from disk), so that workers started afterwards find them ready."""
    machine = Machine(frames=64, slots=64)
    mm = machine.spawn()
    start = machine.mmap(mm, 4)
    ptes = machine.ptes(mm, start, 4)
    machine.madvise_mergeable(mm, start, 4)
    machine.access_all(ptes, np.full(4, 7, np.int64))
    machine.scan_passes(2)
    machine.deactivate()
    machine.shrink()
    machine.evict(np.empty(0, np.int32))
    machine.swapoff()
