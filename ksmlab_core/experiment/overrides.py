"""``--set key=value``: settings from the command line over those of the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ksmlab_core.errors import Problem, Problems
from ksmlab_core.experiment.document import Document, shortened
from ksmlab_core.experiment.dotted import NotSettableError, assigned
from ksmlab_core.experiment.places import Moved, Places
from ksmlab_core.experiment.yaml_reader import parse


def overridden(document: Document, overrides: Sequence[str]) -> tuple[dict[str, Any], Places, list[Problem]]:
    """The settings of a document with overrides applied in their order, and what was wrong with them.

    Args:
        document: A file whose top is a mapping.
        overrides: Texts of the form ``dotted.key=YAML value``.
    """
    settings, places, problems = document.data, Places(document), list(document.problems)
    for override in overrides:
        source = f"--set {shortened(ascii(override)[1:-1], 80)}"
        key = override.partition("=")[0].strip()
        try:
            value = _value(override, source)
            settings, path = assigned(settings, _parts(key), value)
        except Problems as error:
            problems += [Problem(source, None, None, key, p.what, p.allowed) for p in error.problems]
        except NotSettableError as error:
            problems.append(Problem(source, None, None, key, error.what, error.allowed))
        else:
            places = places.with_moved(Moved(path, Document(source, value)))
    return settings, places, problems


def _value(override: str, source: str) -> Any:
    key, equals, text = override.partition("=")
    if not equals or not all(key.strip().split(".")):
        raise Problems([Problem(source, None, None, "", "not a setting", "key=value, as machine.memory=64MiB")])
    document = parse(text, source)
    if document.problems:
        raise Problems(document.problems)
    return document.data


def _parts(key: str) -> Sequence[str]:
    """The parts of a dotted key; the keys of a sweep's matrix are dotted themselves."""
    parts = key.split(".")
    if parts[:2] == ["sweep", "matrix"] and parts[2:]:
        return [*parts[:2], ".".join(parts[2:])]
    return parts
