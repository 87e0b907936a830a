"""Sets of pages as spans, so that a range of a billion pages costs as much as one of two."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Ranges:
    """A set of page numbers, kept as disjoint inclusive spans."""

    spans: list[tuple[int, int]] = field(default_factory=list)

    def add(self, first: int, last: int) -> None:
        """Put the pages `first` to `last` in."""
        self.remove(first, last)
        self.spans.append((first, last))

    def remove(self, first: int, last: int) -> None:
        """Take the pages `first` to `last` out."""
        kept = [(low, min(high, first - 1)) for low, high in self.spans if low < first]
        kept += [(max(low, last + 1), high) for low, high in self.spans if high > last]
        self.spans = kept

    def first_in(self, first: int, last: int) -> int | None:
        """The lowest page of the set from `first` to `last`."""
        within = [max(low, first) for low, high in self.spans if low <= last and high >= first]
        return min(within, default=None)

    def __len__(self) -> int:
        return sum(high - low + 1 for low, high in self.spans)

    def copy(self) -> Ranges:
        """A set of its own with the same pages."""
        return Ranges(list(self.spans))
