"""The shipped reclaim policies on frames built by hand, and beside naive versions of the same rules."""

from __future__ import annotations

import numpy as np
import pytest

from ksmlab_core.policy import FrameColumns, Outcome, RunInfo, load_registry
from ksmlab_core.policy.answers import check_victims

IN_ORDER = ["clock", "fifo", "ksm-aware", "ksm-first", "ksm-last", "lru"]
NAMES = [*IN_ORDER, "random"]


@pytest.fixture(scope="module")
def registry():
    return load_registry(autoload=False)


@pytest.fixture
def build(registry):
    def make(name, **params):
        entry = registry.get("reclaim", name)
        policy = entry.cls(entry.params(**params), np.random.default_rng(3))
        policy.started(RunInfo("r", frames=64))
        return policy

    return make


def frames(index, *, now_ns=1000, **columns):
    """Frames with everything that was not given at a neutral value."""
    rows = len(index)
    neutral = {name: np.zeros(rows) for name in FrameColumns.COLUMNS if name != "next_access"}
    neutral |= {"sharers": np.ones(rows), "mapcount": np.ones(rows), "inserted": np.arange(rows)}
    return FrameColumns({**neutral, **columns, "index": index}, now_ns=now_ns)


def random_frames(rng, rows, now_ns=10**9):
    return frames(
        np.sort(rng.permutation(4 * rows + 1)[:rows]),
        now_ns=now_ns,
        last_access_ns=rng.integers(max(now_ns, 1), size=rows),
        inserted=rng.permutation(rows),
        sharers=rng.integers(1, 9, size=rows),
        dirty=rng.integers(2, size=rows),
        ksm=rng.integers(2, size=rows),
        swapcache=rng.integers(2, size=rows),
    )


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_legal_at_every_size(build, name):
    rng = np.random.default_rng(1)
    for rows in (0, 1, 2, 33):
        for n in (1, 2, 32, 100):
            policy, offered = build(name), random_frames(rng, rows)
            answer = policy.victims(offered, n)
            assert len(check_victims(policy, answer, n, offered.index)) == min(n, rows)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_questions_get_the_same_answers(build, name):
    answers = []
    for _ in range(2):
        rng, policy, told = np.random.default_rng(2), build(name), []
        for step in range(6):
            victims = policy.victims(random_frames(rng, 20, 1000 * step), 5)
            policy.reclaimed(victims, np.full(5, step % 9, dtype=np.int8))
            told.append(victims.tolist())
        answers.append(told)
    assert answers[0] == answers[1]


@pytest.mark.parametrize("name", IN_ORDER)
def test_of_equal_frames_the_first_rows_go(build, name):
    offered = frames([3, 5, 8, 9], inserted=[0, 0, 0, 0])
    assert list(build(name).victims(offered, 2)) == [3, 5]


@pytest.mark.parametrize("name", ["fifo", "ksm-aware", "ksm-first", "ksm-last", "lru"])
def test_a_page_that_stayed_waits_for_its_turn(build, name):
    policy = build(name)
    offered = frames([3, 5, 8], last_access_ns=[10, 20, 30])
    assert list(policy.victims(offered, 1)) == [3]
    policy.reclaimed(np.array([3], dtype=np.int32), np.array([Outcome.UNMAPPED], dtype=np.int8))
    later = frames([3, 5, 8], last_access_ns=[10, 20, 30], now_ns=2000)
    assert list(policy.victims(later, 3)) == [5, 8, 3]


@pytest.mark.parametrize("name", IN_ORDER)
def test_pages_that_all_stay_are_named_in_turn(build, name):
    policy, named = build(name), []
    for step in range(1, 5):
        victims = policy.victims(frames([3, 5, 8, 9, 11, 12], now_ns=1000 * step), 3)
        policy.reclaimed(victims, np.full(3, Outcome.PINNED, dtype=np.int8))
        named.append(sorted(victims.tolist()))
    assert named == [[3, 5, 8], [9, 11, 12]] * 2


@pytest.mark.parametrize("name", ["fifo", "ksm-aware", "ksm-first", "ksm-last", "lru"])
def test_a_reused_frame_does_not_inherit_that(build, name):
    policy = build(name)
    policy.victims(frames([3, 5], last_access_ns=[10, 20]), 1)
    policy.reclaimed(np.array([3], dtype=np.int32), np.array([Outcome.FREED], dtype=np.int8))
    later = frames([3, 5], inserted=[7, 9], last_access_ns=[400, 500], now_ns=600)
    assert list(policy.victims(later, 1)) == [3]


def test_fifo_goes_by_arrival_and_ignores_use(build):
    offered = frames([1, 2, 3], inserted=[9, 4, 6], last_access_ns=[1, 999, 5])
    assert list(build("fifo").victims(offered, 2)) == [2, 3]


def test_lru_goes_by_last_access(build):
    offered = frames([1, 2, 3], inserted=[1, 2, 3], last_access_ns=[40, 10, 20])
    assert list(build("lru").victims(offered, 3)) == [2, 3, 1]


def test_ksm_aware_spares_what_many_share(build):
    offered = frames([1, 2], sharers=[40, 1], last_access_ns=[100, 800])
    assert list(build("ksm-aware").victims(offered, 1)) == [2]
    assert list(build("ksm-aware", sharer_weight=0).victims(offered, 1)) == [1]


def test_ksm_aware_gives_up_a_shared_frame_that_lies_idle_long_enough(build):
    offered = frames([1, 2], sharers=[4, 1], last_access_ns=[0, 800])
    assert list(build("ksm-aware").victims(offered, 1)) == [1]


