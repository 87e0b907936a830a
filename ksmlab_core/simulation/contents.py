"""What the pages of a `write` step hold, as content numbers; the same ones on every machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ksmlab_core.workload.content import content_id, content_ids


class Contents:
    """The contents that one script writes, `unique` ones counted."""

    def __init__(self) -> None:
        self._unique = 0

    def of(self, content: Mapping[str, Any], first: int, end: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        """One content number per page, for pages `first` to `end` - 1 of an area.

        Args:
            content: a step's content: ``{"kind": "zero" | "unique" | "cycle" | "named", ...}``.
        """
        kind = content["kind"]
        if kind == "cycle":
            return content_ids("cycle", np.arange(first, end) % content["n"], within=(content["from"] or 0,))
        if kind == "zero":
            return np.zeros(end - first, np.int64)
        if kind == "unique":
            numbers = np.arange(self._unique, self._unique + end - first)
            self._unique += end - first
            return content_ids("unique", numbers)
        return np.full(end - first, content_id(f"text {content['name']}"), np.int64)
