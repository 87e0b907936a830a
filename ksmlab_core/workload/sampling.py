"""Drawing pages by popularity: the same integers on every machine, tens of millions a second."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

_SKEW_BITS: Final = 20
_LOW_32: Final = np.uint64(32)


def zipf_weights(n: int, skew: float) -> npt.NDArray[np.float64]:
    """Relative popularity ``(k + 1) ** -skew`` of ranks k = 0..n-1.

    Only correctly rounded operations (square root, product, quotient) are used, because a library's ``pow``
    differs in the last bit from one processor to the next. The skew is taken to the nearest 2**-20.

    Args:
        n: How many ranks, >= 1.
        skew: 0 makes all equal; 1 is the classic law.
    """
    whole, fraction = divmod(round(skew * 2**_SKEW_BITS), 2**_SKEW_BITS)
    root = np.arange(1, n + 1, dtype=np.float64)
    power = np.ones(n)
    for _ in range(whole):
        power *= root
    for bit in reversed(range(_SKEW_BITS)):
        root = np.sqrt(root)
        if fraction >> bit & 1:
            power *= root
    return 1.0 / power


class AliasTable:
    """Draws numbers 0..n-1 with given weights, each at the cost of two table look-ups (Walker, 1977).

    Column c of the table gives c itself with one chance in 2**32 steps, and another number, its alias, else.
    """

    def __init__(self, weights: npt.ArrayLike) -> None:
        """Build the table by prefix sums.

        The numbers with more than a fair share give their excess to those with less, in order. A giver whose
        excess runs out in the middle of a column takes what it lacks from the next giver.

        Args:
            weights: Finite, not negative, not all zero; need not add up to 1.
        """
        raw = np.asarray(weights, dtype=np.float64)
        if raw.ndim != 1 or not raw.size or not np.all(np.isfinite(raw)) or raw.min() < 0 or raw.max() <= 0:
            raise ValueError("weights are finite, not negative and not all zero")
        share = raw * (raw.size / np.cumsum(raw)[-1])
        takers, givers = np.flatnonzero(share < 1.0), np.flatnonzero(share >= 1.0)
        lacking, excess = np.cumsum(1.0 - share[takers]), np.cumsum(share[givers] - 1.0)
        keep = np.minimum(share, 1.0)
        alias = np.arange(raw.size)
        if takers.size and givers.size:
            before = lacking - (1.0 - share[takers])
            alias[takers] = givers[np.minimum(np.searchsorted(excess, before), givers.size - 1)]
            ends = np.searchsorted(lacking, excess[:-1], side="right")
            dry = np.flatnonzero(ends < takers.size)
            keep[givers[dry]] = 1.0 + excess[dry] - lacking[ends[dry]]
            alias[givers[dry]] = givers[dry + 1]
        self._columns = np.uint64(raw.size)
        self._keep = np.clip(keep * 2.0**32, 0.0, 2.0**32 - 1.0).astype(np.uint32)
        self._pairs = np.stack((alias, np.arange(raw.size)), axis=1).astype(np.int32).ravel()

    def draw(self, rng: np.random.Generator, n: int) -> npt.NDArray[np.int32]:
        """`n` numbers, int32, from 64 random bits each."""
        bits = rng.integers(0, 2**64, n, dtype=np.uint64)
        column = (((bits >> _LOW_32) * self._columns) >> _LOW_32).astype(np.int64)
        kept = bits.astype(np.uint32) < self._keep.take(column)
        column <<= 1
        column += kept
        return self._pairs.take(column)
