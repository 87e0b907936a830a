"""Options that several commands have, and reading the files they apply to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ksmlab_core.errors import BadInput

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
    files: Sequence[str], overrides: Sequence[str], plugins: Sequence[str], shard: tuple[int, int] | None = None
) -> list[Plan]:
    """Read every file before anything is run; with a shard, only its runs are left in the plans.

    Raises:
        BadInput: with the problems of all files together.
    """
    from ksmlab_core.experiment import read_experiment

    plans, refused = [], []
    for file in files:
        try:
            plan = read_experiment(Path(file), overrides=overrides, plugins=plugins)
            plans.append(plan.shard(*shard) if shard else plan)
        except BadInput as error:
            refused.append(str(error))
    if refused:
        # A bad -p or --set is found once per file; saying it once is enough.
        raise BadInput("\n".join(dict.fromkeys(refused)))
    return plans
