"""Workload `snapshot`: at each mark the simulated memory is what the snapshot found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ksmlab_plugins.workload.snapshot import Captured
from pydantic import ValidationError

from ksmlab_core.capture import format as f
from ksmlab_core.errors import CaptureRejected
from ksmlab_core.workload.events import READ, Access, Discard, Event, Exit, Idle, Map, Mark, Spawn
from ksmlab_core.workload.protocol import checked

Write = Callable[..., Path]
DATA, SAME, ZERO = f.Kind.DATA, f.Kind.SAME_FILLED, f.Kind.ZERO
SHIPPED = Path(__file__).parents[2] / "experiments" / "captures" / "quickstart.ksmcap"


def workload(file: Path, seed: int = 1, **params: Any) -> Captured:
    """The workload on a file."""
    chosen = Captured.Params(capture=file.name, **params)
    return Captured(chosen, np.random.default_rng(seed), file.parent)


def stream(file: Path, seed: int = 1, **params: Any) -> list[Event]:
    """All its events, checked, with as many accesses as it said."""
    made = workload(file, seed, **params)
    events = list(checked("snapshot", made.events()))
    assert sum(len(event) for event in events if isinstance(event, Access)) == made.duration_hint()
    return events


class Machine:
    """The simplest machine: remembers what was written where."""

    def __init__(self) -> None:
        self.areas: list[tuple[str, dict[int, int]]] = []
        self.alive: set[str] = set()
        self.reads_of_nothing = 0
        self.at: dict[str, dict[str, dict[int, int]]] = {}

    def run(self, events: list[Event]) -> Machine:
        """Carry the events out."""
        for event in events:
            if isinstance(event, Spawn):
                self.alive.add(event.process)
            elif isinstance(event, Map):
                self.areas.append((event.process, {}))
            elif isinstance(event, Exit):
                self.alive.remove(event.process)
            elif isinstance(event, Access):
                self._access(event)
            elif isinstance(event, Mark):
                memory = {name: dict(pages) for name, pages in self.areas if name in self.alive}
                self.at[event.label] = memory
        return self

    def _access(self, event: Access) -> None:
        for area, page, content in zip(event.area.tolist(), event.page.tolist(), event.content.tolist(), strict=True):
            pages = self.areas[area][1]
            if content == READ:
                self.reads_of_nothing += page not in pages
            else:
                pages[page] = content


CONTENTS = st.one_of(
    st.just((ZERO, 0)),
    st.tuples(st.just(DATA), st.integers(100, 108)),
    st.tuples(st.just(SAME), st.integers(1, 2)),
)
MEMORY = st.dictionaries(st.integers(0, 60), CONTENTS, max_size=25)


@st.composite
def captures(draw: st.DrawFn) -> list[list[Any]]:
    """Snapshots of two processes; the second may exit."""
    count = draw(st.integers(1, 4))
    first = [draw(MEMORY) for _ in range(count)]
    second: list[Any] = [draw(MEMORY) for _ in range(draw(st.integers(1, count)))]
    second += [f.State.EXITED] * (count - len(second))
    return [list(pair) for pair in zip(first, second, strict=True)]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(captures(), st.integers(0, 2), st.floats(0, 3))
def test_memory_is_what_was_captured(
    write_capture: Write, snapshots: list[list[Any]], rewrites: int, reads: float
) -> None:
    events = stream(write_capture(snapshots), rewrites=rewrites, reads=reads)
    machine = Machine().run(events)
    assert machine.reads_of_nothing == 0
    numbers: dict[Any, int] = {}
    for number, processes in enumerate(snapshots, 1):
        memory = machine.at[f"snapshot-{number}"]
        for position, found in enumerate(processes):
            name = "ab"[position]
            assert (name in memory) == (isinstance(found, dict) and any(p[position] for p in snapshots[:number]))
            order = sorted({page for p in snapshots if isinstance(p[position], dict) for page in p[position]})
            for page, content in (found if isinstance(found, dict) else {}).items():
                held = memory[name][order.index(page)]
                assert numbers.setdefault(content, held) == held
                assert (held == 0) == (content[0] is ZERO)
    assert len(set(numbers.values())) == len(numbers)


@pytest.fixture
def busy(write_capture: Write) -> Path:
    """Two processes of 200 and 100 pages, of which 20 of the first change each time."""
    other = {page * 3: (DATA, page) for page in range(100)}
    history = []
    for number in range(5):
        one = {page: (DATA, page + (10_000 * number if page < 20 else 0)) for page in range(200)}
        history.append([one, other])
    return write_capture(history)


def interval(events: list[Event], number: int) -> list[Access]:
    """The accesses that lead to one snapshot."""
    labels = [event.label if isinstance(event, Mark) else "" for event in events]
    start, end = labels.index(f"snapshot-{number - 1}"), labels.index(f"snapshot-{number}")
    return [event for event in events[start:end] if isinstance(event, Access)]


def test_writes_are_what_changed_and_reads_are_the_model(busy: Path) -> None:
    accesses = interval(stream(busy, reads=10, hot=0.1, hot_reads=0.75), 3)
    area, page, content = (
        np.concatenate([getattr(part, column) for part in accesses]) for column in ("area", "page", "content")
    )
    writes = content != READ
    assert sorted(page[writes & (area == 0)].tolist()) == list(range(20))
    assert not (writes & (area == 1)).any()
    reads = np.bincount(page[~writes & (area == 0)], minlength=200)
    assert reads.sum() == 2000
    assert reads[:20].sum() > 0.6 * 2000
    others = np.sort(np.bincount(page[~writes & (area == 1)], minlength=100))
    assert others.sum() == 1000
    assert others[-10:].sum() > 0.7 * 1000


def test_the_hot_pages_stay_the_same(busy: Path) -> None:
    events = stream(busy, reads=20, hot=0.05, hot_reads=0.9)
    favourites = []
    for number in (2, 3, 4):
        parts = interval(events, number)
        page = np.concatenate([part.page[part.area == 1] for part in parts])
        favourites.append(set(np.argsort(np.bincount(page, minlength=100))[-5:].tolist()))
    assert favourites[0] == favourites[1] == favourites[2]


def test_accesses_are_spread_over_the_interval(busy: Path) -> None:
    accesses = interval(stream(busy, reads=1), 2)
    assert sum(map(len, accesses)) == 320
    assert {part.gap_ns for part in accesses} == {10**9 // 320}
    slower = interval(stream(busy, reads=1, interval="32s"), 2)
    assert {part.gap_ns for part in slower} == {10**8}
    writes = np.flatnonzero(np.concatenate([part.content for part in accesses]) != READ)
    assert writes.min() < 80
    assert writes.max() > 240


def test_an_interval_without_accesses_is_a_rest(write_capture: Write) -> None:
    events = stream(write_capture([[{1: (DATA, 1)}]] * 2), reads=0)
    assert Idle(10**9) in events


def test_rewrites_are_passing_and_the_last_one_counts(busy: Path) -> None:
    once, often = (stream(busy, reads=0, rewrites=rewrites) for rewrites in (0, 3))
    assert Machine().run(once).at["snapshot-5"] == Machine().run(often).at["snapshot-5"]
    contents = np.concatenate([part.content for part in interval(often, 2)])
    assert len(contents) == 80
    assert len(set(contents.tolist())) == 80


def test_one_that_comes_later_and_one_that_goes(write_capture: Write) -> None:
    late = {4: (DATA, 4)}
    history = [[{1: (DATA, 1)}, {}], [{1: (DATA, 1)}, late], [f.State.EXITED, late]]
    kinds = [event for event in stream(write_capture(history), reads=0) if not isinstance(event, Access | Idle)]
    assert kinds == [
        Spawn("a"),
        Map("a", "anon", 1),
        Mark("fill"),
        Mark("snapshot-1"),
        Spawn("b"),
        Map("b", "anon", 1),
        Mark("snapshot-2"),
        Exit("a"),
        Mark("snapshot-3"),
    ]


def test_pages_given_back_are_given_back_at_the_end_of_the_interval(write_capture: Write) -> None:
    history = [[{1: (DATA, 1), 5: (DATA, 2), 9: (DATA, 3)}], [{5: (DATA, 7)}]]
    events = stream(write_capture(history), reads=0)
    given_back = [event for event in events if isinstance(event, Discard)]
    assert [(event.area, event.page.tolist()) for event in given_back] == [(0, [0, 2])]
    assert events[-1] == Mark("snapshot-2")
    assert events[-2] is given_back[0]


def test_the_stream_is_the_seed_and_the_parameters(busy: Path) -> None:
    first, again, other = (
        np.concatenate([part.page for part in stream(busy, seed) if isinstance(part, Access)]) for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CaptureRejected, match=r"missing\.ksmcap: No such file"):
        workload(tmp_path / "missing.ksmcap")


@pytest.mark.parametrize(
    "params", [{}, {"capture": 3}, {"capture": "x", "reads": -1}, {"capture": "x", "file": "y"}], ids=range(4)
)
def test_parameters_without_meaning_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Captured.Params(**params)


def test_the_shipped_capture_is_whole_and_small() -> None:
    assert SHIPPED.stat().st_size < 3 << 20
    events = stream(SHIPPED, reads=0.5)
    names = [event.process for event in events if isinstance(event, Spawn)]
    assert names == ["web", "web-2", "web-3", "sqlite", "sqlite-2", "numpy", "compile", "node"]
    assert sum(event.pages for event in events if isinstance(event, Map)) < 100_000
    assert [event.label for event in events if isinstance(event, Mark)][-1] == "snapshot-10"
