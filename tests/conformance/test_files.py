"""No file of experiments/conformance is missing or has lost a figure, and the table in its README says what they say.

That each holds under every kernel it names is for `pytest experiments/conformance`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ksmlab_core.experiment import RunSpec, Step
from ksmlab_core.experiment.conformance import in_order, place_of
from ksmlab_core.lab.conformance import conform, scenarios
from ksmlab_core.lab.conformance_words import lines
from ksmlab_core.mm.profile import PROFILES
from ksmlab_core.simulation import RunResult

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
HERE = EXPERIMENTS / "conformance"

# Every file, and how many expectations it has.
FILES = {
    "ksm_functional_tests/counters": 2,
    "ksm_functional_tests/fork-merging-pages": 2,
    "ksm_functional_tests/prctl": 1,
    "ksm_functional_tests/prctl-fork": 2,
    "ksm_functional_tests/prctl-unmerge": 2,
    "ksm_functional_tests/prot-none": 2,
    "ksm_functional_tests/unmerge": 2,
    "ksm_functional_tests/unmerge-discarded": 2,
    "ksm_functional_tests/unmerge-uffd-wp": 2,
    "ksm_functional_tests/unmerge-zero-pages": 3,
    "ksm_tests/cow-time": 2,
    "ksm_tests/formula": 1,
    "ksm_tests/hugepages-time": 2,
    "ksm_tests/merge": 2,
    "ksm_tests/merge-time": 2,
    "ksm_tests/numa-0": 1,
    "ksm_tests/numa-1": 1,
    "ksm_tests/unmerge": 3,
    "ksm_tests/unmerge-time": 3,
    "ksm_tests/zero-pages-0": 2,
    "ksm_tests/zero-pages-1": 3,
    "ltp/ksm01": 6,
    "ltp/ksm01-small": 6,
    "ltp/ksm01-units": 6,
    "ltp/ksm02": 6,
    "ltp/ksm03": 6,
    "ltp/ksm04": 6,
    "ltp/ksm05": 3,
    "ltp/ksm06-10": 3,
    "ltp/ksm06-100": 3,
    "ltp/ksm06-8000": 3,
    "ltp/ksm07": 2,
}
ROWS = [
    re.split(r" \| ", line.strip("| "))
    for line in (HERE / "README.md")
    .read_text(encoding="utf-8")
    .split("<!-- ksmlab conformance -->\n")[1]
    .splitlines()[2:]
]
"""The table, cell by cell."""


def document(name: str) -> dict[str, Any]:
    """A file as plain data."""
    found: dict[str, Any] = yaml.safe_load((HERE / f"{name}.yaml").read_text(encoding="utf-8"))
    return found


def answered_as_expected(spec: RunSpec, _registry: object, **_more: object) -> RunResult:
    """What comes of a run that answers exactly as its file expects: stands in for the simulation."""
    checks = [
        {"at": "", "metric": metric, "want": want, "got": want, "ok": True, "line": step.line}
        for step in spec.workload["script"]
        for metric, want in expected_of(step)
    ]
    checks += [
        {"at": "end", "metric": one.metric, "want": one.want, "got": one.want, "ok": True, "line": one.line}
        for one in spec.expect
    ]
    return RunResult(spec.id, spec.seed, spec.point, expect=checks)


def expected_of(step: Step) -> list[tuple[str, Any]]:
    """What a step compares."""
    if step.kind == "expect":
        return list(step.args["metrics"].items())
    returns = step.args.get("returns")
    call = list(step.args["knobs"])[-1].partition(".")[2] if step.kind == "set" else step.kind
    return [] if returns is None else [(f"{call} returns", str(returns))]


@pytest.mark.parametrize("name", FILES)
def test_the_table_says_what_is_expected_of_every_kernel(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And that it came: `pytest experiments/conformance` sees to that, for each file under each kernel."""
    monkeypatch.setattr("ksmlab_core.simulation.run", answered_as_expected, raising=False)
    told = [line.cells for line in lines(conform(scenarios([HERE / f"{name}.yaml"]).found))]
    assert told
    for suite, scenario, expected, _, rules, kernels in told:
        [row] = [one for one in ROWS if one[:2] == [suite, scenario] and one[-1] == kernels]
        assert [row[2], row[4]] == [expected, rules], (
            "ksmlab conformance experiments/conformance --readme experiments/conformance/README.md"
        )
        assert row[3] == expected or "at least" in expected


def test_no_file_is_missing_or_unlisted() -> None:
    assert {str(path.relative_to(HERE).with_suffix("")) for path in HERE.rglob("*.yaml")} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_file_keeps_its_expectations_and_lies_in_the_folder_of_its_suite(name: str) -> None:
    data = document(name)
    expects = [step["expect"] for step in data["workload"]["script"] if "expect" in step]
    assert len(expects) == FILES[name]
    assert all(expects)
    assert data["conformance"]["suite"] == name.split("/")[0]
    assert data["machine"]["invariants"] in ("steps", "samples")


def test_the_tests_of_ltp_are_all_there() -> None:
    named = {document(name)["conformance"]["scenario"].split()[0] for name in FILES if name.startswith("ltp/")}
    assert named == {f"ksm0{n}" for n in range(1, 8)}


def test_ltp_is_at_full_size() -> None:
    """Three children of 128 MiB: 98,304 pages."""
    for name in ("ksm01", "ksm01-units", "ksm02", "ksm03", "ksm04"):
        maps = [step["mmap"] for step in document(f"ltp/{name}")["workload"]["script"] if "mmap" in step]
        assert sum(each["pages"] * len(each["process"]) for each in maps) == 98_304


def test_the_rows_of_ksm_functional_tests_are_all_there() -> None:
    named = {document(name)["conformance"]["scenario"] for name in FILES if name.startswith("ksm_functional_tests/")}
    assert named >= {
        "unmerge",
        "unmerge_zero_pages",
        "unmerge_discarded",
        "unmerge_uffd_wp",
        "prot_none",
        "prctl",
        "prctl_fork",
        "prctl_unmerge",
        "fork_ksm_merging_page_count",
    }


def test_the_table_names_nothing_that_is_not_there() -> None:
    known = {(data["suite"], data["scenario"]) for data in (document(name)["conformance"] for name in FILES)}
    told = [row[:2] for row in ROWS]
    assert told
    assert [line for line in told if (line[0], line[1].split(": ")[0]) not in known and tuple(line) not in known] == []


def test_the_formula_of_ksm_tests() -> None:
    """R-B-MAX-2: what each point of formula.yaml expects is what the selftest's own formula gives."""
    block = document("ksm_tests/formula")["sweep"]["zip"][0]
    columns = (block["workload.script.1.mmap.pages"], block["ksm.max_page_sharing"])
    for pages_, most, want in zip(*columns, block["workload.script.4.expect"], strict=True):
        whole = pages_ % most in (0, 1)
        shared = pages_ // most + (not whole)
        sharing = shared * (most - 1) if whole else pages_ - shared
        unshared = pages_ - shared - sharing
        assert list(want.values()) == [shared, sharing, unshared, 0]


def test_every_profile_has_its_place_in_the_kernels_history() -> None:
    assert in_order(PROFILES)[:1] == ["seed"]
    assert place_of("v2.6.32") < place_of("seed") < place_of("v2.6.33") < place_of("v6.7") < place_of("v6.11")
    assert len({place_of(profile) for profile in PROFILES}) == len(PROFILES)
