"""Results for notebooks: what `ksmlab_core.load` gives."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ksmlab_core.lab.frames import Table
from ksmlab_core.lab.views import Tables

if TYPE_CHECKING:
    import pandas
    import polars


class Results:
    """The results in a folder, as they were when this was made.

    Every method gives a table with `to_pandas()`, `to_polars()`, `to_dicts()` and `rows`. Each row says which run it is
    of: experiment, id, seed, the policies, and what the sweep set.

    Args:
        folder: what `--out` was, an experiment's folder in it, or a single run's.

    Raises:
        BadInput: there are no results in the folder, or one is torn.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = folder
        self._tables = Tables(Path(folder))

    def runs(self) -> Table:
        """A row per run: what it was asked to do, and how that went."""
        return self._table("runs")

    def counters(self) -> Table:
        """A row per run: every metric at its end."""
        return self._table("counters")

    def samples(self) -> Table:
        """A row per labelled sample of a script: every metric then, and the simulated time of it (`ns`)."""
        return self._table("samples")

    def series(self) -> Table:
        """A row per interval of `measure.every`: every metric then; `time.elapsed` is the simulated time, ns."""
        return self._table("series")

    def expect(self) -> Table:
        """A row per comparison with what was expected."""
        return self._table("expect")

    def sql(self, query: str) -> Table:
        """What a SELECT over these tables gives, in DuckDB's SQL; what is wrong with it is told when it is read."""
        return Table(self._tables.ask, query.strip().rstrip(";"))

    def to_pandas(self) -> pandas.DataFrame:
        """The table `counters` as a data frame of pandas."""
        return self.counters().to_pandas()

    def to_polars(self) -> polars.DataFrame:
        """The table `counters` as a data frame of polars."""
        return self.counters().to_polars()

    def __repr__(self) -> str:
        return f"<results in {self._folder}: {len(self.runs()):,} runs, {len(self._tables.metrics)} metrics>"

    def _table(self, name: str) -> Table:
        return Table(self._tables.ask, f"FROM {name}")
