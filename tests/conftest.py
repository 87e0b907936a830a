"""What the whole suite shares."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("NUMBA_NUM_THREADS", "1")


def pytest_configure(config: pytest.Config) -> None:
    """Compile the machine once before workers start; otherwise each of them would, all at the same time."""
    has_workers = bool(getattr(config.option, "numprocesses", None)) and not hasattr(config, "workerinput")
    if has_workers and os.environ.get("NUMBA_DISABLE_JIT", "0") != "1":
        from ksmlab_core.mm import precompile

        precompile()
