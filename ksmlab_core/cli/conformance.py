"""`ksmlab conformance`: hold the kernel profiles to what tests and real kernels say of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ksmlab_core.cli.options import json_option
from ksmlab_core.errors import BadInput, ResultsNotWritten, UnknownName

if TYPE_CHECKING:
    from ksmlab_core.lab.conformance import Row, Scenario, Scenarios
    from ksmlab_core.lab.conformance_words import Line


@click.command("conformance", short_help="Hold kernel profiles to tests and real kernels.")
@click.argument("places", nargs=-1, metavar="[PATH]...")
@click.option("--kernel", "kernels", multiple=True, metavar="PROFILE", help="Only this profile. Can be given again.")
@json_option
@click.option("--markdown", is_flag=True, help="Print the table as Markdown.")
@click.option(
    "--readme",
    metavar="FILE.md",
    help="Also write the table as Markdown into FILE.md, between its two lines <!-- ksmlab conformance -->.",
)
@click.option("--every-file", is_flag=True, help="A line for each measured table and trace, not one for all of them.")
@click.option(
    "-j", "--jobs", type=click.IntRange(min=1), default=os.cpu_count() or 1, help="Runs at a time; one per processor."
)
def command(
    places: tuple[str, ...],
    kernels: tuple[str, ...],
    as_json: bool,
    markdown: bool,
    readme: str | None,
    every_file: bool,
    jobs: int,
) -> int:
    """Hold kernel profiles to the tests of others and to what real kernels answered.

    These are LTP's KSM tests, the kernel's selftests, derived traces and measured tables. The table says what was
    expected, what came, and by which rules; counters are written pages_shared/sharing/unshared/volatile. PATHs are
    files and folders of scenarios; ksmlab's own are taken when none is given. Exit status: 0 all as expected,
    1 a figure differs or a scenario could not be carried out, 2 bad input.
    """
    from ksmlab_core.lab.conformance import scenarios
    from ksmlab_core.lab.conformance_words import as_markdown, lines

    if as_json and markdown:
        raise click.UsageError("--json and --markdown exclude each other")
    page = _Page(readme) if readme else None
    of = scenarios([Path(place) for place in places] or [_own()], _known(kernels))
    rows = _carry_out(of.found, jobs, quiet=as_json or markdown)
    told = lines(rows, every_file=every_file)
    if page is not None:
        page.write(told)
    if as_json:
        click.echo(json.dumps(_document(of, rows), indent=1))
    else:
        for text in as_markdown(told) if markdown else _as_text(told):
            click.echo(text)
        click.echo(f"\n{_closing(of, rows)}")
    return 0 if all(row.ok for row in rows) else 1


class _Page:
    """A Markdown file with a place for the table: what lies between two lines MARK."""

    MARK = "<!-- ksmlab conformance -->"

    def __init__(self, file: str) -> None:
        self._path = Path(file)
        try:
            self._parts = self._path.read_text(encoding="utf-8").split(f"{self.MARK}\n")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{file}: cannot be read: {error}") from None
        if len(self._parts) != 3:
            raise BadInput(f"{file}: {len(self._parts) - 1} lines {self.MARK}; two, with the table between them")

    def write(self, told: Sequence[Line]) -> None:
        from ksmlab_core.lab.conformance_words import as_markdown

        table = "".join(f"{text}\n" for text in as_markdown(told))
        before, _, behind = self._parts
        try:
            self._path.write_text(f"{self.MARK}\n".join([before, table, behind]), encoding="utf-8")
        except OSError as error:
            raise ResultsNotWritten(str(self._path), f"the table cannot be written: {error.strerror}") from None


def _known(kernels: Sequence[str]) -> list[str]:
    """The profiles asked for, oldest first."""
    from ksmlab_core.experiment.conformance import in_order
    from ksmlab_core.mm.profile import PROFILES

    for name in kernels:
        if name not in PROFILES:
            raise UnknownName("kernel profile", name, PROFILES)
    return in_order(dict.fromkeys(kernels))


def _own() -> Path:
    """ksmlab's own experiments: those of the checkout that is run, or of the working directory."""
    checkout = Path(__file__).parents[2] / "experiments"
    for place in (checkout, Path("experiments")):
        if (place / "conformance").is_dir():
            return place
    raise BadInput("experiments/conformance is not here: name files or folders of scenarios")


def _carry_out(found: Sequence[Scenario], jobs: int, *, quiet: bool) -> list[Row]:
    from ksmlab_core.cli.progress import progress_bar
    from ksmlab_core.lab.conformance import conform

    with progress_bar(sum(len(one.plan.points) for one in found), wanted=not quiet) as bar:
        return conform(found, jobs=jobs, on_result=lambda _plan, _result: bar.run_done(), progress=bar.advanced)


def _as_text(told: Sequence[Line]) -> Iterator[str]:
    """The table for a terminal; where something differs, a first column says so."""
    from ksmlab_core.cli.text import aligned
    from ksmlab_core.lab.conformance_words import COLUMNS

    marked = [("", *COLUMNS), *(("" if line.ok else "differs", *line.cells) for line in told)]
    drop = 0 if any(not line.ok for line in told) else 1
    return aligned([cells[drop:] for cells in marked])


def _closing(of: Scenarios, rows: Sequence[Row]) -> str:
    from ksmlab_core.lab.conformance import tally
    from ksmlab_core.lab.conformance_words import counted

    count = tally(rows)
    differ = f"{count['differ']:,} of " if count["differ"] else ""
    all_well = "differ" if count["differ"] else "as expected"
    text = f"{counted(count['scenarios'], 'scenario')}: {differ}{counted(count['figures'], 'figure')} {all_well}"
    absent = f"; {counted(len(of.absent), 'file')} of kernels that are not in this version" if of.absent else ""
    return text + absent


def _document(of: Scenarios, rows: Sequence[Row]) -> dict[str, Any]:
    from ksmlab_core.lab.conformance import tally

    count = tally(rows)
    return {
        "ok": all(row.ok for row in rows),
        "scenarios": count["scenarios"],
        "figures": count["figures"],
        "differ": count["differ"],
        "not_in_this_version": [str(file) for file in of.absent],
        "rows": [_row(row) for row in rows],
    }


def _row(row: Row) -> dict[str, Any]:
    from ksmlab_core.lab.conformance_words import expected, got

    return {
        "suite": row.suite,
        "scenario": row.scenario,
        "stage": row.stage,
        "kernel": row.kernel,
        "expected": expected(row),
        "got": got(row),
        "rules": list(row.rules),
        "ok": row.ok,
        "error": row.error,
        "file": row.file,
        "checks": row.checks,
    }
