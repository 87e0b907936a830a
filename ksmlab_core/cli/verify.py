"""`ksmlab verify`: the simulated machine against the kernel that runs here."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from ksmlab_core.cli.options import json_option, no_input_option, plugin_option, read_plans, set_option
from ksmlab_core.cli.text import aligned

if TYPE_CHECKING:
    from ksmlab_core.experiment import Plan
    from ksmlab_core.lab.verify import Verified


@click.command("verify", short_help="Compare the simulated machine with the kernel that runs here.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@json_option
@plugin_option
@set_option
@no_input_option
def command(
    files: tuple[str, ...], as_json: bool, plugins: tuple[str, ...], overrides: tuple[str, ...], no_input: bool
) -> int:
    """Run scripts on the simulated machine and on the running kernel, and show every figure that differs.

    Needs root; KSM of this host is taken for as long as it lasts, and put back as it was. Times are not compared, nor
    what the kernel counts for other processes too; what the files expect is left aside. Exit status: 0 no difference,
    1 differences or a run failed, 2 bad input.
    """
    from ksmlab_core.cli.on_kernel import prepared
    from ksmlab_core.lab.verify import profile_doubt, verify, without_expectations

    plans = read_plans(files, overrides, plugins)
    runs = [[without_expectations(spec) for spec in plan.points] for plan in plans]
    on_kernel = prepared(chain.from_iterable(runs), no_input=no_input)
    everything = []
    for plan, specs in zip(plans, runs, strict=True):
        if doubt := profile_doubt(plan.points):
            click.echo(f"{plan.file}: {doubt}", err=True)
        outcomes = [verify(plan, spec, on_kernel) for spec in specs]
        everything.append((plan, outcomes))
        if not as_json:
            for outcome in outcomes:
                _tell(plan, outcome)
    if as_json:
        click.echo(json.dumps(_document(everything), indent=1))
    return 0 if all(outcome.ok for _, outcomes in everything for outcome in outcomes) else 1


def _tell(plan: Plan, outcome: Verified) -> None:
    """The table of one run's differences, and a closing line."""
    for line in aligned(list(_rows(outcome)), indent="  "):
        click.echo(line)
    for which, why in outcome.failed.items():
        click.echo(f"{plan.file}: run {outcome.id} failed on the {which}: {why}", err=True)
    found = f"{outcome.compared:,} figures, all equal"
    if outcome.differences:
        found = f"{len(outcome.differences):,} of {outcome.compared:,} figures differ"
    click.echo(f"{plan.file}: run {outcome.id}: {found}")


def _rows(outcome: Verified) -> Iterator[list[str]]:
    if outcome.differences:
        yield ["sample", "metric", "machine", "kernel"]
    before = None
    for one in outcome.differences:
        yield ["" if one.at == before else one.at, one.metric, _figure(one.machine), _figure(one.kernel)]
        before = one.at


def _figure(value: int | str) -> str:
    return value if isinstance(value, str) else f"{value:,}"


def _document(everything: list[tuple[Plan, list[Verified]]]) -> dict[str, Any]:
    return {
        "kernel": platform.release(),
        "files": [
            {
                "file": str(plan.file),
                "experiment": plan.experiment,
                "profile": plan.points[0].kernel["profile"],
                "runs": [outcome.as_dict() for outcome in outcomes],
            }
            for plan, outcomes in everything
        ],
    }
