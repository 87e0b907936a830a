"""Taking a capture: snapshots of several processes at intervals, whatever becomes of them meanwhile."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import numpy as np

from ksmlab_core.capture.digest import ALGORITHM, PageDigester
from ksmlab_core.capture.format import Header, ProcessPages, State
from ksmlab_core.capture.outcome import CapturedProcess, CaptureReport
from ksmlab_core.capture.procfs import (
    PAGE_SIZE,
    Identity,
    NotPermittedError,
    ProcessGoneError,
    ProcessMemory,
    identify,
)
from ksmlab_core.capture.writer import CaptureWriter
from ksmlab_core.errors import BadInput

_BUFFER_PAGES: Final = 1024
_SLICE_S: Final = 0.05
_MOST_NOTES: Final = 1000

Report = Callable[[str], None]
Progress = Callable[[int, int], None]


def capture(
    pids: Sequence[int],
    every_s: float,
    count: int,
    out: Path,
    report: Report = lambda line: None,
    *,
    progress: Progress = lambda done, total: None,
) -> CaptureReport:
    """Take `count` snapshots of processes, `every_s` seconds apart, into a file.

    Processes that cannot be opened or exit on the way, and pages that vanish, are reported and left out. An
    interrupt (SIGINT) ends the capture after the process being read; the snapshots taken so far are kept.

    Args:
        pids: Processes; one given twice counts once.
        every_s: Seconds from the beginning of one snapshot to that of the next; 0 is as fast as it goes.
        count: Snapshots, >= 1.
        out: The file to write; one that is there is replaced when the capture is complete.
        report: Told one line for everything that goes another way than asked.
        progress: Told after each snapshot how many are done, and of how many.

    Raises:
        BadInput: An argument makes no sense, or none of the processes can be read.
        ResultsNotWritten: The file cannot be written.
    """
    if count < 1 or not 0 <= every_s < 1e9:
        raise BadInput(f"a capture is 1 or more snapshots, 0 or more seconds apart, not {count} and {every_s}")
    notes = _Notes(report)
    processes = _open_all(pids, notes)
    about = {"digest": ALGORITHM, "kernel": os.uname().release, "taken": _now(), "ksmlab": _version()}
    names = tuple(process.name for process in processes)
    header = Header(PAGE_SIZE, round(every_s * 1e9), names, about)
    with _interruptible() as interrupted, CaptureWriter(out, header) as writer:
        recorder = _Recorder(processes, writer, notes, interrupted)
        recorder.run(every_s, count, progress)
        if not writer.snapshots:
            raise BadInput("nothing was captured: " + "; ".join(notes.lines or ["interrupted"]))
        size = writer.finish(notes.lines)
    return CaptureReport(
        out,
        size,
        writer.snapshots,
        writer.distinct,
        recorder.read,
        recorder.seconds,
        tuple(processes),
        tuple(notes.lines),
        bool(interrupted),
    )


class _Notes:
    """Lines reported so far; the first thousand are kept."""

    def __init__(self, report: Report) -> None:
        self.lines: list[str] = []
        self._report = report

    def add(self, line: str) -> None:
        self._report(line)
        if len(self.lines) < _MOST_NOTES:
            self.lines.append(line)


class _Recorder:
    """Takes snapshots until they are all taken, nobody is left, or an interrupt comes."""

    def __init__(
        self,
        processes: list[CapturedProcess],
        writer: CaptureWriter,
        notes: _Notes,
        interrupted: list[int],
    ) -> None:
        self.read = 0
        self.seconds = 0.0
        self._processes = processes
        self._writer = writer
        self._notes = notes
        self._interrupted = interrupted
        self._digester = PageDigester(PAGE_SIZE)
        self._buffer = memoryview(bytearray(_BUFFER_PAGES * PAGE_SIZE))

    def run(self, every_s: float, count: int, progress: Progress) -> None:
        """Take the snapshots at their times; one that comes late does not delay those after it."""
        begin = time.monotonic()
        for number in range(count):
            self._sleep_until(begin + number * every_s)
            if self._interrupted:
                self._notes.add(f"interrupted after {number} of {count} snapshots")
                return
            started = time.monotonic()
            pages = self._snapshot()
            if pages is None:
                self._notes.add(f"interrupted during snapshot {number + 1} of {count}, which is left out")
                return
            if not any(part.state is State.ALIVE for part in pages) and number == 0:
                return
            self._writer.snapshot(round((started - begin) * 1e9) if number else 0, pages)
            taken = time.monotonic() - started
            self.seconds += taken
            if every_s and taken > every_s:
                self._notes.add(f"snapshot {number + 1} took {taken:.2f} s, longer than {every_s:g} s")
            progress(number + 1, count)
            if all(process.state is State.EXITED for process in self._processes):
                self._notes.add(f"every process has exited after {number + 1} of {count} snapshots")
                return

    def _sleep_until(self, moment: float) -> None:
        while not self._interrupted and (left := moment - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE_S))

    def _snapshot(self) -> list[ProcessPages] | None:
        """The pages of every process, or None if an interrupt came."""
        found = []
        for position, process in enumerate(self._processes):
            if self._interrupted:
                return None
            found.append(self._process(position, process))
        return found

    def _process(self, position: int, process: CapturedProcess) -> ProcessPages:
        """One process at this snapshot."""
        if process.state is State.EXITED:
            return ProcessPages.nothing(position, State.EXITED)
        try:
            pages = self._read_pages(position, process)
        except ProcessGoneError:
            self._notes.add(f"{process.name} (pid {process.identity.pid}) has exited")
            process.state = State.EXITED
        except NotPermittedError as refusal:
            if process.state is not State.UNREADABLE:
                self._notes.add(f"{process.name}: {refusal}")
            process.state = State.UNREADABLE
        else:
            process.state = State.ALIVE
            process.pages = len(pages.page)
            self.read += len(pages.page)
            return pages
        return ProcessPages.nothing(position, process.state)

    def _read_pages(self, position: int, process: CapturedProcess) -> ProcessPages:
        pid = process.identity.pid
        _still_there(process.identity)
        nothing = ProcessPages.nothing(position, State.ALIVE)
        page, digest, kind = [nothing.page], [nothing.digest], [nothing.kind]
        with ProcessMemory(pid) as memory:
            for numbers, content in memory.pages(self._buffer):
                digests, kinds = self._digester.digest(content)
                page.append(numbers)
                digest.append(digests)
                kind.append(kinds)
            if len(page) == 1:
                _still_there(process.identity)
            self._count(process, memory)
        return ProcessPages(position, State.ALIVE, np.concatenate(page), np.concatenate(digest), np.concatenate(kind))

    def _count(self, process: CapturedProcess, memory: ProcessMemory) -> None:
        process.vanished += memory.vanished
        process.swapped += memory.swapped
        if memory.vanished:
            self._notes.add(f"{process.name}: {memory.vanished} pages vanished before they were read")
        if memory.swapped:
            self._notes.add(f"{process.name}: {memory.swapped} pages were swapped out and have been read back")


def _still_there(identity: Identity) -> None:
    """Refuse a process that has exited, or whose pid is another's now."""
    if identify(identity.pid).started != identity.started:
        raise ProcessGoneError(f"pid {identity.pid} has exited")


