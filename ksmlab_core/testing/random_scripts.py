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
from ksmlab_core.testing.places import Area, Places

MOST_PROCESSES: Final = 5
MOST_PAGES: Final = 12
MOST_AREAS: Final = 3
WEIGHTS: Final = {
    "spawn": 2, "exit": 1.5, "fork": 3, "mmap": 4, "munmap": 2, "madvise": 5, "mprotect": 1.5, "mlock": 2.5,
    "munlock": 2, "mremap": 2, "write": 18, "touch": 7, "read": 16, "scan": 16, "reclaim": 7, "lru": 10, "swapoff": 1.5,
    "swapon": 5, "set": 4, "sleep": 3, "pin": 2, "unpin": 2, "lock": 2, "unlock": 2, "fail": 3.5, "sample": 1,
    "expect": 0.5, "measured": 0.5, "memcg": 1,
}  # fmt: skip
"""How often each kind of step is chosen, before a script's own taste."""
SQUEEZE: Final = 5.0
"""How often a few steps are taken that send shared pages through swap."""
FAILURES = ("alloc_page", "fallback_vma", "rmap_item", "node", "mm_slot", "swap_read", "swap_continuation")
_FLAGS = ("shared", "io", "nonlinear", "locked", "readonly")
_RETURNS = (None, None, 0, "ENOMEM", "EAGAIN", "EINVAL")
_METRICS = ("vm.pgfault", "ksm.pages_sharing", "machine.frames_free", "time.elapsed")
_UNSEEN = " | ".join(["0/0/0/0", "0", "0/0/0", "", "0", "0", "0/0", "0/0", "0", "~"])


def _any(_area: Area) -> bool:
    return True


def random_script(seed: int, size: int, *, kinds: Sequence[str] = tuple(WEIGHTS)) -> list[Step]:
    """A script of about `size` steps; equal arguments give equal scripts.

    Args:
        seed: any number >= 0.
        size: steps behind the opening, which makes processes, areas and contents.
        kinds: the kinds of steps to choose from.
    """
    return _Writer(Dice(seed, size, 2), kinds).script(size)


