"""``ksmlab new``: one plugin file and its test, both working as they are written."""

from __future__ import annotations

import sys
from pathlib import Path

from ksmlab_core.errors import BadInput, UnknownName
from ksmlab_core.policy.inspection import NAME
from ksmlab_core.policy.kinds import KINDS
from ksmlab_core.policy.loader import shown_path
from ksmlab_core.policy.registry import load_registry
from ksmlab_core.policy.templates import PLUGINS, SETTINGS, TEST_IMPORTS, TESTS

TAKEN_MODULES = frozenset({"ksmlab_core", "ksmlab_plugins", "numpy", "pluggy", "pydantic", "pytest"})


def new_plugin(kind: str, name: str, folder: Path | None = None) -> tuple[Path, Path]:
    """Write a plugin file and its test.

    Args:
        kind: "reclaim", "swapin", "scan" or "workload".
        name: what experiment files will call it.
        folder: where to; default the working directory.

    Returns:
        The two files.

    Raises:
        UnknownName: no such kind.
        BadInput: the name is malformed or taken, a file is there already, or the folder cannot be written.
    """
    _check(kind, name)
    folder = folder or Path()
    stem = _stem(kind, name)
    plugin, test = folder / f"{stem}.py", folder / f"test_{stem}.py"
    for path in (plugin, test):
        if path.exists():
            raise BadInput(f"{shown_path(path)}: is there already; nothing was written")
    values = {
        "cls": _class_name(name),
        "file": plugin.name,
        "imports": TEST_IMPORTS[kind],
        "kind": kind,
        "name": name,
        "setting": SETTINGS[kind],
        "test": test.name,
    }
    _write(plugin, PLUGINS[kind].substitute(values))
    _write(test, TESTS[kind].substitute(values))
    return plugin, test


def _check(kind: str, name: str) -> None:
    if kind not in KINDS:
        raise UnknownName("kind of plugin", kind, KINDS)
    if not NAME.fullmatch(name):
        raise BadInput(f"{name!r} is no name: use a-z, 0-9 and '-', beginning with no '-'")
    shipped = load_registry(autoload=False).entries(kind)
    if name in {entry.name for entry in shipped}:
        raise BadInput(f"a {KINDS[kind].label} called {name!r} is there already")


def _stem(kind: str, name: str) -> str:
    """File name without suffix; pytest puts the folder on the path, where it must not hide another module."""
    stem = name.replace("-", "_")
    return f"{stem}_{kind}" if stem in sys.stdlib_module_names | TAKEN_MODULES else stem


def _class_name(name: str) -> str:
    words = "".join(word.capitalize() for word in name.split("-"))
    return f"My{words}" if words[:1].isdigit() or words in _TAKEN_CLASSES else words


_TAKEN_CLASSES = frozenset(
    {"Access", "Field", "Map", "ReclaimPolicy", "ScanOrder", "Spawn", "Swapin", "SwapinPolicy", "Workload"}
    | {"False", "None", "True"}
)


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise BadInput(f"{shown_path(path)}: cannot be written: {error.strerror or error}") from None
