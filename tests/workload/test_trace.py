"""Workload `trace`: requests of other people's traces, whatever the file's format, and nothing of a broken one."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from ksmlab_plugins.workload.trace import AREA, Trace
from pydantic import ValidationError

from ksmlab_core.errors import TraceRejected
from ksmlab_core.workload.events import READ, Access, Map
from ksmlab_core.workload.numbering import Numbering
from ksmlab_core.workload.protocol import checked
from ksmlab_core.workload.trace_file import CHUNK, RECORD, requests

SOME = [7, 2**64 - 1, 7, 0, 5, 7, 0]


def records(objects: list[int], **columns: Any) -> np.ndarray[Any, Any]:
    """Requests as libCacheSim keeps them."""
    made = np.zeros(len(objects), RECORD)
    made["object"], made["size"], made["next"] = np.array(objects, np.uint64), 4096, -1
    for name, values in columns.items():
        made[name] = values
    return made


def oracle(file: Path, objects: list[int], **columns: Any) -> Path:
    file.write_bytes(records(objects, **columns).tobytes())
    return file


def accesses(file: Path, seed: int = 0, **params: Any) -> tuple[list[int], list[int]]:
    """Page and content of each access, areas laid one after the other; every event is checked."""
    made = Trace(Trace.Params(file=file.name, **params), np.random.default_rng(seed), file.parent)
    pages, contents = [], []
    for event in checked("trace", made.events()):
        if isinstance(event, Access):
            pages += (event.area.astype(int) * AREA + event.page).tolist()
            contents += event.content.tolist()
    return pages, contents


@given(st.lists(st.lists(st.integers(0, 40), max_size=30), max_size=20))
def test_keys_are_numbered_as_they_come(chunks: list[list[int]]) -> None:
    numbering, known = Numbering(), dict[int, int]()
    for chunk in chunks:
        want = [known.setdefault(key, len(known)) for key in chunk]
        assert numbering.numbers(np.array(chunk, np.uint64)).tolist() == want
        assert len(numbering) == len(known)


def test_every_format_says_the_same(tmp_path: Path) -> None:
    plain = oracle(tmp_path / "t.oracleGeneral", SOME)
    packed = tmp_path / "t.oracleGeneral.zst"
    half = plain.read_bytes()[:50], plain.read_bytes()[50:]
    packed.write_bytes(b"".join(zstandard.ZstdCompressor().compress(part) for part in half))  # two frames
    text = tmp_path / "t.csv"
    text.write_text("when;what\n" + "".join(f"0;{one}\n" for one in SOME))
    want = [0, 1, 0, 2, 3, 0, 2]
    for found, contents in (
        accesses(plain),
        accesses(packed),
        accesses(text, delimiter=";", header=True),
    ):
        assert found == want
        assert [content == READ for content in contents] == [False, False, True, False, False, True, True]
        assert len({content for content in contents if content != READ}) == 4, "each object's page is its own"


def test_long_traces_map_areas_as_they_go(tmp_path: Path) -> None:
    objects = [*range(AREA + 10), *range(5)]
    file = oracle(tmp_path / "t.oracleGeneral", objects)
    made = Trace(Trace.Params(file=file.name), np.random.default_rng(0), tmp_path)
    assert made.duration_hint() == len(objects)
    events = list(checked("trace", made.events()))
    assert [event.pages for event in events if isinstance(event, Map)] == [AREA, AREA]
    assert accesses(file)[0] == objects


def test_only_so_many_requests(tmp_path: Path) -> None:
    file = oracle(tmp_path / "t.oracleGeneral", list(range(CHUNK + 100)))
    assert len(accesses(file, requests=CHUNK + 3)[0]) == CHUNK + 3
    assert len(accesses(file, requests=CHUNK)[0]) == CHUNK


def test_later_requests_write_with_their_share_only(tmp_path: Path) -> None:
    file = oracle(tmp_path / "t.oracleGeneral", [1] * 2000)
    _, contents = accesses(file, write_ratio=0.25)
    written = [content for content in contents if content != READ]
    assert 400 < len(written) < 600
    assert len(set(written)) == len(written)
    assert contents == accesses(file, write_ratio=0.25)[1]


BROKEN: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "empty": ("t.oracleGeneral", lambda: b"", "no request in it"),
    "torn": ("t.oracleGeneral", lambda: records(SOME).tobytes()[:-5], "torn: 19 bytes are left over after 6 requests"),
    "time": (
        "t.oracleGeneral",
        lambda: records(SOME, seconds=[1, 2, 3, 2, 5, 6, 7]).tobytes(),
        "torn, or not oracleGeneral: at request 4 time goes backwards",
    ),
    "next": (
        "t.oracleGeneral",
        lambda: records(SOME, next=[3, 2, 1, 8, 8, 8, -1]).tobytes(),
        "at request 3 the next request for it is said to be 1",
    ),
    "text": ("t.oracleGeneral", lambda: b"time,object\n" * 40, "torn, or not oracleGeneral"),
    "not zstd": ("t.oracleGeneral.zst", lambda: records(SOME).tobytes(), "torn, or not a zstd stream"),
    "half a zstd": (
        "t.oracleGeneral.zst",
        lambda: zstandard.ZstdCompressor().compress(records(SOME * 50).tobytes())[:-9],
        "torn, or not a zstd stream: it ends in the middle",
    ),
    "letters": ("t.csv", lambda: b"0,1\n0,2\n0,x7\n", "t.csv:3: column 2 holds 'x7', not a whole number below 2**64"),
    "too large": ("t.csv", lambda: b"0,18446744073709551616\n", "t.csv:1: column 2 holds '18446744073709551616'"),
    "negative": ("t.csv", lambda: b"0,5\n0,-5\n", "t.csv:2: column 2 holds '-5'"),
    "one column": ("t.csv", lambda: b"0,1\n5\n", "t.csv:2: no column 2: 1 in this line"),
    "one line": ("t.csv", lambda: b"1," * 80_000, "t.csv:1: a line of more than 65536 bytes"),
    "no csv": ("t.csv", lambda: b"", "no request in it"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_one_clear_line(tmp_path: Path, name: str) -> None:
    file, content, why = BROKEN[name]
    path = tmp_path / file
    path.write_bytes(content())
    with pytest.raises(TraceRejected) as refused:
        accesses(path)
    assert str(refused.value).startswith(str(path))
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_came_before_the_break_stands(tmp_path: Path) -> None:
    file = tmp_path / "t.oracleGeneral"
    file.write_bytes(records(list(range(CHUNK + 10))).tobytes()[:-1])
    stream = requests(file, "oracleGeneral")
    assert next(stream).tolist() == list(range(CHUNK))
    with pytest.raises(TraceRejected, match=f"23 bytes are left over after {CHUNK + 9} requests"):
        next(stream)


def test_a_bomb_is_expanded_in_bounds(tmp_path: Path) -> None:
    """A gigabyte of ones in 33 kB is one request after the other, never a gigabyte."""
    file = tmp_path / "t.oracleGeneral.zst"
    expander = zstandard.ZstdCompressor(level=1).compressobj()
    ones = b"\xff" * (1 << 20)
    file.write_bytes(b"".join(expander.compress(ones) for _ in range(1008)) + expander.flush())
    assert file.stat().st_size < 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    taken = sum(len(part) for part, _ in zip(requests(file, "oracleGeneral"), range(200), strict=False))
    assert taken == 200 * CHUNK
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "kB"


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({"file": "gone.csv"}, "gone.csv: no such file"),
        ({"file": "some.bin"}, "its name does not tell its format; say format: oracleGeneral or csv"),
        ({"file": "some.bin", "format": "vscsi"}, "Input should be 'oracleGeneral' or 'csv'"),
        ({"file": "some.bin", "format": "csv", "delimiter": "::"}, "at most 1 character"),
    ],
)
def test_the_experiment_file_is_told_before_any_run(tmp_path: Path, params: dict[str, Any], why: str) -> None:
    (tmp_path / "some.bin").write_bytes(b"")
    with pytest.raises(ValidationError) as refused:
        Trace.Params.model_validate(params, context={"base_dir": tmp_path})
    assert why in str(refused.value)
