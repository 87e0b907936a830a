"""Random scripts: steps of every kind on few processes with small areas, the same again from (seed, size).

A writer keeps account of what it has made (who lives, what is mapped, what may be written), so that a step is nearly
always one that can be carried out. Whether a page is present, or whether memory is left, only the machine knows: a step
that needs it can be refused. The kinds of steps are weighed anew for every script (some scripts never fork, others do
little else), which reaches corners that one fixed mix would not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from ksmlab_core.experiment.measured import cells
from ksmlab_core.experiment.plan import Step
from ksmlab_core.testing.dice import Dice
from ksmlab_core.testing.memory_writer import MOST_PROCESSES, MemoryWriter

WEIGHTS: Final = {
    "spawn": 2, "exit": 1.5, "fork": 3, "mmap": 4, "munmap": 2, "madvise": 5, "mprotect": 1.5, "mlock": 2.5,
    "munlock": 2, "mremap": 2, "prctl": 1.5, "write": 18, "touch": 7, "read": 16, "scan": 16, "reclaim": 7, "lru": 10,
    "swapoff": 1.5, "swapon": 5, "set": 4, "sleep": 3, "pin": 2, "unpin": 2, "lock": 2, "unlock": 2, "fail": 3.5,
    "sample": 1, "expect": 0.5, "measured": 0.5, "memcg": 1,
}  # fmt: skip
"""How often each kind of step is chosen, before a script's own taste."""
SQUEEZE: Final = 5.0
"""How often a few steps are taken that send shared pages through swap."""
FAILURES: Final = {
    "alloc_page": ("unmerge_all", "unmerge_all", "madvise", "mremap", "scan", "read"),
    "fallback_vma": ("lru", "reclaim"),
    "rmap_item": ("scan",),
    "node": ("scan",),
    "mm_slot": ("fork", "madvise"),
    "swap_read": ("read", "touch"),
    "swap_continuation": ("fork", "reclaim"),
}
"""What can be made to fail, each with the steps that meet it."""
LATER_KNOBS: Final = {
    "smart_scan": (0, 1),
    "use_zero_pages": (0, 1, 1),
    "max_page_sharing": (2, 2, 3, 5, 256),
    "merge_across_nodes": (0, 1),
    "stable_node_chains_prune_millisecs": (0, 1, 2000),
    "advisor_mode": ("none", "scan-time"),
    "advisor_target_scan_time": (1, 200),
}
"""Knobs that only later kernels have, with values to try."""
_METRICS: Final = ("vm.pgfault", "ksm.pages_sharing", "machine.frames_free", "time.elapsed")
_UNSEEN: Final = " | ".join(["0/0/0/0", "0", "0/0/0", "", "0", "0", "0/0", "0/0", "0", "~"])


def random_script(seed: int, size: int, *, kinds: Sequence[str] = tuple(WEIGHTS)) -> list[Step]:
    """A script of about `size` steps; equal arguments give equal scripts.

    Args:
        seed: any number >= 0.
        size: steps behind the opening, which makes processes, areas and contents.
        kinds: the kinds of steps to choose from.
    """
    return _Writer(Dice(seed, size, 2), kinds).script(size)


