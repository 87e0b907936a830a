"""A progress bar on standard error, where a person looks on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from ksmlab_core.experiment import Plan, RunSpec


class Bar:
    """Nothing is drawn; what is to be said is said."""

    def stood(self, runs: int) -> None:
        """So many runs need not be done."""

    def advanced(self, plan: Plan, spec: RunSpec, done: int, total: int | None) -> None:
        """A run in this process has done `done` of `total` accesses or steps; None where nobody knows."""

    def run_done(self) -> None:
        """A run is over."""

    def aside(self, say: Callable[[], None]) -> None:
        """Have `say` print."""
        say()


class _Drawn(Bar):
    """One bar over all runs; the one that is under way in this process counts by the part of it that is done."""

    def __init__(self, progress: Progress, runs: int) -> None:
        self._progress = progress
        self._task = progress.add_task("runs", total=runs, done=0, rate="")
        self._done = 0

    def stood(self, runs: int) -> None:
        self._done = runs
        # Not an update: what stood says nothing of how fast the others go.
        self._progress.reset(self._task, completed=runs, done=runs, rate="")

    def advanced(self, plan: Plan, spec: RunSpec, done: int, total: int | None) -> None:
        part = min(done / total, 1) if total else 0
        self._progress.update(self._task, completed=self._done + part)

    def run_done(self) -> None:
        self._done += 1
        speed = self._progress.tasks[0].speed
        rate = f"{speed:.2g} runs/s" if speed else ""
        self._progress.update(self._task, completed=self._done, done=self._done, rate=rate)

    def aside(self, say: Callable[[], None]) -> None:
        # The bar is taken away while something is printed: both may be on one terminal.
        self._progress.stop()
        say()
        sys.stdout.flush()
        if not self._progress.finished:
            self._progress.start()


def _announce_compilation(console: Console) -> None:
    """Say why the first start on a machine takes so long; the compiled machine is kept for later ones."""
    from ksmlab_core.mm._jit import cache_folder

    if not cache_folder().exists() and not os.environ.get("NUMBA_DISABLE_JIT"):
        console.print("compiling the machine, which takes a minute; later starts find it compiled", style="dim")


@contextmanager
def progress_bar(runs: int, *, wanted: bool) -> Iterator[Bar]:
    """A bar over `runs` runs if it is wanted and standard error is a terminal; it leaves no trace."""
    if not (wanted and sys.stderr.isatty()):
        yield Bar()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.fields[done]}/{task.total} runs"),
        BarColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    _announce_compilation(console)
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as progress:
        yield _Drawn(progress, runs)
