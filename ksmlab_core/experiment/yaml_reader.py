"""A YAML file or text to a `Document`: plain data with the place of every part."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, NoReturn

from ksmlab_core.errors import Problem, Problems
from ksmlab_core.experiment.document import Document, KeyPath, Mark
from ksmlab_core.experiment.yaml_tree import Node, compose

LARGEST: Final = 4 * 2**20
"""Bytes in an experiment file."""

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def read_document(path: Path) -> Document:
    """Read an experiment file, whose top must be a mapping.

    Raises:
        Problems: The file cannot be read, is too large, is not UTF-8, is not YAML, or is no mapping.
    """
    file = str(path)
    document = parse(_text(_bytes(path, file), file), file)
    if document.data is None:
        _refuse(file, "the file is empty", "an experiment needs at least `experiment`, `kernel`, `workload`")
    if not isinstance(document.data, dict):
        mark = document.values[()]
        _refuse(file, "this is not a mapping of keys to values", "begin with `experiment: NAME`", mark)
    return document


def parse(text: str, file: str) -> Document:
    """Read one YAML value.

    Raises:
        Problems: The text is not YAML, or goes beyond the bounds of `yaml_tree`.
    """
    if found := _UNPRINTABLE.search(text):
        mark = _mark_at(text, found.start())
        _refuse(file, f"the character U+{ord(found[0]):04X} is not allowed in YAML", None, mark)
    root, problems = compose(text, file)
    document = Document(file, None, problems=tuple(problems))
    if root is None:
        return document
    return Document(file, _unfolded(root, (), document), document.keys, document.values, document.problems)


def _unfolded(node: Node, path: KeyPath, document: Document) -> Any:
    document.values[path] = node.mark
    if isinstance(node.content, list):
        return [_unfolded(item, (*path, place), document) for place, item in enumerate(node.content)]
    if isinstance(node.content, dict):
        for key, entry in node.content.items():
            document.keys[(*path, key)] = entry.mark
        return {key: _unfolded(entry.node, (*path, key), document) for key, entry in node.content.items()}
    return node.content


def _bytes(path: Path, file: str) -> bytes:
    try:
        if path.exists() and not path.is_file():
            _refuse(file, "this is not a file")
        with path.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        _refuse(file, f"the file cannot be read: {reason or error}")
    if len(content) > LARGEST:
        _refuse(file, "the file is too large", f"at most {LARGEST // 2**20} MiB")
    return content


def _text(content: bytes, file: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", "replace")
        mark = _mark_at(before, len(before))
        _refuse(file, f"the byte 0x{content[error.start]:02x} is not UTF-8", "save the file as UTF-8", mark)


def _mark_at(text: str, position: int) -> Mark:
    begin = text.rfind("\n", 0, position) + 1
    return Mark(text.count("\n", 0, position) + 1, position - begin + 1)


def _refuse(file: str, what: str, allowed: str | None = None, mark: Mark | None = None) -> NoReturn:
    line, column = mark or (None, None)
    raise Problems([Problem(file, line, column, "", what, allowed)])
