"""What the writer of a random script knows of its processes and areas, and where the next step may be done."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ksmlab_core.testing.dice import Dice

Pages = list[int] | None
"""First and last page of an area; None: all of it."""


@dataclass
class Area:
    """What the writer knows of an area: pages unmapped, pages that may not be written."""

    pages: int
    shared: bool = False
    holes: set[int] = field(default_factory=set)
    readonly: set[int] = field(default_factory=set)

    def copy(self) -> Area:
        """The same for a child."""
        return Area(self.pages, self.shared, set(self.holes), set(self.readonly))

    def numbers(self, pages: Pages) -> set[int]:
        """The page numbers that a step means."""
        return set(range(self.pages) if pages is None else range(pages[0], pages[1] + 1))


class Places:
    """The areas of each live process, by their names.

    Args:
        dice: what chances come from.
    """

    def __init__(self, dice: Dice) -> None:
        self.dice = dice
        self.areas: dict[str, dict[str, Area]] = {}
        self._born = 0

    def born(self) -> str:
        """A process; its name is never used again."""
        name = f"p{self._born}"
        self._born += 1
        self.areas[name] = {}
        return name

    def each(self, processes: Iterable[str], area: str) -> list[Area]:
        """The area in each process."""
        return [self.areas[process][area] for process in processes]

    def somewhere(self, good: Callable[[Area], bool]) -> tuple[list[str], str] | None:
        """Processes that have an area of the same name, all fit for the purpose; None if there is none."""
        fit: dict[str, list[str]] = {}
        for process, areas in self.areas.items():
            for name, area in areas.items():
                if good(area):
                    fit.setdefault(name, []).append(process)
        if not fit:
            return None
        name = self.dice.one(list(fit))
        return self.dice.some(fit[name], len(fit[name]) if self.dice.chance(0.4) else 1), name

    def span(self, areas: list[Area], *, whole: float = 0.4, holes: bool = False) -> Pages:
        """Pages that all the areas have, without holes unless those are welcome."""
        dice, last = self.dice, min(area.pages for area in areas) - 1
        if dice.chance(whole):
            return None
        first = dice.between(0, last)
        end = dice.between(first, last)
        if not holes:
            gone = set().union(*(area.holes for area in areas))
            if first in gone:
                return None
            end = next((page - 1 for page in range(first, end + 1) if page in gone), end)
        return [first, end]
