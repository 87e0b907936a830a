"""Results asked in SQL and loaded into notebooks: what the tables hold, and what a question cannot do."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ksmlab_core
from ksmlab_core.errors import BadInput
from ksmlab_core.experiment.plan import Expectation
from ksmlab_core.lab import store
from ksmlab_core.lab.runner import carry_out
from ksmlab_core.lab.views import ABOUT, Tables


@pytest.fixture(scope="module")
def root(fake: ModuleType, make_plan: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two policies and two seeds; a folder whose name has everything that patterns and SQL mind."""
    out = tmp_path_factory.mktemp("results") / "it's [my] *runs"
    expect = (Expectation("vm.pswpin", {"min": 1}, 12), Expectation("vm.pswpin", 0, 13))
    carry_out(make_plan(("kernel", "remerge"), (7, 8), expect), simulate=fake.run, out=out, command="ksmlab run")
    return out


@pytest.fixture(scope="module")
def tables(root: Path) -> Tables:
    return Tables(root)


def test_every_table_says_which_run_a_row_is_of(tables: Tables) -> None:
    for table in ABOUT:
        row = tables.ask(
            f'SELECT experiment, id, seed, kernel, swapin, frames, "policies.swapin" FROM {table}'
        ).fetchone()
        assert row == ("storm", "kernel-s7", 7, "seed", "kernel", 8192, "kernel"), table


def test_counters_are_those_of_the_files(root: Path, tables: Tables) -> None:
    asked = tables.ask('SELECT id, "vm.pswpin", "time.elapsed" FROM counters').fetchall()
    told = {folder.name: store.load(folder).metrics for folder in store.find(root)}
    assert asked == [(name, told[name]["vm.pswpin"], told[name]["time.elapsed"]) for name in told]


def test_series_are_those_of_the_files(root: Path, tables: Tables) -> None:
    asked = tables.ask('SELECT id, list("vm.pswpin" ORDER BY "time.elapsed") FROM series GROUP BY id').fetchall()
    assert dict(asked) == {folder.name: store.load(folder).series["vm.pswpin"].tolist() for folder in store.find(root)}


def test_samples_and_expectations(tables: Tables) -> None:
    assert tables.ask('SELECT id, label, ns, "ksm.merges", "vm.pswpin" FROM samples LIMIT 1').fetchall() == [
        ("kernel-s7", "wake-up", 1_000_000_000, 7, None)
    ]
    asked = tables.ask("SELECT id, label, metric, want, ok, line FROM expect LIMIT 2").fetchall()
    assert asked == [
        ("kernel-s7", "end", "vm.pswpin", '{"min":1}', True, 12),
        ("kernel-s7", "end", "vm.pswpin", "0", False, 13),
    ]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2], "BIGINT"),
        ([1, 2.5], "DOUBLE"),
        ([True, False], "BOOLEAN"),
        (["64MiB", 3], "VARCHAR"),
        ([{"a": 1}], "VARCHAR"),
    ],
)
def test_what_a_sweep_sets_has_the_type_of_its_values(
    fake: ModuleType, make_plan: Any, tmp_path: Path, values: list[Any], kind: str
) -> None:
    plan = make_plan(("kernel",), tuple(range(len(values))))
    for spec, value in zip(plan.points, values, strict=True):
        spec.point.clear()
        spec.point.update({'odd."key\'s"': value, "vm.pswpin": 9, "seed": 5})
    carry_out(plan, simulate=fake.run, out=tmp_path)
    results = ksmlab_core.load(tmp_path)
    shown = [
        value if kind != "VARCHAR" or isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        for value in values
    ]
    asked = results.sql('SELECT "odd.""key\'s""" AS odd, seed FROM runs')
    assert (asked.kinds[0], [row[0] for row in asked.rows]) == (kind, shown)
    assert [row[1] for row in asked.rows] == list(range(len(values))), "the seed of the run, whatever a point says"
    # A setting that is a metric too is told by the metric.
    assert results.sql('SELECT "vm.pswpin" FROM counters').rows[0][0] != 9


@pytest.mark.parametrize(
    "question",
    [
        "",
        "SELECT 1; SELECT 2",
        "COPY runs TO 'mine.csv'",
        "EXPLAIN ANALYZE COPY runs TO 'mine.csv'",
        "EXPORT DATABASE 'mine'",
        "ATTACH 'mine.db'",
        "SET enable_external_access = true",
        "PRAGMA enable_profiling",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CREATE TABLE mine AS SELECT 1",
        "DROP VIEW runs",
        "DELETE FROM stored",
        "WITH gone AS (DELETE FROM stored RETURNING *) SELECT * FROM gone",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_csv('/proc/self/environ')",
        "SELECT * FROM read_blob('OUTSIDE')",
        "SELECT * FROM read_text('ROOT/../outside.txt')",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM sniff_csv('OUTSIDE')",
        "SELECT * FROM query('COPY runs TO ''mine.csv''')",
        "FROM 'https://localhost/mine.parquet'",
        "SELECT * FROM self",
        "SELECT * FROM duckdb_secrets()",
        "SELEC 1",
        "SELECT nothing FROM runs",
        "SELECT 'x'::INTEGER FROM runs",
        "SELECT 9223372036854775807 + seed FROM runs",
        "\x00",
    ],
)
def test_a_question_writes_nothing_and_reads_nothing_else(root: Path, tables: Tables, question: str) -> None:
    outside = root.parent / "outside.txt"
    outside.write_text("xyzzy")
    question = question.replace("OUTSIDE", str(outside)).replace("ROOT", str(root).replace("'", "''"))
    before = sorted(path for path in root.parent.rglob("*"))
    with pytest.raises(BadInput) as caught:
        tables.ask(question).fetchall()
    assert "\n" not in str(caught.value)
    assert "xyzzy" not in str(caught.value)
    assert sorted(path for path in root.parent.rglob("*")) == before
    assert tables.ask("SELECT count(*) FROM runs").fetchall() == [(4,)], "it still answers, and has all"


