"""What could have been saved at most: the bound that a saving is held against.

Pages that the programs have in memory, minus the distinct contents among them: that is what would be saved if at every
moment all pages of equal content shared one frame, whether or not they are marked mergeable. No policy can save more of
the pages that its run had in memory; a run that keeps other pages there has another bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ksmlab_core.lab.headline import COLUMNS, Column, Number

if TYPE_CHECKING:
    from ksmlab_core.lab.collection import Collection
    from ksmlab_core.simulation import RunResult

SAVED, FRAMES, CONTENTS = "machine.pages_saved", "machine.frames_mapped", "machine.contents_mapped"


def could_save(result: RunResult) -> Number | None:
    """Mean over simulated time of what all sharing would save, pages; None where contents were not counted."""
    means = _means(result)
    return means and means[1]


def reached(result: RunResult) -> Number | None:
    """What was saved as a share of that, 0 to 1; None where there was nothing to save."""
    means = _means(result)
    return means[0] / means[1] if means and means[1] > 0 else None


def _means(result: RunResult) -> tuple[float, float] | None:
    """(saved, could be saved), means over time, pages.

    Not every sample counts contents; what is left to be saved is taken to go evenly from one that does to the next.
    """
    import numpy as np

    if not {SAVED, FRAMES, CONTENTS} <= set(result.series):
        return None
    frames, contents = result.series[FRAMES], result.series[CONTENTS]
    time = result.series["time.elapsed"].astype(np.float64)
    counted = (contents > 0) | (frames == 0)
    if not contents.any() or len(time) < 2 or time[-1] <= time[0]:
        return None
    left = np.interp(time, time[counted], (frames - contents)[counted].astype(np.float64))
    span = time[-1] - time[0]
    saved = float(np.trapezoid(result.series[SAVED].astype(np.float64), time) / span)
    return saved, saved + float(np.trapezoid(left, time) / span)


COULD_SAVE = Column(
    "could save",
    "pages",
    "",
    "the bound, averaged over the run: page frames that would be saved if all pages of equal content in memory shared "
    "one frame at every moment",
    could_save,
)
REACHED = Column("reached", "share", "more", "what was saved, as a share of what could have been", reached)


def with_bounds(collection: Collection, columns: list[Column]) -> list[Column]:
    """The columns of a table with the bound behind the saving, where runs have one."""
    if not any(could_save(run.result) for run in collection.runs):
        return columns
    return [*columns[:1], COULD_SAVE, REACHED, *columns[1:]] if columns[:1] == [COLUMNS[0]] else columns
