"""Options that several commands have, and reading the files they apply to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ksmlab_core.errors import BadInput, did_you_mean

if TYPE_CHECKING:
    from ksmlab_core.experiment import Plan

Command = TypeVar("Command", bound=Callable[..., Any])


def plugin_option(command: Command) -> Command:
    """``-p PLUGIN``, any number of times."""
    return click.option(
        "-p",
        "--plugin",
        "plugins",
        multiple=True,
        metavar="PLUGIN",
        help="Load a plugin too: a file or an importable module. Can be given several times.",
    )(command)


def set_option(command: Command) -> Command:
    """``--set key=value``, any number of times."""
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override a setting of the file, e.g. machine.memory=64MiB. Can be given several times.",
    )(command)


def only_option(command: Command) -> Command:
    """``--only RUN``, any number of times."""
    return click.option(
        "--only",
        "only",
        multiple=True,
        metavar="RUN",
        help="Only this run of the sweep, by the name that `ksmlab plan` shows. Can be given several times.",
    )(command)


def json_option(command: Command) -> Command:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")(command)


def no_input_option(command: Command) -> Command:
    """``--no-input``."""
    about = "Never ask: refuse where a question would be asked (on a host whose KSM is in use)."
    return click.option("--no-input", is_flag=True, help=about)(command)


def shard_option(command: Command) -> Command:
    """``--shard 2/5``."""
    about = "Only the runs of one of several machines: 2/5 is the second of five. Copy the folders together afterwards."
    return click.option("--shard", callback=_shard, metavar="N/M", help=about)(command)


def _shard(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """`2/5` as (2, 5)."""
    if value is None:
        return None
    number, slash, of = value.partition("/")
    if slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of):
        return int(number), int(of)
    raise click.BadParameter(f"{value!r} is not a shard; such as 2/5, the second of five", ctx, param)


def read_plans(
    files: Sequence[str],
    overrides: Sequence[str],
    plugins: Sequence[str],
    *,
    only: Sequence[str] = (),
    shard: tuple[int, int] | None = None,
) -> list[Plan]:
    """Read every file before anything is run.

    Args:
        files: experiment files.
        overrides: settings over theirs.
        plugins: plugins beside those that they name.
        only: names of the runs to keep of each; none keeps all.
        shard: of those, only the runs of this shard; None keeps all.

    Raises:
        BadInput: with the problems of all files together.
    """
    from ksmlab_core.experiment import read_experiment

    plans, refused = [], []
    for file in files:
        try:
            plan = read_experiment(Path(file), overrides=overrides, plugins=plugins)
            plan = _narrowed(plan, only) if only else plan
            plans.append(plan.shard(*shard) if shard else plan)
        except BadInput as error:
            refused.append(str(error))
    if refused:
        # A bad -p or --set is found once per file; saying it once is enough.
        raise BadInput("\n".join(dict.fromkeys(refused)))
    return plans


def _narrowed(plan: Plan, only: Sequence[str]) -> Plan:
    """A plan of some of its runs, in the order of the sweep."""
    known = [spec.id for spec in plan.points]
    unknown = [name for name in dict.fromkeys(only) if name not in known]
    if unknown:
        raise BadInput("\n".join(_no_such_run(plan, name, known) for name in unknown))
    return plan.keeping(lambda spec: spec.id in only)


def _no_such_run(plan: Plan, name: str, known: Sequence[str]) -> str:
    meant = did_you_mean(name, known)
    hint = f"; did you mean {meant!r}?" if meant else ""
    return f"{plan.file}: there is no run {name!r}; `ksmlab plan {plan.file}` shows the {len(known)} there are{hint}"