class _Writer:
    def __init__(self, dice: Dice, kinds: Sequence[str]) -> None:
        self.dice = dice
        self.steps: list[Step] = []
        self.places = Places(dice)
        self.areas = self.places.areas
        self.holds: dict[str, list[dict[str, Any]]] = {"pin": [], "lock": []}
        self.mapped = 0
        self.swap_on = True
        self.sleep_ns = 20_000_000
        self.crowded = self.dice.chance(0.15)
        self.contents = self._taste_in_contents()
        taste = [0.0, 0.3, 1.0, 1.0, 1.0, 3.0]
        needed = ("write", "read", "scan", "lru", "reclaim")
        self.weights = {
            kind: weight * dice.one(taste[1:] if kind in needed else taste)
            for kind, weight in WEIGHTS.items()
            if kind in kinds
        }
        if set(needed) <= set(kinds):
            self.weights["squeeze"] = SQUEEZE * dice.one(taste)

    def _taste_in_contents(self) -> list[dict[str, Any]]:
        """What pages may hold: a few of everything, or next to nothing but one content."""
        named = {"kind": "named", "name": "x"}
        if self.crowded:
            return [named] * 9 + [{"kind": "unique"}]
        cycles = [{"kind": "cycle", "n": n, "from": family} for n in (1, 2, 4) for family in (0, 1)]
        return [*cycles, *[named] * 3, {"kind": "named", "name": "y"}, *[{"kind": "zero"}, {"kind": "unique"}] * 2]

    def script(self, size: int) -> list[Step]:
        self._opening()
        length = len(self.steps) + size
        while len(self.steps) < length:
            kind = self.dice.weighed(self.weights)
            method: Callable[[], None] = getattr(self, f"_{kind}")
            method()
        return self.steps

    def _opening(self) -> None:
        """Processes, areas, contents; a crowded script has enough alike to share one page more than 62 times."""
        if self.crowded:
            self._add("spawn", process=[self.places.born() for _ in range(3)])
        for _ in range(0 if self.crowded else self.dice.between(1, 3)):
            self._spawn()
        for _ in range(3 if self.crowded else self.dice.between(1, 3)):
            self._mmap(flags=[])
            self._write()

    def _add(self, kind: str, **args: Any) -> None:
        line = len(self.steps) + 1
        self.steps.append(Step(kind, args, line, 1))

    # -- processes and areas ----------------------------------------------------------------------------------

    def _spawn(self) -> None:
        if len(self.areas) >= MOST_PROCESSES:
            return
        self._add("spawn", process=[self.places.born()])

    def _exit(self) -> None:
        if len(self.areas) < 2 and not self.dice.chance(0.1):
            return
        if self.areas:
            gone = self.dice.some(list(self.areas), 2)
            for name in gone:
                del self.areas[name]
            self._add("exit", process=gone)

    def _fork(self) -> None:
        if not 0 < len(self.areas) < MOST_PROCESSES:
            return
        parent = self.dice.one(list(self.areas))
        child = self.places.born()
        self.areas[child] = {name: area.copy() for name, area in self.areas[parent].items()}
        self._add("fork", process=parent, child=child)

    def _mmap(self, flags: list[str] | None = None) -> None:
        dice = self.dice
        room = [name for name, areas in self.areas.items() if len(areas) < MOST_AREAS]
        if not room:
            return
        processes = room if self.crowded else dice.some(room, len(room) if dice.chance(0.6) else 1)
        name, pages = f"m{self.mapped}", MOST_PAGES if self.crowded else dice.between(1, MOST_PAGES)
        self.mapped += 1
        if flags is None:
            flags = dice.some(_FLAGS, 2) if dice.chance(0.25) else []
        for process in processes:
            readonly = set(range(pages)) if "readonly" in flags else set()
            self.areas[process][name] = Area(pages, shared="shared" in flags, readonly=readonly)
        advise = "mergeable" if dice.chance(0.8) else None
        self._add("mmap", process=processes, area=name, pages=pages, advise=advise, flags=flags)

    def _munmap(self) -> None:
        where = self.places.somewhere(_any)
        if where is None:
            return
        processes, name = where
        pages = self.places.span(self.places.each(processes, name), whole=0.2, holes=True)
        for process in processes:
            area = self.areas[process][name]
            area.holes |= area.numbers(pages)
            if len(area.holes) == area.pages:
                del self.areas[process][name]
        self._add("munmap", process=processes, area=name, pages=pages)

    def _madvise(self) -> None:
        where = self.places.somewhere(_any)
        if where is not None:
            processes, name = where
            pages = self.places.span(self.places.each(processes, name), holes=self.dice.chance(0.1))
            advice = self.dice.one(["mergeable", "mergeable", "unmergeable", "dontneed"])
            returns = self.dice.one(_RETURNS)
            self._add("madvise", process=processes, area=name, pages=pages, advice=advice, returns=returns)

    def _mprotect(self) -> None:
        where = self.places.somewhere(_any)
        if where is None:
            return
        processes, name = where
        areas = self.places.each(processes, name)
        pages, writable = self.places.span(areas), self.dice.chance(0.6)
        for area in areas:
            numbers = area.numbers(pages)
            area.readonly = area.readonly - numbers if writable else area.readonly | numbers
        self._add("mprotect", process=processes, area=name, pages=pages, writable=writable)

    def _simple(self, kind: str, good: Callable[[Area], bool] = _any, **more: Any) -> None:
        """A step that needs nothing but pages."""
        where = self.places.somewhere(good)
        if where is not None:
            processes, name = where
            pages = self.places.span(self.places.each(processes, name))
            self._add(kind, process=processes, area=name, pages=pages, **more)

    def _mlock(self) -> None:
        self._simple("mlock", lambda area: not area.shared, returns=self.dice.one(_RETURNS))

    def _munlock(self) -> None:
        self._simple("munlock")

    def _mremap(self) -> None:
        self._simple("mremap")

    # -- accesses ---------------------------------------------------------------------------------------------

    def _writing(self, kind: str, **more: Any) -> None:
        where = self.places.somewhere(lambda area: not area.shared and not area.readonly)
        if where is not None:
            processes, name = where
            pages = self.places.span(self.places.each(processes, name))
            self._add(kind, process=processes, area=name, pages=pages, **more)

    def _write(self) -> None:
        self._writing("write", content=self.dice.one(self.contents))

    def _touch(self) -> None:
        self._writing("touch")

    def _read(self) -> None:
        self._simple("read", lambda area: not area.shared)

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
        knobs = [
            {"ksm.run": dice.one([0, 1, 1, 2, 2])},
            {"ksm.pages_to_scan": dice.one([0, 1, 7, 100])},
            {"ksm.sleep_millisecs": dice.one([0, 1, 20])},
            {"ksm.max_kernel_pages": dice.one([0, 1, 2, 10])},
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

    # -- levers -----------------------------------------------------------------------------------------------

    def _hold(self, kind: str) -> None:
        """Pin or lock pages that were just made present."""
        where = self.places.somewhere(lambda area: not area.shared and not area.holes and not area.readonly)
        if where is None:
            return
        processes, name = where
        pages = self.places.span(self.places.each(processes, name), whole=0.0)
        args = {"process": processes, "area": name, "pages": pages}
        if not self.dice.chance(0.2):
            self._add("read" if self.dice.chance(0.5) else "touch", **args)
        self.holds[kind].append(args)
        self._add(kind, **args)

    def _let_go(self, kind: str, of: str) -> None:
        if self.holds[of]:
            args = self.holds[of].pop(self.dice.between(0, len(self.holds[of]) - 1))
            areas = [self.areas.get(process, {}).get(args["area"]) for process in args["process"]]
            if all(area is not None and not area.holes for area in areas):
                self._add(kind, **args)

    def _pin(self) -> None:
        self._hold("pin")

    def _unpin(self) -> None:
        self._let_go("unpin", "pin")

    def _lock(self) -> None:
        self._hold("lock")

    def _unlock(self) -> None:
        self._let_go("unlock", "lock")

    def _fail(self) -> None:
        kinds = self.dice.some(FAILURES, 2) if self.dice.chance(0.2) else [self.dice.one(FAILURES)]
        self._add("fail", **{kind: self.dice.between(1, 5) for kind in kinds})

    # -- looking ----------------------------------------------------------------------------------------------

    def _sample(self) -> None:
        self._add("sample", label=f"s{len(self.steps)}", pages=self.dice.chance(0.5))

    def _expect(self) -> None:
        self._add("expect", metrics={self.dice.one(_METRICS): {"min": 0}})

    def _measured(self) -> None:
        label, reason = f"r{len(self.steps)}", {"pages": "only the way to the figures is tried"}
        self._add("measured", label=label, row=_UNSEEN, columns=cells(_UNSEEN), **{"except": reason})
