"""The conformance block of an experiment file: read strictly, and what it sets for the kernel that is chosen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from ksmlab_core.errors import Problems
from ksmlab_core.experiment import experiment_schema, read_experiment
from ksmlab_core.experiment.conformance import Kernels, rules_in
from ksmlab_core.experiment.yaml_reader import read_document
from ksmlab_core.policy.registry import load_registry

Suite = Callable[..., Path]
RANGES = """\
conformance:
  suite: mine
  scenario: twins
  rules: [R-CMP-5]
  kernels:
    - {{before: v2.6.33, set: {{ksm.max_kernel_pages: 7, ksm.pages_to_scan: 70}}}}
    - {{since: v2.6.33, set: {{{set}}}}}
"""


def ranges(setting: str = "ksm.pages_to_scan: 90") -> str:
    """A block of two ranges, the second of which sets something."""
    return RANGES.format(set=setting)


@pytest.mark.parametrize(
    ("since", "before", "inside"),
    [
        (None, None, ["seed", "v2.6.33", "v6.18"]),
        ("v2.6.33", None, ["v2.6.33", "v6.18"]),
        (None, "v2.6.33", ["seed"]),
        ("v2.6.32", "v2.6.33", ["seed"]),
        ("v4.13", "v6.18", []),
        ("v6.7", None, ["v6.18"]),
    ],
)
def test_a_range_is_told_as_the_kernels_history_is(since: str | None, before: str | None, inside: list[str]) -> None:
    """`since` is in the range and `before` is not; the seed commit lies between 2.6.32 and 2.6.33."""
    one = Kernels(since=since, before=before)
    assert [kernel for kernel in ("seed", "v2.6.33", "v6.18") if one.has(kernel)] == inside


def test_the_settings_of_the_range_that_the_kernel_is_in_are_taken(suite: Suite) -> None:
    file = suite("twins", ranges())
    assert read_experiment(file).points[0].ksm == {"max_kernel_pages": 7, "pages_to_scan": 70}
    assert read_experiment(file, overrides=["kernel=v2.6.33"]).points[0].ksm == {"pages_to_scan": 90}
    switched = read_experiment(file, overrides=["kernel={profile: v2.6.33, break_orphan: true}"]).points[0]
    assert (switched.kernel["switches"], switched.ksm) == ({"break_orphan": True}, {"pages_to_scan": 90})


def test_an_override_wins_over_a_range_and_a_range_over_the_file(suite: Suite) -> None:
    file = suite("twins", ranges(), more="ksm: {pages_to_scan: 1, sleep_millisecs: 3}\n")
    told = read_experiment(file, overrides=["kernel=v2.6.33"]).points[0].ksm
    assert told == {"pages_to_scan": 90, "sleep_millisecs": 3}
    told = read_experiment(file, overrides=["kernel=v2.6.33", "ksm.pages_to_scan=5"]).points[0].ksm
    assert told["pages_to_scan"] == 5


def test_a_range_can_replace_a_step(suite: Suite) -> None:
    file = suite("twins", ranges("workload.script.0.spawn: [a, b, c]"))
    script = read_experiment(file, overrides=["kernel=v2.6.33"]).points[0].workload["script"]
    assert script[0].args == {"process": ["a", "b", "c"]}
    assert read_experiment(file).points[0].workload["script"][0].args == {"process": ["a", "b"]}


def test_the_plan_carries_the_block(suite: Suite) -> None:
    block = read_experiment(suite("twins")).conformance
    assert block is not None
    assert (block.suite, block.scenario, block.rules) == ("mine", "twins", ["R-CMP-5"])
    assert all(block.holds_for(kernel) for kernel in ("seed", "v2.6.33", "v6.18"))
    assert read_experiment(suite("plain", "")).conformance is None


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("conformance: {scenario: a, rules: [R-CMP-5]}", "3:1: conformance.suite: missing"),
        ("conformance: {suite: a, scenario: a, rules: []}", "conformance.rules: 0 items; at least 1"),
        ("conformance: {suite: A b, scenario: a, rules: [T-DRV-1]}", "conformance.suite: 'A b' has not the right form"),
        (
            "conformance: {suite: a, scenario: a, rules: [CMP5]}",
            "3:46: conformance.rules.0: 'CMP5' is not the number of a rule; such as R-CMP-5",
        ),
        (
            "conformance: {suite: a, scenario: a, rules: [X-5], kernel: all}",
            "3:52: conformance.kernel: unknown key; allowed: kernels, rules, scenario, suite; did you mean 'kernels'?",
        ),
        (
            "conformance: {suite: a, scenario: a, rules: [X-5], kernels: [{since: 6.7}]}",
            "conformance.kernels.0.since: 6.7 is not a release of the kernel; such as v2.6.33 or v6.7",
        ),
        (
            "conformance: {suite: a, scenario: a, rules: [X-5], kernels: seed}",
            "3:61: conformance.kernels: 'seed' is no range of kernels; all, or a list of {since, before, set}",
        ),
        ("conformance: {suite: a, scenario: a, rules: [X-5], kernels: []}", "conformance.kernels: 0 items; at least 1"),
        (
            "conformance: {suite: a, scenario: a, rules: [X-5], kernels: [{since: v6.7, before: v4.13}]}",
            "conformance.kernels.0: no kernel is since v6.7 and before v4.13; since the earlier of both",
        ),
        (
            "conformance: {suite: a, scenario: a, rules: [X-5], kernels: [{before: v6.7}, {since: v2.6.33}]}",
            "3:78: conformance.kernels.1: v2.6.33 is in an earlier range too; ranges that do not overlap",
        ),
        (
            "conformance: {suite: a, scenario: a, rules: [X-5], kernels: [{set: {seed: 3}}]}",
            "conformance.kernels.0.set: 'seed' cannot be set for some kernels; "
            "allowed: expect, ksm, machine, policies, workload",
        ),
        (
            "conformance: {suite: a, scenario: a, rules: [X-5], kernels: [{set: {ksm.smart_scn: 0}}]}",
            "3:69: ksm.smart_scn: profile seed has no such knob",
        ),
        (
            "conformance: {suite: a, scenario: a, rules: [X-5], kernels: [{set: {workload.script.99: 0}}]}",
            "3:69: conformance.kernels.0.set.workload.script.99: workload.script has no item '99'; "
            "a position from 0 to 9",
        ),
    ],
)
def test_what_is_wrong_with_a_block_is_told_with_its_place(suite: Suite, block: str, said: str) -> None:
    file = suite("twins", block)
    with pytest.raises(Problems) as refused:
        read_experiment(file)
    lines = str(refused.value).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"{file}:3:")
    assert said in lines[0]


def test_a_range_of_other_kernels_is_not_checked_against_this_one(suite: Suite) -> None:
    """A knob of v6.7 is unknown to the seed kernel, which the range is not for."""
    block = "conformance: {suite: a, scenario: a, rules: [X-5], kernels: [{since: v6.7, set: {ksm.smart_scan: 0}}]}"
    assert read_experiment(suite("twins", block)).points[0].ksm == {}


def test_the_schema_describes_the_block(suite: Suite) -> None:
    validator = Draft202012Validator(experiment_schema(load_registry([])))
    assert validator.is_valid(read_document(suite("twins", ranges())).data)
    everywhere = "conformance: {suite: a, scenario: a, rules: [X-5], kernels: all}"
    assert validator.is_valid(read_document(suite("everywhere", everywhere)).data)
    wrong = read_document(suite("wrong", "conformance: {suite: a, scenario: a, rules: [CMP5]}")).data
    assert [error.message for error in validator.iter_errors(wrong)] != []


def test_rules_are_found_in_a_text() -> None:
    text = "T-DRV-1 step 4a: mapped again (R-CASE-e1, R-B-SCAN-3), X-5; not CMP-5, AR-1, R-CASE-e1 twice."
    assert rules_in(text) == ("T-DRV-1", "R-CASE-e1", "R-B-SCAN-3", "X-5")
