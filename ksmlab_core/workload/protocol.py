"""The rules that a workload's stream obeys, checked as it flows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from ksmlab_core.errors import PolicyFault
from ksmlab_core.workload.events import CHUNK, TOUCH, Access, Discard, Event, Exit, Idle, Map, Mark, Spawn


class EventChecker:
    """Remembers processes and areas, and refuses an event that contradicts them."""

    def __init__(self, workload: str) -> None:
        self._workload = workload
        self._alive: dict[str, list[int]] = {}
        self._names: set[tuple[str, str]] = set()
        self._sizes: npt.NDArray[np.int64] = np.zeros(16, np.int64)
        self._areas = 0

    def check(self, event: Event) -> None:
        """Accept an event or raise.

        Raises:
            PolicyFault: The event breaks a rule; hook "workload".
        """
        if isinstance(event, Access):
            self._access(event)
        elif isinstance(event, Spawn):
            self._refuse(event.process in self._alive, f"spawns {event.process!r}, which is alive")
            self._alive[event.process] = []
        elif isinstance(event, Map):
            self._map(event)
        elif isinstance(event, Exit):
            self._refuse(event.process not in self._alive, f"ends {event.process!r}, which is not alive")
            self._sizes[self._alive.pop(event.process)] = -1
            self._names = {name for name in self._names if name[0] != event.process}
        elif isinstance(event, Discard):
            self._discard(event)
        elif isinstance(event, Idle):
            self._refuse(event.ns < 0, f"rests for {event.ns} ns")
        else:
            self._refuse(not isinstance(event, Mark), f"gave {type(event).__name__}, which is not an event")

    def _map(self, event: Map) -> None:
        name = (event.process, event.area)
        self._refuse(event.process not in self._alive, f"maps into {event.process!r}, which is not alive")
        self._refuse(event.pages < 1, f"maps {event.pages} pages")
        self._refuse(name in self._names, f"maps {event.area!r} twice in {event.process!r}")
        if self._areas == len(self._sizes):
            self._sizes = np.concatenate((self._sizes, np.zeros_like(self._sizes)))
        self._names.add(name)
        self._alive[event.process].append(self._areas)
        self._sizes[self._areas] = event.pages
        self._areas += 1

    def _access(self, event: Access) -> None:
        length = len(event.area)
        types = ", ".join(str(column.dtype) for column in (event.area, event.page, event.content))
        self._refuse(types != "int32, int32, int64", f"gave columns of types {types}")
        self._refuse(not len(event.page) == len(event.content) == length, "gave columns of unequal length")
        self._refuse(length > CHUNK, f"gave {length} accesses at once, at most {CHUNK} are allowed")
        self._refuse(event.gap_ns < 0, f"gave a gap of {event.gap_ns} ns")
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
        self._refuse(not 0 <= event.area < self._areas, f"gives back pages of area {event.area}, never mapped")
        self._refuse(event.page.dtype != np.int32, f"gave back pages as {event.page.dtype}, not int32")
        if not len(event.page):
            return
        self._refuse(bool((np.diff(event.page) <= 0).any()), "gave back pages that are not strictly ascending")
        size, first, last = int(self._sizes[event.area]), int(event.page[0]), int(event.page[-1])
        state = "whose process has exited" if size < 0 else f"which has {size} pages"
        outside = first if first < 0 else last
        self._refuse(first < 0 or last >= size, f"gives back page {outside} of area {event.area}, {state}")

    def _refuse(self, wrong: bool, reason: str) -> None:
        if wrong:
            raise PolicyFault(self._workload, "workload", f"it {reason}")


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
