"""What lies in the repository: the fixed top level, no traces of any one machine, functions that fit on a page."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOP = {
    "pyproject.toml",
    "ksmlab_core",
    "plugins",
    "experiments",
    "tests",
    "README.md",
    "LICENSE",
    ".gitignore",
    ".ci",
}


def tracked() -> list[Path]:
    """Every file that git tracks; every file there is where there is no git (a source archive)."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("not a git repository")
    return [path for name in done.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def test_the_top_level_is_the_fixed_one() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in tracked()} <= TOP


NOT_TO_BE_NAMED = [
    ("a folder of one machine", r"(?<![\w.\]])/(?:work|tmp|root|home)(?:/|\b(?![\w]))"),
    ("a folder beside the repository", r"(?<![\w/])shared/\w+/"),
    ("a package registry", "|".join((r"\bpy" + r"pi\b", r"\bsimple/", "index" + "-url", "files.python" + "hosted"))),
    ("an address", r"\b[1-9]\d{0,2}(?:\.\d{1,3}){3}\b"),
    ("who made it", "|".join(("anth" + "ropic", "clau" + "de", r"\bhelper " + r"H\d"))),
]
MAY = {
    ("a folder of one machine", "tests/house/test_repository.py"),
    ("an address", "experiments/captures/make_quickstart.py"),  # the loopback of its own search service
}


@pytest.mark.parametrize(("what", "pattern"), NOT_TO_BE_NAMED, ids=[what for what, _ in NOT_TO_BE_NAMED])
def test_nothing_tracked_names(what: str, pattern: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()[:120]}"
        for path in tracked()
        if path.suffix != ".ksmcap" and (what, str(path.relative_to(ROOT))) not in MAY
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(pattern, line, re.IGNORECASE)
    ]
    assert found == []


LONGEST_MODULE = 450
LONGEST_FUNCTION = 70
LONG_MODULES = {
    "ksmlab_core/mm/ksm.py": "as long as the kernel's file of this name is for its size",
    "ksmlab_core/mm/machine.py": "the facade: one short method for each thing that can be asked of the machine",
    "ksmlab_core/mm/address_space.py": "the system calls on areas, which share their helpers",
    "ksmlab_core/mm/mm_types.py": "the records: a line for each field and each scalar",
    "ksmlab_core/mm/invariants.py": "one check for each of the twenty invariants",
}
LONG_FUNCTIONS = {
    "ksmlab_core/mm/doors.py:access": "the loop of the hit path, whose parts would each pay for a call per access",
}
PYTHON = [
    path for folder in ("ksmlab_core", "plugins", "experiments") for path in sorted((ROOT / folder).rglob("*.py"))
]


def test_modules_are_short_or_have_a_reason() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in PYTHON
        if (count := path.read_text(encoding="utf-8").count("\n")) > LONGEST_MODULE
    }
    assert set(long) <= set(LONG_MODULES), long


def test_functions_are_short_or_have_a_reason() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.name}": lines
        for path in PYTHON
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
    }
    assert set(long) <= set(LONG_FUNCTIONS), long


def test_the_median_function_is_shorter_than_ten_lines() -> None:
    lengths = sorted(
        (node.end_lineno or 0) - node.lineno + 1
        for path in PYTHON
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    )
    assert lengths[len(lengths) // 2] < 10


def _is_plain(node: ast.Module | ast.FunctionDef | ast.ClassDef) -> bool:
    """Is it a short function under a name that says it all, as many of the kernel's are?"""
    return isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno < 20


def _public(tree: ast.Module) -> list[ast.Module | ast.FunctionDef | ast.ClassDef]:
    """The module and its public classes and functions; what a hook is for stands in its specification."""
    found: list[ast.Module | ast.FunctionDef | ast.ClassDef] = [tree]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith(("_", "ksmlab_")):
            found.append(node)
    return found


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_public_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not tree.body:
        return
    silent = [
        getattr(node, "name", "the module")
        for node in _public(tree)
        if not ast.get_docstring(node) and not (path.parent.name == "mm" and _is_plain(node))
    ]
    assert silent == []
