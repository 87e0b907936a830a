"""Drawing by popularity: the right chances, and the same numbers everywhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmlab_core.workload.sampling import AliasTable, zipf_weights


def chances(table: AliasTable, n: int) -> list[float]:
    """The chance of each number, read off the table."""
    keep, alias = table._keep / 2.0**32, table._pairs[0::2]
    chance = keep.copy()
    np.add.at(chance, alias, 1.0 - keep)
    return (chance / n).tolist()


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60).filter(lambda weights: sum(weights) > 1e-3))
def test_chances_are_the_weights(weights: list[float]) -> None:
    expected = [weight / math.fsum(weights) for weight in weights]
    assert chances(AliasTable(weights), len(weights)) == pytest.approx(expected, abs=1e-8)


def test_chances_of_a_long_zipf_law() -> None:
    weights = zipf_weights(50_000, 1.1)
    assert chances(AliasTable(weights), 50_000) == pytest.approx((weights / weights.sum()).tolist(), abs=1e-9)


@pytest.mark.parametrize("skew", [0.0, 0.5, 0.99, 1.0, 1.3, 2.0, 7.75])
def test_zipf_weights_follow_the_law(skew: float) -> None:
    weights = zipf_weights(1000, skew)
    assert weights.tolist() == pytest.approx([rank**-skew for rank in range(1, 1001)], rel=1e-5)


def test_draws_come_out_in_proportion() -> None:
    drawn = AliasTable([6, 3, 1, 0]).draw(np.random.default_rng(1), 100_000)
    assert drawn.dtype == np.int32
    counts = np.bincount(drawn, minlength=4)
    assert counts[3] == 0
    assert counts[:3].tolist() == pytest.approx([60_000, 30_000, 10_000], abs=600)


def test_draws_are_the_same_on_every_machine() -> None:
    drawn = AliasTable(zipf_weights(1000, 0.99)).draw(np.random.default_rng(7), 8)
    assert drawn.tolist() == [4, 32, 12, 0, 300, 26, 6, 17]


@pytest.mark.parametrize("weights", [[], [0.0], [1.0, -1.0], [float("nan")], [float("inf"), 1.0], [[1.0]]])
def test_weights_without_meaning_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        AliasTable(weights)
