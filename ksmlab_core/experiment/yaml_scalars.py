"""What an unquoted word of a YAML file means.

YAML 1.1, which PyYAML speaks, turns `on` into true, `010` into 8 and `12:30:45` into 45045, and leaves
`1e-3` a text. Here a word means what someone who does not know that would expect; where two readings are
likely, it is refused with an explanation.
"""

from __future__ import annotations

import math
import re
from typing import Final, TypeAlias

Scalar: TypeAlias = str | int | float | bool | None

_WORDS: Final[dict[str, Scalar]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]*|[1-9][0-9]{0,2}(?:_[0-9]{3})+)")
_BASED = re.compile(r"[-+]?(?:0x[0-9a-fA-F]+|0o[0-7]+)")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_MOST_DIGITS: Final = 40


class AmbiguousError(ValueError):
    """A word that could be read in two ways, or as no usable number."""

    def __init__(self, what: str, allowed: str, reading: Scalar) -> None:
        super().__init__(what)
        self.what, self.allowed, self.reading = what, allowed, reading


def meaning(word: str) -> Scalar:
    """The value of an unquoted word.

    Raises:
        AmbiguousError: With a reading to go on with, so that the rest of the file can be checked too.
    """
    if word in _WORDS:
        return _WORDS[word]
    if word[0] not in "+-.0123456789":
        return word
    return _number(word)


def _number(word: str) -> Scalar:
    if _WHOLE.fullmatch(word) or _BASED.fullmatch(word):
        if len(word) > _MOST_DIGITS:
            raise AmbiguousError(f"a number of {len(word)} digits", f"at most {_MOST_DIGITS} digits", 0)
        return int(word, 0)
    if _LEADING_ZERO.fullmatch(word):
        digits = word.replace("_", "").lstrip("+-").lstrip("0")[:_MOST_DIGITS] or "0"
        raise AmbiguousError(
            f"{word[:_MOST_DIGITS]} could be read to base 8, to base 10 or as a text",
            f"write {digits}, or '{word[:_MOST_DIGITS]}' in quotes",
            int(digits),
        )
    if _FLOAT.fullmatch(word):
        value = float(word)
        if math.isinf(value):
            raise AmbiguousError(f"{word[:_MOST_DIGITS]} is too large a number", "at most about 1.8e308", 0.0)
        return value
    if _NOT_FINITE.fullmatch(word):
        raise AmbiguousError(f"{word} is not a finite number", f"a number, or the text '{word}'", 0.0)
    return word
