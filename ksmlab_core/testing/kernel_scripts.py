"""Random scripts that a running kernel answers exactly, the same again from their number.

They hold only what real processes can be made to do, and only where the answer does not depend on the moment: memory
is ample, so that the kernel reclaims when asked; `reclaim: all` takes everything that can be taken; ksmd does whole
passes, or a number of pages where some are surely there to be scanned.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ksmlab_core.experiment.plan import Step
from ksmlab_core.mm.profile import profile
from ksmlab_core.testing.cases import Case, Setting
from ksmlab_core.testing.dice import Dice
from ksmlab_core.testing.memory_writer import MOST_AREAS, MOST_PROCESSES, MemoryWriter
from ksmlab_core.testing.places import Area

WEIGHTS: Final = {
    "spawn": 2, "exit": 1.5, "fork": 3, "mmap": 4, "munmap": 2, "madvise": 5, "mprotect": 1.5, "mlock": 2,
    "munlock": 1.5, "mremap": 2, "write": 14, "touch": 6, "read": 10, "passes": 14, "pages": 4, "reclaim": 6,
    "squeeze": 6, "swapoff": 1, "swapon": 5, "set": 3, "locked_fork": 2, "child_first": 2,
}  # fmt: skip
"""How often each kind of step is chosen, before a script's own taste."""
KNOBS: Final = {
    "smart_scan": (0, 0, 1),
    "use_zero_pages": (0, 0, 1),
    "max_page_sharing": (256, 256, 2, 3, 5),
    "stable_node_chains_prune_millisecs": (0, 3_600_000),
}
"""Knobs with values to try. What is forgotten of a chain after 2 s, as by default, would depend on the host's clock."""
_TASTE: Final = (0.0, 0.3, 1.0, 1.0, 1.0, 3.0)
_NEEDED: Final = ("write", "passes", "reclaim")
_PAGES: Final = 16384


def kernel_case(number: int, kernel: str) -> Case:
    """The case that a number stands for: a script, on a machine with ample memory and swap.

    Args:
        number: any number >= 0.
        kernel: name of the profile that is to behave as the running kernel does.
    """
    dice = Dice(number, 8)
    known = profile(kernel).knobs
    setting = Setting(
        frames=_PAGES,
        slots=_PAGES,
        swap_start=1,
        pagevecs="drained",
        every_ns=None,
        small_tables=False,
        nodes=1,
        ksm={"run": 0, **{knob: dice.one(values) for knob, values in KNOBS.items() if knob in known}},
        profile=kernel,
        switches={},
    )
    return Case(number, setting, {}, KernelWriter(Dice(number, 9), set(known)).script(dice.between(6, 30)))


