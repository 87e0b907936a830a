"""ksmlab: a laboratory for kernel samepage merging, swap and reclaim policies."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ksmlab_core.lab.load import Results


def load(folder: str | os.PathLike[str]) -> Results:
    """The results in a folder, for notebooks: `load("runs").to_pandas()` has a row per run and a column per metric.

    Args:
        folder: what `--out` was, an experiment's folder in it, or a single run's.

    Raises:
        BadInput: there are no results in the folder, or one is torn.
    """
    from ksmlab_core.lab.load import Results

    return Results(folder)
