"""`ksmlab plan`: the points of a sweep, without running."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from ksmlab_core.cli.options import json_option, plugin_option, read_plans, set_option
from ksmlab_core.cli.text import aligned

if TYPE_CHECKING:
    from ksmlab_core.experiment import Plan, RunSpec


@click.command("plan", short_help="List the runs of an experiment, without running.")
@click.argument("file", metavar="FILE")
@json_option
@plugin_option
@set_option
def command(file: str, as_json: bool, plugins: tuple[str, ...], overrides: tuple[str, ...]) -> None:
    """List the runs that FILE stands for: their ids, seeds, and what the sweep sets for each.

    Everything is validated as `ksmlab run` does it; nothing is run.
    """
    plan = read_plans([file], overrides, plugins)[0]
    if as_json:
        click.echo(
            json.dumps({"experiment": plan.experiment, "runs": [_point(spec) for spec in plan.points]}, indent=1)
        )
        return
    _print(plan)


def _point(spec: RunSpec) -> dict[str, Any]:
    return {"id": spec.id, "seed": spec.seed, "point": spec.point}


def _print(plan: Plan) -> None:
    if plan.about:
        click.echo(f"{plan.experiment}: {plan.about}")
    keys = list(dict.fromkeys(key for spec in plan.points for key in spec.point))
    rows = [[spec.id, str(spec.seed), *(_shown(spec.point.get(key, "–")) for key in keys)] for spec in plan.points]
    for line in aligned([["run", "seed", *keys], *rows]):
        click.echo(line)
    click.echo(f"{len(rows)} {'run' if len(rows) == 1 else 'runs'}")


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
