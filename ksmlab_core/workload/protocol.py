"""The rules that a workload's stream obeys, checked as it flows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ksmlab_core.errors import PolicyFault
from ksmlab_core.workload.events import CHUNK, TOUCH, Access, Discard, Event, Exit, Idle, Map, Mark, Spawn

LONGEST_NS: Final = 2**62
"""Most simulated ns that a workload may rest and compute: half of what the clock can tell."""

BYTES_PER_PAGE: Final = 128
"""Bytes that simulating a mapped page takes at most."""


class EventChecker:
    """Remembers processes and areas, and refuses an event that contradicts them."""

    def __init__(self, workload: str) -> None:
        self._workload = workload
        self._alive: dict[str, list[int]] = {}
        self._names: set[tuple[str, str]] = set()
        self._sizes: npt.NDArray[np.int64] = np.zeros(16, np.int64)
        self._areas = 0
        self._mapped = self._time_ns = 0
        self._most_pages = min(2**31 - 1, _physical_memory() // BYTES_PER_PAGE)

    def check(self, event: Event) -> None:
        """Accept an event or raise.

        Raises:
            PolicyFault: The event breaks a rule; hook "workload".
        """
        if isinstance(event, Access):
            self._access(event)
        elif isinstance(event, Spawn):
            self._refuse_name("a process", event.process)
            self._refuse(event.process in self._alive, f"spawns {event.process!r}, which is alive")
            self._alive[event.process] = []
        elif isinstance(event, Map):
            self._map(event)
        elif isinstance(event, Exit):
            self._exit(event)
        elif isinstance(event, Discard):
            self._discard(event)
        elif isinstance(event, Idle):
            self._refuse(not _is_whole(event.ns) or event.ns < 0, f"rests for {event.ns!r} ns")
            self._pass_time(event.ns)
        else:
            self._refuse(not isinstance(event, Mark), f"gave {type(event).__name__}, which is not an event")
            assert isinstance(event, Mark)
            self._refuse_name("a phase", event.label)

    def _exit(self, event: Exit) -> None:
        self._refuse(event.process not in self._alive, f"ends {event.process!r}, which is not alive")
        areas = self._alive.pop(event.process)
        self._mapped -= int(self._sizes[areas].sum())
        self._sizes[areas] = -1
        self._names = {name for name in self._names if name[0] != event.process}

    def _map(self, event: Map) -> None:
        name = (event.process, event.area)
        self._refuse(event.process not in self._alive, f"maps into {event.process!r}, which is not alive")
        self._refuse_name("an area", event.area)
        self._refuse(not _is_whole(event.pages) or event.pages < 1, f"maps {event.pages!r} pages")
        self._mapped += int(event.pages)
        too_many = f"has {self._mapped} pages mapped, more than this computer can simulate ({self._most_pages})"
        self._refuse(self._mapped > self._most_pages, too_many)
        self._refuse(name in self._names, f"maps {event.area!r} twice in {event.process!r}")
        if self._areas == len(self._sizes):
            self._sizes = np.concatenate((self._sizes, np.zeros_like(self._sizes)))
        self._names.add(name)
        self._alive[event.process].append(self._areas)
        self._sizes[self._areas] = event.pages
        self._areas += 1

    def _access(self, event: Access) -> None:
        types = ", ".join(_type_of(column) for column in (event.area, event.page, event.content))
        self._refuse(types != "int32, int32, int64", f"gave columns of types {types}")
        length = len(event.area)
        self._refuse(not len(event.page) == len(event.content) == length, "gave columns of unequal length")
        self._refuse(length > CHUNK, f"gave {length} accesses at once, at most {CHUNK} are allowed")
        self._refuse(not _is_whole(event.gap_ns) or event.gap_ns < 0, f"gave a gap of {event.gap_ns!r} ns")
        self._pass_time(event.gap_ns * length)
        if not length:
            return
        low, high = int(event.area.min()), int(event.area.max())
        self._refuse(low < 0 or high >= self._areas, f"accesses area {low if low < 0 else high}, never mapped")
        outside = np.flatnonzero((event.page < 0) | (event.page >= self._sizes[event.area]))
        if outside.size:
            area, page = int(event.area[outside[0]]), int(event.page[outside[0]])
            size = int(self._sizes[area])
            state = "whose process has exited" if size < 0 else f"which has {size} pages"
            self._refuse(True, f"accesses page {page} of area {area}, {state}")
        self._refuse(int(event.content.min()) < TOUCH, f"writes content {int(event.content.min())}")

    def _discard(self, event: Discard) -> None:
        known = _is_whole(event.area) and 0 <= event.area < self._areas
        self._refuse(not known, f"gives back pages of area {event.area!r}, never mapped")
        self._refuse(_type_of(event.page) != "int32", f"gave back pages as {_type_of(event.page)}, not int32")
        if not len(event.page):
            return
        self._refuse(bool((np.diff(event.page) <= 0).any()), "gave back pages that are not strictly ascending")
        size, first, last = int(self._sizes[event.area]), int(event.page[0]), int(event.page[-1])
        state = "whose process has exited" if size < 0 else f"which has {size} pages"
        outside = first if first < 0 else last
        self._refuse(first < 0 or last >= size, f"gives back page {outside} of area {event.area}, {state}")

    def _pass_time(self, ns: int) -> None:
        self._time_ns += int(ns)
        self._refuse(self._time_ns > LONGEST_NS, f"rests and computes for more than {LONGEST_NS} ns")

    def _refuse_name(self, what: str, name: Any) -> None:
        self._refuse(not isinstance(name, str) or not name, f"names {what} {name!r}, which is no text")

    def _refuse(self, wrong: bool, reason: str) -> None:
        if wrong:
            raise PolicyFault(self._workload, "workload", f"it {reason}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _type_of(column: Any) -> str:
    """The type of a column's elements; of anything else than a flat array, what it is."""
    if not isinstance(column, np.ndarray):
        return type(column).__name__
    return str(column.dtype) if column.ndim == 1 else f"{column.dtype} of shape {column.shape}"


def _physical_memory() -> int:
    """Bytes of memory that this computer has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def checked(workload: str, events: Iterable[Event]) -> Iterator[Event]:
    """The same events, each checked before it is passed on.

    Args:
        workload: Name of the workload, for the message.
        events: What it says.

    Raises:
        PolicyFault: An event breaks the rules; hook "workload".
    """
    checker = EventChecker(workload)
    for event in events:
        checker.check(event)
        yield event
