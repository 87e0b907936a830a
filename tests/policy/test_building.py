"""From choices to policies: defaults, parameters, one class for two questions, random streams."""

from __future__ import annotations

import numpy as np
import pytest

from ksmlab_core.errors import BadInput, PolicyFault, UnknownName
from ksmlab_core.policy.registry import build_policies, load_registry, resolve_policies

BOTH = """
    from ksmlab_core.policy import Field, ReclaimPolicy, ScanOrder, Swapin, SwapinPolicy, hookimpl

    class Both(SwapinPolicy, ScanOrder):
        name = "both"

        class Params(SwapinPolicy.Params):
            level: int = Field(1, ge=0, description="level")
            width: int = Field(2, ge=0, description="width")

        def started(self, run):
            self.seen = 0

        def decide(self, fault):
            self.seen += 1
            return Swapin.KERNEL

        def order(self, pages, n):
            return [self.seen]

    class Broken(ReclaimPolicy):
        name = "broken"

        def __init__(self, params, rng):
            super().__init__(params, rng)
            raise RuntimeError("cannot begin")

        def victims(self, frames, n):
            return frames.index[:n]

    @hookimpl
    def ksmlab_swapin_policies():
        return [Both]

    @hookimpl
    def ksmlab_scan_orders():
        return [Both]

    @hookimpl
    def ksmlab_reclaim_policies():
        return [Broken]
    """


class Streams:
    """Random streams that remember which roles they were asked for."""

    def __init__(self):
        self.roles = []

    def __call__(self, role):
        self.roles.append(role)
        return np.random.default_rng(len(self.roles))


@pytest.fixture
def both(desk):
    return desk.load(BOTH)


@pytest.fixture(scope="module")
def shipped():
    return load_registry(autoload=False)


def test_kernel_is_the_default_of_each_question(shipped):
    policies = build_policies(shipped, {}, Streams())
    assert {hook: policy.name for hook, policy in policies.items()} == dict.fromkeys(
        ("reclaim", "swapin", "scan"), "kernel"
    )
    assert all(policy.compiled for policy in policies.values())


@pytest.mark.parametrize(
    "choice", [{"use": "remerge", "min_sharers": 4}, {"use": "remerge", "params": {"min_sharers": 4}}]
)
def test_parameters_can_be_given_flat_or_nested(shipped, choice):
    assert build_policies(shipped, {"swapin": choice}, Streams())["swapin"].params.min_sharers == 4


def test_each_policy_has_its_own_stream(shipped):
    streams = Streams()
    policies = build_policies(shipped, {"scan": "random", "reclaim": "lru"}, streams)
    assert streams.roles == ["policy.reclaim", "policy.swapin", "policy.scan"]
    assert policies["scan"].rng.integers(2**62) == np.random.default_rng(3).integers(2**62)


def test_one_class_for_two_questions_is_one_instance(both):
    streams = Streams()
    policies = build_policies(both, {"swapin": "both", "scan": "both"}, streams)
    assert policies["swapin"] is policies["scan"]
    assert streams.roles == ["policy.reclaim", "policy.swapin"]
    policies["swapin"].started(None)
    policies["swapin"].decide(None)
    assert policies["scan"].order(None, 1) == [1]


def test_the_parameters_of_one_instance_are_those_of_both_questions(both):
    choices = {"swapin": {"use": "both", "level": 5}, "scan": {"use": "both", "width": 6}}
    params = build_policies(both, choices, Streams())["scan"].params
    assert (params.level, params.width) == (5, 6)


def test_equal_parameters_under_both_questions_are_fine(both):
    choices = {"swapin": {"use": "both", "level": 5}, "scan": {"use": "both", "level": 5}}
    assert resolve_policies(both, choices)["scan"].params.level == 5


def test_different_parameters_under_two_questions_are_an_error(both):
    choices = {"swapin": {"use": "both", "level": 5}, "scan": {"use": "both", "level": 6}}
    with pytest.raises(BadInput) as error:
        resolve_policies(both, choices)
    assert str(error.value) == (
        "policies.swapin and policies.scan are one instance of 'both', but level is 5 in one and 6 in the other"
    )


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        (
            {"swap-in": "copy"},
            "no policy hook is called 'swap-in'; known: reclaim, scan, swapin; did you mean 'swapin'?",
        ),
        (
            {"reclaim": "lruu"},
            "no reclaim policy is called 'lruu'; known: clock, fifo, kernel, ksm-aware, ksm-first, ksm-last, lru, random; did you mean 'lru'?",
        ),
    ],
)
def test_unknown_names(shipped, choices, said):
    with pytest.raises(UnknownName) as error:
        resolve_policies(shipped, choices)
    assert str(error.value) == said


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"min_sharers": 4}, "policies.swapin: needs a name, or 'use: NAME' beside its parameters"),
        (
            {"use": "remerge", "min_sharer": 4},
            "no parameter of swapin policy 'remerge' is called 'min_sharer'; known: min_sharers; "
            "did you mean 'min_sharers'?",
        ),
        (
            {"use": "remerge", "min_sharers": 0},
            "policies.swapin.min_sharers: Input should be greater than or equal to 1 (swapin policy 'remerge')",
        ),
        (
            {"use": "remerge", "min_sharers": "many", "level": 1},
            "policies.swapin.min_sharers: should be a number, not 'many' (swapin policy 'remerge')\n"
            "no parameter of swapin policy 'remerge' is called 'level'; known: min_sharers",
        ),
        (
            {"use": "copy", "params": {"x": 1}},
            "no parameter of swapin policy 'copy' is called 'x'; known: none",
        ),
    ],
)
def test_wrong_parameters_are_one_line_each(shipped, choice, said):
    with pytest.raises(BadInput) as error:
        resolve_policies(shipped, {"swapin": choice})
    assert str(error.value) == said


def test_a_policy_that_raises_while_built_is_at_fault(both):
    with pytest.raises(PolicyFault) as error:
        build_policies(both, {"reclaim": "broken"}, Streams())
    assert str(error.value) == ("policy 'broken' (reclaim) (mine.py:25): Broken raised RuntimeError: cannot begin")
