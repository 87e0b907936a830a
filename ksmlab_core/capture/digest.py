"""Keyed page digests: equal pages get equal numbers, and nobody without the key learns more.

The digest is the first 64 bits of SHA-256 over a block of its own (32 random bytes and a purpose) and then
the page. A secret prefix is sound here, because every message under a prefix has the same length and three
quarters of the result are thrown away. It is used rather than HMAC or keyed BLAKE2 because processors have
instructions for it, and hashing is most of what a capture costs.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

import numpy as np

from ksmlab_core.capture.format import U8, U64, Kind

KEY_BYTES: Final = 32
ALGORITHM: Final = "SHA-256 over a secret block and the page, 64 bits"


class PageDigester:
    """Digests pages under a random key that exists only in this object.

    Zero and same-filled pages are found first, by comparing words, and cost no digest of a whole page.
    """

    def __init__(self, page_size: int) -> None:
        self.page_size = page_size
        key = secrets.token_bytes(KEY_BYTES)
        self._for_pages = hashlib.sha256(key + b"page".ljust(32, b"\0"))
        self._for_words = hashlib.sha256(key + b"word".ljust(32, b"\0"))

    def digest(self, memory: memoryview) -> tuple[U64, U8]:
        """Digest and `Kind` of each page of a buffer.

        Args:
            memory: Bytes, a whole number of pages.

        Returns:
            uint64 digests (0 for a zero page) and uint8 kinds, one of each per page.
        """
        words = np.frombuffer(memory, np.uint64).reshape(-1, self.page_size // 8)
        kind = np.full(len(words), Kind.DATA, np.uint8)
        likely = np.flatnonzero((words[:, 0] == words[:, 1]) & (words[:, 0] == words[:, -1]))
        filled = likely[(words[likely] == words[likely, :1]).all(axis=1)]
        kind[filled] = np.where(words[filled, 0] == 0, Kind.ZERO, Kind.SAME_FILLED)
        digest = np.zeros(len(words), np.uint64)
        data = np.flatnonzero(kind == Kind.DATA)
        digest[data] = _digests(self._for_pages, memory, data, self.page_size)
        same = np.flatnonzero(kind == Kind.SAME_FILLED)
        digest[same] = _digests(self._for_words, memory, same, self.page_size, 8)
        return digest, kind


def _digests(
    prefix: hashlib._Hash, memory: memoryview, rows: np.ndarray, page_size: int, length: int | None = None
) -> U64:
    """64 bits for the first `length` bytes (default all) of each of some pages."""
    copy, size = prefix.copy, length or page_size
    found = []
    for start in (rows * page_size).tolist():
        state = copy()
        state.update(memory[start : start + size])
        found.append(state.digest()[:8])
    return np.frombuffer(b"".join(found), "<u8").astype(np.uint64)
