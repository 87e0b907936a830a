"""`ksmlab compare`, called as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def results(here: Path, ksmlab, simulated_by) -> Path:
    """The runs of the experiment in `before`, and those of another seed in `after`."""
    assert ksmlab("run", "storm.yaml", "--out", "before", "--json").status == 0
    assert ksmlab("run", "storm.yaml", "--out", "after", "--json", "--set", "seed=8").status == 0
    assert ksmlab("run", "storm.yaml", "--out", "again", "--json").status == 0
    return here


def test_what_is_the_same_is_identical(ksmlab, results: Path) -> None:
    told = ksmlab("compare", "before", "again", "--fail-if", "vm.pswpin != +0")
    assert (told.status, told.err) == (0, "")
    assert told.out.splitlines()[0] == "base before, against it again"
    assert "vm.pswpin" in told.out, "which the rule is about"
    assert told.out.splitlines()[-1].startswith("identical: 3 pairs of runs, equal in all ")


def test_the_policies_of_one_sweep(ksmlab, results: Path) -> None:
    told = ksmlab("compare", "before", "--by", "swapin", "-m", "vm.pswpin", "--on", "saved*")
    lines = told.out.splitlines()
    assert (told.status, told.err) == (0, "")
    assert lines[0] == "policies.swapin: base kernel, against it remerge, defer"
    assert lines[2].split() == ["kernel", "remerge", "defer"]
    assert lines[3] == "seed 7"
    assert [line.split("  ")[0] for line in lines[4:7]] == [
        "vm.pswpin",
        "saved, mean",
        "saved, end (machine.pages_saved)",
    ]
    assert "(   0.00%)" in lines[4]


def test_a_broken_rule_is_status_1(ksmlab, results: Path) -> None:
    rules = ["--fail-if", "vm.pswpin > -99%", "--fail-if", "vm.pswpin > +900000000"]
    told = ksmlab("compare", "before", "--by", "policies.swapin", "--base", "remerge", *rules)
    assert told.status == 1
    assert [line.partition(": ")[2][:16] for line in told.err.splitlines()] == ["vm.pswpin > -99%"] * len(
        told.err.splitlines()
    )
    document = json.loads(
        ksmlab("compare", "before", "--by", "policies.swapin", "--base", "remerge", "--json", *rules).out
    )
    assert [bool(one["violations"]) for one in document["fail_if"]] == [True, False]
    assert document["sides"] == ["remerge", "kernel", "defer"]


@pytest.mark.parametrize("form", ["markdown", "html", "json"])
def test_every_form_ends_with_a_line(ksmlab, results: Path, form: str) -> None:
    told = ksmlab("compare", "before/storm/kernel", "before/storm/remerge", "--format", form)
    assert (told.status, told.err) == (0, "")
    assert told.out.endswith("\n")
    assert "ksm.breaks" in told.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("before", "after"), "nothing to compare: no point and seed has succeeded on every side; "),
        (("before", "nowhere"), "nowhere: no such folder of results"),
        (
            ("before", "--by", "machine.memory"),
            "no setting of this sweep is called 'machine.memory'; known: policies.swapin",
        ),
        (("before", "again", "-m", "nothing"), "no metric of these runs is called 'nothing'"),
        (("before", "again", "--fail-if", "pswpin up"), "--fail-if 'pswpin up': not a rule; "),
        (("before", "again", "--fail-if", "vm.nope > 1"), "no metric of these runs is called 'vm.nope'"),
    ],
)
def test_what_is_wrong_is_one_line(ksmlab, results: Path, words: tuple[str, ...], said: str) -> None:
    told = ksmlab("compare", *words)
    assert (told.status, told.out) == (2, "")
    assert told.err.startswith(said)
    assert len(told.err.splitlines()) == 1


@pytest.mark.parametrize(
    "words", [("before",), ("before", "again", "--by", "swapin"), ("before", "again", "--base", "remerge"), ()]
)
def test_a_command_line_that_says_too_little_or_too_much(ksmlab, results: Path, words: tuple[str, ...]) -> None:
    told = ksmlab("compare", *words)
    assert (told.status, told.out) == (2, "")
    assert "Error: " in told.err


def test_without_scipy_one_seed_is_compared_all_the_same(
    ksmlab, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ksmlab_core.lab.statistics.find_spec", lambda name: None)
    assert ksmlab("compare", "before", "again").status == 0
    for seed in ("8", "9"):
        for out in ("p", "q"):
            change = ["--set", f"seed={seed}", "--set", "experiment=seeded", "--set", "sweep.seeds=2"]
            assert ksmlab("run", "storm.yaml", "--out", out, "--json", *change).status == 0
    told = ksmlab("compare", "p", "q", "-m", "vm.pswpin")
    assert (told.status, told.out) == (2, "")
    assert told.err == "intervals and tests over seeds need one more package: pip install 'ksmlab[stats]'\n"
