"""`ksmlab sql`: questions to stored results."""

from __future__ import annotations

import csv
import json
import math
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ksmlab_core.cli.text import aligned

if TYPE_CHECKING:
    from ksmlab_core.lab.frames import Table
    from ksmlab_core.lab.views import Tables

_NUMBERS = ("BIGINT", "INTEGER", "HUGEINT", "DOUBLE", "FLOAT", "DECIMAL", "SMALLINT", "TINYINT", "UBIGINT")


@click.command("sql", short_help="Ask stored results a question in SQL.")
@click.argument("query", metavar="[QUERY]", default="")
@click.argument("folder", metavar="[DIR]", default="runs")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "csv", "json"]),
    default="table",
    show_default=True,
    help="How to print the answer.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--csv", "as_csv", is_flag=True, help="The same as --format csv.")
def command(query: str, folder: str, form: str, as_json: bool, as_csv: bool) -> None:
    """Ask the results in DIR (runs, if it is not given) a question in SQL, as DuckDB speaks it.

    The tables are runs, counters, samples, series and expect; without QUERY they are listed with their columns. A
    metric's name goes in double quotes: SELECT id, "vm.pswpin" FROM counters. Nothing is ever written, and nothing
    outside DIR is read.
    """
    from ksmlab_core.lab.frames import Table
    from ksmlab_core.lab.views import Tables

    if query and Path(query).is_dir():
        query, folder = "", query
    tables = Tables(Path(folder))
    if not query.strip():
        _list(tables)
        return
    chosen = "json" if as_json else "csv" if as_csv else form
    _PRINTERS[chosen](Table(tables.ask, query))


def _list(tables: Tables) -> None:
    """Every table, what its rows are, and its columns."""
    from ksmlab_core.lab.views import ABOUT

    for name, about in ABOUT.items():
        click.echo(f"{name}: {about}")
        if name == "series" and not tables.have_series():
            click.echo("  (no run here has any)")
            continue
        plain = [one for one, _ in tables.columns(name) if one not in tables.metrics]
        for line in textwrap.wrap(", ".join(_quoted(one) for one in plain), 116, break_on_hyphens=False):
            click.echo(f"  {line}")
        if len(plain) < len(tables.columns(name)):
            click.echo("  and the metrics")
    click.echo("metrics:")
    for line in textwrap.wrap(", ".join(map(_quoted, tables.metrics)), 116, break_on_hyphens=False):
        click.echo(f"  {line}")


def _quoted(name: str) -> str:
    """A column's name as it has to be written in a question."""
    from ksmlab_core.lab.duck import name as quoted

    return name if name.isidentifier() else quoted(name)


def _print_table(table: Table) -> None:
    right = {nth for nth, kind in enumerate(table.kinds) if kind.startswith(_NUMBERS)}
    for line in aligned([table.columns, *_cells(table)], right=right):
        click.echo(line)
    click.echo(f"{len(table):,} {'row' if len(table) == 1 else 'rows'}")


def _print_markdown(table: Table) -> None:
    right = [kind.startswith(_NUMBERS) for kind in table.kinds]
    click.echo(_piped(table.columns))
    click.echo(_piped(["--:" if one else "---" for one in right]))
    for cells in _cells(table):
        click.echo(_piped(cells))


def _piped(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _cells(table: Table) -> Iterator[list[str]]:
    """The values as texts of one line each."""
    for row in table.rows:
        yield [_cell(value) for value in row]


def _cell(value: Any) -> str:
    """A value for people: what is missing is NULL, and of a mean's digits those that count."""
    if value is None:
        return "NULL"
    if isinstance(value, float) and abs(value) >= 1:
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return " ".join(f"{value:.4g}".splitlines() if isinstance(value, float) else str(value).splitlines())


def _print_csv(table: Table) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(table.rows)


def _print_json(table: Table) -> None:
    click.echo(json.dumps([{name: _plain(value) for name, value in row.items()} for row in table.to_dicts()], indent=1))


def _plain(value: Any) -> Any:
    """A value as JSON has it, which has no infinity, no dates and no decimals."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if value is None or isinstance(value, bool | int | str) else str(value)


_PRINTERS = {"table": _print_table, "markdown": _print_markdown, "csv": _print_csv, "json": _print_json}
