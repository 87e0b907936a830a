"""The shipped plugins are ordinary ones: public imports only, one policy a file, listed, documented."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import ksmlab_plugins
import pytest

import ksmlab_core.policy as api

ROOT = Path(ksmlab_plugins.__file__).parent
POLICIES = sorted(path for room in ("reclaim", "swapin", "scan") for path in (ROOT / room).glob("[!_]*.py"))
FILES = sorted(ROOT.rglob("[!_]*.py"))
PUBLIC = {"ksmlab_core.policy", "ksmlab_core.errors"}
PUBLIC_ROOMS = ("ksmlab_core.workload.", "ksmlab_core.capture.")


def short(path):
    return str(path.relative_to(ROOT))


def imports(path):
    """Module and names of every import of a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or ""), [alias.name for alias in node.names]


@pytest.mark.parametrize("path", FILES, ids=short)
def test_nothing_private_is_imported(path):
    for module, names in imports(path):
        if module.partition(".")[0] == "ksmlab_core":
            assert module in PUBLIC or module.startswith(PUBLIC_ROOMS), module
            assert not any(part.startswith("_") for part in [*module.split("."), *names])
        if module == "ksmlab_core.policy":
            assert set(names) <= set(api.__all__)


@pytest.mark.parametrize("path", POLICIES, ids=short)
def test_policies_need_only_the_policy_api(path):
    allowed = {"__future__", "numpy", "numpy.typing", "ksmlab_core.policy"}
    assert {module for module, _ in imports(path)} <= allowed


def test_every_file_is_listed_and_every_listed_module_is_a_file():
    found = {".".join(("ksmlab_plugins", *path.relative_to(ROOT).with_suffix("").parts)) for path in FILES}
    registered = {module for module in found if is_plugin(module)}
    assert set(ksmlab_plugins.MODULES) == registered
    assert list(ksmlab_plugins.MODULES) == sorted(ksmlab_plugins.MODULES)


def is_plugin(module):
    return any(name.startswith("ksmlab_") for name in vars(importlib.import_module(module)))


@pytest.mark.parametrize("path", POLICIES, ids=short)
def test_one_policy_a_file_with_its_idea_written_down(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    assert len(classes) == 1
    assert len(ast.get_docstring(tree).split("\n\n")) >= 2
    assert ast.get_docstring(classes[0])
