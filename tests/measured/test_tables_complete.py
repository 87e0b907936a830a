"""The measured tables of each kernel, and the golden traces, are all here and whole.

What a file under ``experiments/measured`` compares is listed in `TABLES`, file by file: a row that is dropped, or an
exception that is added, has to be added here as well, where it is seen. All kernels were driven through the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
COLUMNS = ("counters", "scans", "io", "proc", "pfns", "swps", "ksm", "swcache", "used", "pages")
ELEMENTS = {
    "io": ("io.in", "io.out", "io.maj"),
    "ksm": ("ksm.mapped", "ksm.unmapped"),
    "swcache": ("swcache.mapped", "swcache.unmapped"),
}
PAGE = re.compile(r"(?:(?P<name>[a-z]\d+)=)?(?P<where>[PS]\d+|-)(?:\[(?P<state>[^\]]*)\])?")


class Table(NamedTuple):
    """One measured table: the rows it has, all of which are compared, and the elements excepted in them on `seed`."""

    rows: int
    excepted: int


TABLES = {
    "act-node-pg-referenced": Table(rows=3, excepted=0),
    "batch": Table(rows=2, excepted=0),
    "born-fork-ordinary": Table(rows=3, excepted=0),
    "born-scan-merge": Table(rows=4, excepted=0),
    "born-swapin-read": Table(rows=2, excepted=0),
    "born-swapoff": Table(rows=4, excepted=0),
    "cow-remerge": Table(rows=4, excepted=0),
    "cow-single": Table(rows=5, excepted=0),
    "cursor-register": Table(rows=4, excepted=0),
    "dontneed": Table(rows=6, excepted=0),
    "evict-a-later": Table(rows=8, excepted=0),
    "exit-mid": Table(rows=5, excepted=0),
    "fork-swapped": Table(rows=8, excepted=0),
    "info": Table(rows=3, excepted=0),
    "merge6": Table(rows=3, excepted=0),
    "merge6b": Table(rows=6, excepted=0),
    "mlock-swapped": Table(rows=3, excepted=0),
    "mremap": Table(rows=4, excepted=0),
    "node0": Table(rows=6, excepted=0),
    "node0-run2": Table(rows=7, excepted=0),
    "ord-fork": Table(rows=6, excepted=0),
    "ord-single": Table(rows=3, excepted=0),
    "r-swapin4": Table(rows=6, excepted=0),
    "remerge1-othersharer": Table(rows=3, excepted=0),
    "remerge2": Table(rows=5, excepted=0),
    "s1-trig": Table(rows=40, excepted=0),
    "s2-step-rescan": Table(rows=43, excepted=0),
    "s3-hog-only": Table(rows=8, excepted=0),
    "s4-hog-unmerged": Table(rows=8, excepted=0),
    "s5-big-distinct": Table(rows=10, excepted=8),
    "stable-after-evict-pass": Table(rows=8, excepted=0),
    "stable-prune": Table(rows=10, excepted=0),
    "swapfull": Table(rows=6, excepted=0),
    "t1-4a": Table(rows=7, excepted=0),
    "t1-4a-ksmd-half": Table(rows=6, excepted=0),
    "t1-4b-e2": Table(rows=8, excepted=0),
    "t1-6w": Table(rows=4, excepted=0),
    "t1-7w": Table(rows=4, excepted=0),
    "t1-main": Table(rows=18, excepted=0),
    "t1-wlast": Table(rows=5, excepted=0),
    "t10-mlock-after": Table(rows=6, excepted=0),
    "t10-mlock-ro": Table(rows=5, excepted=0),
    "t10-one-locked": Table(rows=4, excepted=0),
    "t11-multi": Table(rows=5, excepted=0),
    "t12": Table(rows=9, excepted=0),
    "t12-present": Table(rows=4, excepted=0),
    "t3-noscan": Table(rows=11, excepted=0),
    "t3-scan": Table(rows=12, excepted=0),
    "t4": Table(rows=9, excepted=0),
    "t4-leak": Table(rows=4, excepted=0),
    "t4-leak-run2": Table(rows=2, excepted=0),
    "t4-swapped-exit": Table(rows=5, excepted=0),
    "t6": Table(rows=4, excepted=0),
    "t6-join": Table(rows=4, excepted=0),
    "t6-volatile": Table(rows=5, excepted=0),
    "t6-young": Table(rows=6, excepted=0),
    "t7-existing-node": Table(rows=4, excepted=0),
    "t7-pin-first-a": Table(rows=6, excepted=0),
    "t7-pin-second-b": Table(rows=6, excepted=0),
    "t7-readonly-pte": Table(rows=2, excepted=0),
    "t8-young": Table(rows=8, excepted=0),
    "t8-youngfresh": Table(rows=4, excepted=0),
    "unst-abort": Table(rows=5, excepted=0),
    "unst-stale-content": Table(rows=4, excepted=0),
    "zero": Table(rows=3, excepted=0),
}

# The elements that are excepted in tables of other kernels.
EXCEPTED = {
    "seed": {name: table.excepted for name, table in TABLES.items() if table.excepted},
    "v2.6.33": {"s5-big-distinct": 9},
}
# What later kernels answered at samples: how many samples, and how many figures of each.
ANSWERS = {
    "v6.18": {
        "fork-cow": (10, None),
        "sharing-limit": (4, 18),
        "sharing-limit-kept": (4, 18),
        "volatile-unshared": (7, 18),
    }
}
PREFIX = {"seed": "seed", "v2.6.33": "v2-6-33"}
EVERY_TABLE = [(kernel, name) for kernel in EXCEPTED for name in TABLES]

# The golden traces of the specification: how many expectations each checks.
TRACES = {
    "t-drv-12-copied": 6,
    "t-drv-7-readonly-refused": 4,
    "t-drv-3-anon-vma": 7,
    "t-drv-2": 16,
    "t-drv-1": 23,
    "t-drv-1-cached": 5,
    "t-drv-1-orphan": 6,
    "t-drv-1-write-first": 5,
    "t-drv-1-write-second": 5,
    "t-drv-10": 6,
    "t-drv-10-write": 4,
    "t-drv-11": 7,
    "t-drv-11-cached": 7,
    "t-drv-12": 9,
    "t-drv-3": 7,
    "t-drv-3-scanned": 5,
    "t-drv-4": 9,
    "t-drv-5": 8,
    "t-drv-6": 9,
    "t-drv-7": 6,
    "t-drv-7-node": 6,
    "t-drv-7-pinned-first": 6,
    "t-drv-7-readonly": 3,
    "t-drv-8": 6,
    "t-drv-8-memcg": 7,
    "t-drv-9": 11,
    "t-drv-1-v2-6-33": 12,
    "t-drv-10-v2-6-33": 7,
    "t-drv-10-write-v2-6-33": 4,
    "t-drv-12-v2-6-33": 10,
    "t-drv-3-v2-6-33": 7,
    "r-b-fork-1": 4,
    "r-b-recl-1": 5,
    "r-b-scan-3": 5,
    "r-b-unm-1": 4,
    "x-4": 4,
    "x-9-restart": 5,
    "r-b-mlock-1": 6,
    "r-b-off-1": 4,
    "x-7-node-kept": 5,
    "x-8-v2-6-33": 7,
    "x-9-v2-6-33": 7,
}


class Totals(NamedTuple):
    """How much is compared in all tables together."""

    tables: int
    rows: int
    cells: int
    figures: int
    excepted: int


TOTALS = {
    "seed": Totals(tables=65, rows=435, cells=4195, figures=12263, excepted=8),
    "v2.6.33": Totals(tables=65, rows=435, cells=4191, figures=11874, excepted=9),
}


def script(path: Path) -> list[dict[str, Any]]:
    """The steps of an experiment file."""
    steps: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))["workload"]["script"]
    return steps


def measured(kernel: str, name: str) -> list[dict[str, Any]]:
    """The rows of a table's file."""
    steps = script(EXPERIMENTS / "measured" / kernel / f"{name}.yaml")
    return [step["measured"] for step in steps if "measured" in step]


