"""`ksmlab capture`: the memory contents of running processes, as keyed page digests."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ksmlab_core.cli.text import aligned
from ksmlab_core.errors import BadInput

if TYPE_CHECKING:
    from ksmlab_core.capture.outcome import CaptureReport


@click.command("capture", short_help="Capture the memory of running processes as page digests.")
@click.option("--pid", "pids", multiple=True, required=True, metavar="PID...", help="Processes to capture.")
@click.argument("more", nargs=-1, metavar="")
@click.option("--every", default="2s", show_default=True, metavar="TIME", help="From one snapshot to the next.")
@click.option("--count", type=click.IntRange(min=1), default=10, show_default=True, help="Snapshots to take.")
@click.option("-o", "--out", "file", required=True, metavar="FILE", help="The capture file to write.")
def command(pids: tuple[str, ...], more: tuple[str, ...], every: str, count: int, file: str) -> None:
    """Take snapshots of the anonymous memory of processes into FILE.

    Page contents are kept as digests under a key that is thrown away, so they cannot be recovered; only which pages
    are equal remains. Your own processes need no root. What is refused, vanishes or exits meanwhile is reported.
    """
    from ksmlab_core.capture.recorder import capture

    numbers = [_pid(word) for word in (*pids, *more)]
    report = capture(numbers, _seconds(every), count, Path(file), lambda line: click.echo(line, err=True))
    sys.stderr.flush()
    _print(report)


def _pid(word: str) -> int:
    if not word.isascii() or not word.isdigit():
        raise BadInput(f"--pid: {word!r} is no process id")
    return int(word)


def _seconds(text: str) -> float:
    from ksmlab_core.workload.units import duration_ns

    try:
        return duration_ns(text) / 1e9
    except ValueError as error:
        raise BadInput(f"--every: {text!r}: {error}") from error


def _print(report: CaptureReport) -> None:
    rows = [["process", "pid", "pages", "state"]]
    rows += [
        [process.name, str(process.identity.pid), f"{process.pages:,}", process.state.name.lower()]
        for process in report.processes
    ]
    for line in aligned(rows):
        click.echo(line)
    click.echo(
        f"{report.out}: {report.snapshots} {'snapshot' if report.snapshots == 1 else 'snapshots'}, "
        f"{report.distinct:,} distinct contents, {report.size:,} bytes; {report.read:,} pages read "
        f"in {report.seconds:.1f} s"
    )
