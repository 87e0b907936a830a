"""Which YAML files are experiments: told from their text, so that a broken experiment is known too."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

LARGEST: Final = 4 * 2**20
"""Bytes that are looked at: as many as an experiment file may have."""
KEYS: Final = {
    *("experiment", "kernel", "machine", "ksm", "policies", "plugins", "workload"),
    *("measure", "expect", "sweep", "conformance"),
}
"""Top-level keys of experiment files that say what they are; `about` and `seed` say little."""
ENOUGH: Final = 3
"""How many of them make an experiment: `experiment`, `kernel` and `workload` are required, and one may be misspelt."""

_KEY = re.compile(r"""^(?:\{[ ]*)?(["']?)([A-Za-z0-9_-]+)\1[ \t]*:(?=\s|$)""", re.MULTILINE)


def is_experiment(path: Path, *, named: bool) -> bool:
    """Is a YAML file an experiment?

    Args:
        path: the file.
        named: the user named it: then its `experiment:` is enough. In a folder there may be anybody's files, some with
            an experiment of their own: there it takes ENOUGH of our keys.
    """
    try:
        with path.open("rb") as stream:
            text = stream.read(LARGEST).decode("utf-8", "replace")
    except OSError:
        return named
    found = {key for _, key in _KEY.findall(text)} & KEYS
    return len(found) >= ENOUGH or (named and "experiment" in found)
