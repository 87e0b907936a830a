"""The house: imports point down the floors only, and nothing heavy is loaded before it is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import ksmlab_core

CORE = Path(ksmlab_core.__file__).parent
FLOORS = {
    "mm": 0,
    "policy": 1,
    "workload": 1,
    "capture": 1,
    "simulation": 2,
    "host": 2,
    "experiment": 3,
    "lab": 4,
    "cli": 5,
    "testing": 5,
}
MODULES = sorted(CORE.rglob("*.py"))
NOT_IN_THE_MACHINE = {"logging", "structlog", "pluggy", "yaml", "json", "io", "pathlib", "pydantic", "click"}
"""The machine knows no files, no logging, no plugins."""


def short(path: Path) -> str:
    return str(path.relative_to(CORE.parent))


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in the file, by its whole name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports name the whole module"
            module = node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names)


def room(module: str) -> str | None:
    """The folder of ksmlab_core that a module is in; None for what is outside."""
    parts = module.split(".")
    return parts[1] if parts[0] == "ksmlab_core" and len(parts) > 1 else None


def test_every_room_has_a_floor() -> None:
    rooms = {path.name for path in CORE.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert rooms == set(FLOORS)
    assert sorted(path.name for path in CORE.glob("*.py")) == ["__init__.py", "errors.py"]


@pytest.mark.parametrize("path", [path for path in MODULES if path.parent != CORE], ids=short)
def test_imports_point_down(path: Path) -> None:
    here = path.relative_to(CORE).parts[0]
    for module in imported(path):
        there = room(module)
        if there == "errors":
            assert here != "mm", "the machine returns errors as the kernel does, by their numbers"
        elif there is not None:
            assert FLOORS[there] <= FLOORS[here], f"{module} lies above"


def test_errors_know_nothing_of_the_house() -> None:
    assert [module for module in imported(CORE / "errors.py") if room(module)] == []


@pytest.mark.parametrize("path", sorted((CORE / "mm").glob("[!_]*.py")), ids=short)
def test_the_machine_knows_no_files_logs_or_plugins(path: Path) -> None:
    # `_jit` is not the machine but its compiler, which keeps what it has compiled in files.
    assert NOT_IN_THE_MACHINE & {module.partition(".")[0] for module in imported(path)} == set()


@pytest.mark.parametrize("path", MODULES, ids=short)
def test_the_core_does_not_know_the_plugins_that_come_with_it(path: Path) -> None:
    """They are found by the registry, which knows the name of their package and nothing more."""
    assert [module for module in imported(path) if module.split(".")[0] == "ksmlab_plugins"] in ([], ["ksmlab_plugins"])
    if path != CORE / "policy" / "loader.py":
        assert "ksmlab_plugins" not in {module.split(".")[0] for module in imported(path)}


HEAVY = {"numba", "llvmlite", "structlog", "matplotlib", "jinja2", "rich", "zstandard"}


@pytest.mark.parametrize(
    "module",
    [
        "ksmlab_core.cli",
        "ksmlab_core.errors",
        "ksmlab_core.experiment",
        "ksmlab_core.host.carry_out",
        "ksmlab_core.host.watcher",
        "ksmlab_core.lab",
        "ksmlab_core.lab.report",
        "ksmlab_core.lab.runner",
        "ksmlab_core.mm",
        "ksmlab_core.mm.profile",
        "ksmlab_core.policy",
        "ksmlab_core.policy.registry",
        "ksmlab_core.simulation",
        "ksmlab_core.testing.pytest_items",
        "ksmlab_core.workload.events",
        "ksmlab_plugins.swapin.remerge",
    ],
)
def test_nothing_heavy_comes_with_it(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_pytest_plugin_brings_nothing_along() -> None:
    """pytest loads it in every project that has ksmlab installed."""
    code = "import sys, pytest; before = {*sys.modules}; import ksmlab_core.testing.pytest_plugin; print(*{*sys.modules} - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()} - set(sys.stdlib_module_names)
    assert loaded == {"ksmlab_core"}


def test_no_compiled_function_inherits_being_inlined() -> None:
    """numba hands `forceinline` down to what it compiles first under an inlined function, which took minutes."""
    rooms = [import_module(f"ksmlab_core.mm.{path.stem}") for path in sorted((CORE / "mm").glob("[!_]*.py"))]
    inner = {
        name: value.targetoptions
        for room in rooms
        for name, value in vars(room).items()
        if "no_cfunc_wrapper" in getattr(value, "targetoptions", {})
    }
    if not inner:
        pytest.skip("nothing is compiled")
    assert len(inner) > 200
    assert [name for name, chosen in inner.items() if "forceinline" not in chosen] == []
