"""`ksmlab conformance`: what it prints, and the exit status, over small suites."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ksmlab_core.mm.profile import PROFILES

Suite = Callable[..., Path]
Ksmlab = Callable[..., Any]
ONLY_SEED = "conformance: {suite: mine, scenario: twins, rules: [R-CMP-5], kernels: [{before: v2.6.33}]}"


def test_the_table_has_a_line_for_each_stage(suite: Suite, ksmlab: Ksmlab) -> None:
    told = ksmlab("conformance", "-j1", suite("twins", ONLY_SEED))
    assert (told.status, told.err) == (0, "")
    assert [re.split(r"\s{2,}", line) for line in told.out.splitlines()] == [
        ["suite", "scenario", "expected", "got", "rule", "kernel"],
        ["mine", "twins: first pass", "0/0/0/2", "0/0/0/2", "R-CMP-5", "seed"],
        [
            "mine",
            "twins: second pass",
            "1/1/0/0, frames_mapped at most 1",
            "1/1/0/0, frames_mapped 1",
            "R-CMP-5",
            "seed",
        ],
        [""],
        ["1 scenario: 9 figures as expected"],
    ]


def test_kernels_that_answer_alike_share_a_line(suite: Suite, ksmlab: Ksmlab) -> None:
    told = ksmlab("conformance", "-j1", suite("twins"))
    assert told.status == 0
    (line,) = [line for line in told.out.splitlines() if "first pass" in line]
    assert {"seed", "v2.6.33"} <= set(line.split("R-CMP-5")[1].strip().split(", "))
    assert len(told.out.splitlines()) == 5


def test_a_figure_that_differs_is_a_line_of_its_own_and_status_1(suite: Suite, ksmlab: Ksmlab) -> None:
    suite("well", ONLY_SEED)
    broken = suite("broken", ONLY_SEED.replace("twins", "broken"), sharing=2)
    told = ksmlab("conformance", "-j1", broken.parent)
    assert told.status == 1
    (line,) = [line for line in told.out.splitlines() if line.startswith("differs")]
    assert re.split(r"\s{2,}", line)[2:5] == [
        "broken: second pass",
        "1/2/0/0, frames_mapped at most 1",
        "1/1/0/0, frames_mapped 1",
    ]
    assert told.out.splitlines()[-1] == "2 scenarios: 1 of 18 figures differ"


def test_a_scenario_that_cannot_be_carried_out_is_told_and_status_1(suite: Suite, ksmlab: Ksmlab) -> None:
    file = suite("full", ONLY_SEED)
    text = file.read_text().replace("1MiB", "16KiB").replace("pages: 1,", "pages: 9,")
    file.write_text(text)
    told = ksmlab("conformance", "-j1", file)
    assert told.status == 1
    (line,) = [line for line in told.out.splitlines() if line.startswith("differs")]
    assert f"runs to its end  {file}:10: write: out of memory" in line


def test_a_scenario_that_expects_nothing_is_no_proof(suite: Suite, ksmlab: Ksmlab) -> None:
    file = suite("idle", ONLY_SEED)
    file.write_text("".join(line for line in file.read_text().splitlines(keepends=True) if "expect" not in line))
    told = ksmlab("conformance", "-j1", file)
    assert told.status == 1
    assert "nothing is expected of it" in told.out


def test_json_has_every_comparison(suite: Suite, ksmlab: Ksmlab) -> None:
    file = suite("twins", ONLY_SEED, sharing=3)
    told = ksmlab("conformance", "-j1", "--json", file)
    assert (told.status, told.err) == (1, "")
    document = told.document
    assert (document["ok"], document["scenarios"], document["figures"], document["differ"]) == (False, 1, 9, 1)
    first, second = document["rows"]
    assert (first["suite"], first["scenario"], first["stage"], first["kernel"], first["ok"]) == (
        "mine", "twins", "first pass", "seed", True,
    )  # fmt: skip
    assert (second["expected"], second["got"], second["rules"], second["file"]) == (
        "1/3/0/0, frames_mapped at most 1",
        "1/1/0/0, frames_mapped 1",
        ["R-CMP-5"],
        str(file),
    )
    (differs,) = [check for check in second["checks"] if not check["ok"]]
    assert differs == {"at": "", "metric": "ksm.pages_sharing", "want": 3, "got": 1, "ok": False, "line": 16}


def test_workers_give_the_same_document_as_one_process(suite: Suite, ksmlab: Ksmlab) -> None:
    folder = suite("twins").parent
    suite("others", ONLY_SEED.replace("twins", "others"))
    alone, together = (ksmlab("conformance", "-j", jobs, "--json", folder) for jobs in (1, 2))
    assert alone.status == together.status == 0
    assert alone.document == together.document


def test_markdown_is_a_table_that_markdown_understands(suite: Suite, ksmlab: Ksmlab) -> None:
    told = ksmlab("conformance", "-j1", "--markdown", suite("twins", ONLY_SEED.replace("twins", '"a | b*"')))
    assert told.status == 0
    lines = told.out.splitlines()
    assert lines[0] == "| suite | scenario | expected | got | rule | kernel |"
    assert lines[2] == r"| mine | a \| b\*: first pass | 0/0/0/2 | 0/0/0/2 | R-CMP-5 | seed |"
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines[:4]} == {7}


def test_the_table_goes_between_the_marks_of_a_readme(suite: Suite, ksmlab: Ksmlab, tmp_path: Path) -> None:
    mark = "<!-- ksmlab conformance -->"
    page = tmp_path / "page.md"
    page.write_text(f"before\n{mark}\nold\n{mark}\nbehind\n")
    told = ksmlab("conformance", "-j1", suite("twins", ONLY_SEED), "--readme", page)
    assert told.status == 0
    before, table, behind = page.read_text().split(f"{mark}\n")
    assert (before, behind) == ("before\n", "behind\n")
    assert len(table.splitlines()) == 4
    page.write_text("no marks\n")
    refused = ksmlab("conformance", "-j1", suite("twins", ONLY_SEED), "--readme", page)
    assert (refused.status, refused.out) == (2, "")
    assert refused.err == f"{page}: 0 lines {mark}; two, with the table between them\n"


def test_one_kernel_alone(suite: Suite, ksmlab: Ksmlab) -> None:
    file = suite("twins")
    told = ksmlab("conformance", "-j1", "--json", "--kernel", "v2.6.33", file)
    assert {row["kernel"] for row in told.document["rows"]} == {"v2.6.33"}
    told = ksmlab("conformance", "-j1", "--json", "--kernel", "v2.6.33", "--kernel", "seed", file)
    assert [row["kernel"] for row in told.document["rows"][::2]] == ["seed", "v2.6.33"]


def test_a_kernel_that_there_is_not_is_status_2(suite: Suite, ksmlab: Ksmlab) -> None:
    told = ksmlab("conformance", "--kernel", "v2.6.3", suite("twins"))
    assert (told.status, told.out) == (2, "")
    assert re.fullmatch(r"no kernel profile is called 'v2\.6\.3'; known: .*; did you mean 'v2\.6\.33'\?\n", told.err)


def test_files_of_kernels_that_this_version_has_not_are_counted(suite: Suite, ksmlab: Ksmlab) -> None:
    """They are not read under any kernel: what they use need not exist yet."""
    suite("twins", ONLY_SEED)
    suite(
        "future", ONLY_SEED.replace("twins", "future").replace("{before: v2.6.33}", "{since: v99.1}"), more="new: 1\n"
    )
    plain = suite("plain", "")
    plain.write_text(plain.read_text().replace("kernel: seed", "kernel: v99.1"))
    told = ksmlab("conformance", "-j1", plain.parent)
    assert told.status == 0
    assert told.out.endswith("1 scenario: 9 figures as expected; 2 files of kernels that are not in this version\n")
    document = ksmlab("conformance", "-j1", "--json", plain.parent).document
    assert [Path(file).name for file in document["not_in_this_version"]] == ["future.yaml", "plain.yaml"]


def test_a_file_without_a_block_is_of_its_kernel_its_folder_and_the_rules_it_cites(
    suite: Suite, ksmlab: Ksmlab, tmp_path: Path
) -> None:
    document = ksmlab("conformance", "-j1", "--json", suite("plain", "")).document
    (row,) = document["rows"]
    assert (row["suite"], row["scenario"], row["kernel"], row["rules"]) == ("mine", "plain", "seed", ["R-CMP-5"])
    assert len(row["checks"]) == 9
    (tmp_path / "mine").rename(tmp_path / "seed")
    document = ksmlab("conformance", "-j1", "--json", tmp_path / "seed").document
    assert document["rows"][0]["suite"] == tmp_path.name


def test_many_figures_share_a_line_unless_one_differs_or_every_file_is_wanted(suite: Suite, ksmlab: Ksmlab) -> None:
    for name in ("one", "two"):
        suite(name, "")
    folder = suite("three", "", sharing=4).parent
    together = ksmlab("conformance", "-j1", folder)
    assert together.status == 1
    rows = [re.split(r"\s{2,}", line) for line in together.out.splitlines()[1:3]]
    assert rows == [
        [
            "differs",
            "mine",
            "three",
            "9 figures",
            "8 figures; line 16: ksm.pages_sharing 1, not 4",
            "R-CMP-5",
            "seed",
        ],
        ["", "mine", "2 files", "18 figures", "18 figures", "1 rule", "seed"],
    ]
    each = ksmlab("conformance", "-j1", "--every-file", folder)
    assert [line.split()[-7:] for line in each.out.splitlines() if line.strip().startswith("mine")] == [
        ["one", "9", "figures", "9", "figures", "R-CMP-5", "seed"],
        ["two", "9", "figures", "9", "figures", "R-CMP-5", "seed"],
    ]


def test_a_swept_file_has_lines_for_each_point(suite: Suite, ksmlab: Ksmlab) -> None:
    sweep = "sweep:\n  matrix: {ksm.pages_to_scan: [10, 20]}\n"
    document = ksmlab("conformance", "-j1", "--json", suite("twins", ONLY_SEED, more=sweep)).document
    assert [row["stage"] for row in document["rows"]] == [
        "pages_to_scan=10, first pass",
        "pages_to_scan=10, second pass",
        "pages_to_scan=20, first pass",
        "pages_to_scan=20, second pass",
    ]


def test_what_is_expected_at_the_end_belongs_to_the_last_stage(suite: Suite, ksmlab: Ksmlab) -> None:
    file = suite("twins", ONLY_SEED, more="expect: [{ksm.full_scans: 2}]\n")
    document = ksmlab("conformance", "-j1", "--json", file).document
    assert [len(row["checks"]) for row in document["rows"]] == [4, 6]
    assert document["rows"][1]["got"] == "1/1/0/0, frames_mapped 1, full_scans 2"


def test_bad_files_are_told_all_together_and_nothing_is_run(suite: Suite, ksmlab: Ksmlab) -> None:
    suite("one", "conformance: {suite: mine, scenario: one, rules: [x]}")
    folder = suite("two", "conformance: {suite: mine, rules: [X-5]}").parent
    told = ksmlab("conformance", folder)
    assert (told.status, told.out) == (2, "")
    assert [line.split(": ")[1] for line in told.err.splitlines()] == [
        "conformance.rules.0",
        "conformance.scenario",
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("scenario: twins", "scenario: twins"), "mine 'twins' under seed is in {other} too; give it another name"),
        (
            ("kernel: seed", "kernel: {profile: seed, break_orphan: false}"),
            "kernel: kernels are held to what they are, not to what a switch makes of them",
        ),
    ],
)
def test_what_cannot_be_a_suite_is_status_2(suite: Suite, ksmlab: Ksmlab, change: tuple[str, str], said: str) -> None:
    other = suite("a", ONLY_SEED)
    file = suite("b", ONLY_SEED)
    file.write_text(file.read_text().replace(*change))
    told = ksmlab("conformance", file.parent)
    assert (told.status, told.out) == (2, "")
    assert told.err.startswith(f"{file}: {said.format(other=other)}")


def test_a_folder_without_experiments_is_status_2(ksmlab: Ksmlab, tmp_path: Path) -> None:
    told = ksmlab("conformance", tmp_path)
    assert (told.status, told.err) == (2, f"{tmp_path}: no experiment files there\n")


def test_a_kernel_that_nothing_holds_for_is_not_conformant_by_that(suite: Suite, ksmlab: Ksmlab) -> None:
    file = suite("twins", ONLY_SEED)
    told = ksmlab("conformance", "--kernel", "v2.6.33", file)
    assert (told.status, told.out) == (2, "")
    assert told.err == f"{file}: nothing there holds for v2.6.33\n"


def test_json_and_markdown_exclude_each_other(suite: Suite, ksmlab: Ksmlab) -> None:
    assert ksmlab("conformance", "--json", "--markdown", suite("twins")).status == 2


def test_without_a_path_it_is_ksmlabs_own_suites() -> None:
    from ksmlab_core.cli.conformance import _own
    from ksmlab_core.lab.conformance import scenarios

    found = scenarios([_own()], ["seed"]).found
    assert {one.suite for one in found} >= {"ltp", "ksm_tests", "ksm_functional_tests", "traces", "measured"}
    assert {one.kernel for one in found} == {"seed"}
    assert sum(one.suite == "measured" for one in found) == 65
    assert "seed" in PROFILES
