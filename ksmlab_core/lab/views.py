"""Results as tables to be asked: `runs`, `counters`, `samples`, `series` and `expect`, and one SELECT at a time.

Whoever asks may be anyone: a question reads what the tables hold and files below the folder of results, writes nothing
and changes no setting.
"""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ksmlab_core.errors import BadInput
from ksmlab_core.lab import duck, series
from ksmlab_core.lab.index import TABLE, Index

if TYPE_CHECKING:
    import duckdb

ABOUT = {
    "runs": "a row per run: what it was asked to do, and how that went",
    "counters": "a row per run: every metric at its end",
    "samples": "a row per labelled sample of a script: every metric then",
    "series": "a row per interval of `measure.every`: every metric then",
    "expect": "a row per comparison with what was expected",
}
"""The tables and what they hold."""

WHO = ("experiment", "id", "seed", "kernel", "reclaim", "swapin", "scan", "workload", "frames", "slots")
"""What says which run a row is of: columns of every table, the settings of the sweep behind them."""
_OF_RUNS = (
    "status",
    "error",
    "started::TIMESTAMP AS started",
    "coalesce(seconds, date_diff('ms', started::TIMESTAMP, finished::TIMESTAMP) / 1000) AS seconds",
    *("version", "host", "file", "command", "folder"),
)
_COMPARISON = {"at": "VARCHAR", "metric": "VARCHAR", "want": "JSON", "got": "BIGINT", "ok": "BOOLEAN", "line": "BIGINT"}


class Tables:
    """The tables of a folder of results, as of now.

    Args:
        root: the folder; an experiment's or a single run's will do.

    Raises:
        BadInput: there are no results in the folder, or one is torn.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve() if root.is_dir() else root
        index = Index(self._root)
        self.metrics = index.metrics()
        self._database = index.database
        self._swept = self._settings()
        self._has_series = False
        self._make_views()
        self._close_doors()

    def ask(self, query: str) -> duckdb.DuckDBPyConnection:
        """Carry out one SELECT.

        Returns:
            DuckDB's own cursor, whose rows are still to be fetched.

        Raises:
            BadInput: it is none, or something is wrong with it; one line.
        """
        import duckdb

        if re.search(r"\bseries\b", query, re.IGNORECASE):
            self._make_series()
        with _one_line():
            statements = self._database.extract_statements(query)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise BadInput("one SELECT can be asked, and nothing else; a PIVOT goes in parentheses after FROM")
        cursor = self._database.cursor()
        # A SELECT can hold a DELETE in its WITH.
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        with _one_line():
            return cursor.execute(statements[0])

    def columns(self, table: str) -> list[tuple[str, str]]:
        """Names and types of a table's columns."""
        return [(str(one[0]), str(one[1])) for one in self.ask(f"DESCRIBE {table}").fetchall()]

    def _settings(self) -> dict[str, str]:
        """What the sweeps set, and the type that holds all its values; `seed` has a column of its own."""
        values: dict[str, list[Any]] = {}
        for (point,) in self._database.execute(
            f"SELECT DISTINCT point FROM {TABLE} WHERE point IS NOT NULL"
        ).fetchall():
            for key, value in json.loads(point).items():
                values.setdefault(key, []).append(value)
        return {key: _kind(of) for key, of in values.items() if key not in {*WHO, "status"}}

    def _make_views(self) -> None:
        swept = "".join(f", {_setting(key)}::{kind} AS {duck.name(key)}" for key, kind in self._swept.items())
        runs = f"SELECT {', '.join(WHO)}{swept}, {', '.join(_OF_RUNS)} FROM {TABLE} WHERE label IS NULL"
        self._view("runs", f"{runs} ORDER BY experiment, position, folder")
        of_run = f"FROM {TABLE} t JOIN runs r ON r.folder = t.folder"
        order = "ORDER BY t.experiment, t.position, t.folder, t.nth"
        metrics = "".join(f", t.{duck.name(metric)}" for metric in self.metrics)
        self._view("counters", f"SELECT {self._who()}{metrics} {of_run} WHERE t.label IS NULL {order}")
        self._view(
            "samples", f"SELECT {self._who()}, t.label, t.ns{metrics} {of_run} WHERE t.label IS NOT NULL {order}"
        )
        told = "e.at AS label, e.metric, e.want::VARCHAR AS want, e.got, e.ok, e.line"
        each = f"unnest(from_json(t.expect, {duck.literal(json.dumps([_COMPARISON]))}))"
        self._view(
            "expect",
            f"SELECT {self._who()}, {told} {of_run}, {each} WITH ORDINALITY AS u(e, place) "
            f"WHERE t.label IS NULL {order}, u.place",
        )

    def _make_series(self) -> None:
        """The table of series, made when it is first asked for: every file's columns have to be looked at for it."""
        if self._has_series:
            return
        having = self._having_series()
        if not having:
            raise BadInput(f"{self._root}: no run here has a series: its experiment has no `measure: {{every: ...}}`")
        files = duck.parquet([self._root / folder / series.FILE for folder in having])
        whose = ", ".join(f"({nth}, {duck.literal(folder)})" for nth, folder in enumerate(having))
        with _one_line():
            self._view(
                "series",
                f"SELECT {self._who()}, t.* EXCLUDE (nth_file) FROM (SELECT file_index AS nth_file, * FROM {files}) t "
                f"JOIN (VALUES {whose}) f(nth, folder) ON f.nth = t.nth_file JOIN runs r ON r.folder = f.folder",
            )
        self._has_series = True

    def have_series(self) -> bool:
        """Has any run a series?"""
        return bool(self._having_series())

    def _having_series(self) -> list[str]:
        folders = [folder for (folder,) in self._database.execute("SELECT folder FROM runs").fetchall()]
        return [folder for folder in folders if (self._root / folder / series.FILE).is_file()]

    def _who(self) -> str:
        """The columns that say which run a row is of; a setting that is a metric too is told by that."""
        return ", ".join(f"r.{duck.name(key)}" for key in (*WHO, *self._swept) if key not in self.metrics)

    def _view(self, name: str, query: str) -> None:
        self._database.execute(f"CREATE VIEW {name} AS {query}")

    def _close_doors(self) -> None:
        """From here on nothing outside the folder can be read, and no setting changed."""
        here = f"{self._root}/"
        # Names of files are patterns: both spellings of the folder are its own.
        allowed = ", ".join(duck.literal(one) for one in {here, glob.escape(here)})
        self._database.execute(f"SET allowed_directories = [{allowed}]")
        self._database.execute("SET enable_external_access = false")
        self._database.execute("SET lock_configuration = true")


def _setting(key: str) -> str:
    """What a sweep set, as text, in SQL."""
    return f"json_extract_string(point, {duck.literal(f'$.{json.dumps(key)}')})"


def _kind(values: Sequence[Any]) -> str:
    """The type that holds all values of a setting."""
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return "BOOLEAN"
    if kinds == {int}:
        return "BIGINT"
    return "DOUBLE" if kinds <= {int, float} else "VARCHAR"


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        with duck.one_line_errors():
            yield
    except BadInput as error:
        raise BadInput(_hint(str(error))) from error


def _hint(said: str) -> str:
    """DuckDB's words, and what may have been meant."""
    if re.match("Table with name .* does not exist", said):
        return f"{said.partition('!')[0]}; there are {', '.join(ABOUT)}"
    if re.search(r'Referenced table "(ksm|vm|time|machine|process|policy)" not found', said):
        return f'{said.partition("!")[0]}; the name of a metric has a dot in it and goes in double quotes: "vm.pswpin"'
    return said
