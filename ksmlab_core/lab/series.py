"""Time series as Parquet, by DuckDB: integers stay integers, equal series are equal bytes.

Of 89 columns of 245 rows DuckDB makes 43 kB in 6 ms, pyarrow 76 kB in 6 ms, numpy's compressed archive 56 kB in 10 ms;
installed, DuckDB takes 68 MB and pyarrow 170.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ksmlab_core.lab import duck

if TYPE_CHECKING:
    import numpy as np

    Series = dict[str, np.ndarray[Any, Any]]

FILE = "series.parquet"
TIME = "time.elapsed"
"""The column that every series has: simulated ns."""


def write(file: Path, series: Series) -> None:
    """Write columns of equal length in the order of their names; no file where there is nothing in them.

    Raises:
        OSError: the file cannot be written.
    """
    if not any(len(column) for column in series.values()):
        return
    cursor = duck.cursor()
    cursor.register("series", {name: series[name] for name in sorted(series)})
    with duck.plain_errors():
        cursor.execute(duck.write_parquet("series", file))


def read(files: Sequence[Path], columns: Sequence[str] | None = None) -> Iterator[Series]:
    """Read the series of many runs at once, in a tenth of the time that it takes one by one.

    Args:
        files: one per run.
        columns: read these and the time only, where a run has them; None reads all.

    Yields:
        Per file its columns. One that other files have and this one has not is left out.

    Raises:
        OSError, ValueError: a file cannot be read, or is none of these; which one is not always told.
    """
    if not files:
        return
    wanted = "*"
    if columns is not None:
        listed = ", ".join(duck.literal(name) for name in {*columns, TIME})
        wanted = f"COLUMNS(lambda name: name IN ({listed}))"
    with duck.plain_errors():
        found = duck.cursor().execute(f"SELECT file_index, {wanted} FROM {duck.parquet(files)}").fetchnumpy()
    yield from _split(found, len(files))


def _split(table: dict[str, Any], files: int) -> Iterator[Series]:
    """The rows of each file; a column that is empty in all of them is another file's."""
    import numpy as np

    whose = np.asarray(table.pop("file_index")).astype(np.int64)
    ends = np.searchsorted(whose, np.arange(files + 1))
    for start, end in pairwise(ends):
        rows = {name: column[start:end] for name, column in table.items()}
        yield {name: np.ascontiguousarray(np.ma.getdata(column)) for name, column in rows.items() if _own(column)}


def _own(column: Any) -> bool:
    import numpy as np

    return not np.ma.is_masked(column)
