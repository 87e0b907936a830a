"""Content numbers: families apart, one-to-one within, the same for one as for many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmlab_core.workload.content import ZERO, content_id, content_ids

NUMBERS = st.integers(0, 2**63 - 1)


@given(st.text(max_size=8), st.lists(NUMBERS, min_size=1, max_size=4))
def test_one_is_what_many_give(family: str, numbers: list[int]) -> None:
    many = content_ids(family, [numbers[-1]], within=tuple(numbers[:-1]))
    assert content_id(family, *numbers) == int(many[0])


@given(st.lists(NUMBERS, unique=True, max_size=200))
def test_different_numbers_give_different_contents(numbers: list[int]) -> None:
    ids = content_ids("f", np.array(numbers, np.uint64))
    assert len(set(ids.tolist())) == len(numbers)
    assert ids.dtype == np.int64
    assert (ids > ZERO).all()


def test_families_and_leading_numbers_keep_apart() -> None:
    made = [content_id("a"), content_id("b"), content_id("a", 0), content_id("a", 0, 0), content_id("b", 0)]
    made += [content_id("a", 1, 0), content_id("a", 0, 1), content_id("ab", 0)]
    assert len(set(made)) == len(made)


def test_numbers_are_the_same_on_every_machine() -> None:
    assert content_id("unique", 3) == 7660796630317323358
    assert content_id("x") == 3422422877777742214


def test_shape_is_kept_and_the_argument_is_not_changed() -> None:
    numbers = np.arange(6, dtype=np.uint64).reshape(2, 3)
    assert content_ids("f", numbers).shape == (2, 3)
    assert numbers.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_no_numbers_give_no_contents() -> None:
    assert len(content_ids("f", np.empty(0, np.int64))) == 0


@pytest.mark.parametrize("wrong", [[-1], [0.5], ["a"]])
def test_only_natural_numbers_are_taken(wrong: list[object]) -> None:
    with pytest.raises(ValueError, match="integers"):
        content_ids("f", wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [-1, 2**63])
def test_a_single_number_has_the_same_bounds(wrong: int) -> None:
    with pytest.raises(ValueError, match="integers"):
        content_id("f", wrong, 1)