def cells(row: dict[str, Any]) -> dict[str, str]:
    """A row's cells by column."""
    return dict(zip(COLUMNS, (cell.strip() for cell in row["row"].split("|")), strict=True))


def page_figures(cell: str) -> Iterator[tuple[str, int]]:
    """Each page that a cell lists, and what is said of it: its frame or slot, flags, counts, node."""
    for page in PAGE.finditer(cell):
        state = page["state"]
        yield page["name"] or "unmapped", 1 + (len(state.split(",")) if state is not None else 0)


def figures(column: str, cell: str, excepted: frozenset[str]) -> int:
    """How many single figures of a cell are compared."""
    if column in excepted or cell.startswith("("):
        return 0
    if column == "pages":
        return sum(n for name, n in page_figures(cell) if f"pages.{name}" not in excepted)
    return len(re.findall(r"\d+", cell)) - sum(element in excepted for element in ELEMENTS.get(column, ()))


def totals(kernel: str) -> Totals:
    """What all tables of a kernel compare, counted in the files."""
    rows = [row for name in TABLES for row in measured(kernel, name)]
    counts = [
        figures(column, cell, frozenset(row.get("except", {}))) for row in rows for column, cell in cells(row).items()
    ]
    excepted = sum(len(row.get("except", {})) for row in rows)
    return Totals(len(TABLES), len(rows), sum(count > 0 for count in counts), sum(counts), excepted)


