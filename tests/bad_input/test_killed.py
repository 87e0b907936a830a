"""Commands that are killed without warning, and disks that fill up: the same command goes on where it stood."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SWEEP = """\
experiment: swept
kernel: seed
machine: {memory: 256KiB, swap: 1MiB}
plugins: [./mine.py]
ksm: {run: 1}
workload: {use: slow, processes: 2, pages: 40, accesses: 100}
measure: {every: 100us}
sweep:
  matrix: {policies.swapin: [kernel, remerge]}
  seeds: 6
"""
SLOW = '''\
"""Zipf, in no hurry, and telling where it is at work."""
import os
import time
from pathlib import Path
from ksmlab_core.policy import Workload, hookimpl
from ksmlab_plugins.workload.zipf import Zipf


class Slow(Zipf):
    name = "slow"

    def events(self):
        (self.path("at-work") / str(os.getpid())).touch()
        time.sleep(0.2)
        yield from super().events()


@hookimpl
def ksmlab_workloads():
    return [Slow]
'''
RUNS = 12


@pytest.fixture
def swept(write: Callable[[str, str], str], here: Path) -> str:
    """An experiment of twelve runs of a fifth of a second."""
    (here / "at-work").mkdir()
    write("mine.py", SLOW)
    return write("swept.yaml", SWEEP)


@pytest.fixture
def unbroken(swept: str, ksmlab: Any, here: Path) -> dict[str, bytes]:
    """What comes of the sweep when nobody disturbs it."""
    assert ksmlab("run", swept, "--out", "unbroken", "--json").status == 0
    return numbers(here / "unbroken")


def numbers(folder: Path) -> dict[str, bytes]:
    """Every file of every run but the manifests."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.glob("*/*/*"))
        if path.name != "manifest.json"
    }


def standing(here: Path) -> int:
    return len(list((here / "runs" / "swept").glob("[!.]*/manifest.json")))


