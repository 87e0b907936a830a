"""However a run on the kernel ends, the host is as it was: the `host` fixture compares before and after."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ksmlab_core import host as on_kernel
from ksmlab_core.cli import main
from ksmlab_core.errors import HostInUse
from ksmlab_core.host import guard
from ksmlab_core.host.journal import Journal
from tests.host.conftest import Running, is_gone, ours, scripted, wait_for

SMALL = "spawn: a\nmmap: {process: a, area: heap, pages: 10, advise: mergeable}\nscan: {passes: 1}"
MERGEABLE = """
import mmap, sys
area = mmap.mmap(-1, 10 * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
area.madvise(mmap.MADV_MERGEABLE)
print("ready", flush=True)
sys.stdin.read()
"""


def test_the_run_is_killed(half_way: Running) -> None:
    half_way.process.kill()
    assert half_way.end()[0] == -signal.SIGKILL


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_the_run_is_asked_to_end(half_way: Running, number: signal.Signals, status: int) -> None:
    half_way.process.send_signal(number)
    got, _ = half_way.end()
    assert got == status
    assert not half_way.left(), "the command waits for the host to be put back"
    assert not list((half_way.folder / "runs-on-kernel").rglob("counters.json"))


def test_a_worker_is_killed(half_way: Running) -> None:
    """The run fails when it next needs the worker, and says which one it was."""
    first, *_, last = half_way.pids("worker")
    os.kill(last, signal.SIGKILL)
    os.kill(first, signal.SIGSTOP)  # and one that cannot go by itself
    half_way.process.send_signal(signal.SIGINT)
    assert half_way.end()[0] == 130


def test_a_step_in_a_process_that_was_killed_fails(host: None, tmp_path: Path) -> None:
    def kill(done: int, _total: int | None) -> None:
        if done == 2:
            os.kill(max(pid for pid, name in ours() if name == "worker"), signal.SIGKILL)

    script = (
        "spawn: a\nmmap: {process: a, area: heap, pages: 10}\nwrite: {process: a, area: heap, content: x}\nsample: s"
    )
    result = on_kernel.run(scripted(tmp_path, script), progress=kill)
    assert result.error is not None
    assert (result.status, result.error["line"], result.samples) == ("failed", 10, [])
    assert "process 'a'" in result.error["message"]


def test_the_watcher_is_killed(half_way: Running) -> None:
    """The run itself puts things back then."""
    [watcher] = half_way.pids("watcher")
    os.kill(watcher, signal.SIGKILL)
    half_way.process.send_signal(signal.SIGTERM)
    assert half_way.end()[0] == 143
    assert not half_way.left()


def test_the_run_and_its_watcher_are_killed(half_way: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run puts things back before it begins."""
    monkeypatch.chdir(tmp_path)  # a result of the same script that lies in the working folder would not be run again
    [watcher] = half_way.pids("watcher")
    os.kill(watcher, signal.SIGKILL)
    half_way.process.kill()
    wait_for(lambda: is_gone(watcher) and half_way.process.poll() is not None)
    assert half_way.left()
    assert Journal.left_behind().entries
    scripted(tmp_path, SMALL)
    assert main(["run", "scripted.yaml", "--on", "kernel", "--no-input", "--json"]) == 0
    assert not half_way.left()


def test_one_holder_at_a_time(half_way: Running) -> None:
    assert guard.held_by_another()
    with pytest.raises(HostInUse, match="another ksmlab has KSM of this host"), guard.held(patience_s=0.1):
        pass
    half_way.process.kill()
    with guard.held():
        assert guard.held_by_another()


def test_a_host_on_which_ksm_is_in_use_is_refused(
    host: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    scripted(tmp_path, SMALL)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", MERGEABLE], text=True, **pipes) as user:  # type: ignore[call-overload]
        assert user.stdout.readline() == "ready\n"
        assert main(["run", "scripted.yaml", "--on", "kernel", "--no-input"]) == 2
        [line] = capfd.readouterr().err.splitlines()
        assert line.startswith(f"KSM is in use on this host: process {user.pid} (python")
        assert not (tmp_path / "runs-on-kernel").exists()
        # Whoever says that it does not matter gets the run, with the other's ten pages in the figures.
        result = on_kernel.run(scripted(tmp_path, f"{SMALL}\nsample: s"), in_use_too=True)
        assert (result.error, result.metrics["ksm.pages_scanned"]) == (None, 0)
        user.communicate()


def test_a_failed_expectation_and_a_refused_knob(host: None, tmp_path: Path) -> None:
    result = on_kernel.run(scripted(tmp_path, f"{SMALL}\nexpect: {{ksm.full_scans: 2}}"))
    assert [(one["got"], one["ok"]) for one in result.expect] == [(1, False)]
    result = on_kernel.run(scripted(tmp_path, "set: {ksm.pages_to_scan: 5}\nset: {ksm.sleep_millisecs: 5}\nspawn: a"))
    assert (result.error, result.metrics["ksm.pages_to_scan"]) == (None, 5)