@pytest.mark.parametrize(
    ("question", "hint"),
    [
        ("SELECT vm.pswpin FROM counters", 'goes in double quotes: "vm.pswpin"'),
        ('SELECT "vm.pswpim" FROM counters', 'Candidate bindings: "vm.pswpin"'),
        ("SELECT * FROM counter", "there are runs, counters, samples, series, expect"),
    ],
)
def test_what_may_have_been_meant_is_told(tables: Tables, question: str, hint: str) -> None:
    with pytest.raises(BadInput, match=hint):
        tables.ask(question)


def test_without_series_there_is_one_line(fake: ModuleType, make_plan: Any, tmp_path: Path) -> None:
    carry_out(make_plan(("remerge",)), simulate=fake.fails, out=tmp_path)
    tables = Tables(tmp_path)
    assert not tables.have_series()
    assert tables.ask("SELECT status FROM runs").fetchall() == [("failed",)]
    with pytest.raises(BadInput, match="no run here has a series"):
        tables.ask("SELECT * FROM series")


def test_a_torn_series_is_one_line(fake: ModuleType, make_plan: Any, tmp_path: Path) -> None:
    carry_out(make_plan(("kernel",)), simulate=fake.run, out=tmp_path)
    file = tmp_path / "storm" / "kernel" / "series.parquet"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(BadInput, match=r"series\.parquet") as caught:
        Tables(tmp_path).ask("SELECT * FROM series")
    assert "\n" not in str(caught.value)


def test_data_frames_keep_integers_and_what_is_missing(root: Path) -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("polars")
    results = ksmlab_core.load(root)
    told = [store.load(folder).metrics["vm.pswpin"] for folder in store.find(root)]
    for frame in (results.to_pandas(), results.to_polars()):
        assert list(frame["vm.pswpin"]) == told
        assert str(frame["vm.pswpin"].dtype).lower() == "int64"
        assert list(frame.columns) == results.counters().columns
    question = (
        "SELECT id, CASE WHEN seed = 7 THEN 9007199254740993 END AS big, sum(9007199254740993) OVER () AS total, "
        "CASE WHEN seed = 7 THEN 1.5::DOUBLE END AS half, CASE WHEN seed = 7 THEN true END AS flag, "
        "CASE WHEN seed = 7 THEN 'yes' END AS word, NULL AS nothing FROM runs ORDER BY id LIMIT 2;"
    )
    pandas, polars = results.sql(question).to_pandas(), results.sql(question).to_polars()
    assert str(pandas["big"].dtype) == "Int64"
    assert pandas["big"].isna().tolist() == [False, True]
    assert (pandas["big"][0], pandas["total"][0]) == (9007199254740993, 4 * 9007199254740993)
    assert (
        pandas["half"].isna().tolist()
        == pandas["flag"].isna().tolist()
        == pandas["word"].isna().tolist()
        == [False, True]
    )
    assert polars.drop("nothing").rows() == [
        ("kernel-s7", 9007199254740993, 4 * 9007199254740993, 1.5, True, "yes"),
        ("kernel-s8", None, 4 * 9007199254740993, None, None, None),
    ]


def test_a_notebook_s_tables(root: Path) -> None:
    results = ksmlab_core.load(str(root))
    assert repr(results) == f"<results in {root}: 4 runs, {len(store.load(store.find(root)[0]).metrics)} metrics>"
    assert len(results.runs()) == len(results.counters()) == len(results.samples()) == 4
    assert len(results.expect()) == 8
    assert len(results.series()) == 4 * len(store.load(store.find(root)[0]).series["time.elapsed"])
    assert results.runs().to_dicts()[0]["command"] == "ksmlab run"
    assert repr(results.sql("SELECT id, seed FROM runs")) == "<table of 4 rows and 2 columns: id, seed>"
    with pytest.raises(BadInput, match='Referenced column "x"'):
        results.sql("SELECT x FROM runs").to_pandas()


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_without_the_package_one_line_says_what_to_install(
    root: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr("ksmlab_core.lab.frames.find_spec", lambda name: None)
    with pytest.raises(
        BadInput, match=f"^{package} is not installed: pip install {package}, or 'ksmlab\\[notebook\\]'$"
    ):
        getattr(ksmlab_core.load(root), f"to_{package}")()


def test_series_loaded_are_numpy_s_own_integers(root: Path) -> None:
    pytest.importorskip("polars")
    column = (
        ksmlab_core.load(root).sql("SELECT \"vm.pswpin\" FROM series WHERE id = 'kernel-s7'").to_polars()["vm.pswpin"]
    )
    assert np.array_equal(column.to_numpy(), store.load(root / "storm" / "kernel-s7").series["vm.pswpin"])
