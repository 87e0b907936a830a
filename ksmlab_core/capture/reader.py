"""Reading a capture: nothing is believed before it is checked, nothing allocated before it is bounded."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import zstandard
from pydantic import TypeAdapter, ValidationError

from ksmlab_core.capture import format as f
from ksmlab_core.errors import CaptureRejected
from ksmlab_core.workload.content import content_ids

_ORDER = {b"": b"HEAD", b"HEAD": b"SNAP|END ", b"SNAP": b"PROC|SNAP|END ", b"PROC": b"PROC|SNAP|END "}


@dataclass(frozen=True, eq=False)
class Change:
    """What became of some pages of one process since the snapshot before.

    Attributes:
        process: Position in `Header.processes`.
        state: How the process was found.
        removed: Page numbers (address / page size) no longer there, ascending.
        page: Page numbers that are new or hold something else, ascending.
        content: Content number of each of `page` (int64; 0 is the page of zeros). Equal numbers are equal contents
            within one capture; those of two captures have nothing to do with each other.
    """

    process: int
    state: f.State
    removed: f.U64
    page: f.U64
    content: f.I64


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One snapshot as changes against the one before.

    Attributes:
        number: 1, 2, ...
        time_ns: When it began, in ns since the first one began.
        changes: By process; a process may have several, about different pages.
    """

    number: int
    time_ns: int
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Capture:
    """A capture file that was found whole.

    Attributes:
        path: The file.
        header: What is true of all of it.
        snapshots: How many snapshots it holds.
        notes: What was reported while it was taken.
    """

    path: Path
    header: f.Header
    snapshots: int
    notes: tuple[str, ...]
    _blocks: tuple[tuple[bytes, int, int, int], ...]

    def __iter__(self) -> Iterator[Snapshot]:
        """The snapshots in order; each `Snapshot` is read when it is asked for.

        Raises:
            CaptureRejected: A block contradicts the format.
        """
        table = _Contents()
        with self.path.open("rb") as file:
            time_ns, changes, number = 0, list[Change](), 0
            for tag, offset, stored, raw in self._blocks:
                data = _expand(self.path, file, offset, stored, raw) if tag in (b"SNAP", b"PROC") else b""
                if tag != b"PROC" and number:
                    yield Snapshot(number, time_ns, tuple(changes))
                if tag == b"SNAP":
                    time_ns, changes, number = _time(self.path, data), [], number + 1
                elif tag == b"PROC":
                    changes.append(_change(self, data, table))


class _Contents:
    """Content numbers by table number, made from the table number, so that different contents never meet."""

    def __init__(self) -> None:
        self._numbers: f.I64 = np.zeros(1, np.int64)
        self._used = 1

    def add(self, kind: f.U8) -> None:
        """The next contents of the table, one per kind given."""
        end = self._used + len(kind)
        if end > len(self._numbers):
            self._numbers = np.concatenate((self._numbers, np.zeros(end, np.int64)))
        place = np.arange(self._used, end)
        filled = content_ids("same-filled", place)
        self._numbers[self._used : end] = np.where(kind == f.Kind.SAME_FILLED, filled, content_ids("captured", place))
        self._used = end

    def __getitem__(self, number: f.U32) -> f.I64:
        if len(number) and int(number.max()) >= self._used:
            raise ValueError("a page refers to a content that the file does not hold")
        return self._numbers[number]


