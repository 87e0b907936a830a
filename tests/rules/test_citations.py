"""Every rule of the seed kernel, and every invariant, is cited by a test that asserts something."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

NUMBERED = {
    "R-OBJ": 15,
    "R-ADV": 5,
    "R-CTR": 8,
    "R-KNOB": 4,
    "R-SCAN": 10,
    "R-CMP": 6,
    "R-STAB": 2,
    "R-UNST": 3,
    "R-REM": 2,
    "R-MERGE": 7,
    "R-BRK": 2,
    "R-UNM": 2,
    "R-EXIT": 1,
    "R-RECL": 8,
    "R-REF": 5,
    "R-TTU": 6,
    "R-SWAPIN": 11,
    "R-RMAP": 1,
    "R-REUSE": 1,
    "R-FREE": 2,
    "R-COW": 3,
    "R-REMERGE": 2,
    "R-OFF": 4,
    "R-MLOCK": 3,
    "R-FORK": 2,
    "R-ZAP": 1,
    "INV": 20,
}
RULES = [f"{family}-{n}" for family, last in NUMBERED.items() for n in range(1, last + 1)]
RULES += [f"R-CASE-{case}" for case in ("a", "b", "c", "d", "e1", "e2", "f")]
CITED = re.compile(r"\b(?:R-[A-Z]+-[0-9a-z]+|INV-[0-9]+)\b")


def asserts(function: ast.AST) -> bool:
    """Does a function check anything: an assert, or ``pytest.raises``?"""
    return any(
        isinstance(node, ast.Assert)
        or (isinstance(node, ast.Attribute) and node.attr == "raises")
        or (isinstance(node, ast.Name) and node.id == "raises")
        for node in ast.walk(function)
    )


def citations(path: Path) -> list[tuple[str, str]]:
    """(rule, test) for each rule in the text (docstring, comments, markers) of each test function that asserts."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and asserts(node):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            body = "\n".join(lines[first - 1 : node.end_lineno])
            found += [(rule, f"{path.name}::{node.name}") for rule in CITED.findall(body)]
    return found


@pytest.fixture(scope="module")
def cited():
    """The tests that cite each rule."""
    tests = defaultdict(set)
    for path in sorted(TESTS.rglob("test_*.py")):
        if path != Path(__file__):
            for rule, test in citations(path):
                tests[rule].add(test)
    return tests


def test_the_list_is_whole():
    """The numbered rules and cases of profile A and 20 invariants, none twice."""
    assert len(RULES) == len(set(RULES))
    assert sum(rule.startswith("R-") for rule in RULES) == 123
    assert sum(rule.startswith("INV-") for rule in RULES) == 20


@pytest.mark.parametrize("family", [*NUMBERED, "R-CASE"])
def test_every_rule_is_cited_by_a_test_that_asserts(cited, family):
    rules = [rule for rule in RULES if rule.rpartition("-")[0] == family]
    assert rules
    assert [rule for rule in rules if not cited.get(rule)] == []


def test_no_rule_is_cited_that_does_not_exist(cited):
    """Numbers of other kernels (``R-B-...``) are not matched; anything else must be on the list."""
    unknown = {rule: sorted(tests) for rule, tests in cited.items() if rule not in RULES}
    assert unknown == {}


def test_a_test_without_assertion_does_not_count(tmp_path):
    """Neither does a rule in a helper, or in a module's docstring."""
    path = tmp_path / "test_x.py"
    path.write_text(
        '"""R-OBJ-1"""\n'
        'def test_idle():\n    """R-OBJ-2"""\n'
        'def helper():\n    """R-OBJ-3"""\n    assert True\n'
        'def test_busy():\n    """R-OBJ-4"""\n    # INV-7\n    assert True\n'
        'def test_raising():\n    """R-CASE-e1"""\n    with pytest.raises(OSError):\n        open("")\n',
        encoding="utf-8",
    )
    assert sorted(rule for rule, _test in citations(path)) == ["INV-7", "R-CASE-e1", "R-OBJ-4"]
