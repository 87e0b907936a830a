"""Capturing live processes: known memory, exits, refusals, interrupts."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zstandard

from ksmlab_core.capture import digest, procfs, recorder
from ksmlab_core.capture.format import FRAME, PREFIX, Kind, ProcColumns, State
from ksmlab_core.capture.procfs import PAGE_SIZE
from ksmlab_core.capture.reader import Capture, read_capture
from ksmlab_core.capture.recorder import capture
from ksmlab_core.capture.summary import ProcessState
from ksmlab_core.errors import BadInput, ResultsNotWritten

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="captures need Linux's /proc")

KNOWN = f"""
import mmap, random
P = {PAGE_SIZE}
area = mmap.mmap(-1, 64 * P, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
def put(page, data): area[page * P:page * P + P] = data
for page in range(10): put(page, bytes(P))
for page in range(10, 20): put(page, b'A' * P)
for page in range(20, 30): put(page, bytes(range(8)) * (P // 8))
for page in range(30, 40): put(page, random.Random(page).randbytes(P))
for page in range(40, 50): put(page, random.Random(page - 10).randbytes(P))
for page in range(60, 64): area[page * P]
for line in open('/proc/self/maps'):
    pass
import ctypes
print(ctypes.addressof(ctypes.c_char.from_buffer(area)) // P, flush=True)
input()
put(0, b'Z' * P)
put(30, bytes(P))
put(55, random.Random(35).randbytes(P))
print('changed', flush=True)
input()
"""
"""Pages 0-9 zero, 10-19 and 20-29 same-filled, 40-49 as 30-39, 50-59 untouched, 60-63 only read."""

QUIET = "print('ready', flush=True)\ninput()\n"


def between_snapshots(monkeypatch: pytest.MonkeyPatch, *actions: Callable[[], object]) -> None:
    """Do the first action before the second snapshot, the next before the third, and so on."""
    left = list(actions)

    def sleep(_: float) -> None:
        if left:
            left.pop(0)()
        clock[0] += 1

    clock = [0.0]
    monkeypatch.setattr(recorder.time, "sleep", sleep)
    monkeypatch.setattr(recorder.time, "monotonic", lambda: clock[0])


def states(found: Capture) -> list[list[ProcessState]]:
    """All processes' memory at each snapshot."""
    now = [ProcessState() for _ in found.header.processes]
    history = []
    for snapshot in found:
        for change in snapshot.changes:
            now[change.process].apply(change)
        copies = [ProcessState() for _ in now]
        for copy, state in zip(copies, now, strict=True):
            copy.page, copy.content = state.page.copy(), state.content.copy()
        history.append(copies)
    return history


def area_of(state: ProcessState, first: int) -> dict[int, int]:
    """Content numbers of the known area, by page of the area."""
    return {
        page - first: number
        for page, number in zip(state.page.tolist(), state.content.tolist(), strict=True)
        if first <= page < first + 64
    }


def test_known_memory_is_found_as_it_is(program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known, twin = program(KNOWN), program(KNOWN)
    between_snapshots(monkeypatch, known.step)
    done: list[tuple[int, int]] = []
    report = capture([known.pid, twin.pid], 1, 2, tmp_path / "one", progress=lambda *now: done.append(now))
    assert done == [(1, 2), (2, 2)]
    assert (report.snapshots, report.notes, report.interrupted) == (2, (), False)
    (before, other), (after, unchanged) = states(read_capture(tmp_path / "one"))
    first, second = area_of(before, int(known.said)), area_of(other, int(twin.said))
    assert first == second == area_of(unchanged, int(twin.said))
    written = {*range(50)}
    assert written <= set(first) <= written | {60, 61, 62, 63}
    assert {first[page] for page in range(10)} == {0}
    groups = [{first[page] for page in pages} for pages in (range(10, 20), range(20, 30))]
    assert [len(group) for group in groups] == [1, 1]
    assert len({0} | groups[0] | groups[1]) == 3
    assert [first[page] for page in range(30, 40)] == [first[page + 10] for page in range(30, 40)]
    assert len({first[page] for page in range(30, 40)}) == 10
    later = area_of(after, int(known.said))
    assert {page for page in later if later[page] != first.get(page)} == {0, 30, 55}
    assert (later[30], later[55]) == (0, first[35])
    assert later[0] not in first.values()


def test_kinds_are_kept_apart(program) -> None:
    known = program(KNOWN)
    first = int(known.said)
    buffer = memoryview(bytearray(7 * PAGE_SIZE))
    kinds: dict[int, int] = {}
    with procfs.ProcessMemory(known.pid) as memory:
        for numbers, content in memory.pages(buffer):
            found = digest.PageDigester(PAGE_SIZE).digest(content)[1]
            kinds.update(zip(numbers.tolist(), found.tolist(), strict=True))
    assert [kinds[first + page] for page in range(50)] == [Kind.ZERO] * 10 + [Kind.SAME_FILLED] * 20 + [Kind.DATA] * 20


def test_both_ways_of_asking_the_pagemap_agree(program) -> None:
    known = program(KNOWN)
    first = int(known.said)
    pagemap = os.open(f"/proc/{known.pid}/pagemap", os.O_RDONLY)
    try:
        entries = [page - first for a, b, _ in procfs._entries(pagemap, first, first + 64) for page in range(a, b)]
        assert entries == [*range(50), *range(60, 64)]
        try:
            scanned = list(procfs._scan(pagemap, first, first + 64, procfs._FILE | procfs._PFNZERO))
        except procfs._ScanUnknownError:
            pytest.skip("this kernel has no PAGEMAP_SCAN")
        assert [page - first for a, b, _ in scanned for page in range(a, b)] == [*range(50)]
        assert not any(swapped for _, _, swapped in scanned)
    finally:
        os.close(pagemap)


def test_the_pagemap_is_read_where_the_kernel_cannot_scan(program, monkeypatch: pytest.MonkeyPatch) -> None:
    known = program(KNOWN)
    first = int(known.said)

    def unknown(*_: object) -> int:
        raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")

    monkeypatch.setattr(procfs.fcntl, "ioctl", unknown)
    with procfs.ProcessMemory(known.pid) as memory:
        found = np.concatenate([n for n, _ in memory.pages(memoryview(bytearray(99 * PAGE_SIZE)))])
    assert [page - first for page in found.tolist() if 0 <= page - first < 64] == [*range(50), *range(60, 64)]


def test_pages_that_vanish_are_counted_and_left_out(program, monkeypatch: pytest.MonkeyPatch) -> None:
    known = program(KNOWN)
    gone = {(int(known.said) + page) * PAGE_SIZE for page in (33, 34, 40)}
    really = os.preadv

    def read(file: int, buffers: list[memoryview], offset: int) -> int:
        if offset in gone:
            raise OSError(errno.EIO, "Input/output error")
        until = min([place for place in gone if place > offset], default=offset + len(buffers[0]))
        return really(file, [buffers[0][: until - offset]], offset)

    monkeypatch.setattr(procfs.os, "preadv", read)
    with procfs.ProcessMemory(known.pid) as memory:
        found = np.concatenate([n for n, _ in memory.pages(memoryview(bytearray(16 * PAGE_SIZE)))])
    mine = [page - int(known.said) for page in found.tolist()]
    assert memory.vanished == 3
    assert [page for page in mine if 0 <= page < 50] == [page for page in range(50) if page not in (33, 34, 40)]


def test_one_that_exits_on_the_way_is_reported(program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stays, leaves = program(QUIET), program(QUIET)
    between_snapshots(monkeypatch, leaves.step)
    lines: list[str] = []
    report = capture([stays.pid, leaves.pid], 1, 3, tmp_path / "one", lines.append)
    assert lines == list(report.notes) == [f"{report.processes[1].name} (pid {leaves.pid}) has exited"]
    assert [process.state for process in report.processes] == [State.ALIVE, State.EXITED]
    history = states(read_capture(tmp_path / "one"))
    assert [len(at[1].page) > 0 for at in history] == [True, False, False]
    assert all(len(at[0].page) for at in history)


def test_it_ends_when_nobody_is_left(program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leaves = program(QUIET)
    between_snapshots(monkeypatch, leaves.step)
    report = capture([leaves.pid, leaves.pid], 1, 50, tmp_path / "one")
    assert report.notes[-1] == "every process has exited after 2 of 50 snapshots"
    assert read_capture(tmp_path / "one").snapshots == 2


def test_nobody_to_capture(program, tmp_path: Path) -> None:
    gone = program(QUIET)
    gone.step()
    with pytest.raises(BadInput, match=rf"no process can be captured: pid {gone.pid}: no such process"):
        capture([gone.pid], 1, 1, tmp_path / "one")
    with pytest.raises(BadInput, match="none was named"):
        capture([], 1, 1, tmp_path / "one")
    assert list(tmp_path.iterdir()) == []


def test_a_zombie_has_exited(tmp_path: Path) -> None:
    child = subprocess.Popen(["true"])
    while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    try:
        with pytest.raises(BadInput, match=f"pid {child.pid} has exited"):
            capture([child.pid], 1, 1, tmp_path / "one")
    finally:
        child.wait()


def test_a_pid_that_is_another_process_now(program) -> None:
    one = program(QUIET)
    identity = procfs.identify(one.pid)
    recorder._still_there(identity)
    with pytest.raises(procfs.ProcessGoneError, match="has exited"):
        recorder._still_there(procfs.Identity(one.pid, identity.started - 1, identity.name))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every process")
def test_a_refusal_is_reported(program, tmp_path: Path) -> None:
    mine = program(QUIET)
    report = capture([1, mine.pid], 0, 1, tmp_path / "one")
    assert len(report.processes) == 1
    assert report.notes[0].startswith("pid 1: not permitted")
    with pytest.raises(BadInput, match="pid 1: not permitted"):
        capture([1], 0, 1, tmp_path / "two")


def test_a_right_that_is_lost_on_the_way(program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = program(QUIET), program(QUIET)
    really = procfs.private_areas

    def refuse(pid: int) -> list[tuple[int, int]]:
        if pid == other.pid:
            with procfs._explained(pid):
                raise PermissionError
        return really(pid)

    between_snapshots(monkeypatch, lambda: monkeypatch.setattr(procfs, "private_areas", refuse))
    report = capture([one.pid, other.pid], 1, 3, tmp_path / "one")
    assert report.processes[1].state is State.UNREADABLE
    assert len(report.notes) == 1
    assert f"pid {other.pid}: not permitted" in report.notes[0]
    first, _, last = states(read_capture(tmp_path / "one"))
    assert first[1].page.tolist() == last[1].page.tolist()


def test_an_interrupt_keeps_what_was_taken(program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = program(QUIET)
    before = signal.getsignal(signal.SIGINT)
    between_snapshots(monkeypatch, lambda: None, lambda: os.kill(os.getpid(), signal.SIGINT))
    report = capture([one.pid], 1, 50, tmp_path / "one")
    assert report.interrupted
    assert report.notes == ("interrupted after 2 of 50 snapshots",)
    assert read_capture(tmp_path / "one").snapshots == 2
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_at_once_leaves_nothing(program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = program(QUIET)
    really = recorder._Recorder._process

    def interrupted(self, *arguments):
        os.kill(os.getpid(), signal.SIGINT)
        return really(self, *arguments)

    monkeypatch.setattr(recorder._Recorder, "_process", interrupted)
    with pytest.raises(BadInput, match="nothing was captured: interrupted during snapshot 1 of 2"):
        capture([one.pid, program(QUIET).pid], 0, 2, tmp_path / "one")
    assert list(tmp_path.iterdir()) == []


def test_arguments_without_meaning(tmp_path: Path) -> None:
    for every, count in ((1, 0), (-1, 1), (float("nan"), 1), (float("inf"), 1)):
        with pytest.raises(BadInput, match="a capture is 1 or more snapshots"):
            capture([os.getpid()], every, count, tmp_path / "one")


def test_a_place_that_cannot_be_written(program, tmp_path: Path) -> None:
    one = program(QUIET)
    with pytest.raises(ResultsNotWritten, match="missing"):
        capture([one.pid], 0, 1, tmp_path / "missing" / "one")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ResultsNotWritten, match="folder"):
        capture([one.pid], 0, 1, tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_names_are_unique_and_plain() -> None:
    assert recorder._unique("Web Content", set()) == "Web-Content"
    assert recorder._unique("a", {"a", "a-2"}) == "a-3"
    assert recorder._unique("(é.=)", set()) == "process"


def expanded(path: Path) -> list[tuple[bytes, bytes]]:
    """Everything that the file says, uncompressed: tags and blocks."""
    data, offset, found = path.read_bytes(), PREFIX.size, []
    while offset < len(data) - 32:
        tag, stored, _ = FRAME.unpack_from(data, offset)
        offset += FRAME.size
        found.append((tag, zstandard.decompress(data[offset : offset + stored])))
        offset += stored
    return found


def test_nothing_known_can_be_recognised(program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import random

    keys: list[bytes] = []
    really = digest.secrets.token_bytes

    def key(length: int) -> bytes:
        keys.append(really(length))
        return keys[-1]

    monkeypatch.setattr(digest.secrets, "token_bytes", key)
    known = program(KNOWN)
    for name in ("one", "two"):
        capture([known.pid], 0, 1, tmp_path / name)
    assert len(set(keys)) == 2
    assert {len(one) for one in keys} == {32}
    files = [expanded(tmp_path / name) for name in ("one", "two")]
    texts = [b"".join(raw for _, raw in blocks) for blocks in files]
    pages = [random.Random(page).randbytes(PAGE_SIZE) for page in range(30, 40)] + [b"A" * PAGE_SIZE, b"A" * 8]
    for text in texts:
        assert not any(one in text or one[:8] in text for one in keys)
        for page in pages:
            assert page[:8] not in text
            for algorithm in ("sha256", "sha1", "md5", "blake2b", "blake2s", "sha512"):
                plain = hashlib.new(algorithm, page).digest()
                assert plain[:8] not in text
                assert plain[-8:] not in text
            assert hashlib.blake2b(page, digest_size=8).digest() not in text
            assert zlib.crc32(page).to_bytes(4, "little") * 2 not in text
    digests = [
        {digest for tag, raw in blocks if tag == b"PROC" for digest in ProcColumns.unpack(raw).digest.tolist()}
        for blocks in files
    ]
    assert not digests[0] & digests[1]
    assert min(map(len, digests)) > 100


def test_the_digest_is_the_documented_one() -> None:
    digester = digest.PageDigester(PAGE_SIZE)
    page, word = bytes(range(256)) * (PAGE_SIZE // 256), b"abcdefgh"
    numbers, kinds = digester.digest(memoryview(page + word * (PAGE_SIZE // 8) + bytes(PAGE_SIZE) + page))
    for number, state, data in ((numbers[0], digester._for_pages, page), (numbers[1], digester._for_words, word)):
        whole = state.copy()
        whole.update(data)
        assert int(number) == int.from_bytes(whole.digest()[:8], "little")
    assert numbers[0] == numbers[3]
    assert kinds.tolist() == [Kind.DATA, Kind.SAME_FILLED, Kind.ZERO, Kind.DATA]
