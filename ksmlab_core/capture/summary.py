"""What a capture holds, in figures: kinds of pages, duplicates, and how much changed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ksmlab_core.capture import format as f
from ksmlab_core.capture.reader import Capture, Change


@dataclass(frozen=True)
class SnapshotFigures:
    """One snapshot; all figures are pages unless they say otherwise.

    Attributes:
        time_ns: When it began, in ns since the first.
        processes: Processes that have pages (a count).
        pages: All pages.
        zero: Pages of zeros.
        distinct: Different contents among the other pages.
        duplicates: Pages that merging could free, zeros left out: ``pages - zero - distinct``.
        within: Those of them whose twin is in the same process.
        between: Those whose twins are all in other processes.
        written: Pages that hold something else than in the snapshot before.
        appeared: Pages that were not there before.
        vanished: Pages that are no longer there.
    """

    time_ns: int
    processes: int
    pages: int
    zero: int
    distinct: int
    duplicates: int
    within: int
    between: int
    written: int
    appeared: int
    vanished: int


class ProcessState:
    """The pages of one process at one snapshot, kept up to date by changes.

    Attributes:
        page: Page numbers, ascending.
        content: Content number of each.
    """

    def __init__(self) -> None:
        self.page: f.U64 = np.empty(0, np.uint64)
        self.content: f.I64 = np.empty(0, np.int64)

    def apply(self, change: Change) -> tuple[int, int, int]:
        """Bring it up to date; how many pages were written, appeared and vanished."""
        kept = ~np.isin(self.page, change.removed)
        vanished = len(self.page) - int(kept.sum())
        page, content = self.page[kept], self.content[kept]
        there = np.isin(change.page, page, assume_unique=True)
        content[np.searchsorted(page, change.page[there])] = change.content[there]
        place = np.searchsorted(page, change.page[~there])
        self.page = np.insert(page, place, change.page[~there])
        self.content = np.insert(content, place, change.content[~there])
        return int(there.sum()), int((~there).sum()), vanished


def summarize(capture: Capture) -> list[SnapshotFigures]:
    """Figures of each snapshot, in order.

    Raises:
        CaptureRejected: The file is damaged.
    """
    states = [ProcessState() for _ in capture.header.processes]
    figures = []
    for snapshot in capture:
        moved = np.zeros(3, np.int64)
        for change in snapshot.changes:
            moved += states[change.process].apply(change)
        figures.append(_figures(snapshot.time_ns, states, *moved.tolist()))
    return figures


def _figures(time_ns: int, states: list[ProcessState], written: int, appeared: int, vanished: int) -> SnapshotFigures:
    filled = [state.content[state.content != 0] for state in states]
    distinct = len(np.unique(np.concatenate(filled)))
    pages, used = sum(len(state.page) for state in states), sum(map(len, filled))
    within = used - sum(len(np.unique(content)) for content in filled)
    return SnapshotFigures(
        time_ns=time_ns,
        processes=sum(len(state.page) > 0 for state in states),
        pages=pages,
        zero=pages - used,
        distinct=distinct,
        duplicates=used - distinct,
        within=within,
        between=used - distinct - within,
        written=written,
        appeared=appeared,
        vanished=vanished,
    )
