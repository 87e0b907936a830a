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

    def advanced(self, plan: Plan, spec: RunSpec, done: int, total: int | None) -> None:
        """A run in this process has done `done` of `total` accesses or steps; None where nobody knows."""

    def run_done(self, say: Callable[[], None]) -> None:
        """A run is over; `say` may print."""
        say()


class _Drawn(Bar):
    """Two lines: all runs, and the one that is under way here."""

    def __init__(self, progress: Progress, runs: int) -> None:
        self._progress = progress
        self._runs = progress.add_task("runs", total=runs)
        self._run = progress.add_task("", total=0, visible=False)

    def advanced(self, plan: Plan, spec: RunSpec, done: int, total: int | None) -> None:
        name = f"{spec.experiment} {spec.id}"
        self._progress.update(self._run, description=name, completed=done, total=total, visible=True)

    def run_done(self, say: Callable[[], None]) -> None:
        self._progress.advance(self._runs)
        self._progress.update(self._run, visible=False)
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
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    _announce_compilation(console)
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as progress:
        yield _Drawn(progress, runs)
