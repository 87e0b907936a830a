"""The real processes of a run by name: what each has mapped, and what its pages hold."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final

import numpy as np

from ksmlab_core.errors import HostUnfit, StepFailed
from ksmlab_core.host import worker
from ksmlab_core.host.guard import environment
from ksmlab_core.simulation.spans import runs

FIRST_PAGE: Final = (1 << 36) // worker.PAGE
"""Where areas are put, ascending as they come: above what Python maps by itself, below what the kernel does."""
_ALIGN: Final = (2 << 20) // worker.PAGE
_PATIENCE_S: Final = 30.0
_PATIENCE_TO_GO_S: Final = 1.0

Addresses = np.ndarray[Any, np.dtype[np.int64]]
Words = np.ndarray[Any, np.dtype[np.uint64]]


@dataclass
class Area:
    """One named area.

    Attributes:
        addresses: page number of each of its pages, -1 where it was unmapped.
        contents: first word of each page, as the process sees it.
        known: whether `contents` holds; a call that failed half-way leaves that open.
        accessible: whether pages may be accessed: not those of shared memory.
    """

    addresses: Addresses
    contents: Words
    known: bool = True
    accessible: bool = True

    def copy(self) -> Area:
        return Area(self.addresses.copy(), self.contents.copy(), self.known, self.accessible)


@dataclass
class Process:
    """One live process.

    Attributes:
        end: the controller's end of its socket.
        life: a descriptor (pidfd) that tells of its end.
        areas: by name, in the order in which they came.
        next_page: where the next area goes.
        registered: whether ksmd has been told of it.
    """

    name: str
    pid: int
    end: socket.socket
    life: int
    areas: dict[str, Area] = field(default_factory=dict)
    next_page: int = FIRST_PAGE
    registered: bool = False

    def call(self, command: str, payload: bytes = b"", descriptors: tuple[int, ...] = (), **arguments: Any) -> Any:
        """Have a command carried out.

        Returns:
            The header of the answer, and its payload.

        Raises:
            StepFailed: the process died of it, or before.
        """
        try:
            worker.send(self.end, {"do": command, **arguments}, payload, descriptors)
            header, data, _ = worker.receive(self.end)
        except (EOFError, OSError):
            raise StepFailed(self.died()) from None
        return header, data

    def died(self) -> str:
        """What to say of a process that has ended by itself."""
        why = "killed by a signal, by the OOM killer, or for an access that the kernel refused"
        return f"process {self.name!r} (pid {self.pid}) has died: {why}"

    def room(self, pages: int) -> int:
        """A place for so many pages, with unmapped pages around it."""
        start = self.next_page
        self.next_page += -(-(pages + 1) // _ALIGN) * _ALIGN
        return start

    def mapped(self) -> Addresses:
        """The page numbers of all areas, area after area; -1 where nothing is mapped any more."""
        parts = [area.addresses for area in self.areas.values()]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)


class Processes:
    """All live processes, in the order in which they came. A context; what is left when it is left is let go."""

    def __init__(self) -> None:
        self.live: dict[str, Process] = {}
        ours, theirs = socket.socketpair()
        with theirs:
            self._started = subprocess.Popen(
                [sys.executable, "-P", "-m", "ksmlab_core.host.worker", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env={**environment(), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )
        self._first = Process("the first", self._started.pid, ours, os.pidfd_open(self._started.pid))

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for process in (*self.live.values(), self._first):
            process.end.close()
            os.close(process.life)
        self.live.clear()
        with suppress(subprocess.TimeoutExpired):  # who does not go by itself now is killed with the cgroup
            self._started.wait(_PATIENCE_TO_GO_S)

    @property
    def first_pid(self) -> int:
        """The process that all others are children of."""
        return self._first.pid

    def ready(self) -> None:
        """Return when processes can be made."""
        _, data = self._first.call("peek", start=0, pages=0)
        if data:
            raise HostUnfit("the worker processes do not work")

    def spawn(self, name: str) -> Process:
        """A process without areas."""
        return self._child(self._first, name)

    def fork(self, parent: Process, name: str) -> Process:
        """A copy of a process, with its areas."""
        child = self._child(parent, name)
        child.areas = {area: one.copy() for area, one in parent.areas.items()}
        child.next_page, child.registered = parent.next_page, parent.registered
        return child

    def _child(self, parent: Process, name: str) -> Process:
        ours, theirs = socket.socketpair()
        with theirs:
            header, _ = parent.call("fork", descriptors=(theirs.fileno(),))
        # No pid is used again while its process lives, and this one waits for our first command.
        process = Process(name, header["pid"], ours, os.pidfd_open(header["pid"]))
        self.live[name] = process
        return process

    def exit(self, name: str) -> None:
        """Let a process end; return when its memory is gone."""
        process = self.live.pop(name)
        worker.send(process.end, {"do": "exit"})
        ended = select.poll()
        ended.register(process.life, select.POLLIN)
        if not ended.poll(_PATIENCE_S * 1000):
            raise StepFailed(f"process {name!r} (pid {process.pid}) does not end")
        process.end.close()
        os.close(process.life)


def stretches(area: Area, first: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(address, pages, page number of the area) of each mapped stretch among pages `first` to `end` - 1."""
    for start, count, at in runs(area.addresses[first:end]):
        yield start, count, first + at
