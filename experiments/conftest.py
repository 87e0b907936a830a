"""Experiments that plain Python would take minutes for are left out where nothing is compiled (NUMBA_DISABLE_JIT=1)."""

from __future__ import annotations

import os

import pytest

from ksmlab_core.lab.conformance import pages_of

MANY = 2000
"""Pages that a script may map."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is too large."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "1":
        return
    for item in items:
        spec = getattr(getattr(item, "point", None), "spec", None)
        if spec is not None and ("use" in spec.workload or pages_of(spec) > MANY):
            item.add_marker(pytest.mark.skip(reason="too large for uncompiled code"))
