"""`ksmlab conformance`: hold the kernel profiles to what tests and real kernels say of them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ksmlab_core.cli.options import json_option
from ksmlab_core.errors import BadInput, UnknownName

if TYPE_CHECKING:
    from ksmlab_core.lab.conformance import Row, Scenario, Scenarios


@click.command("conformance", short_help="Hold kernel profiles to tests and real kernels.")
@click.argument("places", nargs=-1, metavar="[PATH]...")
@click.option("--kernel", "kernels", multiple=True, metavar="PROFILE", help="Only this profile. Can be given again.")
@json_option
@click.option("--markdown", is_flag=True, help="Print the table as Markdown.")
@click.option("--every-file", is_flag=True, help="A line for each measured table and trace, not one for all of them.")
@click.option(
    "-j", "--jobs", type=click.IntRange(min=1), default=os.cpu_count() or 1, help="Runs at a time; one per processor."
)
def command(
    places: tuple[str, ...], kernels: tuple[str, ...], as_json: bool, markdown: bool, every_file: bool, jobs: int
) -> int:
    """Hold every kernel profile to the scenarios of other people's tests (LTP, the kernel's selftests), to derived
    traces and to what real kernels answered, and print what was expected, what came, and by which rules.

    PATHs are files and folders of scenarios; ksmlab's own are taken when none is given. Counters are written
    pages_shared/sharing/unshared/volatile. Exit status: 0 all as expected, 1 a figure differs, 2 bad input.
    """
    from ksmlab_core.lab.conformance import scenarios

    if as_json and markdown:
        raise click.UsageError("--json and --markdown exclude each other")
    of = scenarios([Path(place) for place in places] or [_own()], _known(kernels))
    rows = _carry_out(of.found, jobs, quiet=as_json or markdown)
    if as_json:
        click.echo(json.dumps(_document(of, rows), indent=1))
    else:
        _print_table(rows, markdown=markdown, every_file=every_file)
        click.echo(f"\n{_closing(of, rows)}")
    return 0 if all(row.ok for row in rows) else 1


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
        return conform(
            found, jobs=jobs, on_result=lambda _plan, _result: bar.run_done(lambda: None), progress=bar.advanced
        )


def _print_table(rows: Sequence[Row], *, markdown: bool, every_file: bool) -> None:
    from ksmlab_core.cli.text import aligned
    from ksmlab_core.lab.conformance_words import COLUMNS, lines

    told = lines(rows, every_file=every_file)
    if markdown:
        table = [[cell.replace("|", r"\|") for cell in line.cells] for line in told]
        for cells in (COLUMNS, ["---"] * len(COLUMNS), *table):
            click.echo(f"| {' | '.join(cells)} |")
        return
    marked = [("", *COLUMNS), *(("" if line.ok else "differs", *line.cells) for line in told)]
    drop = 0 if any(not line.ok for line in told) else 1
    for text in aligned([cells[drop:] for cells in marked]):
        click.echo(text)


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
