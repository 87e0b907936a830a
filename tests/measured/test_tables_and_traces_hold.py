"""The machine gives every figure of the measured tables of each kernel, and keeps every golden trace."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ksmlab_core.experiment import read_experiment
from ksmlab_core.simulation import run

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
FILES = sorted((EXPERIMENTS / "measured").glob("*/*.yaml")) + sorted((EXPERIMENTS / "traces").glob("*.yaml"))
THOUSANDS_OF_PAGES = {"s1-trig", "s2-step-rescan", "s3-hog-only", "s4-hog-unmerged", "s5-big-distinct"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_holds_with_the_invariants_checked_after_every_step(path: Path) -> None:
    if path.stem in THOUSANDS_OF_PAGES and os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        pytest.skip("too many pages for uncompiled code")
    plan = read_experiment(path)
    assert plan.points[0].machine["invariants"] == "steps"
    result = run(plan.points[0], plan.registry)
    assert result.error is None
    assert result.expect
    assert [each for each in result.expect if not each["ok"]] == []
