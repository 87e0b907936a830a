"""The capture file: what goes in comes out, and anything damaged is refused with one line."""

from __future__ import annotations

import hashlib
import os
import struct
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ksmlab_core.capture import format as f
from ksmlab_core.capture.reader import read_capture
from ksmlab_core.capture.summary import ProcessState, summarize
from ksmlab_core.errors import CaptureRejected, ResultsNotWritten

Write = Callable[..., Path]
DATA, SAME, ZERO = f.Kind.DATA, f.Kind.SAME_FILLED, f.Kind.ZERO

CONTENTS = st.one_of(
    st.just((ZERO, 0)),
    st.tuples(st.just(DATA), st.integers(0, 2**64 - 1)),
    st.tuples(st.just(DATA), st.integers(1000, 1006)),
    st.tuples(st.just(SAME), st.integers(1, 3)),
)
PAGES = st.one_of(st.integers(0, 40), st.integers(0, f.MAX_PAGE - 1))
MEMORY = st.dictionaries(PAGES, CONTENTS, max_size=30)
FOUND = st.one_of(MEMORY, MEMORY, MEMORY, st.sampled_from([f.State.EXITED, f.State.UNREADABLE]))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(FOUND, min_size=3, max_size=3), max_size=4), st.sampled_from([3, 1 << 20]))
def test_what_goes_in_comes_out(
    write_capture: Write, monkeypatch: pytest.MonkeyPatch, snapshots: list[list[object]], per_block: int
) -> None:
    monkeypatch.setattr(f, "PAGES_PER_BLOCK", per_block)
    capture = read_capture(write_capture(snapshots))
    assert (capture.snapshots, capture.notes) == (len(snapshots), ("one note",))
    states = [ProcessState() for _ in range(3)]
    numbers: dict[object, int] = {}
    expected: list[dict[int, tuple[f.Kind, int]]] = [{}, {}, {}]
    for snapshot, processes in zip(capture, snapshots, strict=True):
        for change in snapshot.changes:
            states[change.process].apply(change)
        for position, found in enumerate(processes):
            if found is not f.State.UNREADABLE:
                expected[position] = found if isinstance(found, dict) else {}
            state = states[position]
            assert state.page.tolist() == sorted(expected[position])
            for page, number in zip(state.page.tolist(), state.content.tolist(), strict=True):
                content = expected[position][page]
                assert numbers.setdefault(content, number) == number
                assert (number == 0) == (content[0] is ZERO)
    assert len(set(numbers.values())) == len(numbers)


def test_contents_that_differ_in_kind_or_in_one_bit_stay_apart(write_capture: Write) -> None:
    memory = {0: (DATA, 1), 1: (SAME, 1), 2: (DATA, 1 + 2**63), 3: (ZERO, 0), 4: (DATA, 0)}
    (snapshot,) = read_capture(write_capture([[memory]]))
    assert len(set(snapshot.changes[0].content.tolist())) == 5


def test_a_page_that_stays_the_same_costs_nothing(write_capture: Write) -> None:
    memory = {page: (DATA, page * 2**40 + 17) for page in range(5000)}
    once = write_capture([[memory]], file="once").stat().st_size
    ten_times = write_capture([[memory]] * 10, file="ten").stat().st_size
    assert ten_times - once < 10 * 60
    assert once < 5000 * 8 + 1000


def test_the_header_says_where_it_came_from(tmp_path: Path) -> None:
    from ksmlab_core.capture.writer import CaptureWriter

    header = f.Header(16384, 5 * 10**8, ("web", "köln"), {"kernel": "6.18", "digest": "x"})
    with CaptureWriter(tmp_path / "one", header) as writer:
        writer.finish()
    assert read_capture(tmp_path / "one").header == header