def test_ksm_aware_prefers_what_need_not_be_written(build):
    offered = frames([1, 2, 3], dirty=[True, False, False], swapcache=[True, False, True])
    assert list(build("ksm-aware").victims(offered, 1)) == [3]
    assert list(build("ksm-aware", write_weight=0).victims(offered, 1)) == [1]


def test_ksm_aware_can_be_told_to_spare_ksm_pages(build):
    offered = frames([1, 2], ksm=[True, False], last_access_ns=[100, 200])
    assert list(build("ksm-aware").victims(offered, 1)) == [1]
    assert list(build("ksm-aware", ksm_weight=5).victims(offered, 1)) == [2]


def test_ksm_aware_without_weights_is_lru(build):
    rng = np.random.default_rng(5)
    weightless = {"sharer_weight": 0, "write_weight": 0}
    for _ in range(20):
        offered = random_frames(rng, 50)
        assert list(build("ksm-aware", **weightless).victims(offered, 50)) == list(build("lru").victims(offered, 50))


def test_ksm_pages_last_or_first_and_by_last_access_among_equals(build):
    offered = frames([1, 2, 3, 4], ksm=[True, False, True, False], last_access_ns=[40, 30, 20, 90])
    assert list(build("ksm-last").victims(offered, 4)) == [2, 4, 3, 1]
    assert list(build("ksm-first").victims(offered, 4)) == [3, 1, 2, 4]
    assert list(build("ksm-last").victims(offered, 3)) == [2, 4, 3]


def test_without_ksm_pages_either_end_is_lru(build):
    rng = np.random.default_rng(6)
    for _ in range(10):
        offered = random_frames(rng, 40)
        offered = frames(offered.index, last_access_ns=offered.last_access_ns, now_ns=offered.now_ns)
        want = list(build("lru").victims(offered, 40))
        assert list(build("ksm-last").victims(offered, 40)) == list(build("ksm-first").victims(offered, 40)) == want


def test_random_takes_each_page_as_often_as_any_other(build):
    """4,000 draws of 3 out of 12: each expected 1,000 times, deviation 27."""
    policy, times = build("random"), np.zeros(12, int)
    for _ in range(4000):
        times[policy.victims(frames(np.arange(12)), 3)] += 1
    assert times.sum() == 12_000
    assert (np.abs(times - 1000) < 5 * 28).all()


def test_clock_gives_a_second_chance_and_goes_on_from_there(build):
    policy = build("clock")
    offered = {"index": [1, 2, 3, 4], "inserted": [0, 1, 2, 3]}
    first = frames(**offered, last_access_ns=[10, 10, 10, 10], now_ns=100)
    assert list(policy.victims(first, 1)) == [1]  # all used: a whole turn, then the first
    used = frames(**offered, last_access_ns=[10, 150, 10, 10], now_ns=200)
    assert list(policy.victims(used, 1)) == [3]  # the hand stands at 2, which was used since
    assert list(policy.victims(frames(**offered, last_access_ns=[10, 150, 10, 10], now_ns=300), 3)) == [
        4,
        1,
        2,
    ]


def test_clock_takes_the_arrival_in_a_reused_frame_for_a_use(build):
    policy = build("clock")
    policy.victims(frames([1, 2], last_access_ns=[10, 10], now_ns=100), 1)
    reused = frames([1, 2], inserted=[0, 5], last_access_ns=[10, 50], now_ns=200)
    assert list(policy.victims(reused, 1)) == [1]


class NaiveClock:
    """One frame at a time, as the textbook has it."""

    def __init__(self):
        self.hand, self.passed = 0, {}

    def victims(self, offered, n):
        rows = sorted(range(len(offered)), key=lambda row: offered.index[row])
        rows = [r for r in rows if offered.index[r] >= self.hand] + [r for r in rows if offered.index[r] < self.hand]
        taken = []
        while len(taken) < min(n, len(rows)):
            for row in rows:
                page = (int(offered.index[row]), int(offered.inserted[row]))
                if page in taken:
                    continue
                if offered.last_access_ns[row] > self.passed.get(page, -1):
                    self.passed[page] = offered.now_ns
                    continue
                taken.append(page)
                self.hand = page[0] + 1
                if len(taken) == n:
                    break
        return [frame for frame, _ in taken]


@pytest.mark.parametrize("n", [1, 3, 10, 40])
def test_clock_equals_the_naive_clock(build, n):
    rng, policy, naive = np.random.default_rng(n), build("clock"), NaiveClock()
    frame, serial = np.sort(rng.permutation(60)[:30]), np.arange(30)
    access = np.zeros(30, dtype=np.int64)
    for step in range(1, 60):
        touched = rng.integers(30, size=8)
        access[touched] = 100 * step - 50
        offered = frames(frame, inserted=serial.copy(), last_access_ns=access.copy(), now_ns=100 * step)
        victims = list(policy.victims(offered, n))
        assert victims == naive.victims(offered, n)
        gone = np.isin(frame, victims[: n // 2 + 1])  # the rest could not be reclaimed
        serial[gone] = 30 * step + np.flatnonzero(gone)
        access[gone] = 100 * step + 10


def test_clock_does_not_need_frames_in_order(build):
    offered = frames([9, 2, 5], last_access_ns=[0, 0, 0])
    assert list(build("clock").victims(offered, 3)) == [2, 5, 9]
