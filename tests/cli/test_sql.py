"""`ksmlab sql` and `ksmlab reindex`, called as a user calls them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest

Ksmlab = Callable[..., "object"]


@pytest.fixture
def results(here: Path, ksmlab, simulated_by) -> Path:
    """The runs of the experiment, in `runs`."""
    assert ksmlab("run", "storm.yaml", "--json").status == 0
    return here / "runs"


QUESTION = 'SELECT id, seed, "vm.pswpin" / 2 AS half FROM counters ORDER BY id LIMIT 2'


def test_the_answer_is_a_table(ksmlab, results: Path) -> None:
    told = ksmlab("sql", QUESTION)
    assert (told.status, told.err) == (0, "")
    lines = told.out.splitlines()
    assert lines[0].split() == ["id", "seed", "half"]
    assert [line.split()[:2] for line in lines[1:-1]] == [["defer", "7"], ["kernel", "7"]]
    assert len({len(line) for line in lines[:-1]}) == 1, "numbers end in line"
    assert lines[-1] == "2 rows"


def test_the_answer_for_programs(ksmlab, results: Path) -> None:
    rows = json.loads(ksmlab("sql", QUESTION, "runs", "--json").out)
    assert [row["id"] for row in rows] == ["defer", "kernel"]
    assert rows == json.loads(ksmlab("sql", QUESTION, "--format", "json").out)
    told = list(csv.DictReader(StringIO(ksmlab("sql", QUESTION, "--csv").out)))
    assert [{**row, "seed": int(row["seed"]), "half": float(row["half"])} for row in told] == rows
    markdown = ksmlab("sql", QUESTION, "--format", "markdown").out.splitlines()
    assert markdown[:2] == ["| id | seed | half |", "| --- | --: | --: |"]
    assert len(markdown) == 4


def test_json_has_no_infinities(ksmlab, results: Path) -> None:
    question = (
        "SELECT 'nan'::DOUBLE AS a, 'inf'::DOUBLE AS b, [1.5, 'nan'::DOUBLE] AS c, {'x': 1.25::DECIMAL(4,2)} AS d"
    )
    told = ksmlab("sql", question, "--json")
    assert json.loads(told.out, parse_constant=lambda word: pytest.fail(word)) == [
        {"a": None, "b": None, "c": [1.5, None], "d": {"x": "1.25"}}
    ]


def test_text_of_several_lines_stays_in_its_row(ksmlab, results: Path) -> None:
    told = ksmlab("sql", "SELECT 'a\nb|c' AS x, NULL AS y", "--format", "markdown")
    assert told.out.splitlines()[2:] == ["| a b\\|c | NULL |"]
    assert ksmlab("sql", "SELECT 'a\nb' AS x, NULL AS y").out.splitlines()[1:] == ["a b  NULL", "1 row"]


def test_without_a_question_the_tables_are_listed(ksmlab, results: Path) -> None:
    told = ksmlab("sql")
    assert told == ksmlab("sql", "runs")
    for table in ("runs:", "counters:", "samples:", "series:", "expect:", "metrics:"):
        assert table in told.out
    assert '"policies.swapin"' in told.out
    assert '"vm.pswpin"' in told.out
    assert max(map(len, told.out.splitlines())) <= 120


def test_what_is_wrong_is_one_line(ksmlab, results: Path) -> None:
    for words, said in {
        ("SELEC 1",): 'syntax error at or near "SELEC"\n',
        ("SELECT 1", "nowhere"): "nowhere: no such folder of results\n",
        ("DROP VIEW runs",): "one SELECT can be asked, and nothing else; a PIVOT goes in parentheses after FROM\n",
    }.items():
        told = ksmlab("sql", *words)
        assert (told.status, told.out, told.err) == (2, "", said)


def test_the_index_is_made_anew(ksmlab, results: Path) -> None:
    told = ksmlab("reindex")
    assert (told.status, told.err) == (0, "")
    assert told.out.startswith("runs: 3 runs, ")
    assert len(list(results.glob(".index-*.parquet"))) == 1
    assert ksmlab("reindex", "nowhere").err == "nowhere: no such folder of results\n"


def test_reports_do_not_mind_the_index(ksmlab, results: Path) -> None:
    assert ksmlab("reindex", "runs/storm").status == 0
    assert ksmlab("report", "runs").status == 0
