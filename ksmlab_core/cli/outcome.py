"""Telling people what came of their runs: tables, failures, expectations, a closing line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ksmlab_core.cli.text import counted
from ksmlab_core.lab.collection import of_plan
from ksmlab_core.lab.exercised import in_one_line
from ksmlab_core.lab.expectations import told

if TYPE_CHECKING:
    from ksmlab_core.experiment import Plan
    from ksmlab_core.simulation import RunResult


class Teller:
    """Hears of runs in any order and tells of files in theirs.

    Args:
        plans: what is being run.
        commands: per plan the command line that runs it again.
        as_json: standard output belongs to the document; only what went wrong is told, on standard error.
    """

    _stood = 0
    _not_repeated = 0

    def __init__(self, plans: list[Plan], commands: list[str], *, as_json: bool) -> None:
        self._plans, self._commands, self._quiet = plans, commands, as_json
        self._heard: dict[int, dict[str, RunResult]] = {nth: {} for nth in range(len(plans))}
        self._next = 0

    def stood(self, results: Sequence[tuple[Plan, RunResult]]) -> None:
        """Take the results that need not be made, and say how many they are."""
        for plan, result in results:
            self.hear(plan, result)
        self._stood = len(results)
        self._not_repeated = sum(result.status != "succeeded" for _, result in results)
        if self._stood:
            runs = sum(len(plan.points) for plan in self._plans)
            failed = f", {self._not_repeated:,} of them failed" if self._not_repeated else ""
            click.echo(f"{self._stood:,} of {counted(runs, 'run')} stood already{failed}", err=True)
        self.tell()

    def hear(self, plan: Plan, result: RunResult) -> bool:
        """Take one run's result; is there something to tell now?"""
        nth = next(nth for nth, one in enumerate(self._plans) if one is plan)
        self._heard[nth][result.id] = result
        return self._next < len(self._plans) and self._complete(self._next)

    def tell(self) -> None:
        """Tell of every file that is complete now, and not told of yet."""
        while self._next < len(self._plans) and self._complete(self._next):
            self._tell(self._next)
            self._next += 1

    def cut_short(self, *, by_hand: bool) -> None:
        """The runs were broken off: tell what went wrong in those that were done, and how far it came if asked to."""
        for nth in range(self._next, len(self._plans)):
            for line in wrong(self._plans[nth], self._in_order(nth)):
                click.echo(line, err=True)
        done = sum(len(heard) for heard in self._heard.values())
        runs = sum(len(plan.points) for plan in self._plans)
        if by_hand and done > self._stood:
            click.echo(f"{done:,} of {counted(runs, 'run')} stand; the same command does the others", err=True)

    def _in_order(self, nth: int) -> list[RunResult]:
        heard = self._heard[nth]
        return [heard[spec.id] for spec in self._plans[nth].points if spec.id in heard]

    def _complete(self, nth: int) -> bool:
        return len(self._heard[nth]) == len(self._plans[nth].points)

    def _tell(self, nth: int) -> None:
        """One file: its table, unless it is one of many and has one run only; what went wrong; a line."""
        plan = self._plans[nth]
        results = self._in_order(nth)
        if not self._quiet and results:
            self._tell_figures(nth, plan, results)
        sys.stdout.flush()
        for line in wrong(plan, results):
            click.echo(line, err=True)
        if not self._quiet:
            click.echo(f"{plan.file}: {_tally(results)}")

    def _tell_figures(self, nth: int, plan: Plan, results: list[RunResult]) -> None:
        if len(self._plans) > 1 and len(results) == 1:
            return
        from ksmlab_core.lab.table import print_table

        collection = of_plan(plan, results, self._commands[nth])
        if len(self._plans) == 1 and plan.about:
            click.echo(f"{plan.experiment}: {plan.about}")
        print_table(collection, sys.stdout)
        if len(results) > 1 and (doubt := in_one_line(collection)):
            click.echo(doubt)

    def summary(self, out: Path) -> None:
        """The closing lines: where results are, and over several files how many went well."""
        if self._not_repeated:
            which = "1 failed run was" if self._not_repeated == 1 else f"{self._not_repeated:,} failed runs were"
            click.echo(f"{which} not repeated; --retry-failed does it", err=True)
        if self._quiet:
            return
        if len(self._plans) == 1:
            click.echo(f"results  {out / self._plans[0].experiment}")
            return
        everything = [result for heard in self._heard.values() for result in heard.values()]
        click.echo(f"{len(self._plans)} files: {_tally(everything)}; results in {out}")


def wrong(plan: Plan, results: list[RunResult]) -> list[str]:
    """Every failed run and every expectation that was not met, a line each; a plugin's traceback once."""
    lines = []
    traces: set[str] = set()
    for result in results:
        run = f" (run {result.id})" if len(plan.points) > 1 else ""
        if result.error is not None:
            lines.append(f"{plan.file}: run {result.id} failed: {result.error['message']}")
            trace = str(result.error.get("trace") or "").rstrip()
            if trace and trace not in traces:
                lines.append(trace)
            traces.add(trace)
        lines += [f"{told(str(plan.file), one)}{run}" for one in result.expect if not one["ok"]]
    return lines


def _tally(results: list[RunResult]) -> str:
    """`3 runs, 12 expectations met`, or how many were not."""
    failed = sum(result.status != "succeeded" for result in results)
    checked = [one["ok"] for result in results for one in result.expect]
    runs = f"{failed} of {counted(len(results), 'run')} failed" if failed else counted(len(results), "run")
    if not checked:
        return runs
    unmet = checked.count(False)
    return f"{runs}, " + (
        f"{unmet:,} of {counted(len(checked), 'expectation')} not met"
        if unmet
        else f"{counted(len(checked), 'expectation')} met"
    )
