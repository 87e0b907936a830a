"""A running process's anonymous memory, read through /proc/PID.

Which pages: those that are present or swapped out, anonymous, and in a private mapping: heap, stacks,
anonymous mmap, and the pages of private file mappings that the process has written to. That is what ksmd may
look at. Not among them: shared mappings, huge-page (hugetlb) areas, the kernel's own special areas
(``[vdso]`` and the like), mappings without any access right (reservations and guard pages), and places where
the shared zero page is mapped, if the kernel can tell (PAGEMAP_SCAN, since Linux 6.7; before that they are
taken as zero pages).

Reading needs the right to trace the process: one's own processes, unless the kernel forbids even that
(``kernel.yama.ptrace_scope``). The process is not stopped, so that a snapshot is not of one instant.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from ksmlab_core.capture.format import U64

PAGE_SIZE: Final = os.sysconf("SC_PAGE_SIZE")

_PAGEMAP_SCAN: Final = 0xC0606610
_SCAN_ARG: Final = struct.Struct("<12Q")
_REGIONS: Final = 1024
_FILE, _PRESENT, _SWAPPED, _PFNZERO, _GUARD = 1 << 2, 1 << 3, 1 << 4, 1 << 5, 1 << 8
_ENTRIES_AT_ONCE: Final = 1 << 17
_UNREADABLE_AREAS: Final = ("[vvar", "[vdso]", "[vsyscall]", "/anon_hugepage")

Run = tuple[int, int, bool]
"""First page, page after the last, and whether they are swapped out."""


class ProcessGoneError(Exception):
    """The process has exited, or has no memory of its own."""


class NotPermittedError(Exception):
    """The kernel does not let us read the process."""


@dataclass(frozen=True)
class Identity:
    """What tells a process from another that gets the same pid later.

    Attributes:
        pid: Its number.
        started: When it started, in clock ticks since the machine booted.
        name: Its command name, as the kernel keeps it (at most 15 bytes).
    """

    pid: int
    started: int
    name: str


def identify(pid: int) -> Identity:
    """The identity of a live process.

    Raises:
        ProcessGoneError: There is none, or only its remains (a zombie).
        NotPermittedError: /proc hides it.
    """
    with _explained(pid):
        text = Path(f"/proc/{pid}/stat").read_bytes()
    name, _, rest = text.partition(b"(")[2].rpartition(b")")
    fields = rest.split()
    if fields[0] in (b"Z", b"X"):
        raise ProcessGoneError(f"pid {pid} has exited")
    return Identity(pid, int(fields[19]), name.decode(errors="replace"))


def private_areas(pid: int) -> list[tuple[int, int]]:
    """First page and page after the last of every mapping that may hold mergeable pages, ascending.

    Raises:
        ProcessGoneError: The process has exited.
        NotPermittedError: The kernel refuses.
    """
    with _explained(pid):
        lines = Path(f"/proc/{pid}/maps").read_bytes().splitlines()
    areas = []
    for line in lines:
        place, rights, _offset, _device, _inode, *path = line.split(maxsplit=5)
        name = path[0].decode(errors="replace") if path else ""
        if rights[3:] == b"p" and rights[:3] != b"---" and not name.startswith(_UNREADABLE_AREAS):
            start, end = (int(address, 16) // PAGE_SIZE for address in place.split(b"-"))
            areas.append((start, end))
    return areas


class ProcessMemory:
    """An open process; use it as a context.

    Attributes:
        swapped: Pages that were swapped out when they were read (reading brings them back in).
        vanished: Pages that were there at first and could not be read any more.
    """

    def __init__(self, pid: int) -> None:
        """Open a process.

        Raises:
            ProcessGoneError: It has exited.
            NotPermittedError: The kernel refuses.
        """
        self.pid = pid
        self.swapped = self.vanished = 0
        self._areas = private_areas(pid)
        with _explained(pid):
            self._pagemap = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
            try:
                self._mem = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                os.close(self._pagemap)
                raise

    def __enter__(self) -> ProcessMemory:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._pagemap)
        os.close(self._mem)

    def pages(self, buffer: memoryview) -> Iterator[tuple[U64, memoryview]]:
        """Every page, in batches that fill `buffer`: ascending page numbers, and the bytes they hold.

        Raises:
            ProcessGoneError: The process has exited meanwhile.
        """
        room = len(buffer) // PAGE_SIZE
        numbers, used = list[U64](), 0
        for start, end, swapped in self._runs():
            while start < end:
                if used == room:
                    yield np.concatenate(numbers), buffer
                    numbers, used = [], 0
                wanted = min(end - start, room - used)
                got = self._read(start, buffer[used * PAGE_SIZE : (used + wanted) * PAGE_SIZE])
                numbers.append(np.arange(start, start + got, dtype=np.uint64))
                self.swapped += got * swapped
                self.vanished += got == 0
                used += got
                start += max(got, 1)
        if used:
            yield np.concatenate(numbers), buffer[: used * PAGE_SIZE]

    def _runs(self) -> Iterator[Run]:
        for start, end in self._areas:
            yield from _present(self._pagemap, start, end)

    def _read(self, page: int, target: memoryview) -> int:
        """Pages read from one run; 0 if its first page has vanished."""
        try:
            got = os.preadv(self._mem, [target], page * PAGE_SIZE)
        except OSError as error:
            if error.errno in (errno.EIO, errno.EFAULT):
                return 0
            raise ProcessGoneError(f"pid {self.pid} has exited") from None
        if got == 0:
            raise ProcessGoneError(f"pid {self.pid} has exited")
        return got // PAGE_SIZE


@contextmanager
def _explained(pid: int) -> Iterator[None]:
    """Turn what the kernel answers about /proc/PID into our own errors."""
    try:
        yield
    except PermissionError:
        raise NotPermittedError(f"pid {pid}: not permitted{_scope_hint()}") from None
    except (FileNotFoundError, ProcessLookupError):
        reason = "has no memory of its own" if Path(f"/proc/{pid}").exists() else "no such process"
        raise ProcessGoneError(f"pid {pid}: {reason}") from None


def _scope_hint() -> str:
    try:
        scope = Path("/proc/sys/kernel/yama/ptrace_scope").read_text().strip()
    except OSError:
        return ""
    return f" (kernel.yama.ptrace_scope is {scope})" if scope != "0" else ""


def _present(pagemap: int, start: int, end: int) -> Iterator[Run]:
    """Runs of anonymous pages of one area that are present or swapped out, ascending."""
    try:
        yield from _scan(pagemap, start, end, _FILE | _PFNZERO | _GUARD)
    except _ScanUnknownError:
        try:
            yield from _scan(pagemap, start, end, _FILE | _PFNZERO)
        except _ScanUnknownError:
            yield from _entries(pagemap, start, end)


class _ScanUnknownError(Exception):
    """This kernel does not know PAGEMAP_SCAN, or not this way of asking; nothing has been given yet."""


def _scan(pagemap: int, start: int, end: int, none_of: int) -> Iterator[Run]:
    """Runs as PAGEMAP_SCAN gives them, in calls of at most `_REGIONS` regions."""
    regions = np.empty((_REGIONS, 3), np.uint64)
    position = start
    while position < end:
        asked = _SCAN_ARG.pack(
            _SCAN_ARG.size,
            0,
            position * PAGE_SIZE,
            end * PAGE_SIZE,
            0,
            regions.ctypes.data,
            _REGIONS,
            0,
            none_of,
            none_of,
            _PRESENT | _SWAPPED,
            _SWAPPED,
        )
        argument = bytearray(asked)
        try:
            found = fcntl.ioctl(pagemap, _PAGEMAP_SCAN, argument)
        except OSError as error:
            if error.errno in (errno.ENOTTY, errno.EINVAL) and position == start:
                raise _ScanUnknownError from None
            if error.errno in (errno.ESRCH, errno.ENOENT):
                return
            raise
        for first, after, categories in regions[:found].tolist():
            yield first // PAGE_SIZE, after // PAGE_SIZE, bool(categories & _SWAPPED)
        position = _SCAN_ARG.unpack(argument)[4] // PAGE_SIZE


def _entries(pagemap: int, start: int, end: int) -> Iterator[Run]:
    """Runs from the 64-bit entries of the pagemap: bit 63 present, 62 swapped, 61 file, 58 guard."""
    for first in range(start, end, _ENTRIES_AT_ONCE):
        count = min(_ENTRIES_AT_ONCE, end - first)
        entries = np.frombuffer(os.pread(pagemap, count * 8, first * 8), np.uint64)
        top = (entries >> np.uint64(56)).astype(np.uint8)
        wanted = ((top & 0xC0) != 0) & ((top & 0x24) == 0)
        state = np.where(wanted, 1 + ((top >> 6) & 1), 0)
        edges = np.flatnonzero(np.diff(state, prepend=0, append=0))
        for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            if state[low]:
                yield first + low, first + high, bool(state[low] == 2)
