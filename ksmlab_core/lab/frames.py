"""What a question to the results answers, as rows, or as a data frame of pandas or polars: integers stay integers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ksmlab_core.errors import BadInput
from ksmlab_core.lab import duck

if TYPE_CHECKING:
    import duckdb
    import pandas
    import polars

_SHOWN = 10


class Table:
    """A table of results. Nothing is read before it is asked for.

    Args:
        ask: carries out a SELECT.
        query: which; without a semicolon.
    """

    def __init__(self, ask: Callable[[str], duckdb.DuckDBPyConnection], query: str) -> None:
        self._ask, self._query = ask, query

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return [name for name, _ in self._answer[0]]

    @property
    def kinds(self) -> list[str]:
        """SQL's names of the columns' types."""
        return [kind for _, kind in self._answer[0]]

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """All rows, as Python's own values.

        Raises:
            BadInput: the question cannot be answered; one line.
        """
        return self._answer[1]

    def to_dicts(self) -> list[dict[str, Any]]:
        """All rows, each as a mapping from column to value."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def to_pandas(self) -> pandas.DataFrame:
        """All rows as a data frame; integers that may be missing are of type Int64.

        Raises:
            BadInput: pandas is not installed, or the question cannot be answered.
        """
        _require("pandas")
        import pandas

        return pandas.DataFrame({name: _for_pandas(column) for name, column in self._arrays().items()})

    def to_polars(self) -> polars.DataFrame:
        """All rows as a data frame of polars.

        Raises:
            BadInput: polars is not installed, or the question cannot be answered.
        """
        _require("polars")
        import polars

        return polars.DataFrame([_for_polars(name, column) for name, column in self._arrays().items()])

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        names = ", ".join(self.columns[:_SHOWN]) + (", ..." if len(self.columns) > _SHOWN else "")
        return f"<table of {len(self):,} rows and {len(self.columns)} columns: {names}>"

    @cached_property
    def _answer(self) -> tuple[list[tuple[str, str]], list[tuple[Any, ...]]]:
        cursor = self._ask(self._query)
        columns = [(str(one[0]), str(one[1])) for one in cursor.description or ()]
        with duck.one_line_errors():
            return columns, cursor.fetchall()

    def _arrays(self) -> dict[str, Any]:
        """The columns as numpy's arrays. Sums are integers of 128 bits in SQL, which numpy does not have."""
        described = self._ask(f"DESCRIBE {self._query}").fetchall()
        wide = [duck.name(one[0]) for one in described if one[1] in ("HUGEINT", "UHUGEINT")]
        narrowed = f"* REPLACE ({', '.join(f'{one}::BIGINT AS {one}' for one in wide)})" if wide else "*"
        with duck.one_line_errors():
            return self._ask(f"SELECT {narrowed} FROM ({self._query}\n)").fetchnumpy()


def _require(package: str) -> None:
    if find_spec(package) is None:
        raise BadInput(f"{package} is not installed: pip install {package}, or 'ksmlab[notebook]'")


def _for_pandas(column: Any) -> Any:
    """A column with its missing values as pandas has them."""
    import numpy as np
    import pandas

    if not np.ma.is_masked(column):
        return np.ma.getdata(column)
    values, missing = np.ma.getdata(column), np.ma.getmaskarray(column)
    if values.dtype.kind in "iu":
        return pandas.arrays.IntegerArray(values, missing)
    if values.dtype.kind == "b":
        return pandas.arrays.BooleanArray(values, missing)
    return pandas.Series(values).mask(missing)


def _for_polars(name: str, column: Any) -> Any:
    import numpy as np
    import polars

    if column.dtype.kind == "O":
        values = column.tolist()
        return polars.Series(name, values, dtype=polars.String if all(one is None for one in values) else None)
    series = polars.Series(name, np.ma.getdata(column))
    return series.set(polars.Series(np.ma.getmaskarray(column)), None) if np.ma.is_masked(column) else series
