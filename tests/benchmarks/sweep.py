"""A whole sweep, carried out in every way: ``python -m tests.benchmarks.sweep`` from the top folder.

In one process; by two workers; by two workers that are killed with everything else (-9) when a third and when two
thirds of the runs stand; by a Dask cluster of two workers, one of which is killed half-way. Every file of every run but
its manifest must be the same, byte for byte. On a quiet machine this takes some four times as long as the sweep.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

FILE = "experiments/sweeps/pressure.yaml"
KSMLAB = [sys.executable, "-m", "ksmlab_core.cli"]
SPEED_UP = 1.8
"""Of two workers against one process."""


@dataclass
class Sweep:
    """A sweep to be carried out, and where its results go."""

    words: list[str]
    runs: int
    root: Path

    def start(self, name: str, *more: str) -> subprocess.Popen[str]:
        """Begin, or go on, in a process group of its own."""
        command = [*KSMLAB, "run", *self.words, "--json", "--out", str(self.root / name), *more]
        return subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def ended(self, name: str, *more: str) -> str:
        """Carry out to the end; what was said."""
        process = self.start(name, *more)
        _, said = process.communicate()
        if process.returncode:
            raise RuntimeError(f"{name}: status {process.returncode}: {said}")
        return said

    def standing(self, name: str) -> int:
        """How many runs stand in a folder of results."""
        return len(list((self.root / name).glob("*/[!.]*/manifest.json")))

    def until(self, name: str, share: float, process: subprocess.Popen[str]) -> None:
        """Wait until so many of the runs stand."""
        while self.standing(name) < share * self.runs:
            if process.poll() is not None:
                raise RuntimeError(f"{name} was over before it could be killed")
            time.sleep(0.05)

    def same(self, one: str, other: str) -> str:
        """How many runs have the same bytes in every file but the manifest."""
        mine, theirs = (_contents(self.root / name) for name in (one, other))
        runs = {path.rsplit("/", 1)[0] for path in mine | theirs}
        differing = {
            path.rsplit("/", 1)[0] for path in mine | theirs if mine.get(path, b"") != theirs.get(path, b"none")
        }
        return f"{len(runs) - len(differing)} of {len(runs)} runs the same"


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.glob("*/*/*")
        if path.name != "manifest.json" and path.is_file()
    }


def unbroken(sweep: Sweep) -> str:
    """Two workers."""
    sweep.ended("two", "-j", "2")
    return sweep.same("one", "two")


def killed(sweep: Sweep) -> str:
    """Two workers, killed twice."""
    stood = []
    for share in (1 / 3, 2 / 3):
        process = sweep.start("killed", "-j", "2")
        sweep.until("killed", share, process)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        stood.append(sweep.standing("killed"))
    said = sweep.ended("killed", "-j", "2").splitlines()[0]
    return f"killed at {stood[0]} and {stood[1]}, then '{said}'; {sweep.same('one', 'killed')}"


def on_cluster(sweep: Sweep) -> str:
    """A cluster of two workers, one of which is killed."""
    import psutil

    with _cluster() as (address, workers):
        process = sweep.start("cluster", "--executor", f"dask:{address}")
        sweep.until("cluster", 1 / 2, process)
        worker = next(one for one in psutil.Process(workers).children() if "spawn_main" in " ".join(one.cmdline()))
        worker.kill()
        _, said = process.communicate()
    if process.returncode:
        raise RuntimeError(f"cluster: status {process.returncode}: {said}")
    return f"a worker killed half-way; {sweep.same('one', 'cluster')}"


@contextmanager
def _cluster() -> Iterator[tuple[str, int]]:
    """A scheduler, and a `dask worker` that keeps two worker processes alive: address, and the latter's number."""
    from distributed import Client

    dask, address = [sys.executable, "-m", "dask"], "tcp://localhost:8796"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with (
        subprocess.Popen([*dask, "scheduler", "--port", "8796", "--no-dashboard"], **quiet) as scheduler,
        subprocess.Popen(
            [*dask, "worker", address, "--nworkers", "2", "--nthreads", "1", "--no-dashboard"], **quiet
        ) as workers,
    ):
        try:
            with Client(address, timeout=120, set_as_default=False) as client:
                client.wait_for_workers(2, timeout=120)
            yield address, workers.pid
        finally:
            workers.terminate()
            workers.wait()
            scheduler.terminate()


WAYS: dict[str, Callable[[Sweep], str]] = {
    "-j 2": unbroken,
    "-j 2, killed twice": killed,
    "dask, 2 workers": on_cluster,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Carry the sweep out in every way, print the table, fail if results differ or two workers are too slow."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.sweep", description=__doc__)
    parser.add_argument("--file", default=FILE, help=f"the sweep (default {FILE})")
    parser.add_argument("--shard", metavar="N/M", help="only these of its runs: to see that it works")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="leave the results there")
    options = parser.parse_args(argv)
    words = [options.file, *(["--shard", options.shard] if options.shard else [])]
    root = options.keep or Path(tempfile.mkdtemp(prefix="ksmlab-sweep-"))
    sweep = Sweep(words, 0, root)
    good = True
    try:
        seconds = _timed(lambda: sweep.ended("one"))
        sweep.runs = sweep.standing("one")
        print(f"{sweep.runs} runs of {options.file}, load {os.getloadavg()[0]:.1f}\n{'-j 1':20} {seconds:7.1f} s")
        for name, way in WAYS.items():
            said: list[str] = []
            took = _timed(lambda way=way, said=said: said.append(way(sweep)))
            print(f"{name:20} {took:7.1f} s  {seconds / took:.2f} times as fast as -j 1  {said[0]}", flush=True)
            good &= said[0].endswith(f"{sweep.runs} of {sweep.runs} runs the same")
            if way is unbroken:
                good &= seconds / took >= SPEED_UP
    finally:
        if options.keep is None:
            shutil.rmtree(root)
    return 0 if good else 1


def _timed(what: Callable[[], object]) -> float:
    start = time.perf_counter()
    what()
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
