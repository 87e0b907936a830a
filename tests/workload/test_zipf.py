"""Workload `zipf`: exact shares of contents, the right accesses, one random stream."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from ksmlab_plugins.workload.zipf import Zipf
from pydantic import ValidationError

from ksmlab_core.workload.content import ZERO
from ksmlab_core.workload.events import CHUNK, READ, TOUCH, Access, Event, Idle, Map, Mark
from ksmlab_core.workload.protocol import checked


def stream(seed: int = 1, **params: Any) -> list[Event]:
    """All events, checked."""
    workload = Zipf(Zipf.Params(**params), np.random.default_rng(seed))
    return list(checked("zipf", workload.events()))


def phases(events: list[Event]) -> dict[str, np.ndarray]:
    """Per phase the accesses: rows of area, page, content."""
    found: dict[str, list[np.ndarray]] = {}
    label = ""
    for event in events:
        if isinstance(event, Mark):
            label = event.label
            found[label] = [np.empty((3, 0), np.int64)]
        elif isinstance(event, Access):
            found[label].append(np.stack((event.area, event.page, event.content)))
    return {label: np.concatenate(parts, axis=1) for label, parts in found.items()}


def test_the_fill_holds_exactly_the_mix_asked_for() -> None:
    events = stream(processes=4, pages=100, zero=0.1, shared=0.5, volatile=0.2, accesses=0)
    area, page, content = phases(events)["fill"]
    assert area.tolist() == [process for process in range(4) for _ in range(100)]
    assert page.tolist() == list(range(100)) * 4
    copies = Counter(content.tolist())
    assert copies.pop(ZERO) == 40
    assert Counter(copies.values()) == {4: 50, 1: 4 * 40}
    for process in range(4):
        assert Counter(content[area == process].tolist()) == {ZERO: 10} | dict.fromkeys(
            (c for c in content[area == process].tolist() if c), 1
        )


def test_fewer_groups_make_copies_within_a_process() -> None:
    events = stream(processes=3, pages=50, zero=0, shared=1, volatile=0, groups=10, accesses=0)
    content = phases(events)["fill"][2]
    assert Counter(Counter(content.tolist()).values()) == {15: 10}


def test_without_shares_every_page_is_its_own() -> None:
    events = stream(processes=2, pages=30, zero=0, shared=0, volatile=0, accesses=0)
    assert len(set(phases(events)["fill"][2].tolist())) == 60


def test_shares_that_round_up_never_exceed_the_pages() -> None:
    events = stream(processes=1, pages=3, zero=0.5, shared=0.5, volatile=0, accesses=10)
    assert len(phases(events)["fill"][2]) == 3


def test_volatile_rewrites_go_to_volatile_pages_only() -> None:
    params = {"processes": 2, "pages": 40, "zero": 0.25, "shared": 0.25, "volatile": 0.25}
    events = stream(**params, volatile_rate=1, write_ratio=0, accesses=5000)
    area, page, content = phases(events)["run"]
    assert len(set(zip(area.tolist(), page.tolist(), strict=True))) == 2 * 10
    filled = phases(events)["fill"][2]
    assert len(set(content.tolist()) | set(filled.tolist())) == 5000 + len(set(filled.tolist()))
    held = {(a, p): c for a, p, c in phases(events)["fill"].T.tolist()}
    copies = Counter(held.values())
    assert all(copies[held[place]] == 1 for place in zip(area.tolist(), page.tolist(), strict=True))


@pytest.mark.parametrize(("write_ratio", "touch", "kinds"), [(0, 0, {READ}), (1, 1, {TOUCH}), (1, 0, {"new"})])
def test_writes_at_the_ends_of_the_scale(write_ratio: float, touch: float, kinds: set[object]) -> None:
    run = phases(stream(volatile_rate=0, write_ratio=write_ratio, touch=touch, accesses=3000))["run"]
    assert {content if content < 0 else "new" for content in run[2].tolist()} == kinds


def test_writes_come_in_proportion() -> None:
    run = phases(stream(accesses=200_000, write_ratio=0.3, touch=0.25, volatile_rate=0.1))["run"]
    counted = Counter("read" if c == READ else "touch" if c == TOUCH else "new" for c in run[2].tolist())
    assert counted["read"] == pytest.approx(120_000, abs=1500)
    assert counted["touch"] == pytest.approx(15_000, abs=800)
    assert counted["new"] == pytest.approx(65_000, abs=1300)


def test_popularity_is_the_same_in_every_process() -> None:
    run = phases(stream(processes=2, pages=64, skew=1.5, volatile_rate=0, accesses=60_000))["run"]
    favourites = [Counter(run[1][run[0] == area].tolist()).most_common(3) for area in (0, 1)]
    assert [page for page, _ in favourites[0]] == [page for page, _ in favourites[1]]


def test_the_stream_is_the_seed_and_the_parameters() -> None:
    first, again, other = (phases(stream(seed, accesses=2000)) for seed in (1, 1, 2))
    for label in ("fill", "run"):
        assert (first[label] == again[label]).all()
        assert (first[label] != other[label]).any()


def test_chunks_hint_gap_and_rest() -> None:
    params = Zipf.Params(processes=2, pages=100, accesses=CHUNK + 5, gap="3us", settle="1s")
    workload = Zipf(params, np.random.default_rng(1))
    events = list(checked("zipf", workload.events()))
    accesses = [event for event in events if isinstance(event, Access)]
    assert sum(map(len, accesses)) == workload.duration_hint() == 200 + CHUNK + 5
    assert {event.gap_ns for event in accesses} == {3000}
    assert Idle(10**9) in events
    assert [event.pages for event in events if isinstance(event, Map)] == [100, 100]


def test_events_are_made_when_they_are_asked_for() -> None:
    events = Zipf(Zipf.Params(processes=1, pages=10, accesses=10**12), np.random.default_rng(1)).events()
    assert sum(isinstance(event, Access) for event in (next(events) for _ in range(12))) >= 5


@pytest.mark.parametrize(
    ("params", "fault"),
    [
        ({"zero": 0.5, "shared": 0.6}, "add up to more than 1"),
        ({"write_ratio": 0.9, "volatile_rate": 0.2}, "add up to more than 1"),
        ({"processes": 0}, "greater than or equal to 1"),
        ({"pages": 0}, "greater than or equal to 1"),
        ({"skew": -1}, "greater than or equal to 0"),
        ({"gap": "3"}, "a duration is"),
        ({"page": 3}, "Extra inputs"),
    ],
)
def test_parameters_without_meaning_are_refused(params: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        Zipf.Params(**params)
