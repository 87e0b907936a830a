"""The shipped scan orders on pages built by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ksmlab_core.policy import RunInfo, ScanColumns, load_registry
from ksmlab_core.policy.answers import check_order

NAMES = ["changed-last", "cold-first", "random"]


@pytest.fixture(scope="module")
def registry():
    return load_registry(autoload=False)


@pytest.fixture
def build(registry):
    def make(name, seed=1, **params):
        entry = registry.get("scan", name)
        policy = entry.cls(entry.params(**params), np.random.default_rng(seed))
        policy.started(RunInfo("r"))
        return policy

    return make


def pages(rows, *, full_scans=0, **columns):
    neutral = {name: np.zeros(rows) for name in ScanColumns.COLUMNS}
    neutral |= {"last_scanned": np.full(rows, -1), "address": np.arange(rows)}
    return ScanColumns({**neutral, **columns}, full_scans=full_scans)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rows", [0, 1, 2, 50])
@pytest.mark.parametrize("n", [1, 7, 100])
def test_one_scan_looks_at_every_page_once(build, name, rows, n):
    policy, last, looked = build(name), np.full(rows, -1), []
    while True:
        offered = pages(rows, last_scanned=last.copy())
        answer = check_order(policy, policy.order(offered, n), n, rows)
        if not len(answer):
            break
        looked += answer.tolist()
        last[answer] = 0
    assert sorted(looked) == list(range(rows))


@pytest.mark.parametrize("name", NAMES)
def test_only_the_scan_under_way_counts(build, name):
    answer = build(name).order(pages(4, last_scanned=[3, 2, -1, 3], full_scans=3), 10)
    assert sorted(answer) == [1, 2]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_stream_gives_the_same_order(build, name):
    one, two = build(name, 5), build(name, 5)
    for _ in range(3):
        assert list(one.order(pages(30), 9)) == list(two.order(pages(30), 9))


@pytest.mark.parametrize("name", ["changed-last", "cold-first"])
def test_of_equal_pages_the_first_rows_come_first(build, name):
    assert list(build(name).order(pages(6), 3)) == [0, 1, 2]


def test_random_depends_on_the_stream_alone(build):
    orders = {tuple(build("random", seed).order(pages(8), 8)) for seed in range(20)}
    assert len(orders) == 20


def test_random_prefers_no_page(build):
    policy, counts = build("random"), np.zeros(10)
    for _ in range(2000):
        counts[policy.order(pages(10), 3)] += 1
    assert counts.sum() == 6000
    assert (abs(counts - 600) < 100).all()  # five standard deviations


def test_cold_first_goes_by_last_access(build):
    assert list(build("cold-first").order(pages(3, last_access_ns=[30, 10, 20]), 2)) == [1, 2]


def test_changed_last_goes_by_changes_then_by_the_last_look(build):
    offered = pages(4, changes=[2, 0, 2, 1], stable=[False, True, True, False])
    assert list(build("changed-last").order(offered, 4)) == [1, 3, 2, 0]


def test_changed_last_may_leave_out_the_worst(build):
    offered = pages(3, changes=[255, 2, 3])
    assert list(build("changed-last", skip_above=2).order(offered, 4)) == [1]
    assert list(build("changed-last").order(offered, 4)) == [1, 2, 0]
