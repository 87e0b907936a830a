"""Stretches of addresses: an area as the parts of it that lie together."""

from __future__ import annotations

from typing import Any

import numpy as np


def runs(addresses: np.ndarray[Any, np.dtype[np.int64]]) -> list[tuple[int, int, int]]:
    """(first address, how many, position) of each stretch of consecutive addresses; negative ones are left out."""
    if not len(addresses):
        return []
    breaks = np.flatnonzero((np.diff(addresses) != 1) | (addresses[1:] < 0) | (addresses[:-1] < 0)) + 1
    starts = np.concatenate(([0], breaks))
    ends = np.concatenate((breaks, [len(addresses)]))
    return [
        (int(addresses[start]), int(end - start), int(start))
        for start, end in zip(starts, ends, strict=True)
        if addresses[start] >= 0
    ]


def spans(addresses: np.ndarray[Any, np.dtype[np.int64]]) -> list[tuple[int, int]]:
    """(first address, last + 1) of each part of an area that lies as it was mapped, pages unmapped since included.

    An area is one such part until mremap moves some of its pages.
    """
    mapped = np.flatnonzero(addresses >= 0)
    moved = np.flatnonzero(np.diff(addresses[mapped] - mapped)) + 1
    return [(int(addresses[part[0]]), int(addresses[part[-1]]) + 1) for part in np.split(mapped, moved) if len(part)]