def test_figures(write_capture: Write) -> None:
    one = {0: (ZERO, 0), 1: (DATA, 7), 2: (DATA, 7), 3: (SAME, 1), 9: (DATA, 8)}
    two = {5: (DATA, 7), 6: (DATA, 9), 7: (SAME, 1)}
    later = {1: (DATA, 7), 2: (DATA, 10), 3: (SAME, 1), 4: (DATA, 11), 9: (DATA, 8)}
    first, second = summarize(read_capture(write_capture([[one, two], [later, f.State.EXITED]])))
    assert (first.processes, first.pages, first.zero, first.distinct, first.duplicates) == (2, 8, 1, 4, 3)
    assert (first.within, first.between) == (1, 2)
    assert (first.written, first.appeared, first.vanished) == (0, 8, 0)
    assert (second.processes, second.pages, second.zero, second.duplicates) == (1, 5, 0, 0)
    assert (second.written, second.appeared, second.vanished) == (1, 1, 1 + 3)
    assert second.time_ns == 10**9


@pytest.fixture
def sample(write_capture: Write) -> Path:
    """A small capture with every kind of block."""
    one = {page: (DATA, page * 7919) for page in range(20)} | {50: (ZERO, 0), 51: (SAME, 3)}
    return write_capture([[one, {3: (DATA, 0)}], [{3: (DATA, 5)}, f.State.UNREADABLE], [f.State.EXITED] * 2])


def refused(path: Path, contents: bytes) -> str:
    """The one line that refuses these bytes, or "" if they are accepted as a whole."""
    path.write_bytes(contents)
    try:
        list(read_capture(path))
    except CaptureRejected as error:
        line = str(error)
        assert line.startswith(f"{path}: ")
        assert "\n" not in line
        return error.reason
    return ""


def test_torn_at_every_byte(sample: Path) -> None:
    whole = sample.read_bytes()
    reasons = {refused(sample, whole[:length]) for length in range(1, len(whole))}
    assert reasons == {"torn: the file ends too early"}
    assert refused(sample, whole) == ""


def test_every_flipped_bit_is_seen(sample: Path) -> None:
    whole = sample.read_bytes()
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 1 << (position % 8)
        assert refused(sample, bytes(changed)), position


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (b"", "not a capture: the file is empty"),
        (b"\x7fELF" + bytes(500), "not a capture: it does not begin as one"),
        (b"hello", "not a capture: it does not begin as one"),
        (f.PREFIX.pack(f.MAGIC, 2, 0) + bytes(500), "written by a newer ksmlab: version 2, this one reads up to 1"),
        (f.PREFIX.pack(f.MAGIC, 0, 0) + bytes(500), "damaged: there is no version 0.0"),
    ],
)
def test_foreign_files(tmp_path: Path, contents: bytes, reason: str) -> None:
    assert refused(tmp_path / "foreign", contents) == reason


def test_things_that_are_not_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "missing", tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(CaptureRejected, match=r"not a regular file|No such file|directory"):
            read_capture(path)


def blocks(path: Path) -> list[tuple[bytes, bytes]]:
    """Tag and expanded bytes of each block."""
    data, offset, found = path.read_bytes(), f.PREFIX.size, []
    while offset < len(data) - f.CHECKSUM_BYTES:
        tag, stored, _ = f.FRAME.unpack_from(data, offset)
        offset += f.FRAME.size
        found.append((tag, zstandard.decompress(data[offset : offset + stored])))
        offset += stored
    return found


def assembled(parts: Sequence[tuple[bytes, bytes, int]]) -> bytes:
    """A file with a right checksum from tags, stored bytes and declared sizes."""
    data = f.PREFIX.pack(f.MAGIC, f.VERSION, 0)
    data += b"".join(f.FRAME.pack(tag, len(stored), raw) + stored for tag, stored, raw in parts)
    return data + hashlib.blake2b(data, digest_size=32).digest()