def _open_all(pids: Sequence[int], notes: _Notes) -> list[CapturedProcess]:
    """The processes that can be read, with unique names.

    Raises:
        BadInput: There is none.
    """
    found = list[CapturedProcess]()
    for pid in dict.fromkeys(pids):
        try:
            identity = identify(pid)
            with ProcessMemory(pid):
                names = {process.name for process in found}
                found.append(CapturedProcess(_unique(identity.name, names), identity))
        except (ProcessGoneError, NotPermittedError) as refusal:
            notes.add(str(refusal))
    if not found:
        raise BadInput("no process can be captured: " + ("; ".join(notes.lines) or "none was named"))
    return found


def _unique(command: str, taken: set[str]) -> str:
    """A name for experiment files: letters, digits, ``-`` and ``_`` only, unlike those taken."""
    base = re.sub(r"[^A-Za-z0-9_-]+", "-", command).strip("-") or "process"
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name


@contextmanager
def _interruptible() -> Iterator[list[int]]:
    """A list that SIGINT adds to, as long as the context lasts; a second SIGINT acts as ever."""
    received = list[int]()
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = signal.getsignal(signal.SIGINT)

    def remember(number: int, _frame: object) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, remember)
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, before)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _version() -> str:
    try:
        return version("ksmlab")
    except PackageNotFoundError:
        return "unknown"
