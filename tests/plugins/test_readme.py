"""plugins/README.md: its examples run, its tables are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from ksmlab_core.policy import (
    FrameColumns,
    Outcome,
    RunInfo,
    ScanColumns,
    Swapin,
    SwapinFault,
    Twin,
    load_registry,
)
from ksmlab_core.policy.answers import check_decision, check_order, check_victims
from ksmlab_core.policy.kinds import HOOKS

README = (Path(__file__).parents[2] / "plugins" / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def shipped():
    return load_registry(autoload=False)


@pytest.fixture
def load(tmp_path):
    def read(example):
        path = tmp_path / "example.py"
        path.write_text(example, encoding="utf-8")
        return load_registry([str(path)], autoload=False)

    return read


def row_of(entry):
    fields = entry.params.model_fields.items()
    params = ", ".join(f"`{name}` {info.default}" for name, info in fields)
    return f"| {entry.kind} | `{entry.name}` | {entry.summary} | {params + ' ' if params else ''}|"


def test_the_table_of_policies_is_the_registry(shipped):
    written = re.findall(r"^\| (?:reclaim|swapin|scan) \|.*$", README, re.MULTILINE)
    assert written == [row_of(entry) for hook in HOOKS for entry in shipped.entries(hook)]


@pytest.mark.parametrize("columns", [FrameColumns, ScanColumns])
def test_the_tables_of_columns_are_those_of_the_code(columns):
    rows = [
        f"| `{name}` | {column.dtype.__name__.removesuffix('_')} | {column.meaning} |"
        for name, column in columns.COLUMNS.items()
    ]
    assert "\n".join(rows) in README


def test_the_readme_names_every_answer_outcome_and_field_of_a_fault():
    assert all(f"`Swapin.{answer.name}`" in README for answer in Swapin)
    assert ", ".join(f"`{outcome.name}`" for outcome in Outcome) in README
    assert all(f"`{field}`" in README for field in SwapinFault.__dataclass_fields__)


def test_there_are_examples_for_every_question_and_for_observers():
    text = "".join(EXAMPLES)
    for hook in ("reclaim_policies", "swapin_policies", "scan_orders", "run_finished"):
        assert f"def ksmlab_{hook}" in text


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_the_example_loads_and_its_policies_answer(load, shipped, number):
    registry = load(EXAMPLES[number])
    provider = registry.providers[-1]
    assert provider.name.endswith("example.py")
    hooks = [h for h in ("reclaim", "swapin", "scan") for e in registry.entries(h) if e.file == provider.file]
    assert hooks or provider.module.ksmlab_run_finished
    for hook in hooks:
        ask(hook, next(e for e in registry.entries(hook) if e.file == provider.file))


def ask(hook, entry):
    """One question of each kind, with an empty one before it."""
    policy = entry.cls()
    policy.started(RunInfo("r"))
    if hook == "swapin":
        for fault in (SwapinFault("a", 3), SwapinFault("a", 3, ksm_twin=Twin(1, 9, 9), process_number=20)):
            check_decision(policy, policy.decide(fault), fault)
        return
    for rows in (0, 5):
        numbers = np.arange(rows)
        if hook == "reclaim":
            frames = FrameColumns(dict.fromkeys(FrameColumns.COLUMNS, numbers))
            assert len(check_victims(policy, policy.victims(frames, 3), 3, numbers)) == min(3, rows)
        else:
            pages = ScanColumns(dict.fromkeys(ScanColumns.COLUMNS, numbers), full_scans=4)
            assert len(check_order(policy, policy.order(pages, 3), 3, rows)) == min(3, rows)


def test_the_observer_prints_to_stderr_only(load, capsys):
    observer = next(example for example in EXAMPLES if "ksmlab_run_finished" in example)
    result = type("Result", (), {"metrics": {"vm.pgmajfault": 12}})()
    load(observer).hook.ksmlab_run_finished(run=RunInfo("one-s0"), result=result)
    assert capsys.readouterr() == ("", "one-s0: 12 major faults\n")


def test_the_two_question_example_learns_at_swapin_for_the_scan(load):
    example = next(example for example in EXAMPLES if "FollowTheFaults" in example)
    policy = load(example).get("scan", "follow-the-faults").cls()
    policy.started(RunInfo("r"))
    for process in (2, 1, 2):
        policy.decide(SwapinFault("x", 0, process_number=process))
    pages = ScanColumns({"process": [0, 1, 2, 2], "last_scanned": [-1] * 4})
    assert list(policy.order(pages, 4)) == [2, 3, 1, 0]
