"""Names of the runs of a sweep: short, readable, of ``[a-z0-9._-]``, each different."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from ksmlab_core.experiment.sweep import Point, Setting

LONGEST: Final = 80
"""Characters of an id before its seed."""

_OTHER = re.compile(r"[^a-z0-9._]+")


def point_ids(points: Sequence[Point]) -> list[str]:
    """A name for each point; the empty text for the point that sets nothing.

    Texts name themselves (``remerge``), numbers take the last part of their key along (``processes8``).
    Where that gives two points one name, or one too long, a digest of the settings is put behind it.
    """
    names = ["-".join(filter(None, map(_part, point))) for point in points]
    often = Counter(names)
    return [
        name if often[name] == 1 and len(name) <= LONGEST and (name or not point) else _digested(name, point)
        for name, point in zip(names, points, strict=True)
    ]


def run_id(point_id: str, seed: int, *, seeded: bool) -> str:
    """The name of a run: its point, and its seed if the sweep has several or there is nothing else."""
    if not point_id:
        return f"s{seed}"
    return f"{point_id}-s{seed}" if seeded else point_id


def _part(setting: Setting) -> str:
    return _slug(setting.key.rpartition(".")[2], setting.value)


def _slug(key: str, value: Any) -> str:
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, dict):
        named = [name for name in ("use", "profile") if isinstance(value.get(name), str)]
        rest = {name: one for name, one in value.items() if name not in named}
        parts = [_clean(value[name]) for name in named] + [_slug(name, rest[name]) for name in rest]
        return "-".join(filter(None, parts))
    if isinstance(value, list):
        return f"{_clean(key)}{len(value)}"
    separator = "-" if isinstance(value, bool) or value is None else ""
    return _clean(f"{key}{separator}{json.dumps(value)}")


def _clean(text: str) -> str:
    return _OTHER.sub("-", text.lower()).strip("-.")


def _digested(name: str, point: Point) -> str:
    said = json.dumps({setting.key: setting.value for setting in point}, sort_keys=True)
    digest = hashlib.blake2b(said.encode(), digest_size=4).hexdigest()
    return f"{name[:LONGEST].rstrip('-.')}-{digest}".lstrip("-")
