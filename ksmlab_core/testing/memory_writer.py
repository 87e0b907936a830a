"""The half of a random script that concerns processes and their memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ksmlab_core.experiment.plan import Step
from ksmlab_core.testing.dice import Dice
from ksmlab_core.testing.places import Area, Places

MOST_PROCESSES: Final = 5
MOST_PAGES: Final = 12
MOST_AREAS: Final = 3
_FLAGS: Final = ("shared", "io", "nonlinear", "locked", "readonly")
_RETURNS: Final = (None, None, 0, "ENOMEM", "EAGAIN", "EINVAL")


def _any(_area: Area) -> bool:
    return True


class MemoryWriter:
    """Writes steps on processes and memory; the method of a step is called ``_KIND`` and may find nothing to do.

    Args:
        dice: what chances come from.

    Attributes:
        steps: what is written so far.
        crowded: few contents and large areas, so that one page is shared more than 62 times.
    """

    def __init__(self, dice: Dice) -> None:
        self.dice = dice
        self.steps: list[Step] = []
        self.places = Places(dice)
        self.areas = self.places.areas
        self.crowded = dice.chance(0.15)
        self.contents = self._taste_in_contents()
        self._holds: dict[str, list[dict[str, Any]]] = {"pin": [], "lock": []}
        self._mapped = 0

    def _taste_in_contents(self) -> list[dict[str, Any]]:
        """What pages may hold: a few of everything, or next to nothing but one content."""
        named = {"kind": "named", "name": "x"}
        if self.crowded:
            return [named] * 9 + [{"kind": "unique"}]
        cycles = [{"kind": "cycle", "n": n, "from": family} for n in (1, 2, 4) for family in (0, 1)]
        return [*cycles, *[named] * 3, {"kind": "named", "name": "y"}, *[{"kind": "zero"}, {"kind": "unique"}] * 2]

    def _add(self, kind: str, **args: Any) -> None:
        line = len(self.steps) + 1
        self.steps.append(Step(kind, args, line, 1))

    def _opening(self) -> None:
        """Processes, areas, contents; a crowded script has enough alike to share one page more than 62 times."""
        if self.crowded:
            self._add("spawn", process=[self.places.born() for _ in range(3)])
        for _ in range(0 if self.crowded else self.dice.between(1, 3)):
            self._spawn()
        for _ in range(3 if self.crowded else self.dice.between(1, 3)):
            self._mmap(flags=[])
            self._write()

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
        if 0 < len(self.areas) < MOST_PROCESSES:
            self._fork_of(self.dice.one(list(self.areas)))

    def _fork_of(self, parent: str) -> str:
        """A child of this process; its name."""
        child = self.places.born()
        self.areas[child] = {name: area.copy() for name, area in self.areas[parent].items()}
        self._add("fork", process=parent, child=child)
        return child

    def _mmap(self, flags: list[str] | None = None) -> None:
        dice = self.dice
        room = [name for name, areas in self.areas.items() if len(areas) < MOST_AREAS]
        if not room:
            return
        processes = room if self.crowded else dice.some(room, len(room) if dice.chance(0.6) else 1)
        name, pages = f"m{self._mapped}", MOST_PAGES if self.crowded else dice.between(1, MOST_PAGES)
        self._mapped += 1
        if flags is None:
            flags = dice.some(_FLAGS, 2) if dice.chance(0.25) else []
        for process in processes:
            readonly = set(range(pages)) if "readonly" in flags else set()
            self.areas[process][name] = Area(pages, shared="shared" in flags, readonly=readonly)
        advise = "mergeable" if dice.chance(0.8) else None
        where = {"node": dice.between(0, 3)} if dice.chance(0.3) else {}
        self._add("mmap", process=processes, area=name, pages=pages, advise=advise, flags=flags, **where)

    def _prctl(self) -> None:
        if self.areas:
            some = self.dice.some(list(self.areas), 2)
            returns = self.dice.one(_RETURNS)
            self._add("prctl", process=some, merge=int(self.dice.chance(0.6)), returns=returns)

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
        self._holds[kind].append(args)
        self._add(kind, **args)

    def _let_go(self, kind: str, of: str) -> None:
        if self._holds[of]:
            args = self._holds[of].pop(self.dice.between(0, len(self._holds[of]) - 1))
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
