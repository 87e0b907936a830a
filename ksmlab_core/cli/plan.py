"""`ksmlab plan`: the points of a sweep, how they stand, and how long they take, without running."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ksmlab_core.cli.options import json_option, plugin_option, read_plans, set_option, shard_option
from ksmlab_core.cli.text import aligned, counted, lasting

if TYPE_CHECKING:
    from ksmlab_core.experiment import Plan, RunSpec
    from ksmlab_core.lab.standing import Standing, Survey


@click.command("plan", short_help="List the runs of an experiment, without running.")
@click.argument("file", metavar="FILE")
@json_option
@click.option("--out", metavar="DIR", default="runs", show_default=True, help="Folder in which results may stand.")
@click.option("-j", "--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Runs at a time.")
@plugin_option
@set_option
@shard_option
def command(
    file: str,
    as_json: bool,
    out: str,
    jobs: int,
    plugins: tuple[str, ...],
    overrides: tuple[str, ...],
    shard: tuple[int, int] | None,
) -> None:
    """List the runs that FILE stands for: their ids, seeds, how they stand, and what the sweep sets for each.

    A run is done when DIR holds its results, made by the same settings, plugins, captures and engine; failed, when it
    did so and failed; else pending. The time is expected from what runs took that stand in DIR.
    Everything is validated as `ksmlab run` does it; nothing is run.
    """
    from ksmlab_core.lab.standing import survey
    from ksmlab_core.lab.store import Store

    plan = read_plans([file], overrides, plugins, shard=shard)[0]
    found = survey(plan, Store(Path(out)))
    if as_json:
        click.echo(json.dumps(_document(plan, found, jobs), indent=1))
        return
    _print(plan, found, jobs)


def _document(plan: Plan, found: Survey, jobs: int) -> dict[str, Any]:
    from ksmlab_core.lab.standing import State

    runs = [_point(*one) for one in zip(plan.points, found.runs, found.seconds, strict=True)]
    counts = {state.value: found.count(state) for state in State}
    return {"experiment": plan.experiment, **counts, "seconds": found.expected(jobs), "runs": runs}


def _point(spec: RunSpec, standing: Standing, seconds: float | None) -> dict[str, Any]:
    known = None if seconds is None else round(seconds, 3)
    return {"id": spec.id, "seed": spec.seed, "point": spec.point, "state": standing.state, "seconds": known}


def _print(plan: Plan, found: Survey, jobs: int) -> None:
    if plan.about:
        click.echo(f"{plan.experiment}: {plan.about}")
    keys = list(dict.fromkeys(key for spec in plan.points for key in spec.point))
    rows = [
        [spec.id, str(spec.seed), one.state.value, *(_shown(spec.point.get(key, "–")) for key in keys)]
        for spec, one in zip(plan.points, found.runs, strict=True)
    ]
    for line in aligned([["run", "seed", "state", *keys], *rows]):
        click.echo(line)
    click.echo(_closing(found, jobs))


def _closing(found: Survey, jobs: int) -> str:
    """`500 runs: 437 done, 3 failed, 60 pending; about 20 s at -j 2`."""
    from ksmlab_core.lab.standing import State

    states = ", ".join(f"{found.count(state):,} {state}" for state in State if found.count(state))
    line = f"{counted(len(found.runs), 'run')}: {states}" if states else "no runs"
    if not found.count(State.PENDING):
        return line
    expected = found.expected(jobs)
    if expected is None:
        return f"{line}; how long they take shows once one is done"
    return f"{line}; about {lasting(expected)} at -j {jobs}"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
