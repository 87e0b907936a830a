"""Results that cannot be written: one line, status 1, and what was there before stays as it was."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SWEEP = """\
experiment: swept
kernel: seed
machine: {memory: 256KiB, swap: 1MiB}
workload: {use: zipf, processes: 2, pages: 40, accesses: 200}
sweep:
  matrix: {policies.swapin: [kernel, copy, remerge]}
"""


@pytest.fixture
def swept(write):
    """An experiment of three runs."""
    return write("swept.yaml", SWEEP)


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("file", "file/swept/kernel: results not written: Not a directory"),
        ("file/below", "file/below/swept/kernel: results not written: Not a directory"),
        ("/proc/nowhere", "/proc/nowhere/swept/kernel: results not written: No such file or directory"),
        ("x" * 300, "x" * 300 + "/swept/kernel: results not written: File name too long"),
    ],
    ids=["file", "below-a-file", "no-place", "long-name"],
)
def test_a_place_that_is_no_folder(ksmlab, swept, here, finished, out, said, jobs, monkeypatch):
    if jobs == "2":
        monkeypatch.setattr("ksmlab_core.lab.runner._compile_once", lambda: None)
    (here / "file").write_text("mine")
    outcome = ksmlab("run", swept, "--out", out, "-j", jobs)
    outcome.failed(said)
    assert outcome.out == ""
    assert (here / "file").read_text() == "mine"
    finished.is_whole()


@pytest.mark.parametrize("where", ["runs/swept", "runs/swept/copy"])
def test_a_file_in_the_place_of_a_folder(ksmlab, swept, here, finished, where):
    """The runs that had finished before it was met are kept whole."""
    (here / where).parent.mkdir(exist_ok=True)
    (here / where).write_text("mine")
    outcome = ksmlab("run", swept)
    name, said = ("kernel", "File exists") if where == "runs/swept" else ("copy", "Not a directory")
    outcome.failed(f"runs/swept/{name}: results not written: {said}")
    assert (here / where).read_text() == "mine"
    finished.is_whole()
    if name == "copy":
        kept = json.loads((here / "runs" / "swept" / "kernel" / "manifest.json").read_text())
        assert kept["status"] == "succeeded"
        assert sorted(path.name for path in (here / "runs" / "swept").iterdir()) == ["copy", "kernel"]


def test_a_folder_that_may_not_be_written(start, swept, here, finished):
    (here / "theirs").mkdir(mode=0o555)
    outcome = start("run", swept, "--out", "theirs", before=_obey_permissions).ended()
    outcome.failed("theirs/swept/kernel: results not written: Permission denied")
    finished.is_whole()


def _obey_permissions():
    """Even root obeys the permissions of files once the program that follows may not override them."""
    drop_from_bounding_set, override_permissions = 24, 1
    ctypes.CDLL(None).prctl(drop_from_bounding_set, override_permissions, 0, 0, 0)


@pytest.fixture
def full_disk(here):
    """A tiny file system that is nearly full, seen by one child and its children only."""
    disk = here / "disk"
    disk.mkdir()
    command = f"mount -t tmpfs -o size=64k none {disk} && exec "
    try:
        probe = subprocess.run(["unshare", "-rm", "sh", "-c", command + "true"], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    if probe.returncode:
        pytest.skip("no file system of one's own can be mounted here")
    return command


def test_a_full_disk(full_disk, here, finished, write):
    """The old results on it stay, the ones that did not fit leave nothing, and one line says why."""
    swept = write("swept.yaml", SWEEP + "measure: {every: 20us}\n")
    script = (
        f"{full_disk} sh -c 'cp -r runs/before disk/before && "
        f"{sys.executable} -m ksmlab_core.cli run {swept} --out disk; status=$?; "
        "diff -r runs/before disk/before || echo changed; ls -A disk disk/swept; exit $status'"
    )
    child = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        cwd=here,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 1, child
    assert child.stderr in {
        f"disk/swept/{name}: results not written: No space left on device\n" for name in ("kernel", "copy", "remerge")
    }
    assert "changed" not in child.stdout
    assert ".aside" not in child.stdout


def test_a_full_disk_wherever_it_is_met(ksmlab, swept, finished, monkeypatch):
    """Each write in turn fails as on a full disk: what had been finished is whole, what had not leaves nothing."""
    real = Path.open
    seen = []

    def opened(path, mode="r", *more, **named):
        if "w" in mode and ".aside" in str(path):
            seen.append(path.name)
            if len(seen) == opened.fails_at:
                raise OSError(28, os.strerror(28))
        return real(path, mode, *more, **named)

    monkeypatch.setattr(Path, "open", opened)
    for fails_at in (1, 2, 3, 4, 6):
        seen.clear()
        opened.fails_at = fails_at
        outcome = ksmlab("run", swept, "--fresh")
        assert outcome.status == 1
        [line] = outcome.err.splitlines()
        assert line.endswith("No space left on device")
        finished.is_whole()


@pytest.mark.parametrize("place", ["file/page.html", "folder"])
def test_a_report_that_cannot_be_written(ksmlab, swept, here, place):
    """The results are kept: only the page is missing."""
    (here / "file").write_text("mine")
    (here / "folder").mkdir()
    outcome = ksmlab("run", swept, "--report", place, "--set", "measure.every=1ms")
    assert outcome.status == 1
    assert len(outcome.complaints) == 1
    assert outcome.complaints[0].startswith(place)
    assert sorted(path.name for path in (here / "runs" / "swept").iterdir()) == ["copy", "kernel", "remerge"]


def test_results_are_replaced_whole_or_not_at_all(ksmlab, swept, finished, monkeypatch):
    """A second run of the same experiment that cannot be put in place leaves the first one's results."""
    assert ksmlab("run", swept).status == 0
    first = {path: path.read_bytes() for path in (finished.path / "swept").rglob("*") if path.is_file()}

    def refuse(aside, place):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("ksmlab_core.lab.store._put_in_place", refuse)
    outcome = ksmlab("run", swept, "--set", "seed=5")
    outcome.failed("runs/swept/kernel: results not written: No space left on device")
    assert {path: path.read_bytes() for path in (finished.path / "swept").rglob("*") if path.is_file()} == first
    finished.is_whole()


def test_torn_results_are_one_line(ksmlab, swept, finished):
    assert ksmlab("run", swept).status == 0
    file = finished.path / "swept" / "copy" / "counters.json"
    file.write_bytes(file.read_bytes()[:100])
    ksmlab("report", "runs").refused("runs/swept/copy/counters.json: torn or not a result file: ")
    finished.is_whole()
