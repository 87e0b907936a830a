"""`ksmlab run`: carry experiments out."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ksmlab_core.cli.options import (
    json_option,
    no_input_option,
    only_option,
    plugin_option,
    read_plans,
    set_option,
    shard_option,
)
from ksmlab_core.errors import KsmlabError

if TYPE_CHECKING:
    from ksmlab_core.experiment import Plan
    from ksmlab_core.lab.cluster import Cluster
    from ksmlab_core.lab.standing import Again
    from ksmlab_core.simulation import RunResult


@click.command("run", short_help="Carry experiments out.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@json_option
@click.option("--out", metavar="DIR", help="Folder for results.  [default: runs]")
@plugin_option
@set_option
@only_option
@click.option("-j", "--jobs", type=click.IntRange(min=1), help="Runs at a time.  [default: 1]")
@click.option(
    "--executor",
    metavar="dask[:ADDRESS]",
    help="Have a Dask cluster do the runs: that of the scheduler at ADDRESS, or one of this machine's own.",
)
@shard_option
@click.option("--retry-failed", is_flag=True, help="Repeat runs that failed; those that succeeded stand.")
@click.option("--fresh", is_flag=True, help="Do every run again, whatever stands in DIR.")
@click.option("--report", metavar="FILE.html", help="Write the report here instead of into the results' folder.")
@click.option(
    "--invariants",
    type=click.Choice(["never", "samples", "steps"]),
    help="When to check the machine's state against its invariants, whatever the file says.",
)
@click.option(
    "--on",
    "where",
    type=click.Choice(["machine", "kernel"]),
    default="machine",
    show_default=True,
    help="The simulated machine, or the kernel that runs here (scripts only; needs root).",
)
@no_input_option
@click.option("--log", is_flag=True, help="Write the runs' logs to standard error too, as JSON lines.")
def command(
    files: tuple[str, ...],
    as_json: bool,
    out: str | None,
    plugins: tuple[str, ...],
    overrides: tuple[str, ...],
    only: tuple[str, ...],
    jobs: int | None,
    executor: str | None,
    shard: tuple[int, int] | None,
    retry_failed: bool,
    fresh: bool,
    report: str | None,
    invariants: str | None,
    where: str,
    no_input: bool,
    log: bool,
) -> int:
    """Carry out the experiments in FILES, one after the other.

    Prints a table of each experiment's runs, or with --json one JSON document. Results go to
    DIR/EXPERIMENT/RUN/, a report beside them. Runs whose results stand there, made by the same settings, plugins,
    captures and engine, are not done again, so that the same command goes on where one was broken off. With --on
    kernel, real processes carry the script out, and DIR is runs-on-kernel unless it is given. Exit status: 0 all
    well, 1 a run failed or an expectation was not met, 2 bad input.
    """
    if report and len(files) > 1:
        raise click.UsageError("--report takes the results of one FILE")
    settings = [*overrides, *([f"machine.invariants={invariants}"] if invariants else [])]
    if where == "kernel" and ((jobs or 1) > 1 or invariants or executor):
        raise click.UsageError("--jobs, --executor and --invariants are of the simulated machine only; leave them out")
    if retry_failed and fresh:
        raise click.UsageError("--fresh repeats failed runs too; leave --retry-failed out")
    how: dict[str, Any] = {"jobs": jobs or 1, "cluster": _cluster(executor, jobs), "again": _again(retry_failed, fresh)}
    out = out or ("runs" if where == "machine" else "runs-on-kernel")
    plans = read_plans(files, settings, plugins, only=only, shard=shard)
    commands = [_repeating(file, plugins, settings, only, where) for file in files]
    simulate = None
    if where == "kernel":
        from ksmlab_core.cli.on_kernel import prepared

        simulate = prepared((spec for plan in plans for spec in plan.points), no_input=no_input)
    results = _carry_out(plans, commands, as_json=as_json, out=Path(out), log=log, simulate=simulate, **how)
    if as_json:
        _print_document(plans, results)
    if len(plans) == 1:
        _report(plans[0], results[0], commands[0], Path(out), report, quiet=as_json)
    return 0 if all(result.ok for one in results for result in one) else 1


def _cluster(executor: str | None, jobs: int | None) -> Cluster | None:
    """The cluster that is asked for by `dask` or `dask:tcp://...`."""
    if executor is None:
        return None
    from ksmlab_core.lab.cluster import Cluster

    name, colon, address = executor.partition(":")
    if name != "dask" or (colon and not address):
        raise click.BadParameter(f"{executor!r}; dask, or dask:tcp://HOST:8786", param_hint="'--executor'")
    return Cluster(address, jobs)


def _again(retry_failed: bool, fresh: bool) -> Again:
    from ksmlab_core.lab.standing import Again

    return Again.ALL if fresh else Again.FAILED if retry_failed else Again.NONE


def _repeating(file: str, plugins: Sequence[str], settings: Sequence[str], only: Sequence[str], where: str) -> str:
    """The command line that gives the same results again."""
    chosen = [word for plugin in plugins for word in ("-p", plugin)]
    changed = [word for setting in settings for word in ("--set", setting)]
    narrowed = [word for name in only for word in ("--only", name)]
    real = ["--on", "kernel"] if where == "kernel" else []
    return shlex.join(["ksmlab", "run", file, *real, *chosen, *changed, *narrowed])


def _carry_out(
    plans: list[Plan],
    commands: list[str],
    *,
    as_json: bool,
    out: Path,
    log: bool,
    **options: Any,
) -> list[list[RunResult]]:
    """Do the runs, telling of each file as soon as it and those before it are done."""
    from ksmlab_core.cli.outcome import Teller
    from ksmlab_core.cli.progress import progress_bar
    from ksmlab_core.lab.runner import carry_out_all

    runs = sum(len(plan.points) for plan in plans)
    teller = Teller(plans, commands, as_json=as_json)
    with progress_bar(runs, wanted=not (as_json or log)) as bar:

        def heard(plan: Plan, result: RunResult) -> None:
            bar.run_done()
            if teller.hear(plan, result):
                bar.aside(teller.tell)

        def stood(results: Sequence[tuple[Plan, RunResult]]) -> None:
            bar.stood(len(results))
            bar.aside(lambda: teller.stood(results))

        calls: dict[str, Any] = {"on_result": heard, "on_standing": stood, "progress": bar.advanced}
        try:
            results = carry_out_all(plans, out=out, log=log, commands=commands, **calls, **options)
        except (KeyboardInterrupt, KsmlabError) as error:
            by_hand = isinstance(error, KeyboardInterrupt)
            bar.aside(lambda: teller.cut_short(by_hand=by_hand))
            raise
    teller.summary(out)
    return results


def _print_document(plans: list[Plan], results: list[list[RunResult]]) -> None:
    from ksmlab_core.lab.document import as_text, document

    click.echo(as_text([document(plan.experiment, one) for plan, one in zip(plans, results, strict=True)]))


def _report(plan: Plan, results: list[RunResult], again: str, out: Path, file: str | None, *, quiet: bool) -> None:
    """Write the report where one was asked for, or where a person looks on and there is something to plot."""
    from ksmlab_core.lab.collection import of_plan
    from ksmlab_core.lab.report import HOW_TO_GET_IT, available, write_page

    plottable = any(len(result.series.get("time.elapsed", ())) > 1 for result in results)
    if file is None and (quiet or not plottable):
        return
    if file is None and not available():
        click.echo(f"report   none: {HOW_TO_GET_IT}")
        return
    place = Path(file) if file else out / plan.experiment / "report.html"
    write_page(of_plan(plan, results, again), place)
    click.echo(f"report   {place}", file=sys.stderr if quiet else sys.stdout)
