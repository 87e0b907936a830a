"""Headline figures, in words and in a table."""

from __future__ import annotations

import io
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ksmlab_core.lab.collection import Collection, of_plan
from ksmlab_core.lab.expectations import told
from ksmlab_core.lab.headline import COLUMNS, change, columns_of, duration, mean_over_time, text
from ksmlab_core.lab.table import print_table


@pytest.fixture
def collected(fake: ModuleType, make_plan: Any) -> Collection:
    plan = make_plan()
    return of_plan(plan, [fake.run(spec, plan.registry) for spec in plan.points], "ksmlab run storm.yaml")


@pytest.mark.parametrize(
    ("ns", "words"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_000, "1.00 µs"),
        (12_340, "12.3 µs"),
        (517_000_000, "517 ms"),
        (3_210_000_000, "3.21 s"),
        (4_000_000_000_000, "4,000 s"),
    ],
)
def test_durations_in_words(ns: int, words: str) -> None:
    assert duration(ns) == words


@pytest.mark.parametrize(
    ("value", "base", "words"),
    [(110, 100, "+10 %"), (103, 100, "+3.0 %"), (50, 100, "-50 %"), (5, 5, ""), (5, 0, "from 0"), (None, 1, "")],
)
def test_changes_in_words(value: int | None, base: int, words: str) -> None:
    assert change(value, base) == words


def test_the_mean_weighs_intervals_by_their_length(collected: Collection) -> None:
    result = collected.runs[0].result
    result.series = {"time.elapsed": np.array([0, 10, 40]), "x": np.array([0, 10, 10])}
    assert mean_over_time("x")(result) == (5 * 10 + 10 * 30) / 40
    assert mean_over_time("not sampled")(result) is None
    assert text(None, "pages") == "–"


def test_every_column_says_what_it_means() -> None:
    assert all(column.meaning and column.title for column in COLUMNS)
    assert len({column.title for column in COLUMNS}) == len(COLUMNS)


def test_the_table_has_a_row_per_run_and_nothing_is_cut(collected: Collection) -> None:
    stream = io.StringIO()
    print_table(collected, stream)
    lines = [line.rstrip() for line in stream.getvalue().splitlines() if line.strip()]
    assert lines[0].split("  ")[0].strip() == "run"
    rows = {line.strip().partition("  ")[0]: line for line in lines[2:]}
    assert list(rows) == ["swapin kernel", "swapin remerge", "swapin defer"]
    for run in collected.runs:
        row = rows[f"swapin {run.spec['policies']['swapin']['use']}"]
        assert f"{run.result.metrics['machine.pages_saved']:,}" in row
        assert f"{run.result.metrics['vm.pswpout']:,}" in row
    assert "…" not in stream.getvalue()


class Terminal(io.StringIO):
    """Something that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_narrow_terminal_gets_the_table_on_its_side(collected: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    stream = Terminal()
    print_table(collected, stream)
    lines = [line.split("  ")[0].strip() for line in stream.getvalue().splitlines() if line.strip()]
    assert lines[-len(columns_of(collected)) :] == [column.title for column in columns_of(collected)]


def test_seeds_tell_runs_apart_where_nothing_else_does(fake: ModuleType, make_plan: Any) -> None:
    plan = make_plan(("kernel", "defer"), seeds=(1, 2))
    collection = of_plan(plan, [fake.run(spec, plan.registry) for spec in plan.points], "")
    assert list(collection.label_of.values()) == [
        "swapin kernel, seed 1",
        "swapin kernel, seed 2",
        "swapin defer, seed 1",
        "swapin defer, seed 2",
    ]


@pytest.mark.parametrize(
    ("want", "got", "words"),
    [
        (0, 3, "f.yaml:4: vm.pswpin: wanted 0, got 3"),
        ({"min": 5}, 3, "f.yaml:4: vm.pswpin: wanted at least 5, got 3"),
        ({"max": 2}, 3, "f.yaml:4: vm.pswpin: wanted at most 2, got 3"),
        ({"min": 5, "max": 9}, 3, "f.yaml:4: vm.pswpin: wanted 5 to 9, got 3"),
        (1, None, "f.yaml:4: vm.pswpin: wanted 1, no such metric in this run"),
    ],
)
def test_an_expectation_not_met_says_where_what_and_how_much(want: Any, got: int | None, words: str) -> None:
    assert told("f.yaml", {"metric": "vm.pswpin", "want": want, "got": got, "line": 4}) == words
