"""What a page holds, as one number: equal numbers are equal bytes, 0 is the page of zeros.

A simulated page has no bytes. It has a content number, an int64 >= 0, and "memcmp" is the order of these
numbers. A *family* keeps the numbers of one purpose apart from those of another ("unique", "image",
"same-filled"), so that page 3 of the image is never by accident equal to unique content 3.

Within a family the mapping is one-to-one over [0, 2**63) but for the single number that would become 0
(it takes `_NOT_ZERO` instead): it runs the steps of a splitmix64 finaliser on 63 bits, each of which can be
undone. Two families collide for a given pair of numbers with a chance of 2**-63.
"""

from __future__ import annotations

import hashlib
import struct
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

ZERO: Final = 0
"""Content number of the page of zeros."""

_MASK: Final = (1 << 63) - 1
_STRIDE: Final = 0x1E3779B97F4A7C15  # odd: multiplication by it permutes 63 bits
_MULTIPLY_1: Final = 0x3F58476D1CE4E5B9
_MULTIPLY_2: Final = 0x14D049BB133111EB
_NOT_ZERO: Final = 0x5A17E0C0FFEE0001


@lru_cache(maxsize=4096)
def _family_key(family: str, numbers: tuple[int, ...]) -> int:
    """63 bits that stand for a family and the leading numbers of an id."""
    text = family.encode()
    packed = struct.pack(f"<I{len(numbers)}Q", len(text), *numbers)
    digest = hashlib.blake2b(packed + text, digest_size=8, person=b"ksmlab-content").digest()
    return int.from_bytes(digest, "little") & _MASK


def _mix(numbers: npt.NDArray[np.uint64], key: int) -> npt.NDArray[np.int64]:
    """Permute 63-bit numbers under a key, in place; the result is never 0."""
    mask = np.uint64(_MASK)
    x = numbers
    x *= np.uint64(_STRIDE)
    x += np.uint64(key)
    x &= mask
    for shift, factor in ((30, _MULTIPLY_1), (27, _MULTIPLY_2)):
        x ^= x >> np.uint64(shift)
        x *= np.uint64(factor)
        x &= mask
    x ^= x >> np.uint64(31)
    x[x == 0] = _NOT_ZERO
    return x.view(np.int64)


def content_ids(family: str, numbers: npt.ArrayLike, *, within: tuple[int, ...] = ()) -> npt.NDArray[np.int64]:
    """Content numbers of many members of one family.

    Args:
        family: Name of the family.
        numbers: Integers in [0, 2**63), any shape: which member of the family.
        within: Leading numbers that all members have in common.

    Returns:
        int64 array of the same shape, each in [1, 2**63). ``content_ids(f, [n], within=(a, b))[0]`` equals
        ``content_id(f, a, b, n)``.

    Raises:
        ValueError: A number is negative or not an integer.
    """
    array = np.asarray(numbers)
    if array.size and (array.dtype.kind not in "iu" or int(array.min()) < 0):
        raise ValueError("content numbers are made from integers >= 0")
    return _mix(array.astype(np.uint64, copy=True).ravel(), _family_key(family, within)).reshape(array.shape)


def content_id(family: str, *numbers: int) -> int:
    """The content number of one member of a family, in [1, 2**63).

    Args:
        family: Name of the family.
        numbers: Integers in [0, 2**63) that name the member; none names the family's only member.

    Raises:
        ValueError: A number is negative.
    """
    if any(not 0 <= number <= _MASK for number in numbers):
        raise ValueError("content numbers are made from integers in [0, 2**63)")
    if not numbers:
        return _family_key(family, ()) or _NOT_ZERO
    return int(content_ids(family, [numbers[-1]], within=numbers[:-1])[0])
