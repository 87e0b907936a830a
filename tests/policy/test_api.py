"""The public API: what an author imports, what it costs, what the base classes give."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from pydantic import ValidationError

import ksmlab_core.policy as api
from ksmlab_core.policy import Field, ReclaimPolicy, RunInfo, ScanOrder, SwapinPolicy


class Tuned(SwapinPolicy):
    name = "tuned"

    class Params(SwapinPolicy.Params):
        sharers: int = Field(1, ge=1, description="sharers")
        weight: float = Field(0.5, description="weight")


def test_exported_names_exist_and_are_sorted():
    assert api.__all__ == sorted(api.__all__)
    assert all(getattr(api, name) is not None for name in api.__all__)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Reclaim'"):
        _ = api.Reclaim


@pytest.mark.parametrize(
    "code",
    ["import ksmlab_core.policy", "from ksmlab_core.policy import load_registry; load_registry()"],
)
def test_nothing_heavy_is_imported(code):
    check = f"{code}; import sys; print([m for m in ('numba', 'structlog', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_parameters_have_defaults_and_are_constant():
    policy = Tuned()
    assert (policy.params.sharers, policy.params.weight) == (1, 0.5)
    with pytest.raises(ValidationError, match="frozen"):
        policy.params.sharers = 3


@pytest.mark.parametrize("value", [True, "3", 1.5, 0])
def test_a_whole_number_parameter_takes_whole_numbers_only(value):
    with pytest.raises(ValidationError):
        Tuned.Params(sharers=value)


@pytest.mark.parametrize("value", [False, "0.5"])
def test_a_float_parameter_takes_numbers_only(value):
    with pytest.raises(ValidationError, match="should be a number"):
        Tuned.Params(weight=value)
    assert Tuned.Params(weight=2).weight == 2.0


def test_unknown_parameters_are_refused():
    with pytest.raises(ValidationError, match="sharer"):
        Tuned.Params(sharer=1)


def test_counts_add_up_to_python_integers():
    policy = Tuned()
    policy.count("copies")
    policy.count("copies", np.int64(4))
    assert policy.counts == {"copies": 5}
    assert type(policy.counts["copies"]) is int


@pytest.mark.parametrize(("name", "n", "error"), [("Bad Name", 1, ValueError), ("fine", 1.5, TypeError)])
def test_a_count_has_a_metric_name_and_is_whole(name, n, error):
    with pytest.raises(error):
        Tuned().count(name, n)


def test_without_a_stream_random_numbers_are_still_reproducible():
    assert Tuned().rng.integers(2**62) == Tuned().rng.integers(2**62)


def test_optional_methods_do_nothing_by_default():
    policy = ReclaimPolicy()
    policy.started(RunInfo("r"))
    policy.reclaimed(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int8))
    assert policy.counts == {}


@pytest.mark.parametrize(
    "ask",
    [
        lambda: ReclaimPolicy().victims(None, 1),
        lambda: SwapinPolicy().decide(None),
        lambda: ScanOrder().order(None, 1),
    ],
)
def test_the_questions_have_no_default_answer(ask):
    with pytest.raises(NotImplementedError):
        ask()
