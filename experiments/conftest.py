"""What of these experiments is left out of a run of all tests, and why."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ksmlab_core.lab.conformance import pages_of

MANY = 2000
"""Pages that a script may map where nothing is compiled."""
SWEEPS = Path(__file__).parent / "sweeps"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out sweeps of hundreds of runs, unless they are named; skip what plain Python would take minutes for."""
    if not any(SWEEPS in (path, *path.parents) for path in _named(config)):
        config.hook.pytest_deselected(items=[item for item in items if SWEEPS in item.path.parents])
        items[:] = [item for item in items if SWEEPS not in item.path.parents]
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "1":
        return
    for item in items:
        spec = getattr(getattr(item, "point", None), "spec", None)
        if spec is not None and ("use" in spec.workload or pages_of(spec) > MANY):
            item.add_marker(pytest.mark.skip(reason="too large for uncompiled code"))


def _named(config: pytest.Config) -> list[Path]:
    """The files and folders of the command line."""
    return [Path(config.invocation_params.dir, argument.partition("::")[0]).resolve() for argument in config.args]
