"""Access traces of others, read as a stream: libCacheSim's oracleGeneral records, and columns of text.

Formats:

* ``oracleGeneral``: 24 bytes a request, little-endian, without a header: u32 seconds, u64 object, u32 size in bytes,
  i64 number of the request that asks for the object next (-1, or the largest i64: none).
* ``csv``: a line a request; which column holds the object is told. Objects are whole numbers below 2**64.

Either may be a zstd stream (name ends in ``.zst``). A request here is an object: sizes and times are left aside. What
is held at a time is one chunk, whatever the file holds or claims.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import numpy as np
import numpy.typing as npt
import zstandard

from ksmlab_core.errors import TraceRejected

Format = Literal["oracleGeneral", "csv"]
Objects = npt.NDArray[np.uint64]

CHUNK: Final = 1 << 16
"""Requests read at a time."""
RECORD: Final = np.dtype([("seconds", "<u4"), ("object", "<u8"), ("size", "<u4"), ("next", "<i8")])
_NEVER: Final = (-1, 2**63 - 1)
_LONGEST_TRACE: Final = 1 << 48
_LARGEST_WINDOW: Final = 1 << 27
"""Bytes that a zstd stream may ask for to be expanded: what the `zstd` command allows without being told more."""
_PIECE: Final = 512
"""Bytes of a zstd stream taken at a time: at worst they expand to 16 MiB (four bytes to a block of 128 KiB)."""
_LONGEST_LINE: Final = 1 << 16


def format_of(path: Path) -> Format:
    """The format that a file's name tells.

    Raises:
        TraceRejected: it tells none.
    """
    name = path.name.removesuffix(".zst").lower()
    if name.endswith((".oraclegeneral", ".oraclegeneral.bin")):
        return "oracleGeneral"
    if name.endswith(".csv"):
        return "csv"
    raise TraceRejected(str(path), "its name does not tell its format; say format: oracleGeneral or csv")


def requests(
    path: Path, kind: Format, *, column: int = 2, delimiter: str = ",", header: bool = False
) -> Iterator[Objects]:
    """The objects asked for, in order, up to `CHUNK` at a time.

    Args:
        path: the file.
        kind: its format.
        column: of a csv file, the column that holds the object, from 1.
        delimiter: of a csv file, what stands between columns.
        header: whether a csv file begins with a line of names.

    Raises:
        TraceRejected: it cannot be read, is torn, or is something else; says where. What was given before stands.
    """
    with _opened(path) as stream:
        if kind == "oracleGeneral":
            yield from _oracle_general(path, stream)
        else:
            yield from _csv(path, stream, column, delimiter, header)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """A file's bytes, expanded where it is compressed; what goes wrong is told of the file."""
    try:
        with path.open("rb") as raw:
            yield io.BufferedReader(_Expanded(raw), 1 << 20) if path.name.endswith(".zst") else raw
    except OSError as error:
        raise TraceRejected(str(path), error.strerror or str(error)) from error
    except zstandard.ZstdError as error:
        raise TraceRejected(str(path), f"torn, or not a zstd stream: {error}") from error


class _Expanded(io.RawIOBase):
    """What a zstd stream of one frame or several holds; an end within a frame is an error."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._expander = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW)
        self._frame = self._expander.decompressobj()
        self._within = False
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            piece = self._stream.read(_PIECE)
            if not piece:
                if self._within:
                    raise zstandard.ZstdError("it ends in the middle")
                return 0
            self._ready = memoryview(self._expanded(piece))
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count

    def _expanded(self, piece: bytes) -> bytes:
        parts = []
        while piece:
            parts.append(self._frame.decompress(piece))
            self._within, piece = not self._frame.eof, self._frame.unused_data
            if not self._within:
                self._frame = self._expander.decompressobj()
        return b"".join(parts)


def _oracle_general(path: Path, stream: BinaryIO) -> Iterator[Objects]:
    done, last = 0, 0
    while data := stream.read(CHUNK * RECORD.itemsize):
        if left := len(data) % RECORD.itemsize:
            raise TraceRejected(
                str(path),
                f"torn: {left} bytes are left over after {done + len(data) // RECORD.itemsize} requests of 24",
            )
        records = np.frombuffer(data, RECORD)
        last = _plausible(path, records, done, last)
        done += len(records)
        yield records["object"].astype(np.uint64)
    if not done:
        raise TraceRejected(str(path), "no request in it")


def _plausible(path: Path, records: npt.NDArray[Any], done: int, last: int) -> int:
    """Refuse what no trace of this format says: time that runs backwards, a next request that is past.

    Returns:
        The time of the last record, s.
    """
    seconds = records["seconds"].astype(np.int64)
    backwards = np.diff(seconds, prepend=last) < 0
    number = np.arange(done, done + len(records))
    impossible = (records["next"] < number) | (records["next"] > _LONGEST_TRACE)
    wrong = np.flatnonzero(backwards | impossible & ~np.isin(records["next"], _NEVER))
    if wrong.size:
        at = int(wrong[0])
        what = (
            "time goes backwards" if backwards[at] else f"the next request for it is said to be {records['next'][at]}"
        )
        raise TraceRejected(str(path), f"torn, or not oracleGeneral: at request {done + at + 1} {what}")
    return int(seconds[-1])


def _csv(path: Path, stream: BinaryIO, column: int, delimiter: str, header: bool) -> Iterator[Objects]:
    line = 0
    if header:
        stream.readline(_LONGEST_LINE)
        line = 1
    while rows := _lines(path, stream, line):
        yield _column(path, rows, line, column, delimiter)
        line += len(rows)
    if line == header:
        raise TraceRejected(str(path), "no request in it")


def _lines(path: Path, stream: BinaryIO, line: int) -> list[bytes]:
    """The next lines, each of bearable length."""
    rows = list[bytes]()
    while len(rows) < CHUNK and (row := stream.readline(_LONGEST_LINE)):
        if len(row) == _LONGEST_LINE and not row.endswith(b"\n"):
            raise TraceRejected(f"{path}:{line + len(rows) + 1}", f"a line of more than {_LONGEST_LINE} bytes; not csv")
        rows.append(row)
    return rows


def _column(path: Path, rows: list[bytes], line: int, column: int, delimiter: str) -> Objects:
    """One column of some lines, as whole numbers."""
    try:
        return np.loadtxt(rows, np.uint64, delimiter=delimiter, usecols=column - 1, comments=None, ndmin=1)
    except ValueError:
        raise _first_wrong(path, rows, line, column, delimiter) from None


def _first_wrong(path: Path, rows: list[bytes], line: int, column: int, delimiter: str) -> TraceRejected:
    """The first line that does not hold a number where one should be."""
    for number, row in enumerate(rows, line + 1):
        fields = row.decode(errors="replace").rstrip("\r\n").split(delimiter)
        place = f"{path}:{number}"
        if len(fields) < column:
            return TraceRejected(place, f"no column {column}: {len(fields)} in this line; told apart by {delimiter!r}")
        text = fields[column - 1].strip()
        if not (text.isascii() and text.isdigit() and int(text) < 2**64):
            return TraceRejected(place, f"column {column} holds {text[:40]!r}, not a whole number below 2**64")
    return TraceRejected(f"{path}:{line + 1}", "not columns of text")
