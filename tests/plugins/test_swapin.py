"""The shipped swap-in policies on faults built by hand."""

from __future__ import annotations

import itertools

import pytest

from ksmlab_core.policy import RunInfo, Swapin, SwapinFault, Twin, load_registry
from ksmlab_core.policy.answers import check_decision


@pytest.fixture(scope="module")
def registry():
    return load_registry(autoload=False)


def asked(registry, name, params=None, **fault):
    entry = registry.get("swapin", name)
    policy = entry.cls(entry.params(**(params or {})))
    policy.started(RunInfo("r"))
    given = SwapinFault("a", 7, **fault)
    return check_decision(policy, policy.decide(given), given)


def twin(mapcount):
    return Twin(frame=4, mapcount=mapcount, sharers=mapcount + 1)


ALL_FAULTS = [
    {"write": write, "mergeable": mergeable, "ksm": ksm, "ksm_twin": found, "kernel": kernel}
    for write, mergeable, ksm, found, kernel in itertools.product(
        [False, True], [False, True], [False, True], [None, twin(0), twin(3)], [Swapin.COPY, Swapin.KERNEL]
    )
]


@pytest.mark.parametrize("name", ["copy", "remerge", "defer"])
def test_every_answer_can_be_carried_out_and_is_repeated(registry, name):
    answers = [asked(registry, name, **fault) for fault in ALL_FAULTS]
    assert answers == [asked(registry, name, **fault) for fault in ALL_FAULTS]


def test_copy_always_copies(registry):
    assert {asked(registry, "copy", **fault) for fault in ALL_FAULTS} == {Swapin.COPY}


@pytest.mark.parametrize(
    ("min_sharers", "found", "answer"),
    [
        (1, None, Swapin.KERNEL),
        (1, twin(0), Swapin.KERNEL),
        (1, twin(1), Swapin.REMERGE),
        (3, twin(2), Swapin.KERNEL),
        (3, twin(3), Swapin.REMERGE),
    ],
)
def test_remerge_needs_enough_sharers(registry, min_sharers, found, answer):
    assert asked(registry, "remerge", {"min_sharers": min_sharers}, ksm_twin=found) is answer


@pytest.mark.parametrize(
    ("kernel", "mergeable", "answer"),
    [
        (Swapin.COPY, True, Swapin.DEFER),
        (Swapin.COPY, False, Swapin.KERNEL),
        (Swapin.KERNEL, True, Swapin.KERNEL),
        (Swapin.KERNEL, False, Swapin.KERNEL),
    ],
)
def test_defer_only_where_the_kernel_copies_and_ksmd_may_look(registry, kernel, mergeable, answer):
    assert asked(registry, "defer", kernel=kernel, mergeable=mergeable) is answer
