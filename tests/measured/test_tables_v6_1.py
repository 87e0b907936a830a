"""The measured tables of 6.1 are all here and whole.

That kernel was driven through ``memory.reclaim``, which evicts what it likes: how far a write of it went is inferred from
the figures, as is where an eviction that was late fell; rows after which it had evicted nothing of what it was to evict
say so in a note. Pages are told without refcount and node; what its processes copied is expected beside each row.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "experiments" / "measured" / "v6.1"
README = (FOLDER.parents[1] / "README.md").read_text(encoding="utf-8")
COLUMNS = 10

# How many rows each table has, and how many elements are excepted in it.
TABLES = {
    "act-node-pg-referenced": (3, 0),
    "batch": (2, 0),
    "born-fork-ordinary": (3, 0),
    "born-scan-merge": (4, 0),
    "born-swapin-read": (2, 0),
    "born-swapoff": (4, 0),
    "cow-remerge": (4, 0),
    "cow-single": (5, 0),
    "cursor-register": (4, 0),
    "dontneed": (6, 0),
    "evict-a-later": (8, 0),
    "exit-mid": (5, 0),
    "fork-swapped": (8, 0),
    "info": (3, 0),
    "merge6": (3, 0),
    "merge6b": (6, 0),
    "mlock-swapped": (3, 0),
    "mremap": (4, 0),
    "node0-run2": (7, 0),
    "node0": (6, 0),
    "ord-fork": (6, 0),
    "ord-single": (3, 0),
    "r-swapin4": (6, 0),
    "remerge1-othersharer": (3, 0),
    "remerge2": (5, 0),
    "s1-trig": (40, 0),
    "s2-step-rescan": (43, 0),
    "s3-hog-only": (8, 0),
    "s4-hog-unmerged": (8, 0),
    "stable-after-evict-pass": (8, 0),
    "stable-prune": (10, 0),
    "swapfull": (6, 0),
    "t1-4a-ksmd-half": (6, 0),
    "t1-4a": (7, 0),
    "t1-4b-e2": (8, 0),
    "t1-6w": (4, 0),
    "t1-7w": (4, 0),
    "t1-main": (18, 0),
    "t1-wlast": (5, 0),
    "t10-mlock-after": (6, 4),
    "t10-mlock-ro": (5, 6),
    "t10-one-locked": (4, 0),
    "t11-multi": (5, 0),
    "t12-present": (4, 0),
    "t12": (9, 0),
    "t3-noscan": (11, 0),
    "t3-scan": (12, 0),
    "t4-leak-run2": (2, 0),
    "t4-leak": (4, 0),
    "t4-swapped-exit": (5, 0),
    "t4": (9, 0),
    "t6-join": (4, 0),
    "t6-volatile": (5, 0),
    "t6-young": (6, 0),
    "t6": (4, 0),
    "t7-existing-node": (4, 0),
    "t7-pin-first-a": (6, 0),
    "t7-pin-second-b": (6, 0),
    "t7-readonly-pte": (2, 0),
    "t8-young": (8, 0),
    "t8-youngfresh": (4, 0),
    "unst-abort": (5, 0),
    "unst-stale-content": (4, 0),
    "zero": (3, 0),
}
ROWS = 425

# The rows at which nothing was evicted of what was to be, and how often ``memory.reclaim`` had been written.
KNOB_FAILED = {
    ("evict-a-later", "reclaim x3"): 14,
    ("merge6b", "reclaim x2"): 10,
    ("node0", "merged, one shrink visit"): 1,
    ("node0-run2", "merged, one shrink visit"): 1,
    ("remerge2", "reclaim x3"): 14,
    ("stable-prune", "merged+reclaim x3"): 14,
    ("t1-4a", "reclaim x2"): 10,
    ("t1-4a-ksmd-half", "merged+reclaim x2"): 10,
    ("t1-4b-e2", "merged+reclaim x2"): 10,
    ("t1-main", "reclaim"): 6,
    ("t11-multi", "2x20 pages of 10, reclaim x3"): 14,
    ("t12", "merged+reclaim x2"): 10,
    ("t4", "reclaim x3"): 14,
    ("t4-swapped-exit", "merged+reclaim x3"): 14,
}
NOTE = re.compile(r"the knob failed: memory\.reclaim was written (\d+) times? and evicted nothing")


def script(name: str) -> list[dict[str, Any]]:
    document = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    assert document["experiment"] == f"v6-1-{name}"
    assert document["kernel"] == "v6.1"
    assert document["machine"]["invariants"] == "steps"
    steps: list[dict[str, Any]] = document["workload"]["script"]
    return steps


def test_no_table_is_missing_or_unlisted() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(TABLES)
    assert sum(rows for rows, _ in TABLES.values()) == ROWS


@pytest.mark.parametrize("name", TABLES)
def test_table_has_all_its_rows_and_names_its_exceptions(name: str) -> None:
    steps = script(name)
    rows = [step["measured"] for step in steps if "measured" in step]
    excepted = [reason for row in rows for reason in row.get("except", {}).values()]
    assert (len(rows), len(excepted)) == TABLES[name]
    assert all(len(reason) > 20 for reason in excepted), "an exception is explained in words"
    for row in rows:
        cells = row["row"].split(" | ")
        assert len(cells) == COLUMNS
        assert "~" not in cells


def test_rows_after_which_the_knob_had_failed_say_so() -> None:
    """Each with how often ``memory.reclaim`` was written; the README lists them."""
    said = {
        (name, step["measured"]["label"]): int(times[1])
        for name in TABLES
        for step in script(name)
        if (times := NOTE.fullmatch(step.get("measured", {}).get("note", "")))
    }
    assert said == KNOB_FAILED
    for (name, label), times in KNOB_FAILED.items():
        assert f"| {name} | {label} | {times} |" in README


@pytest.mark.parametrize("name", TABLES)
def test_copies_are_expected_beside_every_row(name: str) -> None:
    steps = script(name)
    for place, step in enumerate(steps):
        if "measured" in step:
            assert set(steps[place + 1]["expect"]) == {"vm.cow_ksm", "vm.ksm_swpin_copy"}
