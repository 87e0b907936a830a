"""``--set key=value``: settings from the command line over those of the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ksmlab_core.errors import Problem, Problems
from ksmlab_core.experiment.complaints import Complaints
from ksmlab_core.experiment.conformance import Conformance, check_conformance
from ksmlab_core.experiment.document import Document, shortened
from ksmlab_core.experiment.dotted import NotSettableError, assigned
from ksmlab_core.experiment.places import Moved, Places
from ksmlab_core.experiment.yaml_reader import parse
from ksmlab_core.mm.profile import PROFILES


def overridden(
    document: Document, overrides: Sequence[str]
) -> tuple[dict[str, Any], Places, Conformance | None, list[Problem]]:
    """The settings of a document, those of its `conformance` block for the chosen kernel, and overrides over them.

    Args:
        document: A file whose top is a mapping.
        overrides: Texts of the form ``dotted.key=YAML value``.

    Returns:
        The settings, their places, the conformance block, and what was wrong with block and overrides.
    """
    complaints = Complaints(Places(document))
    block = check_conformance(complaints, document.data)
    settings, places, problems = _with_overrides(document.data, complaints.places, overrides)
    under = _range_of(block, settings.get("kernel"))
    if block is not None and under is not None:
        data, beneath = _with_range(document, complaints, block, under)
        settings, places, problems = _with_overrides(data, beneath, overrides)
    return settings, places, block, [*document.problems, *complaints.found, *problems]


def _range_of(block: Conformance | None, kernel: Any) -> int | None:
    """The range of the block that the chosen kernel is in."""
    profile = kernel.get("profile") if isinstance(kernel, dict) else kernel
    known = isinstance(profile, str) and profile in PROFILES
    return block.place_under(str(profile)) if block is not None and known else None


def _with_range(document: Document, complaints: Complaints, block: Conformance, under: int) -> tuple[Any, Places]:
    """A document's settings with those of one range of its block over them."""
    settings, places = document.data, complaints.places
    for key, value in block.kernels[under].set.items():
        source = ("conformance", "kernels", under, "set", key)
        try:
            settings, path = assigned(settings, key.split("."), value)
        except NotSettableError as error:
            complaints.add(source, error.what, error.allowed, key=True)
        else:
            places = places.with_moved(Moved(path, document, source))
    return settings, places


def _with_overrides(
    settings: dict[str, Any], places: Places, overrides: Sequence[str]
) -> tuple[dict[str, Any], Places, list[Problem]]:
    """Settings with overrides applied in their order, and what was wrong with them."""
    problems: list[Problem] = []
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
