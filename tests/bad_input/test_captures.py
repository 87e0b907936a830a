"""Capture files that are torn, empty, foreign, too big or too new, and captures that cannot be taken: one line each."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import zstandard

from ksmlab_core.capture import format as f
from ksmlab_core.capture.writer import CaptureWriter

EXPERIMENT = """\
experiment: captured
kernel: seed
machine: {memory: 256KiB, swap: 1MiB}
workload: {use: snapshot, capture: mine.ksmcap, fill: 1ms, interval: 1ms}
"""
PLACE = "captured.yaml:4:36: workload.capture: 'mine.ksmcap': "


@pytest.fixture
def good(here):
    """A small whole capture."""
    pages = np.arange(8, dtype=np.uint64)
    memory = f.ProcessPages(0, f.State.ALIVE, pages, pages * 7 + 1, np.full(8, f.Kind.DATA, np.uint8))
    with CaptureWriter(here / "mine.ksmcap", f.Header(4096, 10**9, ("a",))) as writer:
        writer.snapshot(0, [memory])
        writer.snapshot(10**9, [memory])
        writer.finish([])
    return here / "mine.ksmcap"


def assembled(*parts):
    """A file with a right checksum from tag, bytes and the size that these are said to expand to."""
    data = f.PREFIX.pack(f.MAGIC, f.VERSION, 0)
    for tag, raw, size in parts:
        stored = zstandard.compress(raw)
        data += f.FRAME.pack(tag, len(stored), size) + stored
    return data + hashlib.blake2b(data, digest_size=32).digest()


HEAD = b'{"page_size": 4096, "interval_ns": 1, "processes": ["a"]}'
END = b'{"snapshots": 1, "notes": []}'
RUNS = f.PROC_HEAD.pack(0, 0, 0, 1, 0, 0) + struct.pack("<QI", 0, 2**32 - 1)


def changed(data, at, by):
    return data[:at] + by + data[at + len(by) :]


FILES = {
    "empty": (lambda data: b"", "not a capture: the file is empty"),
    "foreign": (lambda data: b"\x7fELF" + bytes(5000), "not a capture: it does not begin as one"),
    "text": (lambda data: b"experiment: captured\n" * 9, "not a capture: it does not begin as one"),
    "torn early": (lambda data: data[:11], "torn: the file ends too early"),
    "torn in the middle": (lambda data: data[: len(data) // 2], "torn: the file ends too early"),
    "torn at the end": (lambda data: data[:-1], "torn: the file ends too early"),
    "with more behind it": (lambda data: data + b"x", "damaged: "),
    "one bit off": (lambda data: changed(data, len(data) // 2, bytes([data[len(data) // 2] ^ 1])), "damaged: "),
    "too new": (lambda data: changed(data, 8, b"\x09\x00"), "written by a newer ksmlab: version 9, this one reads up"),
    "a block that declares much": (
        lambda data: assembled((b"HEAD", HEAD, len(HEAD)), (b"SNAP", bytes(8), 2**32 - 1)),
        "damaged: a block declares 4294967295 bytes",
    ),
    "blocks that declare too much together": (
        lambda data: assembled((b"HEAD", HEAD, len(HEAD)), (b"SNAP", bytes(8), 8), *[(b"PROC", b"", f.MAX_BLOCK)] * 40),
        "too big: expands to more than 2048 MiB",
    ),
    "a header without sense": (
        lambda data: assembled((b"HEAD", b"[]", 2), (b"SNAP", bytes(8), 8), (b"END ", END, len(END))),
        "damaged: the header does not say what it must",
    ),
}


@pytest.mark.parametrize("form", [("run",), ("run", "--json"), ("plan",)], ids=["run", "json", "plan"])
@pytest.mark.parametrize("what", FILES)
def test_a_bad_file_is_refused_before_anything_is_run(ksmlab, finished, write, good, what, form):
    make, said = FILES[what]
    good.write_bytes(make(good.read_bytes()))
    ksmlab(form[0], write("captured.yaml", EXPERIMENT), *form[1:]).refused(PLACE + said)
    finished.is_whole()


def test_no_file_and_things_that_are_none(ksmlab, finished, write, good, here):
    write("captured.yaml", EXPERIMENT)
    good.unlink()
    ksmlab("run", "captured.yaml").refused(PLACE + "No such file or directory")
    os.mkfifo(good)
    ksmlab("run", "captured.yaml").refused(PLACE + "not a capture: not a regular file")
    good.unlink()
    good.mkdir()
    ksmlab("run", "captured.yaml").refused(PLACE + "Is a directory")
    finished.is_whole()


def test_runs_of_pages_that_contradict_themselves_are_found_when_they_are_read(ksmlab, finished, write, good):
    """The checksum is right; only the run itself looks into the blocks."""
    proc = (b"PROC", RUNS, len(RUNS))
    good.write_bytes(assembled((b"HEAD", HEAD, len(HEAD)), (b"SNAP", bytes(8), 8), proc, (b"END ", END, len(END))))
    outcome = ksmlab("run", write("captured.yaml", EXPERIMENT))
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.endswith("mine.ksmcap: damaged: runs of pages do not fit the block\n")
    assert len(outcome.complaints) == 1
    finished.is_whole()


def test_a_torn_capture_in_a_sweep_is_found_before_the_first_run(ksmlab, finished, write, good, here):
    (here / "torn.ksmcap").write_bytes(good.read_bytes()[:-40])
    text = EXPERIMENT + "sweep:\n  matrix: {workload.capture: [mine.ksmcap, torn.ksmcap]}\n"
    outcome = ksmlab("run", write("captured.yaml", text))
    assert (outcome.status, outcome.out, len(outcome.complaints)) == (2, "", 1)
    assert "'torn.ksmcap': torn: the file ends too early" in outcome.err
    finished.is_whole()
    assert not (finished.path / "captured").exists()


def test_the_good_one_runs(ksmlab, finished, write, good):
    outcome = ksmlab("run", write("captured.yaml", EXPERIMENT))
    assert (outcome.status, outcome.err) == (0, "")
    finished.is_whole()


@pytest.fixture(scope="module")
def gone():
    """The number of a process that is no more."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return str(child.pid)


def test_a_capture_of_nobody(ksmlab, here, gone):
    outcome = ksmlab("capture", "--pid", gone, "--every", "1ms", "--count", "1", "-o", "mine.ksmcap")
    assert outcome.status == 2
    assert "Traceback" not in outcome.err
    assert not (here / "mine.ksmcap").exists()


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("missing/mine.ksmcap", "missing: No such file or directory"),
        ("file/mine.ksmcap", "file: Not a directory"),
        ("folder", "folder: Is a directory"),
    ],
)
def test_a_capture_that_cannot_be_written_leaves_what_is_there(ksmlab, here, place, said):
    """It is told at once, not after the time that the capture takes."""
    (here / "file").write_text("mine")
    (here / "folder").mkdir()
    outcome = ksmlab("capture", "--pid", str(os.getppid()), "--every", "60s", "--count", "2", "-o", place)
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.complaints == [said]
    assert (here / "file").read_text() == "mine"
    assert sorted(path.name for path in here.iterdir()) == ["file", "folder"]
