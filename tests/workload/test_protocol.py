"""The checker of streams: what is allowed flows through, everything else names its fault."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from ksmlab_core.errors import PolicyFault
from ksmlab_core.workload.events import (
    CHUNK,
    READ,
    TOUCH,
    Access,
    Discard,
    Event,
    Exit,
    Idle,
    Map,
    Mark,
    Spawn,
    chunked,
)
from ksmlab_core.workload.protocol import checked

START = [Spawn("p"), Map("p", "heap", 4), Spawn("q"), Map("q", "heap", 2)]


def access(area: Sequence[int], page: Sequence[int], content: Sequence[int], gap_ns: int = 0) -> Access:
    """An access of the right types."""
    return Access(np.array(area, np.int32), np.array(page, np.int32), np.array(content, np.int64), gap_ns)


def test_a_proper_stream_passes_unchanged() -> None:
    stream: list[Event] = [
        *START,
        Mark("run"),
        access([0, 1, 0], [3, 1, 0], [READ, TOUCH, 0]),
        access([], [], []),
        Idle(0),
        Exit("p"),
        Spawn("p"),
        Map("p", "heap", 1),
        access([2, 1], [0, 0], [5, READ]),
    ]
    assert list(checked("w", stream)) == stream


@pytest.mark.parametrize(
    ("event", "fault"),
    [
        (Spawn("p"), "spawns 'p', which is alive"),
        (Map("r", "heap", 1), "maps into 'r', which is not alive"),
        (Map("p", "heap", 1), "maps 'heap' twice"),
        (Map("p", "stack", 0), "maps 0 pages"),
        (Exit("r"), "ends 'r'"),
        (Idle(-1), "rests for -1 ns"),
        ("nonsense", "gave str"),
        (access([2], [0], [READ]), "area 2, never mapped"),
        (access([-1], [0], [READ]), "area -1, never mapped"),
        (access([1], [2], [READ]), "page 2 of area 1, which has 2 pages"),
        (access([0], [-1], [READ]), "page -1 of area 0"),
        (access([0], [0], [-3]), "writes content -3"),
        (access([0], [0], [READ], -1), "a gap of -1 ns"),
        (Discard(7, np.array([0], np.int32)), "gives back pages of area 7, never mapped"),
        (Discard(1, np.array([1, 2], np.int32)), "gives back page 2 of area 1, which has 2 pages"),
        (Discard(1, np.array([1, 0], np.int32)), "not strictly ascending"),
        (Discard(1, np.array([1])), "as int64, not int32"),
        (access([0, 0], [0], [READ]), "unequal length"),
        (Access(*access([0], [0], [0]).area.reshape(1, 1).repeat(3, 0).astype(np.int64)), "types int64"),
        (access([0] * (CHUNK + 1), [0] * (CHUNK + 1), [0] * (CHUNK + 1)), "at most 65536"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_fault_is_named(event: Any, fault: str) -> None:
    with pytest.raises(PolicyFault, match=r"policy 'w' \(workload\)") as caught:
        list(checked("w", [*START, event]))
    assert fault in str(caught.value)


def test_areas_of_an_exited_process_are_gone() -> None:
    with pytest.raises(PolicyFault, match="area 0, whose process has exited"):
        list(checked("w", [*START, Exit("p"), access([0], [0], [READ])]))


def test_many_areas_are_followed() -> None:
    maps = [Map("p", f"area{n}", n + 1) for n in range(100)]
    stream = [Spawn("p"), *maps, access(range(100), range(100), [READ] * 100)]
    assert len(list(checked("w", stream))) == 102


def test_long_columns_are_cut() -> None:
    cut = list(chunked(3, np.arange(10), READ, gap_ns=7, chunk=4))
    assert [len(part) for part in cut] == [4, 4, 2]
    assert np.concatenate([part.page for part in cut]).tolist() == list(range(10))
    assert {(part.gap_ns, part.area.dtype.name, part.content.dtype.name) for part in cut} == {(7, "int32", "int64")}
    assert list(checked("w", [Spawn("p"), *[Map("p", str(n), 10) for n in range(4)], *cut]))
