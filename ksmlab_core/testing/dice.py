"""Random choices from one stream, the same again from the same numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Dice:
    """Choices from one stream of random numbers."""

    def __init__(self, *seed: int) -> None:
        self.rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))

    def chance(self, probability: float) -> bool:
        """True that often."""
        return bool(self.rng.random() < probability)

    def between(self, low: int, high: int) -> int:
        """A number of [low, high]."""
        return int(self.rng.integers(low, high + 1))

    def one(self, choices: Sequence[T]) -> T:
        """One of them, all equally likely."""
        return choices[self.between(0, len(choices) - 1)]

    def weighed(self, weights: Mapping[str, float]) -> str:
        """One of the keys, as likely as its weight."""
        names = list(weights)
        edges = np.cumsum([weights[name] for name in names])
        return names[min(int(np.searchsorted(edges, self.rng.random() * edges[-1], "right")), len(names) - 1)]

    def some(self, choices: Sequence[T], most: int) -> list[T]:
        """One to `most` different ones, in their order."""
        n = self.between(1, min(most, len(choices)))
        return [choices[i] for i in sorted(self.rng.permutation(len(choices))[:n].tolist())]
