"""`ksmlab compare`: stored results against each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ksmlab_core.cli.text import aligned

if TYPE_CHECKING:
    from ksmlab_core.lab.compare import Comparison, Rule, Sides, Violation


@click.command("compare", short_help="Compare stored results with each other.")
@click.argument("folders", nargs=-1, required=True, metavar="A [B...]")
@click.option("--by", "setting", metavar="KEY", help="Compare the runs of one sweep by what it sets for KEY.")
@click.option("--base", metavar="VALUE", help="With --by: hold the others against this value, not the first.")
@click.option(
    "-m",
    "--metric",
    "--on",
    "metrics",
    multiple=True,
    metavar="NAME",
    help="Compare this one; patterns such as 'vm.*' will do. Can be given several times.",
)
@click.option(
    "--fail-if",
    "rules",
    multiple=True,
    metavar="RULE",
    help="End with status 1 if it is so, e.g. 'vm.pswpin > +1%'. Can be given several times.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "markdown", "html"]),
    default="table",
    show_default=True,
    help="How to print the comparison.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def command(
    folders: tuple[str, ...],
    setting: str | None,
    base: str | None,
    metrics: tuple[str, ...],
    rules: tuple[str, ...],
    form: str,
    as_json: bool,
) -> int:
    """Compare the results in A with those in B, and in further folders: stores, experiments or runs.

    Runs of the same point and seed are pairs. Each cell has the mean over the seeds and how far it is from A's, with
    stars where Welch's t-test finds the difference significant, and the 95 % interval of the paired differences beside
    it. Figures are the headline ones and, where there is one point only, every counter that differs. --by compares
    within one folder, e.g. --by policies.swapin.

    A rule is METRIC OP [+-]N[%]: with % the change of the mean in per cent, with a sign alone the change, else the
    value. Exit status: 0 all well, 1 a rule of --fail-if is broken at some point, 2 bad input.
    """
    from ksmlab_core.lab.compare import broken, compare, read_rule

    read = [read_rule(rule) for rule in rules]
    comparison = compare(_sides(folders, setting, base), metrics, [rule.metric for rule in read])
    violations = broken(read, comparison)
    _print(comparison, read, violations, "json" if as_json else form)
    for one in violations:
        click.echo(f"fails: {one.told}", err=True)
    return 1 if violations else 0


def _sides(folders: tuple[str, ...], setting: str | None, base: str | None) -> Sides:
    from ksmlab_core.lab.compare import by_setting, of_folders

    if setting is not None:
        if len(folders) > 1:
            raise click.UsageError("--by compares the runs of one folder with each other; name one")
        return by_setting(Path(folders[0]), setting, base)
    if base is not None:
        raise click.UsageError("--base is for --by; of folders the first is the base")
    if len(folders) < 2:
        raise click.UsageError("name two folders, or one and what to compare by, e.g. --by policies.swapin")
    return of_folders([Path(folder) for folder in folders])


def _print(comparison: Comparison, rules: list[Rule], violations: list[Violation], form: str) -> None:
    from ksmlab_core.lab.compare import pages

    if form == "json":
        click.echo(json.dumps(pages.document(comparison, rules, violations), indent=1))
    elif form == "markdown":
        click.echo(pages.markdown(comparison, violations), nl=False)
    elif form == "html":
        click.echo(pages.html(comparison, violations), nl=False)
    else:
        _print_table(comparison)


def _print_table(comparison: Comparison) -> None:
    """The words before, one table with a line per point between its rows, and the words after."""
    from ksmlab_core.lab.compare import words

    for line in words.before(comparison):
        click.echo(line)
    heads = words.heads(comparison)
    blocks = [(words.place(one), list(words.rows(comparison, one))) for one in comparison.points if one.rows]
    head, *lines = aligned([heads, *(row for _, rows in blocks for row in rows)], right=range(1, len(heads)))
    if lines:
        click.echo(f"\n{head}")
    rest = iter(lines)
    for place, rows in blocks:
        click.echo(place)
        for _ in rows:
            click.echo(next(rest))
    if lines:
        click.echo()
    for line in words.after(comparison):
        click.echo(line)