def rebuilt(parts: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A file with a right checksum from tags and expanded bytes."""
    return assembled([(tag, zstandard.compress(raw), len(raw)) for tag, raw in parts])


def test_hostile_changes_under_a_right_checksum_are_read_or_refused(sample: Path) -> None:
    found = blocks(sample)
    outcomes = set()
    for number, (tag, raw) in enumerate(found):
        for position in range(0, len(raw), 1 if tag == b"PROC" else 3):
            changed = bytearray(raw)
            changed[position] ^= 0xFF if position % 2 else 0x01
            parts = [*found[:number], (tag, bytes(changed)), *found[number + 1 :]]
            outcomes.add(refused(sample, rebuilt(parts)).partition(":")[0])
    assert outcomes == {"", "damaged"}


def test_blocks_out_of_order_are_refused(sample: Path) -> None:
    head, snap, *_, end = blocks(sample)
    for parts in ([end], [head, snap], [snap, end], [head, head, end], [head, end, end], [head, (b"XXXX", b"x"), end]):
        assert refused(sample, rebuilt(parts)).split(":")[0] in ("damaged", "torn")


def test_an_ending_that_does_not_fit(sample: Path) -> None:
    head, *_, end = blocks(sample)
    assert refused(sample, rebuilt([head, end])) == "damaged: its ending does not fit the rest"


@pytest.mark.parametrize(
    "head",
    [
        b"[]",
        b"{}",
        b"nonsense",
        b"[" * 100_000,
        b'{"page_size": 4096, "interval_ns": 1, "processes": []}',
        b'{"page_size": 4096, "interval_ns": 1, "processes": ["a", "a"]}',
        b'{"page_size": 4096, "interval_ns": -1, "processes": ["a"]}',
        b'{"page_size": "4096", "interval_ns": 1, "processes": ["a"]}',
        b'{"page_size": 1e999, "interval_ns": 1, "processes": ["a"]}',
        b'{"page_size": 4096, "interval_ns": 1, "processes": [7]}',
    ],
    ids=range(10),
)
def test_a_header_without_sense(sample: Path, head: bytes) -> None:
    _, *rest = blocks(sample)
    assert refused(sample, rebuilt([(b"HEAD", head), *rest])) == "damaged: the header does not say what it must"


def test_declared_sizes_are_bounded_before_anything_is_allocated(sample: Path) -> None:
    found = [(tag, zstandard.compress(raw), len(raw)) for tag, raw in blocks(sample)]
    bomb = zstandard.compress(bytes(f.MAX_BLOCK))
    lie = zstandard.compress(bytes(f.MAX_BLOCK))
    runs = f.PROC_HEAD.pack(0, 0, 0, 1, 0, 0) + struct.pack("<QI", 0, 2**32 - 1)
    cases = {
        "damaged: a block declares 4294967295 bytes": [found[0], (b"SNAP", b"", 2**32 - 1), found[-1]],
        "damaged: a block declares 67108864 bytes": [(b"HEAD", bomb, f.MAX_BLOCK), *found[1:]],
        "too big: expands to more than 2048 MiB": [found[0], found[1], *[(b"PROC", bomb, f.MAX_BLOCK)] * 40],
        "damaged: a block does not expand to the size it declares": [(b"HEAD", lie, 100), *found[1:]],
        "damaged: runs of pages do not fit the block": [
            *found[:2],
            (b"PROC", zstandard.compress(runs), len(runs)),
            *found[3:],
        ],
    }
    for reason, parts in cases.items():
        contents = assembled(parts)
        tracemalloc.start()
        assert refused(sample, contents) == reason
        assert tracemalloc.get_traced_memory()[1] < 4 << 20, reason
        tracemalloc.stop()


def test_a_caller_may_allow_less(sample: Path) -> None:
    with pytest.raises(CaptureRejected, match="too big: expands to more than 0 MiB"):
        read_capture(sample, max_bytes=100)


def test_nothing_is_left_of_a_capture_that_failed(tmp_path: Path) -> None:
    from ksmlab_core.capture.writer import CaptureWriter

    with pytest.raises(RuntimeError), CaptureWriter(tmp_path / "one", f.Header(4096, 0, ("a",))):  # noqa: PT012
        assert len(list(tmp_path.iterdir())) == 1
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    from ksmlab_core.capture.writer import CaptureWriter

    with pytest.raises(ResultsNotWritten, match="missing: No such file or directory"):
        CaptureWriter(tmp_path / "missing" / "one", f.Header(4096, 0, ("a",)))


def test_runs() -> None:
    pages = np.array([1, 2, 3, 7, 9, 10, f.MAX_PAGE - 1], np.uint64)
    first, length = f.to_runs(pages)
    assert first.tolist() == [1, 7, 9, f.MAX_PAGE - 1]
    assert length.tolist() == [3, 1, 2, 1]
    assert f.from_runs(first, length).tolist() == pages.tolist()
    assert f.from_runs(*f.to_runs(pages[:0])).tolist() == []
    assert f.to_runs(np.array([0, 1], np.uint64))[0].tolist() == [0]
