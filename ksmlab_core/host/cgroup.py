"""A memory cgroup of our own, so that reclaim takes our pages and nobody else's; version 1 or 2, as the host has it."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ksmlab_core.errors import HostUnfit

MOUNTS: Final = Path("/proc/self/mounts")
_ALL: Final = 1 << 40
_PATIENCE_S: Final = 10.0
Note = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Hierarchy:
    """Where memory cgroups are made."""

    version: int
    top: Path


def find(mounts: Path = MOUNTS) -> Hierarchy | None:
    """The hierarchy that controls memory; None where there is none."""
    for line in mounts.read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        top = Path(place.encode().decode("unicode_escape"))
        if kind == "cgroup" and "memory" in options.split(","):
            return Hierarchy(1, top)
        if kind == "cgroup2" and "memory" in _words(top / "cgroup.controllers"):
            return Hierarchy(2, top)
    return None


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


class Group:
    """One memory cgroup.

    Args:
        hierarchy: where to make it.
        note: told what is to be undone, before it is done.

    Raises:
        HostUnfit: it cannot be made.
    """

    def __init__(self, hierarchy: Hierarchy | None, note: Note) -> None:
        if hierarchy is None:
            raise HostUnfit("no memory cgroup can be made: no hierarchy is mounted")
        self.version = hierarchy.version
        self.folder = hierarchy.top / f"ksmlab-{os.getpid()}"
        self._empty = hierarchy.top / f"ksmlab-{os.getpid()}-empty"
        try:
            if self.version == 2:
                _delegate(hierarchy.top, note)
            for folder in (self.folder, self._empty):
                note({"undo": "cgroup", "folder": str(folder)})
                folder.mkdir()
        except OSError as error:
            raise HostUnfit(f"no memory cgroup can be made in {hierarchy.top}: {error.strerror}") from None

    def adopt(self, pid: int) -> None:
        """Take a process in; what it allocates from now on is charged here."""
        (self.folder / "cgroup.procs").write_text(str(pid))

    def usage(self) -> int:
        """Bytes charged."""
        name = "memory.usage_in_bytes" if self.version == 1 else "memory.current"
        return int((self.folder / name).read_text())

    def limit(self, size: int) -> None:
        """The most bytes that may be charged."""
        name = "memory.limit_in_bytes" if self.version == 1 else "memory.max"
        (self.folder / name).write_text(str(size))

    def reclaim(self) -> None:
        """One round of reclaim of all that is charged; what does not go in one round is left.

        Reclaim decides by statistics which the kernel brings up to date every two seconds, or when they are read after
        many changes. With stale ones it takes no active page for old, and stands still with few pages for that long.
        """
        (self.folder / "memory.stat").read_text()
        _reclaim(self.version, self.folder, _ALL)

    def drain(self) -> None:
        """Empty the page batches of all CPUs: ksmd does not merge a page of which a batch holds a reference.

        The kernel does that before it gives up reclaiming a cgroup, also one that has nothing to reclaim.
        """
        _reclaim(self.version, self._empty, 1 << 12)


def _reclaim(version: int, folder: Path, size: int) -> None:
    """Reclaim up to so many bytes of a cgroup."""
    if version == 1:
        _squeeze(folder / "memory.force_empty", "0")
    elif (folder / "memory.reclaim").exists():
        _squeeze(folder / "memory.reclaim", str(size))
    else:
        _squeeze(folder / "memory.high", "0")
        (folder / "memory.high").write_text("max")


def _squeeze(file: Path, value: str) -> None:
    try:
        file.write_text(value)
    except OSError as error:
        # EAGAIN: less than that could be reclaimed, which the caller sees for itself.
        if error.errno not in (errno.EAGAIN, errno.EBUSY):
            raise


def _delegate(top: Path, note: Note) -> None:
    """Let children of the top control memory, if they do not yet."""
    control = top / "cgroup.subtree_control"
    if "memory" not in _words(control):
        note({"undo": "subtree_control", "file": str(control)})
        control.write_text("+memory")


def kill(folder: str) -> None:
    """Kill every process of a cgroup, and those that they make meanwhile; return when there are none.

    Raises:
        OSError: some will not die.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while pids := _words(Path(folder) / "cgroup.procs"):
        for pid in pids:
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                continue  # it died by itself
        if time.monotonic() > deadline:
            raise OSError(errno.EBUSY, f"processes {', '.join(pids)} do not die")
        time.sleep(0.002)


def remove(folder: str) -> None:
    """Remove an empty cgroup; nothing if it is not there."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            os.rmdir(folder)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.005)


def undelegate(file: str) -> None:
    """Take memory out of a cgroup.subtree_control again."""
    Path(file).write_text("-memory")
