"""What is said of seeds: known answers, and what must hold for any figures."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ksmlab_core.errors import BadInput
from ksmlab_core.lab import statistics

SLEEP_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
"""Student's own data, which R's manual has the answers to (`example(t.test)`)."""

figures = st.lists(st.integers(0, 2**50), min_size=2, max_size=12)


def table(*rows):
    return np.array(rows, dtype=np.float64)


def test_welch_gives_the_answer_of_the_textbook():
    """R: t = -1.8608, df = 17.776, p-value = 0.07939."""
    assert statistics.welch(table(SLEEP_1), table(SLEEP_2)) == [pytest.approx(0.07939, abs=5e-6)]


def test_the_paired_interval_gives_the_answer_of_the_textbook():
    """R, paired: 95 percent confidence interval -2.4598858 -0.7001142."""
    differences = [one - other for one, other in zip(SLEEP_1, SLEEP_2, strict=True)]
    assert statistics.half_width(differences) == pytest.approx((2.4598858 - 0.7001142) / 2, abs=1e-6)
    few = statistics.intervals(table(differences[:9]))[0]
    assert few.method == "t"
    assert few.excludes_zero


def test_ten_pairs_are_bootstrapped():
    differences = table([one - other for one, other in zip(SLEEP_1, SLEEP_2, strict=True)])
    found = statistics.intervals(differences)[0]
    assert found.method == "bootstrap"
    # Skewed data: BCa reaches further to the side of the tail than Student's t does.
    assert (found.low, found.high) == (pytest.approx(-2.63, abs=0.1), pytest.approx(-1.05, abs=0.1))
    assert statistics.intervals(differences)[0] == found


def test_many_figures_at_once_are_what_each_is_alone():
    rng = np.random.default_rng(3)
    many = rng.normal(100, 7, (40, 12)).round()
    together = statistics.intervals(many)
    alone = [statistics.intervals(row[None])[0] for row in many]
    assert [(one.low, one.high) for one in together] == [
        (pytest.approx(one.low), pytest.approx(one.high)) for one in alone
    ]


def test_one_seed_has_no_interval_and_no_test():
    assert statistics.half_width([7]) is None
    assert statistics.intervals(table([7], [8])) == [None, None]
    assert statistics.welch(table([7]), table([8])) == [None]
    assert statistics.welch(table([7, 9]), table([8])) == [None]


def test_figures_without_spread():
    assert statistics.half_width([0.1] * 3) == 0
    for seeds in (2, 12):
        still, moving = statistics.intervals(table([5] * seeds, range(seeds)))
        assert (still.low, still.high) == (5, 5)
        assert moving.low < (seeds - 1) / 2 < moving.high
    assert statistics.welch(table([5, 5], [5, 5]), table([5, 5], [6, 6])) == [None, 0]
    assert statistics.welch(table([5, 5, 5]), table([6, 7, 8]))[0] == pytest.approx(0.0742, abs=1e-4)


@pytest.mark.parametrize(("seeds", "least"), [(5, 0.92), (10, 0.88), (20, 0.91)])
def test_an_interval_holds_the_true_mean_about_as_often_as_it_says(seeds, least):
    samples = np.random.default_rng(8).normal(0, 1, (400, seeds))
    held = [one.low <= 0 <= one.high for one in statistics.intervals(samples)]
    assert sum(held) / len(held) >= least


@given(figures, st.data())
@settings(max_examples=50, deadline=None)
def test_swapping_the_sides_turns_the_sign_and_nothing_else(one, data):
    other = data.draw(st.lists(st.integers(0, 2**50), min_size=len(one), max_size=len(one)))
    a, b = table(one), table(other)
    there, back = statistics.intervals(b - a)[0], statistics.intervals(a - b)[0]
    size = max(abs(there.low), abs(there.high), 1)
    if there.method == "t":
        assert (there.low, there.high) == (pytest.approx(-back.high, abs=1e-9 * size), pytest.approx(-back.low))
    assert there.low <= there.high
    assert statistics.welch(a, b) == [pytest.approx(p) if p is not None else None for p in statistics.welch(b, a)]


@given(figures)
@settings(max_examples=50, deadline=None)
def test_what_is_identical_has_no_difference(values):
    a = table(values)
    interval = statistics.intervals(a - a)[0]
    assert (interval.low, interval.high) == (0, 0)
    assert not interval.excludes_zero
    assert statistics.welch(a, a)[0] in (None, pytest.approx(1))


def test_without_scipy_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setattr(statistics, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"pip install 'ksmlab\[stats\]'"):
        statistics.half_width([1, 2])
