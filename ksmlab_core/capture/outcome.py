"""What a capture reports when it is done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ksmlab_core.capture.format import State
from ksmlab_core.capture.procfs import Identity


@dataclass
class CapturedProcess:
    """What became of one process.

    Attributes:
        name: Its name in the capture: the command name, made unique.
        identity: The process.
        state: How it was found last.
        pages: Pages in the last snapshot that has it.
        vanished: Pages, over all snapshots, that went away before they were read.
        swapped: Pages, over all snapshots, that were swapped out when they were read.
    """

    name: str
    identity: Identity
    state: State = State.ALIVE
    pages: int = 0
    vanished: int = 0
    swapped: int = 0


@dataclass(frozen=True)
class CaptureReport:
    """What a capture holds and what went wrong.

    Attributes:
        out: The file.
        size: Its bytes.
        snapshots: How many it holds.
        distinct: Distinct contents, the page of zeros not counted.
        read: Pages read, over all snapshots.
        seconds: Time spent on reading and digesting.
        processes: One entry per captured process.
        notes: What was reported on the way; also kept in the file.
        interrupted: Whether an interrupt ended it early.
    """

    out: Path
    size: int
    snapshots: int
    distinct: int
    read: int
    seconds: float
    processes: tuple[CapturedProcess, ...]
    notes: tuple[str, ...]
    interrupted: bool
