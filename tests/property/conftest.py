"""How much to try: a number of cases that suits the interpreter, and the compiler's work done once."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

PURE = os.environ.get("NUMBA_DISABLE_JIT", "") not in ("", "0")
SMALL = PURE or os.environ.get("KSMLAB_SMALL", "") not in ("", "0")


@pytest.fixture(scope="session", autouse=True)
def compiled() -> Iterator[None]:
    """Let one worker compile the machine while the others wait, so that they find it on disk."""
    if PURE:
        yield
        return
    from filelock import FileLock

    from ksmlab_core.mm._jit import cache_folder
    from ksmlab_core.mm.machine import precompile

    cache_folder().mkdir(parents=True, exist_ok=True)
    with FileLock(cache_folder() / "property-tests.lock"):
        precompile()
    yield
