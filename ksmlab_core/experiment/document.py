"""What reading a YAML text gives: plain data, and the place in the file of every part of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from ksmlab_core.errors import Problem

KeyPath: TypeAlias = tuple[str | int, ...]
"""The keys and list positions that lead from the top of a document to one of its parts."""

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.-]+")


class Mark(NamedTuple):
    """A place in a text; both numbers count from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Document:
    """A text that was read.

    Attributes:
        file: What error messages call the text.
        data: Mappings with text keys, lists, text, whole numbers, floats, booleans and None.
        keys: Where the key of an entry stands, by the path of the entry.
        values: Where a value begins, by its path.
        problems: What was wrong without keeping the rest from being read.
    """

    file: str
    data: Any
    keys: dict[KeyPath, Mark] = field(default_factory=dict)
    values: dict[KeyPath, Mark] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def format_path(path: KeyPath) -> str:
    """A path as error messages show it: ``workload.script.3.write``."""
    return ".".join(_shown(part) for part in path)


def _shown(part: str | int) -> str:
    text = str(part)
    return text if _PLAIN_KEY.fullmatch(text) else ascii(shortened(text))


def shortened(text: str, limit: int = 40) -> str:
    """The text, or its beginning and ``...`` when it is longer than `limit` characters."""
    return text if len(text) <= limit else text[: limit - 3] + "..."
