"""Where compiled code stops and a Python policy is asked: reclaim, swap-in, scan order."""

from __future__ import annotations

from typing import Any

import numpy as np

from ksmlab_core.errors import PolicyFault
from ksmlab_core.mm import doors
from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm.machine import Machine
from ksmlab_core.mm.memory import SWAPIN_COPY, SWAPIN_DEFER, SWAPIN_KERNEL, SWAPIN_REMERGE, SWAPIN_SHARE
from ksmlab_core.mm.rmap import address_of
from ksmlab_core.policy import FrameColumns, ReclaimPolicy, ScanColumns, ScanOrder, Swapin, SwapinPolicy
from ksmlab_core.policy.answers import check_decision, check_order, check_victims
from ksmlab_core.policy.faults import guard, wrong_answer
from ksmlab_core.policy.terms import SwapinFault, Twin
from ksmlab_core.simulation.world import World

_CODES = {
    Swapin.KERNEL: SWAPIN_KERNEL,
    Swapin.COPY: SWAPIN_COPY,
    Swapin.REMERGE: SWAPIN_REMERGE,
    Swapin.SHARE: SWAPIN_SHARE,
    Swapin.DEFER: SWAPIN_DEFER,
}
_IDLE_ROUNDS = 8  # asks in a row that freed nothing, after which reclaim has failed


class _MachineFrames(FrameColumns):
    """The frame table as columns over the candidates, each made when it is first read."""

    def __init__(self, machine: Machine, index: Any, last_ask_ns: int) -> None:
        now = int(machine.sc[t.NOW])
        super().__init__(now_ns=now, length=len(index))
        rows = index.astype(np.intp)  # the form in which numpy gathers fastest
        vars(self).update(_machine=machine, _index=index, _rows=rows, _last_ask_ns=last_ask_ns)

    def _column(self, name: str) -> Any:
        own = vars(self)
        machine, rows = own["_machine"], own["_rows"]
        m = machine.state.m
        if name == "index":
            return own["_index"]
        if name == "mapcount":
            return m.frame.mapcount[rows]
        if name == "referenced":
            return m_last_access(machine).take(rows) > own["_last_ask_ns"]
        if name == "last_access_ns":
            return m_last_access(machine).take(rows)
        if name == "inserted":
            return m.frame.inserted.take(rows)
        if name == "age_ns":
            return np.maximum(self.now_ns - m.frame.inserted.take(rows), 0)
        if name == "mlocked":
            return (m.frame.pg[rows] & t.PG_MLOCKED) != 0
        if name == "dirty":
            return (m.frame.pg[rows] & t.PG_DIRTY) != 0
        if name == "swapcache":
            return (m.frame.pg[rows] & t.PG_SWAPCACHE) != 0
        if name == "ksm":
            return (m.frame.pg[rows] & t.PAGE_MAPPING_FLAGS) == t.PAGE_MAPPING_FLAGS
        if name == "sharers":
            slots = np.maximum(m.frame.private[rows], 0)
            swapped = np.where(m.frame.private[rows] >= 0, m.slot.refs[slots], 0)
            return m.frame.mapcount[rows] + swapped
        return None  # next_access: no workload of this version tells its future


def m_last_access(machine: Machine) -> Any:
    """The column of last accesses, ns per frame."""
    return machine.state.arrays["last_access"]