def read_capture(path: Path, *, max_bytes: int = f.MAX_TOTAL) -> Capture:
    """Open a capture file and check that it is whole.

    Args:
        path: The file.
        max_bytes: Most bytes that its blocks together may expand to.

    Raises:
        CaptureRejected: Missing, empty, torn, damaged, not a capture, of a newer version, or too big.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            size = _regular_size(path, file)
            _check_prefix(path, file.read(f.PREFIX.size), size)
            blocks = _walk(path, file, size, max_bytes)
            _check_sum(path, file, size)
            header = _header(path, _expand(path, file, *blocks[0][1:]))
            ending = _json(path, _expand(path, file, *blocks[-1][1:]))
    except OSError as error:
        raise CaptureRejected(str(path), error.strerror or str(error)) from None
    snapshots = sum(tag == b"SNAP" for tag, *_ in blocks)
    if ending.get("snapshots") != snapshots or not isinstance(ending.get("notes"), list):
        raise CaptureRejected(str(path), "damaged: its ending does not fit the rest")
    return Capture(path, header, snapshots, tuple(map(str, ending["notes"])), blocks)


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting for the other end of a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def _regular_size(path: Path, file: BinaryIO) -> int:
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise CaptureRejected(str(path), "not a capture: not a regular file")
    if status.st_size == 0:
        raise CaptureRejected(str(path), "not a capture: the file is empty")
    return status.st_size


def _check_prefix(path: Path, prefix: bytes, size: int) -> None:
    if not prefix.startswith(f.MAGIC[: len(prefix)]):
        raise CaptureRejected(str(path), "not a capture: it does not begin as one")
    if len(prefix) < f.PREFIX.size or size < f.PREFIX.size + f.CHECKSUM_BYTES:
        raise CaptureRejected(str(path), "torn: the file ends too early")
    _, version, reserved = f.PREFIX.unpack(prefix)
    if version > f.VERSION:
        reason = f"written by a newer ksmlab: version {version}, this one reads up to {f.VERSION}"
        raise CaptureRejected(str(path), reason)
    if version < 1 or reserved:
        raise CaptureRejected(str(path), f"damaged: there is no version {version}.{reserved}")


def _walk(path: Path, file: BinaryIO, size: int, max_bytes: int) -> tuple[tuple[bytes, int, int, int], ...]:
    """Tag, offset, stored and expanded size of every block; declared sizes are bounded here."""
    blocks, last, total, offset = [], b"", 0, f.PREFIX.size
    end = size - f.CHECKSUM_BYTES
    while last != b"END ":
        file.seek(offset)
        frame = file.read(f.FRAME.size)
        if offset + f.FRAME.size > end:
            raise CaptureRejected(str(path), "torn: the file ends too early")
        tag, stored, raw = f.FRAME.unpack(frame)
        offset += f.FRAME.size
        if tag not in _ORDER[last].split(b"|"):
            raise CaptureRejected(str(path), f"damaged: a block of kind {tag!r} at byte {offset}")
        total += raw
        if raw > (f.MAX_BLOCK if tag in (b"SNAP", b"PROC") else f.MAX_JSON):
            raise CaptureRejected(str(path), f"damaged: a block declares {raw} bytes")
        if total > max_bytes:
            raise CaptureRejected(str(path), f"too big: expands to more than {max_bytes >> 20} MiB")
        blocks.append((tag, offset, stored, raw))
        offset += stored
        last = tag
        if offset > end:
            raise CaptureRejected(str(path), "torn: the file ends too early")
    if offset != end:
        raise CaptureRejected(str(path), f"damaged: {end - offset} bytes too many")
    return tuple(blocks)


def _check_sum(path: Path, file: BinaryIO, size: int) -> None:
    digest = hashlib.blake2b(digest_size=f.CHECKSUM_BYTES)
    file.seek(0)
    left = size - f.CHECKSUM_BYTES
    while left:
        data = file.read(min(left, 1 << 20))
        if not data:
            raise CaptureRejected(str(path), "torn: the file ends too early")
        digest.update(data)
        left -= len(data)
    if file.read(f.CHECKSUM_BYTES) != digest.digest():
        raise CaptureRejected(str(path), "damaged: the checksum does not fit")


def _expand(path: Path, file: BinaryIO, offset: int, stored: int, raw: int) -> bytes:
    """The expanded bytes of a block whose sizes have been bounded."""
    file.seek(offset)
    data = file.read(stored)
    try:
        if zstandard.frame_content_size(data) != raw:
            raise ValueError("a block does not expand to the size it declares")
        expanded = zstandard.ZstdDecompressor().decompress(data, max_output_size=raw) if raw else b""
    except (ValueError, zstandard.ZstdError) as error:
        raise CaptureRejected(str(path), f"damaged: {error}") from None
    return bytes(expanded)


def _json(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise CaptureRejected(str(path), "damaged: a block is not JSON")
    return value


def _header(path: Path, raw: bytes) -> f.Header:
    try:
        header = TypeAdapter(f.Header).validate_json(raw, strict=True)
    except ValidationError:
        header = None
    if header is None or not _sensible(header):
        raise CaptureRejected(str(path), "damaged: the header does not say what it must")
    return header


def _sensible(header: f.Header) -> bool:
    names = header.processes
    unique = len(set(names)) == len(names) > 0 and all(names)
    return unique and 512 <= header.page_size <= 1 << 30 and header.interval_ns >= 0


def _time(path: Path, raw: bytes) -> int:
    if len(raw) != 8:
        raise CaptureRejected(str(path), "damaged: a snapshot without its time")
    return int(struct.unpack("<Q", raw)[0])


def _change(capture: Capture, raw: bytes, table: _Contents) -> Change:
    try:
        block = f.ProcColumns.unpack(raw)
        if block.process >= len(capture.header.processes):
            raise ValueError("a process without a name")
        if len(block.digest) and not np.isin(block.kind, (f.Kind.SAME_FILLED, f.Kind.DATA)).all():
            raise ValueError("a content of an unknown kind")
        table.add(block.kind)
        removed, page = _pages(*block.removed, None), _pages(*block.changed, len(block.content))
        return Change(block.process, block.state, removed, page, table[block.content])
    except ValueError as error:
        raise CaptureRejected(str(capture.path), f"damaged: {error}") from None


def _pages(first: f.U64, length: f.U32, expected: int | None) -> f.U64:
    """Page numbers of runs, checked to be ascending, apart and within bounds."""
    total = int(length.sum(dtype=np.uint64)) if len(length) else 0
    if total > f.PAGES_PER_BLOCK or (expected is not None and total != expected):
        raise ValueError("runs of pages do not fit the block")
    if len(first):
        if int(first.max()) >= f.MAX_PAGE or int(length.min()) == 0:
            raise ValueError("a run of pages is empty or out of bounds")
        if (first[1:] < first[:-1] + length[:-1]).any():
            raise ValueError("runs of pages overlap")
    return f.from_runs(first, length)
