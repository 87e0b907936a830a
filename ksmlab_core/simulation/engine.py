"""Simulated time: the workload, ksmd, reclaim and the sampling clock interleave here.

The workload runs on one processor; ksmd and kswapd on others. ksmd wakes every ``sleep_millisecs`` after its last batch
ended and does up to ``pages_to_scan`` pages; its time is counted (``time.ksmd``) but does not hold the workload up.
kswapd runs when free frames fall below the low watermark (``time.kswapd``); below the reserve that a fault may need the
faulting process reclaims itself and waits (``time.direct_reclaim``, part of ``time.fault_stall``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ksmlab_core.errors import RunFailed, StepFailed
from ksmlab_core.mm import doors
from ksmlab_core.mm import ksm as ksm_room
from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm.machine import FOREVER, READ, BusError, Machine, NothingToScan, OutOfMemory
from ksmlab_core.policy.base import TIMES_ASKED
from ksmlab_core.simulation.deciders import Reclaimer, ScanDecider, SwapinDecider, is_compiled
from ksmlab_core.simulation.metrics import read_metrics
from ksmlab_core.simulation.watch import Watch
from ksmlab_core.simulation.world import World

OnEvent = Callable[..., None]
_MIN_NAP_NS = 1_000_000  # ksmd never spins: two batches that took no time are followed by at least this
_MOST_IDLE_BATCHES = 3  # batches without a page, one after the other, after which a waiting script gives ksmd up
_CONTENTS_FIRST = 32  # so many periodic samples count distinct contents, which costs more than all the rest,
_CONTENTS_EVERY = 8  # and after these every eighth does
_KSWAPD_BACKOFF_NS = 100_000_000  # after kswapd got nowhere it is left alone for this long


def _silent(_name: str, **_fields: Any) -> None:
    """An event nobody listens to."""


class Engine:
    """One machine, its processes and its policies, on one clock.

    Args:
        machine: the machine.
        policies: one per hook: reclaim, swapin, scan.
        every_ns: simulated time between two periodic samples; None: none.
        warmup_ns: no periodic samples before this time.
        on_event: told of what a log should hold.
        watch: the checker of invariants, and when it looks.
    """

    def __init__(
        self,
        machine: Machine,
        policies: Mapping[str, Any],
        *,
        every_ns: int | None = None,
        warmup_ns: int = 0,
        on_event: OnEvent | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.machine = machine
        self.world = World(machine)
        self.policies = dict(policies)
        self.on_event = on_event or _silent
        self.watch = watch or Watch(machine, "never")
        self.series: list[dict[str, int]] = []
        self._every = every_ns
        self._next_sample = FOREVER if every_ns is None else warmup_ns
        self._ksmd_at = FOREVER
        self._ksmd_idle = False  # its last batch took no time
        self._kswapd_retry = FOREVER
        self._in_time = True  # ksmd and sampling go on; off while a script's step stands outside of time
        self._reclaim = None if is_compiled(policies["reclaim"]) else Reclaimer(machine, policies["reclaim"])
        if self._reclaim is not None:
            machine.room_maker = self._reclaim
        compiled = is_compiled(policies["swapin"])
        self._swapin = None if compiled else SwapinDecider(machine, self.world, policies["swapin"])
        self._scan = None if is_compiled(policies["scan"]) else ScanDecider(machine, policies["scan"])
        machine.enable_kswapd()

    # -- time -------------------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """Simulated ns since the run began."""
        return int(self.machine.sc[t.NOW])

    def _take_tick(self) -> int:
        sc = self.machine.sc
        tick = int(sc[t.TICK])
        sc[t.TICK] = 0
        return tick

    def _account(self, scalar: int) -> int:
        """Move what the last operation cost to an account; ns."""
        tick = self._take_tick()
        self.machine.sc[scalar] += tick
        return tick

    def knobs_changed(self) -> None:
        """ksmd was started or stopped: set or clear its next wake-up."""
        running = self.machine.knobs.get("run") == 1
        if not running:
            self._ksmd_at = FOREVER
        elif self._ksmd_at == FOREVER:
            self._ksmd_at = self.now

    def next_event(self) -> int:
        """When something other than the workload is due next, ns."""
        return min(self._ksmd_at, self._next_sample, self._kswapd_retry)

    def do_due(self) -> None:
        """Carry out what is due now."""
        now = self.now
        if now >= self._next_sample:
            self.periodic_sample()
        if now >= self._kswapd_retry:
            self._kswapd_retry = FOREVER
            self.machine.enable_kswapd()
        if now >= self._ksmd_at:
            self._ksmd_batch()

    def sleep(self, ns: int) -> None:
        """Let time pass; ksmd and sampling go on."""
        end = self.now + ns
        while True:
            due = self.next_event()
            if due > end:
                break
            self.machine.sc[t.NOW] = max(due, self.now)
            self.do_due()
        self.machine.sc[t.NOW] = max(end, self.now)

    def _ksmd_batch(self) -> None:
        machine = self.machine
        if machine.drained:
            machine.drain()
        self._take_tick()
        before = int(machine.sc[t.SCAN_SEQNR])
        self._scan_some(machine.knobs["pages_to_scan"], one_pass=True)
        spent = self._account(t.TIME_KSMD)
        # One batch without work may be the end of a pass, the next of them says that there is nothing to do.
        idle, self._ksmd_idle = self._ksmd_idle and not spent, not spent
        nap = max(machine.knobs["sleep_millisecs"] * 1_000_000, _MIN_NAP_NS if idle else 0)
        self._ksmd_at = self.now + spent + nap
        if int(machine.sc[t.SCAN_SEQNR]) != before:
            self.on_event("pass ended", ns=self.now, **machine.ksm_counters())

    def _scan_some(self, budget: int, *, one_pass: bool) -> int:
        """Let ksmd look at up to `budget` pages; how many.

        With `one_pass` it stops where a pass ends (R-SCAN-7); else where a whole pass has found nothing to look at: no
        page, nor one that smart scan passes over, which will have its turn (R-B-SMART-1).
        """
        done, empty = 0, 0  # empty: passes in a row that ended without a page
        while done < budget:
            skipped = int(self.machine.sc[t.KSM_PAGES_SKIPPED])
            n, ended, stuck = self._scan_on(budget - done)
            done += n
            nothing = n == 0 and skipped == self.machine.sc[t.KSM_PAGES_SKIPPED]
            empty = empty + 1 if ended and nothing else 0
            # What is left of a pass may hold nothing more; the next is a whole one.
            if stuck or (ended and one_pass) or empty == 2:
                break
        return done

    def _scan_on(self, budget: int) -> tuple[int, bool, bool]:
        """Up to the end of the pass at most: (pages looked at, the pass has ended, ksmd cannot go on)."""
        if self._scan is not None:
            n, ended = self._scan.ksmd(budget)
            return n, ended, n == 0 and not ended
        n, reason = self._kernel_scan(budget)
        ended = reason == ksm_room.SCAN_PASS_END
        return n, ended, not ended and reason != doors.KSMD_BUDGET

    def _kernel_scan(self, budget: int) -> tuple[int, int]:
        """The kernel's order, making room where frames run out; (looked at, reason)."""
        machine = self.machine
        done, _used, reason = machine.ksmd(min(budget, 1 << 30))
        while reason == doors.KSMD_LOW:
            reserve = int(machine.sc[t.NR_RESERVE])
            machine.make_room(reserve)
            # Where nothing can be freed ksmd goes on and its allocations fail, as the kernel's would.
            more, _used, reason = machine.ksmd(budget - done, stop_when_low=machine.sc[t.NR_FREE] >= reserve)
            done += more
        return done, reason

    # -- what scripts ask for -----------------------------------------------------------------------------------

    def scan_passes(self, passes: int) -> None:
        """ksmd runs until full_scans has risen by exactly `passes`; somebody waits for it."""
        if passes and not self.machine.registered():
            raise NothingToScan
        for _ in range(passes):
            if self.machine.drained:
                self.machine.drain()
            target = int(self.machine.sc[t.SCAN_SEQNR]) + 1
            stuck = 0
            while int(self.machine.sc[t.SCAN_SEQNR]) < target:
                if self._scan_some(1 << 40, one_pass=True) or int(self.machine.sc[t.SCAN_SEQNR]) == target:
                    stuck = 0
                    continue
                if not self.machine.registered():
                    return
                stuck += 1  # an allocation that failed ends a batch (R-SCAN-4); the next one tries again
                if stuck == _MOST_IDLE_BATCHES:
                    raise StepFailed("ksmd cannot go on: no rmap_item can be had")
            self._wait_for_ksmd()

    def scan_pages(self, pages: int) -> None:
        """ksmd looks at `pages` pages; somebody waits for it."""
        if self.machine.drained:
            self.machine.drain()
        self._scan_some(pages, one_pass=False)
        self._wait_for_ksmd()

    def reclaim(self, pages: int | None) -> None:
        """Evict until nothing more can be evicted, or `pages` frames were freed, as the reclaim policy chooses."""
        sc = self.machine.sc
        free = int(sc[t.NR_FREE])
        self._take_tick()
        if self._reclaim is None:
            self.machine.reclaim_all(pages)
        else:
            target = int(sc[t.NR_FRAMES]) if pages is None else min(free + pages, int(sc[t.NR_FRAMES]))
            self._reclaim(target)
        self._account(t.TIME_DIRECT)

    def _wait_for_ksmd(self) -> None:
        self.machine.sc[t.NOW] += self._account(t.TIME_KSMD)

    # -- accesses ---------------------------------------------------------------------------------------------

    def access(self, ptes: Any, contents: Any, gap_ns: int = 0) -> None:
        """Carry accesses out, with everything else that happens meanwhile.

        Raises:
            OutOfMemory: a fault found no frame and none can be freed.
            BusError: a page could not be read from swap.
        """
        done = 0
        for now in self._accesses(ptes, contents, gap_ns):
            self.watch.written(ptes[done:now], contents[done:now])
            done = now

    def _accesses(self, ptes: Any, contents: Any, gap_ns: int) -> Iterator[int]:
        """As `access`; gives how many are done at every stop."""
        i, n = 0, len(ptes)
        while i < n:
            i, reason = self.machine.access(ptes, contents, i, self.next_event(), gap_ns)
            yield i
            if reason == doors.ACCESS_UNTIL:
                self.do_due()
            elif reason == doors.ACCESS_WAKE_KSWAPD:
                self._kswapd()
            elif reason == doors.ACCESS_SWAPIN:
                assert self._swapin is not None
                self._swapin.decide(int(ptes[i]), bool(contents[i] != READ))
            elif reason == doors.ACCESS_LOW or (reason == doors.ACCESS_OOM and self._is_short_of_frames()):
                if not self._direct_reclaim() or reason == doors.ACCESS_OOM:
                    self._access_without_reserve(ptes, contents, i)
                    i += 1
                    yield i
            elif reason == doors.ACCESS_OOM:
                raise self._out_of_memory()
            elif reason == doors.ACCESS_SIGBUS:
                raise BusError

    def _kswapd(self) -> None:
        sc = self.machine.sc
        self._take_tick()
        before = int(sc[t.NR_FREE])
        self.machine.make_room(int(sc[t.HIGH_WATERMARK]))
        self._account(t.TIME_KSWAPD)
        if sc[t.NR_FREE] < sc[t.LOW_WATERMARK]:
            # It gets nowhere (swap full, everything locked): left alone for a while, as the kernel does.
            sc[t.LOW_WATERMARK] = 0
            self._kswapd_retry = self.now + _KSWAPD_BACKOFF_NS
        self.on_event("kswapd", ns=self.now, freed=int(sc[t.NR_FREE]) - before, free=int(sc[t.NR_FREE]))

    def _direct_reclaim(self) -> bool:
        """The faulting process reclaims; False when the reserve cannot be had."""
        sc = self.machine.sc
        self._take_tick()
        self.machine.make_room(int(max(sc[t.NR_RESERVE], min(sc[t.MIN_WATERMARK], sc[t.NR_RESERVE] * 2))))
        spent = self._account(t.TIME_DIRECT)
        sc[t.TIME_STALL] += spent
        sc[t.NOW] += spent
        return bool(sc[t.NR_FREE] >= sc[t.NR_RESERVE])

    def _out_of_memory(self) -> OutOfMemory:
        """The kernel would kill a process now; a run ends instead."""
        self.machine.sc[t.OOM_KILL] += 1
        return OutOfMemory()

    def _is_short_of_frames(self) -> bool:
        """Fewer free frames than one fault may need? If not, an allocation failed because a script said so."""
        return bool(self.machine.sc[t.NR_FREE] < self.machine.sc[t.NR_RESERVE])

    def _access_without_reserve(self, ptes: Any, contents: Any, i: int) -> None:
        """One access with fewer free frames than it may need: it gets what there is, or fails.

        Readahead would take the frames that the fault itself needs, so there is none when they are as few as that.
        """
        sc = self.machine.sc
        reserve, sc[t.NR_RESERVE] = int(sc[t.NR_RESERVE]), 0
        cluster = int(sc[t.PAGE_CLUSTER])
        if sc[t.NR_FREE] <= (1 << cluster) + 1:
            sc[t.PAGE_CLUSTER] = 0
        one, what = ptes[i : i + 1], contents[i : i + 1]
        try:
            _i, reason = self.machine.access(one, what)
            if reason == doors.ACCESS_SWAPIN:
                assert self._swapin is not None
                self._swapin.decide(int(one[0]), bool(what[0] != READ))
                _i, reason = self.machine.access(one, what)
        finally:
            sc[t.NR_RESERVE], sc[t.PAGE_CLUSTER] = reserve, cluster
        if reason == doors.ACCESS_OOM:
            raise self._out_of_memory()
        if reason == doors.ACCESS_SIGBUS:
            raise BusError

    # -- samples ----------------------------------------------------------------------------------------------

    def metrics(self) -> dict[str, int]:
        """Every metric now."""
        return self._read()

    def _read(self, *, contents: bool = True) -> dict[str, int]:
        out = read_metrics(self.machine, self.world, self.policies.items(), contents=contents)
        for hook, decider in (("reclaim", self._reclaim), ("swapin", self._swapin), ("scan", self._scan)):
            if decider is not None:
                out[f"policy.{hook}.{TIMES_ASKED}"] = decider.questions
        return out

    def periodic_sample(self, *, last: bool = False) -> None:
        """Add a row to the time series and set the next one; a row of the same time is replaced by what is true now."""
        assert self._every is not None
        if self.series and self.series[-1]["time.elapsed"] == self.now:
            self.series.pop()
        nth = len(self.series)
        self.series.append(self._read(contents=last or nth < _CONTENTS_FIRST or nth % _CONTENTS_EVERY == 0))
        # The first of the times warmup, warmup + every, ... that is still to come.
        self._next_sample += ((self.now - self._next_sample) // self._every + 1) * self._every
        self.watch.at_sample()

    def columns(self) -> dict[str, Any]:
        """The time series as columns of equal length; a metric that came or went is 0 where it was not."""
        names = sorted({name for row in self.series for name in row})
        return {name: np.array([row.get(name, 0) for row in self.series], np.int64) for name in names}


__all__ = ["Engine", "RunFailed"]
