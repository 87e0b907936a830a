"""`ksmlab report`: pages from results that are there already."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("report", short_help="Write the HTML report of stored results.")
@click.argument("folder", metavar="DIR")
@click.option("-o", "--out", "file", metavar="FILE.html", help="Write here instead of DIR/EXPERIMENT/report.html.")
def command(folder: str, file: str | None) -> None:
    """Write one self-contained HTML page for every experiment whose results are in DIR.

    DIR is what --out was, an experiment's folder in it, or a single run's.
    """
    from ksmlab_core.lab.collection import of_folder
    from ksmlab_core.lab.report import write_page

    found = of_folder(Path(folder))
    if file and len(found) > 1:
        raise click.UsageError(f"-o takes one experiment, and {folder} has {len(found)}")
    for home, collection in found:
        page = Path(file) if file else home / "report.html"
        write_page(collection, page)
        click.echo(f"report   {page}")
