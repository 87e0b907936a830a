"""The file format ``.ksmcap``, version 1: what it holds and how its bytes are laid out.

A capture holds several snapshots of the anonymous memory of several processes. Nothing in it is memory:
a page is one of three kinds,

* `ZERO`: all bytes are zero,
* `SAME_FILLED`: one 8-byte word over and over, kept as a 64-bit keyed digest of that word,
* `DATA`: anything else, kept as a 64-bit keyed digest of the page.

The key is 32 random bytes made for one capture and never stored, so equal digests tell that two pages *of
one capture* are equal, and nothing else: neither what they hold, nor whether a known page is among them, nor
whether two captures have a page in common.

All numbers are little-endian. The file is::

    magic      8 bytes   89 4B 53 4D 43 41 50 0A
    version    u16       1
    reserved   u16       0
    block *              tag 4 bytes, stored u32, raw u32, then `stored` bytes: one zstd frame that
                         declares, and expands to, `raw` bytes
    checksum   32 bytes  BLAKE2b-256 of every byte before it

Blocks come in this order: one ``HEAD``; for each snapshot one ``SNAP`` and then its ``PROC`` blocks; one
``END ``. Expanded they are:

``HEAD``
    JSON: page_size (bytes), interval_ns (asked for), processes (names), digest, kernel, taken, ksmlab.
``SNAP``
    u64: nanoseconds since the first snapshot began.
``PROC``
    What became of one process since the snapshot before, in the columns of `ProcColumns`. A process may
    have several in one snapshot, about different pages.
``END ``
    JSON: snapshots (how many), notes (what was reported while capturing).

Pages are named by address divided by page size. A content is named by its place in one table for the whole
file: 0 is the page of zeros, n > 0 the n-th digest that the PROC blocks introduced so far.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

MAGIC: Final = b"\x89KSMCAP\n"
VERSION: Final = 1
PREFIX: Final = struct.Struct("<8sHH")
FRAME: Final = struct.Struct("<4sII")
CHECKSUM_BYTES: Final = 32
PROC_HEAD: Final = struct.Struct("<IIIIII")

MAX_BLOCK: Final = 64 << 20
"""Most bytes that one block may expand to."""

MAX_JSON: Final = 1 << 20
"""Most bytes that the JSON of a HEAD or END block may take."""

MAX_TOTAL: Final = 2 << 30
"""Most bytes that all blocks of a file together may expand to, unless the caller allows more."""

PAGES_PER_BLOCK: Final = 1 << 20
"""Most pages that the writer puts into one PROC block; keeps it below `MAX_BLOCK`."""

MAX_PAGE: Final = 1 << 52
"""Page numbers are below this: a 64-bit address over pages of 4 KiB or more."""


class Kind(IntEnum):
    """What a page holds."""

    ZERO = 0
    SAME_FILLED = 1
    DATA = 2


class State(IntEnum):
    """How a process was found at a snapshot."""

    ALIVE = 0
    EXITED = 1
    UNREADABLE = 2


@dataclass(frozen=True)
class Header:
    """What is true of the whole capture.

    Attributes:
        page_size: Bytes in a page.
        interval_ns: Time between snapshots as asked for, in ns.
        processes: A name for each process, unique; PROC blocks refer to them by position.
        about: Where it came from: digest algorithm, kernel release, time taken, ksmlab version.
    """

    page_size: int
    interval_ns: int
    processes: tuple[str, ...]
    about: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ProcessPages:
    """All pages of one process at one snapshot, as the recorder hands them to the writer.

    Attributes:
        process: Position in `Header.processes`.
        state: How it was found; only an `ALIVE` process has pages here.
        page: Page numbers (address / page size), ascending, none twice.
        digest: Keyed digest of each page; without meaning where `kind` is ZERO.
        kind: `Kind` of each page.
    """

    process: int
    state: State
    page: U64
    digest: U64
    kind: U8

    @classmethod
    def nothing(cls, process: int, state: State) -> ProcessPages:
        """A process without pages."""
        return cls(process, state, np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, np.uint8))


@dataclass(frozen=True, eq=False)
class ProcColumns:
    """One PROC block: six u32 (process, state, and the lengths of the columns), then the columns.

    Attributes:
        process: Position in `Header.processes`.
        state: `State`.
        removed: Runs of pages that are no longer there.
        changed: Runs of pages that are new or hold something else now.
        content: Table number of each page of `changed`, in order.
        digest: Digests that join the table, in order.
        kind: `Kind` of each of them.

    Runs are two columns, u64 first pages (each less the one before, modulo 2**64) and u32 lengths. `content`
    is u32, each less the one before, modulo 2**32. `digest` is u64, `kind` u8. The head counts, in order:
    runs removed, runs changed, pages changed, digests.
    """

    process: int
    state: State
    removed: tuple[U64, U32]
    changed: tuple[U64, U32]
    content: U32
    digest: U64
    kind: U8

    def pack(self) -> bytes:
        """The bytes of the block."""
        counts = (len(self.removed[0]), len(self.changed[0]), len(self.content), len(self.digest))
        return b"".join(
            (
                PROC_HEAD.pack(self.process, self.state, *counts),
                _differences(self.removed[0], "<u8"),
                self.removed[1].astype("<u4").tobytes(),
                _differences(self.changed[0], "<u8"),
                self.changed[1].astype("<u4").tobytes(),
                _differences(self.content, "<u4"),
                self.digest.astype("<u8").tobytes(),
                self.kind.tobytes(),
            )
        )

    @classmethod
    def unpack(cls, raw: bytes) -> ProcColumns:
        """The block from its bytes.

        Raises:
            ValueError: The bytes are not such a block.
        """
        if len(raw) < PROC_HEAD.size:
            raise ValueError("a process block is too short")
        process, state, removed, changed, pages, digests = PROC_HEAD.unpack_from(raw)
        dtypes = ("<u8", "<u4", "<u8", "<u4", "<u4", "<u8", "u1")
        lengths = (removed, removed, changed, changed, pages, digests, digests)
        columns = list(_columns(raw, dtypes, lengths))
        for position in (0, 2, 4):
            columns[position] = np.cumsum(columns[position], dtype=columns[position].dtype)
        return cls(
            process,
            State(state),
            (columns[0], columns[1]),
            (columns[2], columns[3]),
            columns[4],
            columns[5],
            columns[6],
        )


def _differences(column: npt.NDArray[Any], dtype: str) -> bytes:
    """Each number less the one before, modulo the size of the type."""
    return np.diff(column.astype(dtype), prepend=np.zeros(1, dtype)).tobytes()


def _columns(raw: bytes, dtypes: Sequence[str], lengths: Sequence[int]) -> list[npt.NDArray[Any]]:
    types = [np.dtype(dtype) for dtype in dtypes]
    if PROC_HEAD.size + sum(t.itemsize * n for t, n in zip(types, lengths, strict=True)) != len(raw):
        raise ValueError("a process block is not as long as its columns")
    columns, offset = [], PROC_HEAD.size
    for dtype, length in zip(types, lengths, strict=True):
        column = np.frombuffer(raw, dtype, length, offset)
        columns.append(column.astype(dtype.newbyteorder("=")))
        offset += dtype.itemsize * length
    return columns


def to_runs(page: U64) -> tuple[U64, U32]:
    """First pages and lengths of the runs of neighbours in an ascending column."""
    if not len(page):
        return np.empty(0, np.uint64), np.empty(0, np.uint32)
    starts = np.flatnonzero(np.diff(page, prepend=page[:1] - np.uint64(2)) != 1)
    lengths = np.diff(np.append(starts, len(page)))
    return page[starts], lengths.astype(np.uint32)


def from_runs(first: U64, length: U32) -> U64:
    """The ascending column that runs stand for. The caller has bounded the sum of the lengths."""
    counts = length.astype(np.int64)
    ends = np.cumsum(counts)
    inside = np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - counts, counts)
    return np.repeat(first, counts) + inside.astype(np.uint64)
