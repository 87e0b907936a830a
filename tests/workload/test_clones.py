"""Workload `clones`: one image, exact drift, storms in which all machines take turns."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from ksmlab_plugins.workload.clones import Clones, _burst_order
from pydantic import ValidationError

from ksmlab_core.workload.content import ZERO
from ksmlab_core.workload.events import READ, TOUCH, Access, Event, Idle, Mark
from ksmlab_core.workload.protocol import checked

QUIET = {"idle_rate": 0, "update": 0, "drift": 0}


def run(seed: int = 1, **params: Any) -> dict[str, list[Event]]:
    """Checked events by phase."""
    workload = Clones(Clones.Params(**params), np.random.default_rng(seed))
    found: dict[str, list[Event]] = {"": []}
    label = ""
    for event in checked("clones", workload.events()):
        if isinstance(event, Mark):
            label = event.label
            found[label] = []
        else:
            found[label].append(event)
    accesses = sum(len(event) for phase in found.values() for event in phase if isinstance(event, Access))
    assert accesses == workload.duration_hint()
    return found


def columns(phase: list[Event]) -> np.ndarray:
    """Rows of area, page, content."""
    parts = [np.stack((e.area, e.page, e.content)) for e in phase if isinstance(e, Access)]
    return np.concatenate([np.empty((3, 0), np.int64), *parts], axis=1)


def test_the_boot_gives_image_zero_and_own_pages() -> None:
    area, page, content = columns(run(machines=3, pages=100, image=0.6, zero=0.3, burst=7)["boot"])
    for machine in range(3):
        assert page[area == machine].tolist() == list(range(100))
        assert (content[(area == machine) & (page >= 60) & (page < 90)] == ZERO).all()
    copies = Counter(content.tolist())
    assert copies.pop(ZERO) == 90
    assert Counter(copies.values()) == {3: 60, 1: 30}


def test_machines_take_turns_by_bursts() -> None:
    area, _, _ = columns(run(machines=2, pages=10, burst=4)["boot"])
    assert area.tolist() == [0] * 4 + [1] * 4 + [0] * 4 + [1] * 4 + [0] * 2 + [1] * 2


@pytest.mark.parametrize(("machines", "length", "burst"), [(1, 5, 2), (3, 7, 3), (2, 4, 9), (4, 8, 1)])
def test_turns_leave_nothing_out(machines: int, length: int, burst: int) -> None:
    order = _burst_order(machines, length, burst)
    assert sorted(order.tolist()) == list(range(machines * length))
    for machine in range(machines):
        mine = [place for place in order.tolist() if place // length == machine]
        assert mine == sorted(mine)


def test_an_update_is_the_same_in_every_machine_and_drift_is_not() -> None:
    params = {"machines": 4, "pages": 200, "image": 0.5, "idle_rate": 0}
    update = columns(run(**params, update=0.1, drift=0)["idle-1"])
    assert Counter(Counter(update[2].tolist()).values()) == {4: 10}
    drift = columns(run(**params, update=0, drift=0.2)["idle-1"])
    assert Counter(Counter(drift[2].tolist()).values()) == {1: 4 * 20}
    for found in (update, drift):
        assert (found[1] < 100).all()


def test_each_cycle_updates_to_something_new() -> None:
    found = run(machines=2, pages=50, cycles=2, update=1, drift=0, idle_rate=0)
    first, second = (set(columns(found[label])[2].tolist()) for label in ("idle-1", "idle-2"))
    assert not first & second


def test_an_idle_machine_stays_in_its_working_set() -> None:
    found = columns(
        run(machines=3, pages=100, idle="2s", idle_rate=500, idle_set=0.05, idle_writes=0.25, update=0, drift=0)[
            "idle-1"
        ]
    )
    for machine in range(3):
        assert len(set(found[1][found[0] == machine].tolist())) == 5
        assert (found[0] == machine).sum() == 1000
    assert (found[2] != READ).sum() == pytest.approx(750, abs=100)


def test_the_wake_up_touches_each_page_once() -> None:
    area, page, content = columns(run(machines=3, pages=100, wake_set=0.7, wake_writes=1, touch=1)["wake-1"])
    for machine in range(3):
        assert len(set(page[area == machine].tolist())) == (area == machine).sum() == 70
    assert set(content.tolist()) == {TOUCH}


def test_phases_last_as_long_as_they_say() -> None:
    found = run(machines=2, pages=64, boot="1280ms", wake="1s", wake_set=0.5, **QUIET, idle="5s")
    assert {event.gap_ns for event in found["boot"] if isinstance(event, Access)} == {10**7}
    assert {event.gap_ns for event in found["wake-1"] if isinstance(event, Access)} == {10**9 // 64}
    assert found["idle-1"] == [Idle(5 * 10**9)]


def test_many_machines_in_several_chunks() -> None:
    area, page, _ = columns(run(machines=300, pages=500, burst=64, cycles=0)["boot"])
    assert len(set((area * 500 + page).tolist())) == 300 * 500


def test_the_stream_is_the_seed_and_the_parameters() -> None:
    first, again, other = (columns(run(seed)["wake-1"]) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize(
    ("params", "fault"),
    [
        ({"image": 0.8, "zero": 0.3}, "add up to more than 1"),
        ({"machines": 0}, "greater than or equal to 1"),
        ({"idle": "forever"}, "a duration is"),
        ({"clones": 3}, "Extra inputs"),
    ],
)
def test_parameters_without_meaning_are_refused(params: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        Clones.Params(**params)
