"""Three things that most numpy policies need and that are easy to get subtly wrong."""

from __future__ import annotations

from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ksmlab_core.policy.columns import FrameColumns
from ksmlab_core.policy.terms import Outcome


def smallest(keys: NDArray[Any], n: int) -> NDArray[np.intp]:
    """Row numbers of the `n` smallest keys, smallest first; of equal keys, the lower row first.

    Takes time proportional to ``len(keys)``. ``np.argpartition`` alone would choose among equal keys as the
    processor's vector width suggests, and a run must give the same integers on every machine.

    Args:
        keys: numbers, none of them NaN.
        n: how many rows are wanted; more than there are gives all.
    """
    if n <= 0:
        return np.empty(0, dtype=np.intp)
    if n >= len(keys):
        return np.argsort(keys, kind="stable")
    rows = _likely(keys, n)
    few = keys[rows]
    border = np.partition(few, n - 1)[n - 1]
    below = np.flatnonzero(few < border)
    ties = np.flatnonzero(few == border)[: n - len(below)]
    return rows[np.concatenate((below[np.argsort(few[below], kind="stable")], ties))]


def _likely(keys: NDArray[Any], n: int) -> NDArray[np.intp]:
    """Ascending rows that surely hold the `n` smallest keys, few of them if every so-and-so-manyth key is typical.

    Partitioning all keys costs some 10 ns each; comparing them with a border read off a sample costs 1 ns.
    """
    stride = isqrt(len(keys) // n)
    if stride > 2:
        sample = keys[::stride]
        place = 2 * (n // stride) + 8
        if place < len(sample):
            rows = np.flatnonzero(keys <= np.partition(sample, place)[place])
            if len(rows) >= n:
                return rows
    return np.arange(len(keys))


class FrameNotes:
    """One number per frame that a policy keeps for itself, forgotten when the frame holds another page.

    Frames are reused: what was noted about a frame is wrong for the page that comes next. The column `inserted` tells
    the two apart.

    Args:
        default: what :meth:`read` says of a page about which nothing was written.
    """

    def __init__(self, default: int = 0) -> None:
        self.default = default
        self._value = np.empty(0, dtype=np.int64)
        self._arrival = np.empty(0, dtype=np.int64)
        self._index = np.empty(0, dtype=np.int32)  # rows of the last read: frame numbers ...
        self._inserted = np.empty(0, dtype=np.int64)  # ... and the arrival of their pages

    def read(self, frames: FrameColumns) -> NDArray[np.int64]:
        """The note on each row's page, in an array of its own. Only these pages can then be written about."""
        self._index, self._inserted = frames.index.copy(), frames.inserted.copy()
        if not len(self._value):  # nothing was ever written
            return np.full(len(frames), self.default, dtype=np.int64)
        self._make_room(self._index)
        known = self._arrival[self._index] == self._inserted
        return np.where(known, self._value[self._index], self.default)

    def write(self, index: NDArray[np.integer[Any]], value: int) -> None:
        """Note `value` on the pages that the frames `index` held when they were last read."""
        if len(index):
            self._make_room(index)
            self._value[index] = value
            self._arrival[index] = self._inserted[self._rows_of(index)]

    def _rows_of(self, index: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
        """Where the frames stood at the last read."""
        rows = np.minimum(np.searchsorted(self._index, index), len(self._index) - 1)
        if (self._index[rows] == index).all():
            return rows
        order = np.argsort(self._index, kind="stable")  # the rows did not come in rising order
        places = np.searchsorted(self._index, index, sorter=order)
        rows = order[np.minimum(places, len(order) - 1)]
        if not (self._index[rows] == index).all():
            raise LookupError("a note on a frame that was not among those last read")
        return rows

    def _make_room(self, index: NDArray[np.integer[Any]]) -> None:
        """Grow to the highest frame number, at least doubling, so that growth stays cheap."""
        needed = int(index.max()) + 1 if len(index) else 0
        if needed > len(self._value):
            grown = max(needed, 2 * len(self._value)) - len(self._value)
            self._value = np.concatenate((self._value, np.full(grown, self.default, dtype=np.int64)))
            self._arrival = np.concatenate((self._arrival, np.full(grown, -1, dtype=np.int64)))


class LastUse:
    """When each page was last used, where a page that was named and stayed counts as used at that moment.

    Without that, a policy that goes by last use would name what cannot be reclaimed for ever.
    """

    def __init__(self) -> None:
        self._put_back = FrameNotes(default=-1)  # when the page was last named and stayed, ns
        self._asked_ns = 0

    def read(self, frames: FrameColumns) -> NDArray[np.int64]:
        """Simulated time of each row's last use, ns. Only these pages can then be noted."""
        self._asked_ns = frames.now_ns
        used: NDArray[np.int64] = np.maximum(frames.last_access_ns, self._put_back.read(frames))
        return used

    def note(self, index: NDArray[np.int32], outcome: NDArray[np.int8]) -> None:
        """Take in what became of frames: the arguments of `ReclaimPolicy.reclaimed`."""
        self._put_back.write(index[outcome != Outcome.FREED], self._asked_ns)
