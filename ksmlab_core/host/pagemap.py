"""Where pages are, from /proc/PID/pagemap and /proc/kpageflags: the truth that sysfs counters lag behind."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from ksmlab_core.simulation.spans import runs

KPAGEFLAGS: Final = Path("/proc/kpageflags")
LRU, SWAPCACHE, UNEVICTABLE, KSM, ZERO_PAGE = 1 << 5, 1 << 13, 1 << 18, 1 << 21, 1 << 24
"""Bits of /proc/kpageflags."""
_PRESENT: Final = np.uint64(1 << 63)
_SWAPPED: Final = np.uint64(1 << 62)
_TARGET: Final = np.uint64((1 << 55) - 1)
_GAP: Final = 4096
"""Page flags between two wanted ones that are cheaper to read than to skip."""

Entries = np.ndarray[Any, np.dtype[np.uint64]]


@dataclass(frozen=True)
class Places:
    """Pages of one process: the frames of those that are present, the slots of those that are swapped.

    Attributes:
        frames: page frame number per present page.
        slots: swap type and offset, as one number, per swapped page.
    """

    frames: Entries
    slots: Entries


def places(entries: Entries) -> Places:
    """What 64-bit entries of a pagemap say."""
    target = entries & _TARGET
    return Places(target[(entries & _PRESENT) != 0], target[((entries & _PRESENT) == 0) & ((entries & _SWAPPED) != 0)])


def read_entries(pid: int, addresses: np.ndarray[Any, np.dtype[np.int64]]) -> Entries:
    """The entry of each page number; 0 where it is negative.

    Raises:
        OSError: the process has ended.
    """
    entries = np.zeros(len(addresses), np.uint64)
    descriptor = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        for start, count, at in runs(addresses):
            entries[at : at + count] = np.frombuffer(_read(descriptor, count * 8, start * 8), np.uint64)
    finally:
        os.close(descriptor)
    return entries


def _read(descriptor: int, size: int, offset: int) -> bytes:
    """All of it: one read of /proc may give less."""
    parts = []
    while size and (part := os.pread(descriptor, size, offset)):
        parts.append(part)
        size, offset = size - len(part), offset + len(part)
    return b"".join(parts)


def flags(frames: Entries) -> Entries:
    """The flags of frames, one for each."""
    wanted, back = np.unique(frames, return_inverse=True)
    if not len(wanted):
        return wanted
    found = np.empty(len(wanted), np.uint64)
    breaks = np.flatnonzero(np.diff(wanted) > _GAP) + 1
    with KPAGEFLAGS.open("rb", buffering=0) as file:
        for part in np.split(np.arange(len(wanted)), breaks):
            low, high = int(wanted[part[0]]), int(wanted[part[-1]])
            words = np.frombuffer(_read(file.fileno(), (high - low + 1) * 8, low * 8), np.uint64)
            found[part] = words[(wanted[part] - np.uint64(low)).astype(np.int64)]
    return found[back]


def count(of: Mapping[str, Places]) -> dict[str, int]:
    """The metrics ``machine.*`` and ``process.*`` of processes by name."""
    every = {name: flags(one.frames) for name, one in of.items()}
    out = _machine([one.frames for one in of.values()], [one.slots for one in of.values()], every.values())
    for name, one in of.items():
        out[f"process.{name}.resident_pages"] = len(one.frames)
        out[f"process.{name}.swapped_pages"] = len(one.slots)
        out[f"process.{name}.ksm_pages"] = _with(every[name], KSM)
    return out


def _machine(frames: list[Entries], slots: list[Entries], every: Iterable[Entries]) -> dict[str, int]:
    all_frames = _joined(frames)
    distinct, first = np.unique(all_frames, return_index=True)
    about = _joined(list(every))[first]
    return {
        "machine.frames_mapped": len(distinct),
        "machine.slots_mapped": len(np.unique(_joined(slots))),
        "machine.ksm_frames_mapped": _with(about, KSM),
        "machine.swapcache_mapped": _with(about, SWAPCACHE),
        "machine.pages_saved": len(all_frames) - len(distinct),
    }


def _joined(parts: list[Entries]) -> Entries:
    return np.concatenate(parts) if parts else np.empty(0, np.uint64)


def _with(every: Entries, bit: int) -> int:
    return int(np.count_nonzero(every & np.uint64(bit)))


def frames(of: Iterable[Places]) -> Entries:
    """The distinct frames of several processes."""
    return np.unique(_joined([one.frames for one in of]))


def reclaimable(distinct: Entries) -> Entries:
    """Those of these frames that reclaim could take: not the shared zero page, not what is locked in memory."""
    return np.extract((flags(distinct) & np.uint64(ZERO_PAGE | UNEVICTABLE)) == 0, distinct)


def swapcached(distinct: Entries) -> Entries:
    """Those of these frames that are in the swap cache and can be taken out of it: not what is locked in memory."""
    return np.extract((flags(distinct) & np.uint64(SWAPCACHE | UNEVICTABLE)) == SWAPCACHE, distinct)


def not_unmapped(distinct: Entries) -> bool:
    """Are all of these frames KSM pages that reclaim gave a swap slot and put back on their list, mapped as before?"""
    bits = np.uint64(KSM | LRU | SWAPCACHE)
    return bool(((flags(distinct) & bits) == bits).all())