def test_no_table_or_trace_is_missing_or_unlisted() -> None:
    assert {folder.name for folder in (EXPERIMENTS / "measured").iterdir()} == {*EXCEPTED, *ANSWERS, "v6.1"}
    for kernel, answers in ANSWERS.items():
        assert {path.stem for path in (EXPERIMENTS / "measured" / kernel).iterdir()} == set(answers)
    for kernel in EXCEPTED:
        assert {path.stem for path in (EXPERIMENTS / "measured" / kernel).iterdir()} == set(TABLES)
    assert {path.stem for path in (EXPERIMENTS / "traces").iterdir()} == set(TRACES)


def test_every_table_and_trace_is_checked_after_every_step_and_expects_something() -> None:
    """`pytest experiments/` carries them out."""
    for path in [*(EXPERIMENTS / "measured").glob("*/*.yaml"), *(EXPERIMENTS / "traces").glob("*.yaml")]:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        expects = [step for step in data["workload"]["script"] if {"expect", "measured"} & set(step)]
        assert data["machine"]["invariants"] == "steps", path
        assert expects or data.get("expect"), path


@pytest.mark.parametrize(("kernel", "name"), EVERY_TABLE)
def test_table_has_all_its_rows_and_names_its_exceptions(kernel: str, name: str) -> None:
    rows = measured(kernel, name)
    assert len(rows) == TABLES[name].rows
    assert sum(len(row.get("except", {})) for row in rows) == EXCEPTED[kernel].get(name, 0)


@pytest.mark.parametrize(("kernel", "name"), EVERY_TABLE)
def test_rows_are_whole_and_exceptions_have_reasons(kernel: str, name: str) -> None:
    known = {*COLUMNS, *(element for group in ELEMENTS.values() for element in group)}
    for row in measured(kernel, name):
        reasons = row.get("except", {})
        assert row["label"]
        for column, cell in cells(row).items():
            assert cell != "~" or column in reasons
        for element, reason in reasons.items():
            assert element in known or element.startswith("pages.")
            assert len(reason) > 20, "an exception is explained in words"


@pytest.mark.parametrize(("kernel", "name"), EVERY_TABLE)
def test_table_is_an_experiment_of_its_kernel(kernel: str, name: str) -> None:
    document = yaml.safe_load((EXPERIMENTS / "measured" / kernel / f"{name}.yaml").read_text(encoding="utf-8"))
    assert document["experiment"] == f"{PREFIX[kernel]}-{name}"
    assert document["kernel"] == kernel
    assert document["machine"]["invariants"] == "steps"


@pytest.mark.parametrize(("kernel", "name"), [(kernel, name) for kernel in ANSWERS for name in ANSWERS[kernel]])
def test_answers_are_compared_at_every_sample(kernel: str, name: str) -> None:
    steps = script(EXPERIMENTS / "measured" / kernel / f"{name}.yaml")
    samples, figures_of_each = ANSWERS[kernel][name]
    assert sum("sample" in step for step in steps) == samples
    expected = [len(steps[place + 1]["expect"]) for place, step in enumerate(steps) if "sample" in step]
    assert figures_of_each is None or expected == [figures_of_each] * samples
    assert min(expected) >= 18


@pytest.mark.parametrize("name", TRACES)
def test_trace_keeps_its_expectations(name: str) -> None:
    steps = script(EXPERIMENTS / "traces" / f"{name}.yaml")
    assert sum("expect" in step for step in steps) == TRACES[name]
    assert all(step["expect"] for step in steps if "expect" in step)


@pytest.mark.parametrize("kernel", TOTALS)
def test_totals_are_those_that_the_tables_promise(kernel: str) -> None:
    assert totals(kernel) == TOTALS[kernel]


if __name__ == "__main__":
    for each in TOTALS:
        print(each, totals(each))
