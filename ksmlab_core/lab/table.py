"""The headline table for a terminal or a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from ksmlab_core.lab.headline import columns_of, text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ksmlab_core.lab.collection import Collection, Run

_MOST_RUNS_ACROSS = 8


def print_table(collection: Collection, stream: TextIO) -> None:
    """Print one experiment's runs, a row each; turned on its side where the terminal is too narrow for that."""
    from rich.console import Console

    console = Console(file=stream, highlight=False)
    table = _rows_are_runs(collection)
    width = _width(console, table)
    if not console.is_terminal:
        stream.write(_plain(table, width))
        return
    if width > console.width and len(collection.runs) <= _MOST_RUNS_ACROSS:
        table = _rows_are_figures(collection)
    console.print(table)


def _plain(table: Table, width: int) -> str:
    """The table for a pipe, which has no width of its own: nothing is cut or folded, no line ends in spaces."""
    from io import StringIO

    from rich.console import Console

    text = StringIO()
    Console(file=text, highlight=False, width=width).print(table)
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines() if line.strip())


def _width(console: Console, table: Table) -> int:
    """The columns that a table takes when nothing in it is folded."""
    from rich.measure import Measurement

    return Measurement.get(console, console.options.update(max_width=10_000), table).maximum


def _empty_table() -> Table:
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")


def _rows_are_runs(collection: Collection) -> Table:
    table = _empty_table()
    columns = columns_of(collection)
    table.add_column("run", no_wrap=True)
    for column in columns:
        table.add_column(column.title, justify="right", no_wrap=True)
    labels = collection.label_of
    for run in collection.runs:
        table.add_row(_name(run, labels), *(text(column.value(run.result), column.unit) for column in columns))
    return table


def _rows_are_figures(collection: Collection) -> Table:
    table = _empty_table()
    labels = collection.label_of
    table.add_column("")
    for run in collection.runs:
        table.add_column(_name(run, labels), justify="right")
    for column in columns_of(collection):
        table.add_row(column.title, *(text(column.value(run.result), column.unit) for run in collection.runs))
    return table


def _name(run: Run, labels: dict[str, str]) -> str:
    """A run's label, escaped for rich, with a mark where the run failed."""
    from rich.markup import escape

    label = escape(labels[run.result.id])
    return label if run.result.status == "succeeded" else f"[red]{label} (failed)[/red]"
