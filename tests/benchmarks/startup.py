"""What a run costs before its first access."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping

from .measure import Figure, Stopwatch

_COMPILE = "from ksmlab_core.mm.machine import precompile; precompile()"
_HELP = "import sys; sys.argv = ['ksmlab', '--help']; from ksmlab_core.cli import main; main()"


def _wall(code: str, environment: Mapping[str, str] | None = None) -> float:
    """Seconds until a Python that does this has ended."""
    start = time.perf_counter()
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.decode())
    return time.perf_counter() - start


def _start_of_a_run() -> float:
    """Milliseconds to make a machine of 25,000 frames, its policies and its engine."""
    from .accesses import _engine

    watch = Stopwatch()
    with watch.running():
        _engine("kernel")
    return watch.seconds * 1e3


def _inverse(seconds: list[float]) -> list[float]:
    return [1 / value for value in seconds]


def startup(rounds: int, cold: bool) -> list[Figure]:
    """Beside the bare interpreter: the command's help, and a process with the compiled machine ready."""
    bare = [_wall("pass") for _ in range(rounds)]
    text = [_wall(_HELP) for _ in range(rounds)]
    _wall(_COMPILE)
    ready = [_wall(_COMPILE) for _ in range(rounds)]
    _start_of_a_run()
    figures = [
        Figure("ksmlab --help", "s", text, f"bare Python: {min(bare):.3f} s"),
        Figure("process with the machine loaded from disk", "s", ready, f"bare Python: {min(bare):.3f} s"),
        Figure("machine, policies and engine of one run", "ms", [_start_of_a_run() for _ in range(rounds)]),
    ]
    if cold:
        with tempfile.TemporaryDirectory() as folder:
            figures.append(
                Figure(
                    "compiling the machine, once per version",
                    "s",
                    [_wall(_COMPILE, {**os.environ, "KSMLAB_CACHE": folder})],
                )
            )
    return figures
