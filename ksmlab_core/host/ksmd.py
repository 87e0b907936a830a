"""Letting ksmd do exactly so much: one batch at a time, each a whole pass or a number of pages.

ksmd works in batches of `pages_to_scan`, sleeps `sleep_millisecs`, and ends a batch where a pass ends. With more pages
to scan than there are, a batch is a pass. So `sleep_millisecs` is made long, ksmd does one batch, and writing another
long value wakes it for the next one. A write can come too late for a ksmd that is just about to go to sleep; then it is
repeated after a while, which may on its part come too early. Hence the check after each: what was done is counted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ksmlab_core.errors import NotSteady, StepFailed
from ksmlab_core.host.knobs import Knobs

NOTHING_TO_SCAN: Final = (
    "no process is registered with ksmd, so full_scans would never rise; advise an area mergeable first"
)
_EVERYTHING: Final = 1 << 30
_LONG_MS: Final = (20_000, 20_001)
_SETTLE_S: Final = 0.002
_POLL_S: Final = 0.0005
_FIRST_REMINDER_S: Final = 0.05
_STANDSTILL_S: Final = 10.0


def thread() -> Path | None:
    """The folder of ksmd's thread in /proc."""
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and (folder / "comm").read_text() == "ksmd\n":
                return folder
        except OSError:
            continue  # it has just exited
    return None


class Ksmd:
    """The kernel's thread, started and stopped by its knobs.

    Args:
        knobs: KSM's files.
    """

    def __init__(self, knobs: Knobs) -> None:
        self._knobs = knobs
        self._turn = 0

    def passes(self, number: int) -> None:
        """Scan until full_scans has risen by exactly this.

        Raises:
            StepFailed: ksmd has nothing to scan.
            NotSteady: it did more.
        """
        with self._awake("full_scans", number):
            for done in range(number):
                before = self._knobs.number("full_scans")
                self._batch(_EVERYTHING, first=not done)
                self._wait("full_scans", before + 1, before)

    def pages(self, number: int) -> None:
        """Scan this many pages; same errors. A batch ends where a pass ends, so several may be needed."""
        with self._awake("pages_scanned", number):
            goal = self._knobs.number("pages_scanned") + number
            first = True
            while (left := goal - self._knobs.number("pages_scanned")) > 0:
                before = self._knobs.number("full_scans")
                self._batch(left, first=first)
                self._wait("pages_scanned", goal, before)
                first = False

    @contextmanager
    def _awake(self, counter: str, number: int) -> Iterator[None]:
        """Our settings as long as this lasts; then ksmd stopped, the script's settings, and the check."""
        knobs = self._knobs
        saved = {name: knobs.read(name) for name in ("pages_to_scan", "sleep_millisecs")}
        goal = knobs.number(counter) + number
        self._wake()
        try:
            yield
        finally:
            knobs.write("run", 0)
            self._wake()  # out of its long sleep, so that it sees that it is to stop
            for name, value in saved.items():
                knobs.write(name, value)
        if (got := knobs.number(counter)) != goal:
            raise NotSteady(f"ksmd overran: {counter} rose by {number + got - goal} where {number} were asked for")

    def _batch(self, pages: int, *, first: bool) -> None:
        """Begin a batch."""
        self._knobs.write("pages_to_scan", pages)
        if first:
            self._knobs.write("run", 1)
        else:
            self._wake()

    def _wait(self, counter: str, goal: int, passes: int) -> None:
        """Wait for the end of the batch: a counter has got there, or `passes` are not all any more."""
        began = standing = time.monotonic()
        reminder, seen = _FIRST_REMINDER_S, self._progress()
        asleep = seen
        while self._knobs.number(counter) < goal and self._knobs.number("full_scans") == passes:
            time.sleep(_POLL_S)
            now = time.monotonic()
            if (progress := self._progress()) != seen:
                seen, standing = progress, now
            elif now - standing > _STANDSTILL_S:
                raise StepFailed(NOTHING_TO_SCAN)
            elif seen == asleep and now - began > reminder:
                self._wake()
                reminder *= 2
        time.sleep(_SETTLE_S)

    def _progress(self) -> tuple[int, int]:
        return self._knobs.number("full_scans"), self._knobs.number("pages_scanned")

    def _wake(self) -> None:
        self._turn ^= 1
        self._knobs.write("sleep_millisecs", _LONG_MS[self._turn])