def wait_for(what: Callable[[], bool], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


def alive(here: Path) -> set[int]:
    """The processes that have ever been at work and still are there; this one has been, without being disturbed."""
    found = {int(path.name) for path in (here / "at-work").iterdir()} - {os.getpid()}
    return {number for number in found if _runs(number)}


def _runs(number: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_killed_twice_and_gone_on(
    start: Any, ksmlab: Any, swept: str, here: Path, unbroken: dict[str, bytes], finished: Any, jobs: str
) -> None:
    """Everything at once, workers and all; the results are those of a sweep that nobody disturbed."""
    for share in (3, 7):
        running = start("run", swept, "-j", jobs, "--json")
        wait_for(lambda share=share: standing(here) >= share)
        os.killpg(running.child.pid, signal.SIGKILL)
        running.child.communicate()
    stood = standing(here)
    assert stood >= 7
    assert numbers(here / "runs").items() <= (unbroken | numbers(here / "runs")).items()
    outcome = start("run", swept, "-j", jobs, "--json").ended()
    assert outcome.status == 0
    assert f"{stood} of {RUNS} runs stood already" in outcome.err.splitlines() or stood == RUNS
    results = {name: content for name, content in numbers(here / "runs").items() if name.startswith("swept")}
    assert results == unbroken
    assert not list((here / "runs" / "swept").glob(".*")), "what the killed ones left is gone"
    finished.is_whole()


def test_workers_do_not_outlive_a_parent_that_was_killed(start: Any, swept: str, here: Path) -> None:
    running = start("run", swept, "-j", "2", "--json")
    wait_for(lambda: standing(here) >= 1)
    assert running.child.pid not in alive(here), "the work is done by workers"
    running.child.kill()
    wait_for(lambda: not alive(here), 30)
    running.child.communicate(timeout=30)


def test_a_worker_that_is_killed_costs_nothing_but_time(
    start: Any, swept: str, here: Path, unbroken: dict[str, bytes]
) -> None:
    running = start("run", swept, "-j", "2", "--json")
    wait_for(lambda: standing(here) >= 2)
    os.kill(min(alive(here)), signal.SIGKILL)
    outcome = running.ended()
    assert (outcome.status, outcome.err) == (0, "")
    assert numbers(here / "runs") == unbroken


def test_two_at_once_do_not_disturb_each_other(start: Any, swept: str, here: Path, unbroken: dict[str, bytes]) -> None:
    both = [start("run", swept, "--json", "-j", jobs) for jobs in ("1", "2")]
    outcomes = [running.ended() for running in both]
    assert [outcome.status for outcome in outcomes] == [0, 0]
    assert outcomes[0].out == outcomes[1].out
    assert numbers(here / "runs") == unbroken
    assert not list((here / "runs" / "swept").glob(".*"))


def test_an_interrupt_says_how_far_it_came(start: Any, swept: str, here: Path) -> None:
    running = start("run", swept, "-j", "2")
    wait_for(lambda: standing(here) >= 2)
    outcome = running.interrupted()
    said = [line for line in outcome.err.splitlines() if line]
    assert outcome.status == 130, outcome
    assert said[-1] == "interrupted; runs that had finished are kept"
    found = re.fullmatch(r"(\d+) of 12 runs stand; the same command does the others", said[-2])
    assert found, outcome
    assert int(found[1]) == standing(here)
    assert not alive(here)


FAILING = """\
experiment: swept
kernel: seed
machine: {memory: 256KiB, swap: 0}
workload: {use: zipf, processes: 1, pages: 20, accesses: 200}
sweep:
  matrix: {workload.pages: [20, 400, 30]}
"""
SAID = "swept.yaml: run pages400 failed: out of memory at "


def test_a_failed_run_is_told_again_and_not_repeated_unasked(ksmlab: Any, write: Any, here: Path) -> None:
    swept = write("swept.yaml", FAILING)
    ksmlab("run", swept).failed(SAID)
    manifest = here / "runs" / "swept" / "pages400" / "manifest.json"
    first = manifest.read_bytes()
    ksmlab("run", swept).failed(
        "3 of 3 runs stood already, 1 of them failed", SAID, "1 failed run was not repeated; --retry-failed does it"
    )
    assert manifest.read_bytes() == first
    ksmlab("run", swept, "--retry-failed").failed("2 of 3 runs stood already", SAID)
    assert manifest.read_bytes() != first
    ksmlab("run", swept, "--fresh").failed(SAID)
    ksmlab("run", swept, "--fresh", "--retry-failed").refused(
        "Usage: ", "Try ", "", "Error: --fresh repeats failed runs too"
    )


def test_what_was_mended_is_done_again(ksmlab: Any, write: Any, here: Path) -> None:
    swept = write("swept.yaml", FAILING)
    ksmlab("run", swept).failed(SAID)
    write("swept.yaml", FAILING.replace("swap: 0", "swap: 4MiB"))
    outcome = ksmlab("run", swept)
    assert (outcome.status, outcome.err) == (0, "")


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_full_disk_that_is_made_larger(swept: str, here: Path, unbroken: dict[str, bytes], jobs: str) -> None:
    """One line and status 1 while it is full; the same command goes on when there is room."""
    if not shutil.which("unshare"):
        pytest.skip("there is no unshare")
    (here / "disk").mkdir()
    run = f"{sys.executable} -m ksmlab_core.cli run {swept} --out disk --json -j {jobs} >/dev/null"
    script = (
        f"mount -t tmpfs -o size=128k none disk || exit 99; {run}; echo first $? >&2; ls -A disk/swept >&2; "
        f"mount -o remount,size=8m disk && {run}; echo then $? >&2; cp -r disk/swept kept"
    )
    child = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        cwd=here,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if child.returncode == 99 or "unshare failed" in child.stderr:
        pytest.skip("no file system of one's own can be mounted here")
    said = child.stderr.splitlines()
    first = said.index("first 1")
    assert re.fullmatch(r"disk/swept/\S+: results not written: No space left on device", "\n".join(said[:first]))
    left = said[first + 1 : -2]
    assert 0 < len(left) < RUNS
    assert not [name for name in left if name.startswith(".")]
    assert said[-2:] == [f"{len(left)} of {RUNS} runs stood already", "then 0"]
    shutil.copytree(here / "kept", here / "all" / "swept")
    assert numbers(here / "all") == unbroken


def test_a_plan_says_how_it_stands(start: Any, ksmlab: Any, write: Any, here: Path) -> None:
    swept = write("swept.yaml", FAILING)
    assert ksmlab("plan", swept).out.splitlines()[-1] == (
        "3 runs: 3 pending; how long they take shows once one is done"
    )
    ksmlab("run", swept)
    lines = ksmlab("plan", swept).out.splitlines()
    assert [line.split()[2] for line in lines[1:4]] == ["done", "failed", "done"]
    assert lines[-1] == "3 runs: 2 done, 1 failed"
    write("swept.yaml", FAILING.replace("30]", "30, 35]"))
    assert re.fullmatch(
        r"4 runs: 2 done, 1 failed, 1 pending; about \d+\.\d s at -j 2",
        ksmlab("plan", swept, "-j", "2").out.splitlines()[-1],
    )
    document = json.loads(ksmlab("plan", swept, "--json").out)
    assert [document[state] for state in ("done", "failed", "pending")] == [2, 1, 1]
    assert document["seconds"] > 0
    assert [run["state"] for run in document["runs"]] == ["done", "failed", "done", "pending"]
    assert all(run["seconds"] >= 0 for run in document["runs"])
    elsewhere = json.loads(ksmlab("plan", swept, "--json", "--out", "elsewhere").out)
    assert (elsewhere["pending"], elsewhere["seconds"]) == (4, None)


def test_shards_by_command(ksmlab: Any, write: Any, here: Path) -> None:
    swept = write("swept.yaml", FAILING.replace("400", "25"))
    names = []
    for shard in ("1/2", "2/2"):
        planned = json.loads(ksmlab("plan", swept, "--json", "--shard", shard).out)["runs"]
        outcome = ksmlab("run", swept, "--json", "--shard", shard)
        assert outcome.status == 0
        assert [run["id"] for run in json.loads(outcome.out)["runs"]] == [run["id"] for run in planned]
        names += [run["id"] for run in planned]
    assert sorted(names) == ["pages20", "pages25", "pages30"]
    outcome = ksmlab("run", swept)
    assert (outcome.status, outcome.err) == (0, "3 of 3 runs stood already\n")
    empty = next(
        n for n in range(1, 6) if not json.loads(ksmlab("plan", swept, "--json", "--shard", f"{n}/5").out)["runs"]
    )
    outcome = ksmlab("run", swept, "--shard", f"{empty}/5")
    assert (outcome.status, outcome.err) == (0, "")
    assert "swept.yaml: 0 runs" in outcome.out
    assert ksmlab("plan", swept, "--shard", f"{empty}/5").out.splitlines()[-1] == "no runs"


@pytest.mark.parametrize("shard", ["0/2", "3/2", "2", "a/b", "1/0", "-1/2"])
def test_a_shard_that_is_none(ksmlab: Any, write: Any, shard: str) -> None:
    outcome = ksmlab("run", write("swept.yaml", FAILING), f"--shard={shard}")
    assert (outcome.status, outcome.out) == (2, "")
    assert f"{shard!r} is not a shard; such as 2/5, the second of five" in outcome.err
