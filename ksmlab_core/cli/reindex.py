"""`ksmlab reindex`: the index of stored results, made anew from the runs' folders."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("reindex", short_help="Make the index of stored results anew.")
@click.argument("folder", metavar="[DIR]", default="runs")
def command(folder: str) -> None:
    """Read every run in DIR (runs, if it is not given) and write the index anew.

    There is no need to: whatever uses the index looks for new, changed and removed runs first. It can be deleted, too.
    """
    from ksmlab_core.lab.index import Index

    index = Index(Path(folder), rebuild=True)
    click.echo(f"{folder}: {index.read:,} {'run' if index.read == 1 else 'runs'}, {len(index.metrics()):,} metrics")
