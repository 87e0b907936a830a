"""The suites that are shipped: they ask every kernel and every policy, and a fault in one does not get past them."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from ksmlab_core.experiment import Plan, read_experiment
from ksmlab_core.lab.golden import folder_of
from ksmlab_core.mm.profile import PROFILES
from ksmlab_core.policy.kinds import HOOKS
from ksmlab_core.policy.registry import load_registry
from tests.testing.conftest import Run, outcomes, said

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SUITES = EXPERIMENTS / "suites"
SMALL = os.environ.get("NUMBA_DISABLE_JIT", "0") == "1" or bool(os.environ.get("KSMLAB_SMALL"))


def plan(name: str) -> Plan:
    return read_experiment(SUITES / f"{name}.yaml")


@pytest.mark.parametrize("name", ["smoke", "full"])
def test_a_suite_asks_every_kernel_every_policy_and_every_workload(name: str) -> None:
    points = plan(name).points
    registry = load_registry(autoload=False)
    assert {spec.kernel["profile"] for spec in points} == set(PROFILES)
    for hook in HOOKS:
        assert {spec.policies[hook]["use"] for spec in points} == {entry.name for entry in registry.entries(hook)}
    used = {spec.workload.get("use", "script") for spec in points} - {"script"}
    assert used == {entry.name for entry in registry.entries("workload")} - {"trace"}, "in a trace nothing merges"


@pytest.mark.parametrize("name", ["smoke", "full"])
def test_every_run_of_a_suite_has_a_golden_result(name: str) -> None:
    stored = {path.stem for path in folder_of(SUITES / f"{name}.yaml").glob("*.json")}
    assert stored == {spec.id for spec in plan(name).points}


@pytest.mark.skipif(SMALL, reason="too many accesses for uncompiled code")
@pytest.mark.parametrize(
    ("run", "method", "fault"),
    [
        ("remerge", "ksmlab_plugins.swapin.remerge.Remerge.decide", lambda policy, fault: fault.kernel),
        ("lru", "ksmlab_plugins.reclaim.lru.Lru.victims", lambda policy, frames, n: frames.index[:n]),
        (
            "cold-first",
            "ksmlab_plugins.scan.cold_first.ColdFirst.order",
            lambda policy, pages, n: range(min(n, len(pages))),
        ),
    ],
)
def test_a_fault_in_a_policy_is_caught_with_file_line_and_counter(
    pytester: pytest.Pytester, run_here: Run, monkeypatch: pytest.MonkeyPatch, run: str, method: str, fault: object
) -> None:
    shutil.copytree(SUITES, pytester.path / "suites")
    shutil.copytree(EXPERIMENTS / "captures", pytester.path / "captures")
    point = f"suites/smoke.yaml::{run}"
    assert outcomes(run_here("-rA", point)) == {point: "PASSED"}
    monkeypatch.setattr(method, fault)
    result = run_here("-rA", point)
    assert outcomes(result) == {point: "FAILED"}
    [first] = said(result, "suites/golden/smoke/")
    found = re.match(rf"(suites/golden/smoke/{run}\.json):(\d+): (\S+): wanted (\d+), got (\d+)$", first)
    assert found is not None
    line = (pytester.path / found[1]).read_text().splitlines()[int(found[2]) - 1]
    assert line.strip().rstrip(",") == f'"{found[3]}": {found[4]}'
    assert run in said(result, "if the new figures are meant; raise that of what changed")[0]
