"""The files of /sys/kernel/mm/ksm: reading, setting, saving, and giving everything its value back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

SYSFS: Final = Path("/sys/kernel/mm/ksm")
_LAST: Final = {"advisor_mode": 1, "run": 2}
STOP, MERGE, UNMERGE = "0", "1", "2"


class Knobs:
    """One folder of KSM's files.

    Args:
        folder: another one than the kernel's, for tests.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or SYSFS

    def __contains__(self, name: str) -> bool:
        return (self.folder / name).exists()

    def read(self, name: str) -> str:
        """The text of a file; of a choice such as ``[none] scan-time`` the one that is chosen."""
        text = (self.folder / name).read_text().strip()
        return text.partition("[")[2].partition("]")[0] or text

    def number(self, name: str) -> int:
        """The number that a file holds."""
        return int(self.read(name))

    def write(self, name: str, value: str | int) -> None:
        """Write a knob; OSError is the kernel's answer (EINVAL, EBUSY)."""
        descriptor = os.open(self.folder / name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, str(value).encode())
        finally:
            os.close(descriptor)

    def writable(self) -> dict[str, str]:
        """Every knob that can be written, with its value."""
        files = sorted(path for path in self.folder.iterdir() if path.stat().st_mode & 0o200)
        return {path.name: self.read(path.name) for path in files}

    def numbers(self) -> dict[str, int]:
        """Every file that holds one number: counters and knobs."""
        texts = {path.name: self.read(path.name) for path in sorted(self.folder.iterdir())}
        return {name: int(text) for name, text in texts.items() if text.lstrip("-").isdigit()}

    def unmerge(self) -> None:
        """Stop ksmd and break all sharing, so that nothing is left of what it has done.

        `run` goes through 0, because writing the 2 that is there already does nothing.
        """
        self.write("run", STOP)
        self.write("run", UNMERGE)

    def restore(self, saved: Mapping[str, str]) -> None:
        """Break all sharing, then give every knob its value back: all are tried, whatever becomes of one.

        Some knobs (max_page_sharing, merge_across_nodes) can be written only while nothing is shared, others
        (pages_to_scan) only while no advisor is on.

        Raises:
            OSError: of the first that could not be written.
        """
        self.unmerge()
        refused = []
        for name in sorted(saved, key=lambda name: _LAST.get(name, 0)):
            try:
                if self.read(name) != saved[name]:
                    self.write(name, saved[name])
            except OSError as error:
                refused.append(OSError(error.errno, f"{name} {saved[name]}: {error.strerror}"))
        if refused:
            raise refused[0]

    def in_use(self) -> str | None:
        """Why KSM is not free to be taken, as far as its own files tell; None if it is."""
        if self.read("run") == MERGE:
            return "ksmd is running"
        held = {name: self.number(name) for name in ("pages_shared", "pages_unshared", "pages_volatile")}
        busy = [f"{name} is {value}" for name, value in held.items() if value]
        return f"ksmd keeps track of others' pages ({', '.join(busy)})" if busy else None


def mergeable_process(proc: Path = Path("/proc")) -> str | None:
    """A process that has asked for merging, which ksmd would scan beside ours; None if there is none.

    Where the kernel does not say so of a process in one word (``ksm_mergeable``, since Linux 6.14), the flags of its
    areas do.
    """
    for folder in sorted(path for path in proc.iterdir() if path.name.isdigit()):
        try:
            text = (folder / "ksm_stat").read_text()
            merges = "ksm_mergeable: yes" in text if "ksm_mergeable" in text else _advised(folder)
        except OSError:  # it has exited, or this kernel has no such file
            merges = _advised(folder)
        if merges:
            return f"process {folder.name} ({_name(folder)}) has memory advised mergeable"
    return None


def _advised(folder: Path) -> bool:
    try:
        with (folder / "smaps").open() as lines:
            return any(" mg" in line for line in lines if line.startswith("VmFlags:"))
    except OSError:
        return False


def _name(folder: Path) -> str:
    try:
        return (folder / "comm").read_text().strip()
    except OSError:
        return "it has just exited"
