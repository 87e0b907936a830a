"""Live tests take the host one at a time, and must leave it as they found it; elsewhere they say why they are skipped."""

from __future__ import annotations

import fcntl
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from ksmlab_core import host as on_kernel
from ksmlab_core.errors import HostUnfit
from ksmlab_core.experiment import read_experiment
from ksmlab_core.experiment.plan import RunSpec
from ksmlab_core.host import cgroup, guard, journal, swap
from ksmlab_core.host.knobs import Knobs

ONE_AT_A_TIME = Path("/run/lock/ksmlab-tests")
COUNTING = {"pages_scanned", "pages_skipped", "full_scans"}
"""Files of KSM that count for ever, or from the last time all was unmerged: nobody can put them back."""
ANSWERS = Path(__file__).parents[2] / "experiments" / "measured" / "v6.18"


def why_not() -> str | None:
    """What this machine lacks for live tests."""
    lacks = guard.missing() or ([] if cgroup.find() else ["a memory cgroup hierarchy"])
    return f"needs {', '.join(lacks)}" if lacks else None


@cache
def unfit() -> str | None:
    """What only a run finds out that this machine lacks: no file system for swap, a cgroup that cannot be made."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            on_kernel.run(scripted(Path(folder), "spawn: a\nsample: here"))
        except HostUnfit as reason:
            return str(reason)
    return None


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """A lock, waited for."""
    with file.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def state() -> dict[str, Any]:
    """Everything that a run may change, read while no run has it."""
    with locked(guard.LOCK):
        texts = {path.name: Knobs().read(path.name) for path in sorted(Knobs().folder.iterdir())}
        hierarchy = cgroup.find()
        assert hierarchy is not None
        control = hierarchy.top / "cgroup.subtree_control"
        return {
            "knobs": {name: text for name, text in texts.items() if name not in COUNTING},
            "swaps": Path("/proc/swaps").read_text(),
            "cgroups": sorted(path.name for path in hierarchy.top.iterdir() if path.is_dir()),
            "control": control.read_text() if control.exists() else None,
            "processes": list(ours()),
            "files": [str(path) for path in (journal.FOLDER, *swap.FOLDERS) if path.exists()],
            "zram": sorted(path.name for path in Path("/sys/block").glob("zram*")),
        }


def ours() -> Iterator[tuple[int, str]]:
    """(pid, module) of every process that belongs to a run on the kernel."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if module := re.search(r"ksmlab_core\.host\.\w+", command):
                yield int(folder.name), module[0].rpartition(".")[2]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The host, for a live test; it must be as before when the test is over."""
    monkeypatch.setattr(guard, "PATIENCE_S", 600.0)
    if reason := why_not():
        pytest.skip(reason)
    with locked(ONE_AT_A_TIME):
        with locked(guard.LOCK):
            guard.repair()  # after a suite that was killed
            if user := guard.in_use():
                pytest.skip(f"KSM is in use: {user}")
        before = state()
        if reason := unfit():
            pytest.skip(reason)
        yield
        assert state() == before


def scripted(tmp_path: Path, script: str, **settings: Any) -> RunSpec:
    """The run of a script, one step a line."""
    file = tmp_path / "scripted.yaml"
    machine = {"memory": "256MiB", "swap": "64MiB", **settings.pop("machine", {})}
    head = {"experiment": "scripted", "kernel": "seed", "machine": machine, **settings}
    lines = "".join(f"\n    - {line.strip()}" for line in script.splitlines() if line.strip())
    file.write_text(f"{yaml.safe_dump(head, sort_keys=False)}workload:\n  script:{lines}\n")
    [spec] = read_experiment(file).points
    return spec


def recorded(name: str) -> RunSpec:
    """A script that a 6.18 kernel has answered, with what it answered as expectations; skipped on other kernels."""
    release = platform.release()
    if not release.startswith("6.18."):
        pytest.skip(f"the answers are of Linux 6.18, this is {release}")
    [spec] = read_experiment(ANSWERS / f"{name}.yaml").points
    return spec


class Running:
    """`ksmlab run --on kernel` as a process, in the middle of a step that sleeps."""

    SCRIPT = """\
experiment: half-way
kernel: seed
machine: {memory: 64MiB, swap: 64MiB}
ksm: {run: 0}
workload:
  script:
    - spawn: [a, b]
    - mmap: {process: [a, b], area: heap, pages: 500, advise: mergeable}
    - write: {process: [a, b], area: heap, content: {cycle: 50}}
    - scan: {passes: 2}
    - fork: {process: a, child: c}
    - reclaim: all
    - sample: merged
    - sleep: 60s
    - touch: {process: c, area: heap}
"""

    def __init__(self, folder: Path) -> None:
        (folder / "half-way.yaml").write_text(self.SCRIPT)
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ksmlab_core.cli", "run", "half-way.yaml", "--on", "kernel", "--no-input", "--log"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=guard.environment(),
        )
        for line in self.process.stderr:  # type: ignore[union-attr]
            if '"at":"merged"' in line:
                self.made = made()
                return
        raise AssertionError(f"it ended with {self.process.wait()}")

    def pids(self, module: str) -> list[int]:
        """Its processes of a kind: watcher or worker."""
        return sorted(pid for pid, name in ours() if name == module)

    def left(self) -> set[str]:
        """What it made on the host and is still there."""
        return self.made & made()

    def end(self) -> tuple[int, str]:
        """Its exit status, and what it said on standard error."""
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


@pytest.fixture
def half_way(host: None, tmp_path: Path) -> Iterator[Running]:
    """A run in the middle of its script, with memory merged and swapped."""
    running = Running(tmp_path)
    assert running.made
    assert any("ksmlab" in name for name in swap.active())
    assert Knobs().read("smart_scan") == "0"
    yield running
    running.process.kill()
    running.process.communicate()


def made() -> set[str]:
    """The cgroups that runs have on the host now, each of a name of its own."""
    hierarchy = cgroup.find()
    assert hierarchy is not None
    return {str(path) for path in hierarchy.top.glob("ksmlab-*")}


def wait_for(what: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Has a process ended?"""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