class KernelWriter(MemoryWriter):
    """Writes scripts of the steps above.

    Args:
        dice: what chances come from.
        knobs: those that the kernel has.
    """

    def __init__(self, dice: Dice, knobs: set[str]) -> None:
        super().__init__(dice)
        self.swap_on = True
        self.knobs = {name: values for name, values in KNOBS.items() if name in knobs}
        self.advised: set[tuple[str, str]] = set()
        self.locked: set[tuple[str, str]] = set()
        self.weights = {
            kind: weight * dice.one(_TASTE[1:] if kind in _NEEDED else _TASTE) for kind, weight in WEIGHTS.items()
        }

    def script(self, size: int) -> list[Step]:
        """About `size` steps behind the opening."""
        self._opening()
        length = len(self.steps) + size
        for _ in range(50 * size):  # a step may find nothing to do
            if len(self.steps) >= length:
                break
            method: Callable[[], None] = getattr(self, f"_{self.dice.weighed(self.weights)}")
            method()
        return self.steps

    # -- processes and areas ----------------------------------------------------------------------------------

    def _fork_of(self, parent: str) -> str:
        """A child: what is advised in its parent is advised in it; what is locked there is not."""
        child = super()._fork_of(parent)
        self.advised |= {(child, area) for process, area in self.advised if process == parent}
        return child

    def _locked_fork(self) -> None:
        """ksmd meets pages of a locked area that a child shares: each part may be missing."""
        where = self._to_be_forked()
        if where is None:
            return
        process, name = where
        if self.dice.chance(0.8):
            self._advise_all(process, name)
        if self.dice.chance(0.9):
            self.locked.add((process, name))
            self._add("mlock", process=[process], area=name, pages=None, returns=0)
        self._fork_of(process)
        self._passes()

    def _child_first(self) -> None:
        """ksmd finds a page through a child before it does through the parent, if ever, and reclaim looks for both."""
        where = self._to_be_forked()
        if where is None:
            return
        process, name = where
        child = self._fork_of(process)
        self._advise_all(child, name)
        self._add("scan", passes=self.dice.between(1, 4), pages=None)
        self._reclaim()
        self._add("read", process=[process, child], area=name, pages=self.places.span([self.areas[child][name]]))

    def _to_be_forked(self) -> tuple[str, str] | None:
        """A process and one of its areas, if there may be one process more."""
        where = self.places.somewhere(lambda area: not area.holes)
        return None if where is None or len(self.areas) >= MOST_PROCESSES else (where[0][0], where[1])

    def _advise_all(self, process: str, name: str) -> None:
        """Let ksmd see all of an area."""
        self.advised.add((process, name))
        self._add("madvise", process=[process], area=name, pages=None, advice="mergeable", returns=0)

    def _mmap(self, flags: list[str] | None = None) -> None:
        """An area such as the kernel gives to anybody, sometimes locked or not to be written."""
        if not any(len(areas) < MOST_AREAS for areas in self.areas.values()):
            return
        if flags is None:
            flags = self.dice.one([[], [], [], [], [], ["locked"], ["readonly"]])
        super()._mmap(flags)
        args = self.steps[-1].args
        args.pop("node", None)
        for process in args["process"]:
            if args["advise"]:
                self.advised.add((process, args["area"]))
            if flags == ["locked"]:
                self.locked.add((process, args["area"]))

    def _madvise(self) -> None:
        where = self.places.somewhere(lambda _area: True)
        if where is None:
            return
        processes, name = where
        areas = self.places.each(processes, name)
        advice = self.dice.one(["mergeable", "mergeable", "unmergeable", "dontneed"])
        if advice == "dontneed":
            self._dontneed(processes, name, areas)
            return
        pages = self.places.span(areas, holes=self.dice.chance(0.1))
        if advice == "mergeable":
            self.advised |= {(process, name) for process in processes if pages is None}
        else:
            self.advised -= {(process, name) for process in processes}
        self._add("madvise", process=processes, area=name, pages=pages, advice=advice, returns=0)

    def _dontneed(self, processes: list[str], name: str, areas: list[Area]) -> None:
        """Where it is refused, for locked pages or holes, nobody knows what is left; then all is written again."""
        refused = any((process, name) in self.locked for process in processes) or any(area.holes for area in areas)
        if refused and any(area.readonly for area in areas):
            return
        pages = self.places.span(areas)
        self._add("madvise", process=processes, area=name, pages=pages, advice="dontneed", returns=0)
        if refused:
            self._add("write", process=processes, area=name, content=self.dice.one(self.contents), pages=None)

    def _mlock(self) -> None:
        where = self.places.somewhere(lambda _area: True)
        if where is not None:
            processes, name = where
            self.locked |= {(process, name) for process in processes}
            pages = self.places.span(self.places.each(processes, name))
            self._add("mlock", process=processes, area=name, pages=pages, returns=0)

    # -- ksmd, reclaim, swap ----------------------------------------------------------------------------------

    def _registered(self) -> bool:
        """Is something advised for certain? ksmd without anything to scan makes no pass."""
        return any(area in self.areas.get(process, {}) for process, area in self.advised)

    def _passes(self) -> None:
        if self._registered():
            self._add("scan", passes=self.dice.one([1, 1, 2, 3]), pages=None)

    def _pages(self) -> None:
        """A number of pages, when some were just written that ksmd may look at."""

        def good(area: Area) -> bool:
            return not area.readonly and not area.holes

        here = [
            (process, name)
            for process, name in sorted(self.advised)
            if name in self.areas.get(process, {}) and good(self.areas[process][name])
        ]
        if not here:
            return
        process, name = self.dice.one(here)
        content = self.dice.one([content for content in self.contents if content["kind"] != "zero"])
        self._add("write", process=[process], area=name, content=content, pages=None)
        self._add("scan", passes=None, pages=self.dice.between(1, 40))

    def _reclaim(self) -> None:
        if self.swap_on:
            self._add("reclaim", pages=None)

    def _squeeze(self) -> None:
        """Merge, swap out, bring some back, let ksmd see it, swap out again: each part may be missing."""
        everyone = self.places.somewhere(lambda area: not area.holes)
        if everyone is None or not self.swap_on or not self._registered():
            return
        areas = self.places.each(*everyone)
        back = "read" if self.dice.chance(0.7) or any(area.readonly for area in areas) else "touch"
        parts: list[tuple[str, dict[str, Any]]] = [
            ("scan", {"passes": 2, "pages": None}),
            ("reclaim", {"pages": None}),
            (back, {"process": everyone[0], "area": everyone[1], "pages": self.places.span(areas)}),
            ("scan", {"passes": self.dice.between(1, 3), "pages": None}),
            ("reclaim", {"pages": None}),
            ("read", {"process": everyone[0], "area": everyone[1], "pages": self.places.span(areas)}),
        ]
        for kind, args in parts:
            if self.dice.chance(0.85):
                self._add(kind, **args)

    def _swapoff(self) -> None:
        if self.swap_on:
            self.swap_on = False
            self._add("swapoff")

    def _swapon(self) -> None:
        if not self.swap_on:
            self.swap_on = True
            self._add("swapon")

    def _set(self) -> None:
        choices: list[dict[str, Any]] = [{"ksm.run": 2}, {"ksm.run": 0}]
        choices += [{f"ksm.{knob}": self.dice.one(values)} for knob, values in self.knobs.items()]
        chosen = self.dice.one(choices)
        self._add("set", knobs=chosen, returns=0)
        if chosen == {"ksm.run": 2}:  # a kernel that has scanned since is not at 2 any more
            self._add("set", knobs={"ksm.run": 0}, returns=0)
