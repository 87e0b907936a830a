"""Writing a capture: block by block into a file aside, renamed when it is whole."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, cast

import numpy as np
import zstandard

from ksmlab_core.capture import format as f
from ksmlab_core.errors import ResultsNotWritten


class DigestTable:
    """Numbers contents (a kind and a digest) by first appearance, from 1; 0 is the page of zeros."""

    def __init__(self) -> None:
        self._kinds = {kind: _OneKind() for kind in (f.Kind.SAME_FILLED, f.Kind.DATA)}
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def numbers(self, digest: f.U64, kind: f.U8) -> tuple[f.U32, f.U64, f.U8]:
        """Table numbers of pages, and the digests (with their kinds) that were new."""
        content = np.zeros(len(digest), np.uint32)
        added, added_kind = [np.empty(0, np.uint64)], [np.empty(0, np.uint8)]
        for which, table in self._kinds.items():
            pages = np.flatnonzero(kind == which)
            content[pages], new = table.numbers(digest[pages], self._used + 1)
            self._used += len(new)
            added.append(new)
            added_kind.append(np.full(len(new), which, np.uint8))
        return content, np.concatenate(added), np.concatenate(added_kind)


class _OneKind:
    """The digests of one kind in order of value, each with its table number."""

    def __init__(self) -> None:
        self._sorted: f.U64 = np.empty(0, np.uint64)
        self._number: f.U32 = np.empty(0, np.uint32)

    def numbers(self, digest: f.U64, next_number: int) -> tuple[f.U32, f.U64]:
        """Table numbers of digests, and those that were new, which are numbered from `next_number`."""
        unique, first, inverse = np.unique(digest, return_index=True, return_inverse=True)
        place = np.searchsorted(self._sorted, unique)
        known = np.zeros(len(unique), bool)
        inside = place < len(self._sorted)
        known[inside] = self._sorted[place[inside]] == unique[inside]
        new = np.flatnonzero(~known)
        by_appearance = new[np.argsort(first[new])]
        number = np.empty(len(unique), np.uint32)
        number[known] = self._number[place[known]]
        number[by_appearance] = np.arange(next_number, next_number + len(new), dtype=np.uint32)
        self._sorted = np.insert(self._sorted, place[new], unique[new])
        self._number = np.insert(self._number, place[new], number[new])
        return number[inverse], unique[by_appearance]


class CaptureWriter:
    """A capture in the making; use it as a context.

    Leaving the context with an exception, or without `finish`, leaves no file behind.
    """

    def __init__(self, path: Path, header: f.Header) -> None:
        """Begin a capture.

        Raises:
            ResultsNotWritten: The folder does not exist or cannot be written, or the file is a folder.
        """
        self.path = path
        self._table = DigestTable()
        self._before: dict[int, tuple[f.U64, f.U32]] = {}
        self._snapshots = 0
        self._hash = hashlib.blake2b(digest_size=f.CHECKSUM_BYTES)
        self._compress = zstandard.ZstdCompressor(level=12)
        try:
            if path.is_dir():
                raise ResultsNotWritten(str(path), os.strerror(errno.EISDIR))
            handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        except OSError as error:
            raise ResultsNotWritten(str(path.parent), error.strerror or str(error)) from None
        self._aside = Path(name)
        self._file: BinaryIO | None = os.fdopen(handle, "wb")
        self._write(f.PREFIX.pack(f.MAGIC, f.VERSION, 0))
        self._block(b"HEAD", json.dumps(asdict(header)).encode())

    def __enter__(self) -> CaptureWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            self._aside.unlink(missing_ok=True)

    @property
    def distinct(self) -> int:
        """Distinct contents so far, the page of zeros not counted."""
        return len(self._table)

    @property
    def snapshots(self) -> int:
        """Snapshots written so far."""
        return self._snapshots

    def snapshot(self, time_ns: int, processes: Sequence[f.ProcessPages]) -> None:
        """Add one snapshot.

        Args:
            time_ns: When it began, in ns since the first one began.
            processes: Every process of the header, each once.
        """
        self._block(b"SNAP", struct.pack("<Q", time_ns))
        for pages in processes:
            self._process(pages)
        self._snapshots += 1

    def finish(self, notes: Sequence[str] = ()) -> int:
        """Complete the file, put it in its place, and return its size in bytes.

        Raises:
            ResultsNotWritten: The disk is full, or the place cannot be written.
        """
        ending = {"snapshots": self._snapshots, "notes": list(notes)}
        self._block(b"END ", json.dumps(ending).encode())
        self._write(self._hash.digest())
        file = cast(BinaryIO, self._file)
        try:
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
            os.fchmod(file.fileno(), 0o644)
            file.close()
            self._aside.replace(self.path)
        except OSError as error:
            raise ResultsNotWritten(str(self.path), error.strerror or str(error)) from None
        self._file = None
        return size

    def _process(self, pages: f.ProcessPages) -> None:
        """What became of one process since the snapshot before."""
        old_page, old_content = self._before.get(pages.process, (np.empty(0, np.uint64), np.empty(0, np.uint32)))
        if pages.state is f.State.UNREADABLE:
            pages = f.ProcessPages.nothing(pages.process, pages.state)
            removed = pages.page
        else:
            removed = np.setdiff1d(old_page, pages.page, assume_unique=True)
        content = np.empty(len(pages.page), np.uint32)
        for start in range(0, max(len(pages.page), len(removed), 1), f.PAGES_PER_BLOCK):
            part = slice(start, start + f.PAGES_PER_BLOCK)
            numbers, digest, kind = self._table.numbers(pages.digest[part], pages.kind[part])
            content[part] = numbers
            changed = _differs(pages.page[part], numbers, old_page, old_content)
            columns = f.ProcColumns(
                pages.process,
                pages.state,
                f.to_runs(removed[part]),
                f.to_runs(pages.page[part][changed]),
                numbers[changed],
                digest,
                kind,
            )
            self._block(b"PROC", columns.pack())
        if pages.state is not f.State.UNREADABLE:
            self._before[pages.process] = (pages.page, content)

    def _block(self, tag: bytes, raw: bytes) -> None:
        stored = self._compress.compress(raw)
        self._write(f.FRAME.pack(tag, len(stored), len(raw)) + stored)

    def _write(self, data: bytes) -> None:
        self._hash.update(data)
        try:
            cast(BinaryIO, self._file).write(data)
        except OSError as error:
            raise ResultsNotWritten(str(self.path), error.strerror or str(error)) from None


def _differs(
    page: f.U64, content: f.U32, old_page: f.U64, old_content: f.U32
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which pages were not there before, or held something else."""
    if not len(old_page):
        return np.ones(len(page), bool)
    place = np.minimum(np.searchsorted(old_page, page), len(old_page) - 1)
    same: np.ndarray[tuple[int], np.dtype[np.bool_]] = (old_page[place] == page) & (old_content[place] == content)
    return ~same
