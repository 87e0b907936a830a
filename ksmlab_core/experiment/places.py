"""Where a setting was written: in the file, in its sweep, or on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ksmlab_core.experiment.document import Document, KeyPath


class Place(NamedTuple):
    """A file with line and column, both from 1; None when the text has no lines of its own."""

    file: str
    line: int | None
    column: int | None


@dataclass(frozen=True)
class Moved:
    """The settings below `target` were written below `source` in `document`."""

    target: KeyPath
    document: Document
    source: KeyPath = ()


@dataclass(frozen=True)
class Places:
    """The places of one tree of settings: a document, with parts set from elsewhere over it."""

    document: Document
    moved: tuple[Moved, ...] = ()

    def with_moved(self, moved: Moved) -> Places:
        """These places, with one part of the settings coming from elsewhere."""
        return Places(self.document, (*self.moved, moved))

    def of(self, path: KeyPath, *, key: bool = False) -> Place:
        """The place of a value, or of its key; of what holds it when it was not written at all."""
        return _nearest(*self.source(path), key)

    def source(self, path: KeyPath) -> tuple[Document, KeyPath]:
        """The document that says what is at `path`, and the path there."""
        origin = self.origin(path)
        if origin is None:
            return self.document, path
        return origin.document, origin.source + path[len(origin.target) :]

    def origin(self, path: KeyPath) -> Moved | None:
        """What was set from elsewhere at `path` or above it; the last one counts."""
        covering = [moved for moved in self.moved if path[: len(moved.target)] == moved.target]
        return covering[-1] if covering else None


def _nearest(document: Document, path: KeyPath, key: bool) -> Place:
    """The place of `path`, or of the innermost part around it that the document holds."""
    wanted = (document.keys if key else document.values).get(path)
    if wanted is not None:
        return Place(document.file, *wanted)
    for length in range(len(path) - 1, -1, -1):
        around = path[:length]
        mark = document.keys.get(around) or document.values.get(around)
        if mark is not None:
            return Place(document.file, *mark)
    return Place(document.file, None, None)
