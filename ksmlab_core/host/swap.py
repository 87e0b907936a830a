"""Swap space of our own: a file, or a zram device where no file system at hand takes one."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ksmlab_core.errors import HostUnfit

PAGE: Final = os.sysconf("SC_PAGE_SIZE")
FOLDERS: Final = (Path("/var/lib/ksmlab"), Path("/var/tmp/ksmlab-host"), Path("/run/ksmlab-swap"))
"""Where a swap file may lie, the best first; tmpfs and some others refuse one."""
FILE: Final = "swap"
ZRAM: Final = Path("/sys/class/zram-control")
_PREFER_HIGHEST: Final = 0x8000 | 32767
_WRITE_AT_ONCE: Final = 1 << 20
_PATIENCE_S: Final = 5.0
Note = Callable[[dict[str, Any]], None]


def header(slots: int) -> bytes:
    """The first page of a swap area of so many usable slots, as mkswap(8) writes it."""
    page = bytearray(PAGE)
    struct.pack_into("<III" if sys.byteorder == "little" else ">III", page, 1024, 1, slots, 0)
    page[1036:1052] = os.urandom(16)
    page[-10:] = b"SWAPSPACE2"
    return bytes(page)


def add(slots: int, note: Note) -> str:
    """Make swap space and turn it on; return what it is called in /proc/swaps.

    Args:
        slots: pages that it holds.
        note: told what is to be undone, before it is done.

    Raises:
        HostUnfit: neither a file nor zram works here.
    """
    refused = []
    for folder in FOLDERS:
        try:
            return _add_file(folder, slots, note)
        except OSError as error:
            refused.append(f"{folder}: {error.strerror}")
            remove_file(str(folder / FILE))
    try:
        return _add_zram(slots, note)
    except OSError as error:
        refused.append(f"zram: {error.strerror}")
    raise HostUnfit(f"no swap space can be added: {'; '.join(refused)}")


def _add_file(folder: Path, slots: int, note: Note) -> str:
    file = folder / FILE
    note({"undo": "swap_file", "file": str(file)})
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.lstat().st_uid != os.geteuid() or not folder.is_dir() or folder.is_symlink():
        raise OSError(errno.EPERM, "belongs to somebody else")
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _allocate(descriptor, (slots + 1) * PAGE)
        os.pwrite(descriptor, header(slots), 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    swapon(str(file))
    return str(file)


def _allocate(descriptor: int, size: int) -> None:
    """Blocks for the whole file: a swap file must have no holes."""
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        for start in range(0, size, _WRITE_AT_ONCE):
            os.pwrite(descriptor, bytes(min(_WRITE_AT_ONCE, size - start)), start)


def _add_zram(slots: int, note: Note) -> str:
    number = int((ZRAM / "hot_add").read_text())
    note({"undo": "zram", "number": number})
    Path(f"/sys/block/zram{number}/disksize").write_text(str((slots + 1) * PAGE))
    device = f"/dev/zram{number}"
    descriptor = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.pwrite(descriptor, header(slots), 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    swapon(device)
    return device


def remove_file(file: str) -> None:
    """Turn a swap file off and remove it, with its folder if nothing else is in it; nothing if it is not there."""
    if file in active():
        swapoff(file)
    with suppress(FileNotFoundError, NotADirectoryError):
        Path(file).unlink()
    with suppress(OSError):  # somebody else's, or with something else in it
        Path(file).parent.rmdir()


def remove_zram(number: int) -> None:
    """Turn a zram device off and remove it; nothing if it is not there."""
    block = Path(f"/sys/block/zram{number}")
    if f"/dev/zram{number}" in active():
        swapoff(f"/dev/zram{number}")
    deadline = time.monotonic() + _PATIENCE_S
    while block.exists():
        try:
            (block / "reset").write_text("1")
            (ZRAM / "hot_remove").write_text(str(number))
        except OSError as error:
            # Whoever watches for new devices (udev) may have it open for a moment.
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def remove_stale() -> None:
    """Remove swap files that a run left behind when the machine itself went down; only under the lock."""
    for folder in FOLDERS:
        remove_file(str(folder / FILE))


def active() -> list[str]:
    """What is swapped to now."""
    return [line.split()[0] for line in Path("/proc/swaps").read_text().splitlines()[1:]]


def swapon(path: str) -> None:
    """swapon(2), preferred over all other swap space."""
    _call("swapon", path.encode(), _PREFER_HIGHEST)


def swapoff(path: str) -> None:
    """swapoff(2)."""
    _call("swapoff", path.encode())


def _call(name: str, *arguments: Any) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
