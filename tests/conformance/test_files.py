"""Every file of experiments/conformance holds under every kernel it names, and none is missing or has lost a figure."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ksmlab_core.experiment.conformance import in_order, place_of
from ksmlab_core.lab.conformance import Scenario, conform, scenarios
from ksmlab_core.lab.conformance_words import as_markdown, lines
from ksmlab_core.mm.profile import PROFILES

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
HERE = EXPERIMENTS / "conformance"
SMALL = os.environ.get("NUMBA_DISABLE_JIT", "0") == "1" or bool(os.environ.get("KSMLAB_SMALL"))
MANY = 2000
"""Pages that uncompiled code can do in a test."""

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
NAMING_KERNELS = [
    path
    for path in sorted((EXPERIMENTS / "traces").glob("*.yaml"))
    if re.search("^conformance:", path.read_text(encoding="utf-8"), re.MULTILINE)
]
TABLE = (HERE / "README.md").read_text(encoding="utf-8").split("<!-- ksmlab conformance -->\n")[1]


def document(name: str) -> dict[str, Any]:
    """A file as plain data."""
    found: dict[str, Any] = yaml.safe_load((HERE / f"{name}.yaml").read_text(encoding="utf-8"))
    return found


def pages(scenario: Scenario) -> int:
    """Pages that a scenario maps, in all its runs."""
    scripts = [step for spec in scenario.plan.points for step in spec.workload["script"]]
    return sum(step.args["pages"] * len(step.args["process"]) for step in scripts if step.kind == "mmap")


@pytest.mark.parametrize("name", FILES)
def test_every_kernel_answers_as_it_should_and_as_the_table_says(name: str) -> None:
    found = scenarios([HERE / f"{name}.yaml"]).found
    if SMALL and any(pages(one) > MANY for one in found):
        pytest.skip("too many pages for uncompiled code")
    rows = conform(found)
    assert [row for row in rows if not row.ok] == []
    missing = [line for line in list(as_markdown(lines(rows)))[2:] if line not in TABLE.splitlines()]
    assert missing == [], "ksmlab conformance experiments/conformance --readme experiments/conformance/README.md"


@pytest.mark.parametrize("path", NAMING_KERNELS, ids=lambda path: path.stem)
def test_a_trace_holds_for_all_kernels_that_it_names(path: Path) -> None:
    """T-DRV: tests/measured holds each trace to its own kernel alone."""
    found = scenarios([path]).found
    assert [row for row in conform(found) if not row.ok] == []


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
    told = [re.split(r" \| ", line.strip("| "))[:2] for line in TABLE.splitlines()[2:]]
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
