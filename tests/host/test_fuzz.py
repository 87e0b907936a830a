"""`ksmlab fuzz --on kernel`: scripts that a kernel answers exactly; differences found, asked about and shrunk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ksmlab_core.cli import main
from ksmlab_core.errors import Problems
from ksmlab_core.experiment import Plan, read_experiment
from ksmlab_core.experiment.plan import Step
from ksmlab_core.host.able import refuse_what_cannot_be_done
from ksmlab_core.simulation.result import RunResult

KERNEL = "v6.18"


def test_a_script_comes_again_from_its_number() -> None:
    from ksmlab_core.testing.kernel_scripts import kernel_case

    assert kernel_case(7, KERNEL) == kernel_case(7, KERNEL) != kernel_case(8, KERNEL)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts on a machine of few frames, whose invariants are checked sooner."""
    monkeypatch.setattr("ksmlab_core.testing.kernel_scripts._PAGES", 512)


def _refused(plan: Plan) -> set[str]:
    """What the running kernel cannot do of a plan."""
    try:
        refuse_what_cannot_be_done(plan.points)
    except Problems as found:
        return {problem.what for problem in found.problems}
    return set()


def test_the_running_kernel_has_all_that_scripts_need() -> None:
    """Every step is one that real processes carry out; knobs that this kernel lacks are what may be refused."""
    from ksmlab_core.testing.kernel_fuzz import plan_of
    from ksmlab_core.testing.kernel_scripts import kernel_case

    refused = set()
    for number in range(20):
        refused |= _refused(plan_of(kernel_case(number, KERNEL)))
    assert {what for what in refused if "no such knob" not in what and "has no knob" not in what} == set()


def test_locked_areas_are_forked_and_the_clock_decides_nothing() -> None:
    """The documented limits of tests/README.md are kept out of scripts, and nothing else is."""
    from ksmlab_core.testing.kernel_scripts import kernel_case

    forked = 0
    for number in range(100):
        case = kernel_case(number, KERNEL)
        assert case.setting.ksm["stable_node_chains_prune_millisecs"] in (0, 3_600_000)
        locked: set[str] = set()
        for step in case.steps:
            if step.kind == "mlock" or "locked" in step.args.get("flags", ()):
                locked |= set(step.args["process"])
            forked += step.kind == "fork" and step.args["process"] in locked
            assert step.kind != "sleep"
    assert forked > 10


def test_the_profile_is_the_running_kernels() -> None:
    from ksmlab_core.testing.kernel_fuzz import running_profile

    assert [running_profile(release) for release in ("6.1.0-9", "6.18.44-x", "7.3", "odd")] == [
        "v6.1", "v6.18", KERNEL, KERNEL,
    ]  # fmt: skip


def _another_kernel(wrong_by: list[int]) -> Any:
    """A kernel that is the simulated machine, but counts one too many KSM pages broken by each of its answers."""
    from ksmlab_core.simulation import run

    def simulate(spec: Any, registry: Any, **_: Any) -> RunResult:
        result = run(spec, registry)
        more = wrong_by.pop(0) if len(wrong_by) > 1 else wrong_by[0]
        for sample in result.samples:
            if sample["metrics"]["vm.cow_ksm"]:
                sample["metrics"] = {**sample["metrics"], "vm.cow_ksm": sample["metrics"]["vm.cow_ksm"] + more}
        return result

    return simulate


def _breaking() -> int:
    """The number of a script that breaks a KSM page by a write."""
    from ksmlab_core.lab.once import Task, perform
    from ksmlab_core.testing.kernel_fuzz import plan_of
    from ksmlab_core.testing.kernel_scripts import kernel_case

    for number in range(100):
        plan = plan_of(kernel_case(number, KERNEL))
        if perform(Task(plan.points[0], 0), plan.registry).metrics["vm.cow_ksm"]:
            return number
    raise AssertionError("no script breaks a KSM page")


def test_a_difference_is_shrunk_to_an_experiment_that_is_read(small: None, tmp_path: Path) -> None:
    from ksmlab_core.testing.kernel_fuzz import experiment, fuzz

    number = _breaking()
    *_, tally = fuzz(number, 3, KERNEL, _another_kernel([1]))
    finding = tally.different
    assert finding is not None
    assert finding.smallest is not None
    assert (tally.scripts, finding.number, finding.found.kind, finding.again.answers) == (1, number, "vm.cow_ksm", [6])
    steps = list(finding.smallest.case.steps)
    kinds = {step.kind for step in steps}
    assert len(steps) < len(finding.found.case.steps)
    assert len(steps) <= 12
    assert {"spawn", "mmap", "scan"} <= kinds
    file = tmp_path / "small.yaml"
    file.write_text(experiment(finding.smallest, 'its "about"'), encoding="utf-8")
    plan = read_experiment(file)
    assert plan.about == 'its "about"'
    assert [step.kind for step in plan.points[0].workload["script"]] == [*(step.kind for step in steps), "sample"]


def test_a_kernel_that_does_not_agree_with_itself_is_no_difference(small: None) -> None:
    from ksmlab_core.testing.kernel_fuzz import fuzz

    *_, tally = fuzz(_breaking(), 1, KERNEL, _another_kernel([1, 0, 1, 0]))
    assert tally.different is None
    [finding] = tally.unsteady
    assert (finding.again.asked, finding.again.answers, finding.again.ours) == (6, [4, 2], 4)


def test_a_scan_in_vain_is_not_asked_of_the_kernel() -> None:
    from ksmlab_core.testing.kernel_fuzz import both_if_worth_it
    from ksmlab_core.testing.kernel_scripts import kernel_case

    def never(*_: Any, **__: Any) -> RunResult:
        raise AssertionError("the kernel was asked")

    steps = [
        Step("spawn", {"process": ["a"]}, 1, 1),
        Step("mmap", {"process": ["a"], "area": "m", "pages": 2, "advise": "mergeable", "flags": []}, 2, 1),
        Step("scan", {"passes": None, "pages": 5}, 3, 1),
    ]
    assert both_if_worth_it(replace(kernel_case(0, KERNEL), steps=steps), never) is None


def test_five_scripts_on_this_kernel(host: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import platform

    if not platform.release().startswith("6.18."):
        pytest.skip(f"the profile is of Linux 6.18, this is {platform.release()}")
    words = ["fuzz", "--on", "kernel", "--count", "5", "--seed", "2000", "--no-input", "--json"]
    assert main([*words, "--keep", str(tmp_path)]) == 0
    document = json.loads(capfd.readouterr().out)
    assert (document["scripts"], document["different"], document["file"]) == (5, None, None)
    assert document["figures"] > 1000


def test_without_a_kernel_it_is_the_fuzz_of_invariants(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["fuzz", "--count", "3", "--seed", "5", "--keep", str(tmp_path)]) == 0
    assert capfd.readouterr().out.startswith("3 scripts (5 to 7), ")
    assert main(["fuzz", "--count", "2", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert (document["scripts"], document["broken"]) == (2, None)