class _Writer(MemoryWriter):
    def __init__(self, dice: Dice, kinds: Sequence[str]) -> None:
        super().__init__(dice)
        self.swap_on = True
        self.sleep_ns = 20_000_000
        taste = [0.0, 0.3, 1.0, 1.0, 1.0, 3.0]
        needed = ("write", "read", "scan", "lru", "reclaim")
        self.weights = {
            kind: weight * dice.one(taste[1:] if kind in needed else taste)
            for kind, weight in WEIGHTS.items()
            if kind in kinds
        }
        if set(needed) <= set(kinds):
            self.weights["squeeze"] = SQUEEZE * dice.one(taste)

    def script(self, size: int) -> list[Step]:
        self._opening()
        length = len(self.steps) + size
        for _ in range(50 * size):  # a step may find nothing to do
            if len(self.steps) >= length:
                break
            kind = self.dice.weighed(self.weights)
            method: Callable[[], None] = getattr(self, f"_{kind}")
            method()
        return self.steps

    # -- ksmd, reclaim, swap, time ----------------------------------------------------------------------------

    def _scan(self) -> None:
        if self.dice.chance(0.6):
            self._add("scan", passes=self.dice.one([1, 1, 2, 3]), pages=None)
        else:
            self._add("scan", passes=None, pages=self.dice.between(1, 40))

    def _squeeze(self) -> None:
        """Merge, swap out, let ksmd forget, free, bring back: each part may be missing."""
        everyone = self.places.somewhere(lambda area: not area.shared and not area.holes)
        if everyone is None:
            return
        back = "read" if self.dice.chance(0.7) or any(a.readonly for a in self.places.each(*everyone)) else "touch"
        parts: list[tuple[str, dict[str, Any]]] = [
            ("scan", {"passes": 2, "pages": None}),
            ("reclaim", {"pages": None}),
            ("scan", {"passes": 1, "pages": None}),
            ("reclaim", {"pages": None}),
            (back, {"process": everyone[0], "area": everyone[1], "pages": None}),
        ]
        for kind, args in parts:
            if self.dice.chance(0.85):
                self._add(kind, **args)

    def _reclaim(self) -> None:
        self._add("reclaim", pages=None if self.dice.chance(0.5) else self.dice.between(1, 40))

    def _lru(self) -> None:
        self._add("lru", action=self.dice.one(["deactivate", "deactivate", "shrink", "shrink", "shrink", "drain"]))

    def _swapoff(self) -> None:
        if self.swap_on:
            self.swap_on = False
            self._add("swapoff")

    def _swapon(self) -> None:
        if not self.swap_on:
            self.swap_on = True
            self._add("swapon")

    def _set(self) -> None:
        dice = self.dice
        knobs: list[dict[str, Any]] = [
            {"ksm.run": dice.one([0, 1, 1, 2, 2])},
            {"ksm.pages_to_scan": dice.one([0, 1, 7, 100])},
            {"ksm.sleep_millisecs": dice.one([0, 1, 20])},
            {"ksm.max_kernel_pages": dice.one([0, 1, 2, 10])},
            *({f"ksm.{knob}": dice.one(values)} for knob, values in LATER_KNOBS.items()),
        ]
        chosen = dice.one([knobs[0], knobs[0], *knobs])
        if "ksm.sleep_millisecs" in chosen:
            self.sleep_ns = chosen["ksm.sleep_millisecs"] * 1_000_000
        self._add("set", knobs=chosen, returns=dice.one([None, 0]))

    def _sleep(self) -> None:
        # A few naps of ksmd, not thousands: without a nap it works through every microsecond.
        self._add("sleep", ns=self.dice.between(1, 6) * max(self.sleep_ns, 10_000))

    def _memcg(self) -> None:
        if self.areas:
            everyone = self.dice.some(list(self.areas), MOST_PROCESSES)
            self._add("memcg", process=None if self.dice.chance(0.4) else everyone)

    def _fail(self) -> None:
        """A failure, often followed at once by a step that has to take it."""
        dice = self.dice
        if dice.chance(0.5):
            kinds = dice.some(list(FAILURES), 2) if dice.chance(0.2) else [dice.one(list(FAILURES))]
            self._add("fail", **{kind: dice.between(1, 5) for kind in kinds})
            return
        kind = dice.one([*FAILURES, "alloc_page", "alloc_page"])
        self._add("fail", **{kind: dice.between(1, 3)})
        method: Callable[[], None] = getattr(self, f"_{dice.one(FAILURES[kind])}")
        method()

    def _unmerge_all(self) -> None:
        self._add("set", knobs={"ksm.run": 2}, returns=None)

    # -- looking ----------------------------------------------------------------------------------------------

    def _sample(self) -> None:
        self._add("sample", label=f"s{len(self.steps)}", pages=self.dice.chance(0.5))

    def _expect(self) -> None:
        self._add("expect", metrics={self.dice.one(_METRICS): {"min": 0}})

    def _measured(self) -> None:
        label, reason = f"r{len(self.steps)}", {"pages": "only the way to the figures is tried"}
        self._add("measured", label=label, row=_UNSEEN, columns=cells(_UNSEEN), **{"except": reason})