class Reclaimer:
    """Lets a reclaim policy choose the frames that go."""

    def __init__(self, machine: Machine, policy: ReclaimPolicy) -> None:
        self.machine, self.policy = machine, policy
        self.questions = 0
        self._buffer = np.empty(int(machine.sc[t.NR_FRAMES]) + 1, np.int32)
        self._offered = np.zeros(int(machine.sc[t.NR_FRAMES]) + 1, np.bool_)  # per frame: is it a candidate?
        self._last_ask_ns = -1

    def __call__(self, target: int) -> None:
        """Ask and evict until `target` frames are free, or nothing is left to choose from.

        A frame that was named once and stayed is not offered again in the same episode, so that no policy can hold
        reclaim up by naming it for ever.
        """
        sc = self.machine.sc
        self.machine.drain()
        tried = np.zeros_like(self._offered)
        idle = 0
        while sc[t.NR_FREE] < target and idle < _IDLE_ROUNDS:
            before = int(sc[t.NR_FREE])
            candidates = self._candidates(tried)
            if not len(candidates):
                return
            wanted = max(int(target - before), t.SWAP_CLUSTER_MAX, int(sc[t.NR_FRAMES]) // 100)
            victims = self._ask(candidates, min(wanted, self.policy.batch))
            tried[victims] = True
            self._evict(victims)
            idle = 0 if sc[t.NR_FREE] > before else idle + 1

    def _candidates(self, tried: Any) -> Any:
        n = int(doors.reclaim_candidates(*self.machine.state.doors, tried, self._offered, self._buffer))
        return self._buffer[:n].copy()

    def _ask(self, candidates: Any, n: int) -> Any:
        frames = _MachineFrames(self.machine, candidates, self._last_ask_ns)
        self.questions += 1
        with guard(self.policy, "reclaim"):
            answer = self.policy.victims(frames, n)
        victims = self._checked(answer, n)
        self._last_ask_ns = int(self.machine.sc[t.NOW])
        if not len(victims):
            raise wrong_answer(self.policy, "reclaim", "victims", "named no frame although there are candidates")
        return victims.astype(np.int32)

    def _checked(self, answer: Any, n: int) -> Any:
        """The answer, if it is one; which frames are free matters only to say what is wrong with it."""
        try:
            return check_victims(self.policy, answer, n, self._offered)
        except PolicyFault:
            free = self.machine.state.m.frame.refcount == 0
            return check_victims(self.policy, answer, n, self._offered, free=free)

    def _evict(self, victims: Any) -> None:
        outcomes = self.machine.evict(victims).astype(np.int8)
        outcomes.flags.writeable = False
        with guard(self.policy, "reclaim"):
            self.policy.reclaimed(victims, outcomes)


class SwapinDecider:
    """Asks a swap-in policy about one fault and hands its answer to the machine."""

    def __init__(self, machine: Machine, world: World, policy: SwapinPolicy) -> None:
        self.machine, self.world, self.policy = machine, world, policy
        self.questions = 0
        self._facts = np.zeros(9, np.int64)
        self._guard = guard(policy, "swapin")
        machine.sc[t.ASK_SWAPIN] = 1

    def decide(self, p: int, write: bool) -> None:
        """Decide the swap-in at pte `p`."""
        machine, facts = self.machine, self._facts
        kernel = doors.swapin_facts(*machine.state.doors, p, facts)
        m = machine.state.m
        vma = int(m.pte.vma[p])
        mm = int(m.vma.mm[vma])
        flags = int(m.vma.vm_flags[vma])
        twin = int(facts[5])
        fault = SwapinFault(
            process=self.world.name_of(mm),
            address=int(getattr(address_of, "py_func", address_of)(m, p)),
            write=write,
            mergeable=bool(flags & t.VM_MERGEABLE),
            locked=bool(flags & t.VM_LOCKED),
            ksm=bool(facts[1]),
            orphan=bool(facts[2]),
            cached=bool(facts[0]),
            mapcount=int(facts[3]),
            references=int(facts[4]),
            shareable=bool(facts[8]),
            ksm_twin=Twin(twin, int(m.frame.mapcount[twin]), int(facts[6])) if twin >= 0 else None,
            kernel=Swapin.COPY if kernel else Swapin.KERNEL,
            now_ns=int(machine.sc[t.NOW]),
            process_number=mm,
        )
        self.questions += 1
        with self._guard:
            answer = self.policy.decide(fault)
        decision = check_decision(self.policy, answer, fault)
        if decision is Swapin.DEFER:
            machine.state.reserve_queue()
        machine.sc[t.DECIDED_PTE] = p
        machine.sc[t.DECISION] = _CODES[decision]


class ScanDecider:
    """Lets a scan order choose what ksmd looks at, and says when a pass is over.

    A pass ends when the policy has nothing more to name, or when it has named as many pages as could be scanned when
    the pass began: then the unstable tree starts anew, as the kernel's does.
    """

    def __init__(self, machine: Machine, policy: ScanOrder) -> None:
        self.machine, self.policy = machine, policy
        self.questions = 0
        self._left: int | None = None  # pages of this pass still to be named; None: between two passes
        self._waiting = np.empty(0, np.int32)
        self._empty_passes = 0

    def _candidates(self) -> Any:
        out = np.empty(self.machine.nr_ptes, np.int32)
        n = int(doors.scan_candidates(*self.machine.state.doors, out))
        return out[:n]

    def ksmd(self, budget: int) -> tuple[int, bool]:
        """Let ksmd look at up to `budget` pages; (looked at, a pass has ended)."""
        done = 0
        while done < budget:
            if self._left is None:
                if not self.machine.registered():
                    return done, False
                self.machine.begin_ordered_pass()
                self._left = len(self._candidates())
            if not len(self._waiting):
                self._waiting = self._ask(min(self._left, budget - done))
            if not len(self._waiting):
                self._left = None
                self.machine.end_ordered_pass()
                return done, True
            scanned, used, reason = self.machine.ksmd(min(budget - done, len(self._waiting)), self._waiting)
            if reason == doors.KSMD_LOW:
                self.machine.make_room(int(self.machine.sc[t.NR_RESERVE]))
                more, again, _reason = self.machine.ksmd(budget - done, self._waiting[used:], stop_when_low=False)
                scanned, used = scanned + more, used + again
            self._waiting = self._waiting[used:]
            self._left = max(0, self._left - used)
            done += scanned
        return done, False

    def _ask(self, n: int) -> Any:
        candidates = self._candidates()
        n = min(n, self.policy.batch, len(candidates)) if n else 0
        if n == 0:
            return np.empty(0, np.int32)
        pages = self._columns(candidates)
        self.questions += 1
        with guard(self.policy, "scan"):
            answer = self.policy.order(pages, n)
        rows = check_order(self.policy, answer, n, len(candidates))
        return candidates[rows].astype(np.int32)

    def _columns(self, ptes: Any) -> ScanColumns:
        n = len(ptes)
        names = ("process", "address", "last_scanned", "state", "changes", "stable")
        types = (np.int32, np.int64, np.int64, np.int8, np.int32, np.bool_)
        arrays = [np.empty(n, kind) for kind in types]
        doors.scan_columns(*self.machine.state.doors, ptes, *arrays)
        m = self.machine.state.m
        frames = m.pte_target[ptes]
        now = int(self.machine.sc[t.NOW])
        sources: dict[str, Any] = dict(zip(names, arrays, strict=True))
        sources["age_ns"] = lambda: np.maximum(now - m.frame.inserted[frames], 0)
        sources["last_access_ns"] = lambda: m_last_access(self.machine)[frames]
        return ScanColumns(sources, now_ns=now, full_scans=int(self.machine.sc[t.SCAN_SEQNR]), length=n)


def is_compiled(policy: Any) -> bool:
    """Is this the kernel's own behaviour, which never stops compiled code?"""
    return bool(getattr(policy, "compiled", False))


__all__ = ["PolicyFault", "Reclaimer", "ScanDecider", "SwapinDecider", "is_compiled"]
