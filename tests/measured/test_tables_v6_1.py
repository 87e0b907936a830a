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

# How many rows each table has. Nothing is excepted.
TABLES = {
    "act-node-pg-referenced": 3,
    "batch": 2,
    "born-fork-ordinary": 3,
    "born-scan-merge": 4,
    "born-swapin-read": 2,
    "born-swapoff": 4,
    "cow-remerge": 4,
    "cow-single": 5,
    "cursor-register": 4,
    "dontneed": 6,
    "evict-a-later": 8,
    "exit-mid": 5,
    "fork-swapped": 8,
    "info": 3,
    "merge6": 3,
    "merge6b": 6,
    "mlock-swapped": 3,
    "mremap": 4,
    "node0-run2": 7,
    "node0": 6,
    "ord-fork": 6,
    "ord-single": 3,
    "r-swapin4": 6,
    "remerge1-othersharer": 3,
    "remerge2": 5,
    "s1-trig": 40,
    "s2-step-rescan": 43,
    "s3-hog-only": 8,
    "s4-hog-unmerged": 8,
    "stable-after-evict-pass": 8,
    "stable-prune": 10,
    "swapfull": 6,
    "t1-4a-ksmd-half": 6,
    "t1-4a": 7,
    "t1-4b-e2": 8,
    "t1-6w": 4,
    "t1-7w": 4,
    "t1-main": 18,
    "t1-wlast": 5,
    "t10-mlock-after": 6,
    "t10-mlock-ro": 5,
    "t10-one-locked": 4,
    "t11-multi": 5,
    "t12-present": 4,
    "t12": 9,
    "t3-noscan": 11,
    "t3-scan": 12,
    "t4-leak-run2": 2,
    "t4-leak": 4,
    "t4-swapped-exit": 5,
    "t4": 9,
    "t6-join": 4,
    "t6-volatile": 5,
    "t6-young": 6,
    "t6": 4,
    "t7-existing-node": 4,
    "t7-pin-first-a": 6,
    "t7-pin-second-b": 6,
    "t7-readonly-pte": 2,
    "t8-young": 8,
    "t8-youngfresh": 4,
    "unst-abort": 5,
    "unst-stale-content": 4,
    "zero": 3,
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
    assert sum(TABLES.values()) == ROWS


@pytest.mark.parametrize("name", TABLES)
def test_table_has_all_its_rows_and_compares_every_column(name: str) -> None:
    steps = script(name)
    rows = [step["measured"] for step in steps if "measured" in step]
    assert len(rows) == TABLES[name]
    for row in rows:
        assert "except" not in row
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
