"""Numbers 0, 1, 2 ... for the keys of a stream, in the order in which they first come."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]


class Numbering:
    """Gives every key its number, for streams that are longer than memory but whose keys are not.

    Known keys are kept in sorted runs, each at least twice as long as the next, as in a log-structured merge tree: a
    look-up is a binary search in each, and a key is moved as many times as there are runs. 16 bytes a key.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[Keys, Numbers]] = []
        self._known = 0

    def __len__(self) -> int:
        return self._known

    def numbers(self, keys: Keys) -> Numbers:
        """The numbers of keys (any length, repetitions allowed); new keys are numbered as they come."""
        distinct, first, back = np.unique(keys, return_index=True, return_inverse=True)
        found = self._known_numbers(distinct)
        new = np.flatnonzero(found < 0)
        if len(new):
            found[new[np.argsort(first[new], kind="stable")]] = np.arange(self._known, self._known + len(new))
            self._known += len(new)
            self._add(distinct[new], found[new])
        return found[back]

    def _known_numbers(self, distinct: Keys) -> Numbers:
        found = np.full(len(distinct), -1, np.int64)
        for keys, numbers in self._runs:
            at = np.minimum(np.searchsorted(keys, distinct), len(keys) - 1)
            here = keys[at] == distinct
            found[here] = numbers[at[here]]
        return found

    def _add(self, keys: Keys, numbers: Numbers) -> None:
        while self._runs and len(self._runs[-1][0]) < 2 * len(keys):
            older_keys, older_numbers = self._runs.pop()
            keys, numbers = np.concatenate((older_keys, keys)), np.concatenate((older_numbers, numbers))
            order = np.argsort(keys, kind="stable")
            keys, numbers = keys[order], numbers[order]
        self._runs.append((keys, numbers))
