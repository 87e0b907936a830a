"""The program of the real processes: it maps, fills, touches and forks as it is told over a socket.

It knows nothing of scripts: every command names addresses, every answer is what the kernel returned. Page contents come
with the command as one 64-bit word per page, which fills the page; numpy writes and reads at memory speed. The first
of these processes has no memory of its own worth mentioning and forks all others, which is cheaper than starting
Python for each.

A message is the length of a JSON header, the header, and as many bytes as its `bytes` says. A fork command carries the
child's own end of a socket.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import socket
import struct
import sys
from typing import Any, Final

import numpy as np

PAGE: Final = os.sysconf("SC_PAGE_SIZE")
WORDS: Final = PAGE // 8
LENGTH: Final = struct.Struct("<I")
PROT_READ, PROT_WRITE = 1, 2
MAP_SHARED, MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED_NOREPLACE = 1, 2, 0x20, 0x100000
MADV_DONTNEED, MADV_MERGEABLE, MADV_UNMERGEABLE, MADV_NOHUGEPAGE = 4, 12, 13, 15
_MREMAP_TO: Final = 1 | 2  # MAYMOVE | FIXED
_PR_SET_MEMORY_MERGE: Final = 67

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = _libc.mremap.restype = ctypes.c_void_p
_FAILED: Final = ctypes.c_void_p(-1).value


def send(end: socket.socket, header: dict[str, Any], payload: bytes = b"", descriptors: tuple[int, ...] = ()) -> None:
    """Send one message."""
    text = json.dumps({**header, "bytes": len(payload)}).encode()
    whole = LENGTH.pack(len(text)) + text
    if descriptors:
        socket.send_fds(end, [whole], descriptors)
    else:
        end.sendall(whole)
    if payload:
        end.sendall(payload)


def receive(end: socket.socket) -> tuple[dict[str, Any], bytearray, list[int]]:
    """One message: header, payload, descriptors; EOFError when the other side is gone."""
    first, descriptors, _, _ = socket.recv_fds(end, LENGTH.size, 1)
    length = bytearray(first) + _exactly(end, LENGTH.size - len(first), started=bool(first))
    header = json.loads(_exactly(end, LENGTH.unpack(length)[0]))
    return header, _exactly(end, header["bytes"]), descriptors


def _exactly(end: socket.socket, size: int, *, started: bool = True) -> bytearray:
    if not started:
        raise EOFError
    data = bytearray(size)
    view, got = memoryview(data), 0
    while got < size:
        count = end.recv_into(view[got:])
        if not count:
            raise EOFError
        got += count
    return data


class Worker:
    """One process at work: commands are methods, by the name that the message gives."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end

    def serve(self) -> None:
        """Do what is asked until told to exit, or until nobody is there to ask."""
        while True:
            header, payload, descriptors = receive(self.end)
            header.pop("bytes")
            name = header.pop("do")
            answer, data = getattr(self, f"do_{name}")(payload=payload, descriptors=descriptors, **header)
            send(self.end, answer, data)

    # -- mappings; addresses and lengths are in pages -----------------------------------------------------------

    def do_map(self, start: int, pages: int, writable: bool, shared: bool, **_: Any) -> tuple[dict[str, Any], bytes]:
        """An anonymous mapping without huge pages, at this very address."""
        rights = PROT_READ | (PROT_WRITE if writable else 0)
        flags = (MAP_SHARED if shared else MAP_PRIVATE) | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE
        where = _libc.mmap(*_span(start, pages), rights, flags, -1, ctypes.c_long(0))
        if where != start * PAGE:
            return {"errno": ctypes.get_errno() if where == _FAILED else 17}, b""
        _libc.madvise(*_span(start, pages), MADV_NOHUGEPAGE)  # EINVAL where there are no huge pages anyway
        return {"errno": 0}, b""

    def do_unmap(self, start: int, pages: int, **_: Any) -> tuple[dict[str, Any], bytes]:
        return _returned(_libc.munmap(*_span(start, pages)))

    def do_advise(self, start: int, pages: int, advice: int, **_: Any) -> tuple[dict[str, Any], bytes]:
        return _returned(_libc.madvise(*_span(start, pages), advice))

    def do_protect(self, start: int, pages: int, writable: bool, **_: Any) -> tuple[dict[str, Any], bytes]:
        return _returned(_libc.mprotect(*_span(start, pages), PROT_READ | (PROT_WRITE if writable else 0)))

    def do_lock(self, start: int, pages: int, **_: Any) -> tuple[dict[str, Any], bytes]:
        return _returned(_libc.mlock(*_span(start, pages)))

    def do_unlock(self, start: int, pages: int, **_: Any) -> tuple[dict[str, Any], bytes]:
        return _returned(_libc.munlock(*_span(start, pages)))

    def do_move(self, start: int, pages: int, to: int, **_: Any) -> tuple[dict[str, Any], bytes]:
        where, size = _span(start, pages)
        moved = _libc.mremap(where, size, size, _MREMAP_TO, ctypes.c_void_p(to * PAGE))
        return {"errno": ctypes.get_errno() if moved == _FAILED else 0}, b""

    # -- accesses, in ascending order ---------------------------------------------------------------------------

    def do_fill(self, start: int, pages: int, payload: bytearray, **_: Any) -> tuple[dict[str, Any], bytes]:
        """Write whole pages, each full of its word."""
        _words(start, pages)[:] = np.frombuffer(payload, np.uint64)[:, None]
        return {"errno": 0}, b""

    def do_poke(self, start: int, pages: int, payload: bytearray, **_: Any) -> tuple[dict[str, Any], bytes]:
        """Write the first word of each page, and nothing is read."""
        _words(start, pages)[:, 0] = np.frombuffer(payload, np.uint64)
        return {"errno": 0}, b""

    def do_peek(self, start: int, pages: int, **_: Any) -> tuple[dict[str, Any], bytes]:
        """Read the first word of each page."""
        return {"errno": 0}, _words(start, pages)[:, 0].tobytes()

    # -- life ---------------------------------------------------------------------------------------------------

    def do_fork(self, descriptors: list[int], **_: Any) -> tuple[dict[str, Any], bytes]:
        """A child that serves its own end; nothing that belongs to the parent is ever run in it."""
        [descriptor] = descriptors
        pid = os.fork()
        if pid == 0:
            try:
                self.end.close()
                Worker(socket.socket(fileno=descriptor)).serve()
            except EOFError:
                os._exit(0)
            finally:
                os._exit(1)
        os.close(descriptor)
        return {"errno": 0, "pid": pid}, b""

    def do_exit(self, **_: Any) -> tuple[dict[str, Any], bytes]:
        os._exit(0)


def _span(start: int, pages: int) -> tuple[ctypes.c_void_p, ctypes.c_size_t]:
    return ctypes.c_void_p(start * PAGE), ctypes.c_size_t(pages * PAGE)


def _returned(result: int) -> tuple[dict[str, Any], bytes]:
    return {"errno": ctypes.get_errno() if result else 0}, b""


def _words(start: int, pages: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Pages as rows of words; it is the kernel that checks the addresses."""
    memory = (ctypes.c_uint64 * (pages * WORDS)).from_address(start * PAGE)
    return np.ctypeslib.as_array(memory).reshape(pages, WORDS)


def main(descriptor: int) -> None:
    """Serve until the other side is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the controller decides, and the kernel's SIGKILL
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are reaped by the kernel
    _libc.prctl(_PR_SET_MEMORY_MERGE, 0, 0, 0, 0)  # Python's own memory is not to be merged; EINVAL where unknown
    gc.disable()
    gc.freeze()
    try:
        Worker(socket.socket(fileno=descriptor)).serve()
    except (EOFError, ConnectionError):
        os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
