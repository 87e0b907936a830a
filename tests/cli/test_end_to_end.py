"""The whole way through with the real simulation, on machines of a few pages."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Ksmlab = Callable[..., Any]

SMALL = """\
experiment: small
seed: 3
kernel: seed
machine: {memory: 512KiB, swap: 4MiB}
ksm: {run: 1, pages_to_scan: 200, sleep_millisecs: 1}
workload: {use: zipf, processes: 3, pages: 100, accesses: 2500}
measure: {every: 1ms}
sweep:
  matrix: {policies.swapin: [kernel, remerge]}
  seeds: 2
"""

SCRIPT = """\
experiment: two-twins
kernel: seed
machine: {memory: 1MiB, swap: 1MiB}
workload:
  script:
    - spawn: [a, b]
    - mmap: {process: [a, b], area: heap, pages: 3, advise: mergeable}
    - write: {process: [a, b], area: heap, content: same}
    - scan: {passes: 3}
    - sample: {label: merged, pages: true}
    - expect: {ksm.pages_sharing: 5}
    - expect: {ksm.pages_shared: 2}
"""


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(SMALL)
    Path("script.yaml").write_text(SCRIPT)


def numbers(folder: str) -> dict[str, bytes]:
    """Everything in a folder of results but the manifests, which hold times of day."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }


def test_one_worker_and_two_give_the_same_bytes(ksmlab: Ksmlab) -> None:
    one = ksmlab("run", "small.yaml", "--out", "one")
    two = ksmlab("run", "small.yaml", "--out", "two", "-j", "2")
    assert (one.status, two.status, two.err) == (0, 0, "")
    assert numbers("one") == numbers("two")
    assert len(numbers("one")) == 4 * 3 + 1


def test_the_same_command_gives_the_same_document(ksmlab: Ksmlab) -> None:
    first, second = (ksmlab("run", "small.yaml", "--json") for _ in range(2))
    assert first.out == second.out
    runs = json.loads(first.out)["runs"]
    assert [run["status"] for run in runs] == ["succeeded"] * 4
    assert all(run["metrics"]["vm.pswpout"] > 0 for run in runs), "memory is short"
    assert all(run["metrics"]["ksm.merges"] > 0 for run in runs), "ksmd merges"


def test_a_script_is_judged_line_by_line(ksmlab: Ksmlab) -> None:
    told = ksmlab("run", "script.yaml", "--invariants", "steps", "--json")
    assert (told.status, told.err) == (1, "script.yaml:12: ksm.pages_shared: wanted 2, got 1\n")
    (run,) = json.loads(told.out)["runs"]
    assert run["status"] == "succeeded"
    assert [(one["metric"], one["want"], one["got"], one["ok"]) for one in run["expect"]] == [
        ("ksm.pages_sharing", 5, 5, True),
        ("ksm.pages_shared", 2, 1, False),
    ]
    (sample,) = run["samples"]
    assert sample["at"] == "merged"
    assert "K" in sample["pages"]


DEADLY = '''
"""Takes its process with it at the first swap-in."""
import os
from ksmlab_core.policy import Swapin, SwapinPolicy, hookimpl


class Deadly(SwapinPolicy):
    name = "deadly"

    def decide(self, fault):
        os._exit(7)


@hookimpl
def ksmlab_swapin_policies():
    return [Deadly]
'''

RAISING = DEADLY.replace("deadly", "raising").replace("os._exit(7)", "return self.nothing")


def test_a_policy_that_ends_its_process_fails_its_runs_only(ksmlab: Ksmlab) -> None:
    Path("deadly.py").write_text(DEADLY)
    Path("small.yaml").write_text(SMALL.replace("remerge]", "deadly]").replace("seeds: 2", "seeds: 1"))
    told = ksmlab("run", "small.yaml", "-p", "deadly.py", "-j", "2", "--json")
    assert told.status == 1
    assert "run deadly-s3 failed: the worker process exited with status 7 during this run" in told.err
    assert [run["status"] for run in json.loads(told.out)["runs"]] == ["succeeded", "failed"]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_policy_that_raises_shows_its_own_traceback(ksmlab: Ksmlab, jobs: str) -> None:
    Path("raising.py").write_text(RAISING)
    Path("small.yaml").write_text(SMALL.replace("remerge]", "raising]").replace("seeds: 2", "seeds: 1"))
    told = ksmlab("run", "small.yaml", "-p", "raising.py", "-j", jobs)
    assert told.status == 1
    assert "policy 'raising' (swapin)" in told.err
    assert "return self.nothing" in told.err
    assert "ksmlab_core" not in told.err, "the plugin's own frames, not ours"


def test_ctrl_c_ends_workers_and_keeps_what_is_done() -> None:
    """A real interrupt, to the parent alone, in a run that would last for minutes."""
    import signal
    import time

    Path("long.yaml").write_text(SMALL.replace("accesses: 2500", "accesses: 400000000").replace("small", "long"))
    command = [sys.executable, "-m", "ksmlab_core.cli", "run", "long.yaml", "-j", "2"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while not list(Path().glob("runs/long/.*.aside/log.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.1)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=60)
    assert (run.returncode, out) == (130, "")
    assert err.strip() == "interrupted; runs that had finished are kept"
    assert not list(Path("runs/long").iterdir()), "no hidden folder is left"
