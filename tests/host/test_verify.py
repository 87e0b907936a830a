"""`ksmlab verify`: the two machines side by side."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ksmlab_core.cli import main
from ksmlab_core.lab.verify import END, Difference, compare, profile_doubt, without_expectations
from ksmlab_core.simulation.result import RunResult
from tests.host.conftest import recorded, scripted

SAME = """
spawn: [a, b]
mmap: {process: [a, b], area: heap, pages: 300, advise: mergeable}
write: {process: [a, b], area: heap, content: {cycle: 30}}
scan: {passes: 3}
sample: merged
touch: {process: b, area: heap, pages: 0..49}
sample: touched
exit: b
sample: alone
"""
DIFFERENT = (
    SAME
    + """
reclaim: all
read: {process: a, area: heap}
sample: back
"""
)


def result(*samples: tuple[str, dict[str, int]], error: str | None = None) -> RunResult:
    """A result with these samples, the last of which are the figures at the end."""
    return RunResult(
        "s0", 0, {}, samples=[{"at": at, "ns": 0, "metrics": metrics} for at, metrics in samples],
        metrics=samples[-1][1], error={"message": error} if error else None,
    )  # fmt: skip


def test_figures_that_both_have_are_compared_sample_by_sample() -> None:
    ours = result(("one", {"vm.cow_ksm": 1, "ksm.merges": 5}), ("two", {"vm.cow_ksm": 2, "vm.pgfault": 9}))
    theirs = result(("one", {"vm.cow_ksm": 1, "ksm.run": 0}), ("two", {"vm.cow_ksm": 3, "vm.pgfault": 80}))
    outcome = compare(ours, theirs)
    assert outcome.compared == 2
    assert outcome.differences == [Difference("two", "vm.cow_ksm", 2, 3)]
    assert not outcome.ok
    assert compare(ours, ours).ok
    theirs.metrics = {"vm.cow_ksm": 7}
    assert compare(ours, theirs).differences[1:] == [Difference(END, "vm.cow_ksm", 2, 7)]


def test_a_run_that_failed_is_compared_as_far_as_it_got_and_is_not_ok() -> None:
    ours = result(("one", {"vm.cow_ksm": 1}), ("two", {"vm.cow_ksm": 2}))
    theirs = result(("one", {"vm.cow_ksm": 1}), error="f.yaml:9: scan: it broke")
    outcome = compare(ours, theirs)
    assert (outcome.compared, outcome.differences, outcome.ok) == (1, [], False)
    assert outcome.failed == {"kernel": "f.yaml:9: scan: it broke"}


def test_what_a_file_expects_is_left_aside(tmp_path: Path) -> None:
    """Figures that the kernel does not have may be expected of the simulated machine."""
    spec = scripted(tmp_path, "spawn: a\nexpect: {machine.frames_used: 0}\nsample: s", expect=[{"ksm.merges": 0}])
    bare = without_expectations(spec)
    assert ([step.kind for step in bare.workload["script"]], bare.expect) == (["spawn", "sample"], [])
    assert len(spec.workload["script"]) == 3


def test_a_profile_of_another_kernel_is_warned_of(tmp_path: Path) -> None:
    spec = scripted(tmp_path, "spawn: a")
    assert profile_doubt([spec], "6.18.44-x") == (
        "profile seed against Linux 6.18.44-x: where the kernels differ, so do the figures"
    )
    spec.kernel["profile"] = "v6.18"
    assert profile_doubt([spec], "6.18.44-x") is None
    assert profile_doubt([spec], "6.1.0-x") is not None
    assert profile_doubt([spec], "unheard of") is not None


def _verify(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["verify", "scripted.yaml", "--no-input", *words])
    return (status, *capfd.readouterr())


def test_where_the_kernels_agree_there_is_no_difference(
    host: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Merging equal pages and breaking them again: the 2009 commit and today's kernel count it alike."""
    monkeypatch.chdir(tmp_path)
    scripted(tmp_path, SAME)
    status, out, err = _verify(capfd)
    assert (status, out) == (0, "scripted.yaml: run s0: 60 figures, all equal\n")
    assert err.startswith("scripted.yaml: profile seed against Linux ")


@pytest.mark.parametrize(("name", "at_least"), [("fork-cow", 486), ("volatile-unshared", 301)])
def test_the_profile_of_6_18_is_a_6_18_kernel(
    host: None, capfd: pytest.CaptureFixture[str], name: str, at_least: int
) -> None:
    """Every figure that both have, not the recorded ones alone: processes' KSM pages, frames saved, general_profit."""
    file = recorded(name).file
    assert main(["verify", file, "--no-input"]) == 0
    out, err = capfd.readouterr()
    said = re.fullmatch(r"(.*): run s0: (\d+) figures, all equal\n", out)
    assert said is not None
    assert (said[1], int(said[2]) >= at_least, err) == (file, True, "")


def test_where_they_do_not_every_difference_is_shown(
    host: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A KSM page of the 2009 commit stays in memory when it is unmapped; today's goes, and comes back as copies."""
    monkeypatch.chdir(tmp_path)
    scripted(tmp_path, DIFFERENT)
    status, out, _ = _verify(capfd)
    lines = [line.split() for line in out.splitlines()]
    assert (status, lines[0]) == (1, ["sample", "metric", "machine", "kernel"])
    assert ["back", "machine.frames_mapped", "30", "300"] in lines
    assert ["vm.ksm_swpin_copy", "0", "270"] in lines
    status, out, _ = _verify(capfd, "--json")
    [file] = json.loads(out)["files"]
    [run] = file["runs"]
    assert (status, file["profile"], run["ok"], run["failed"]) == (1, "seed", False, {})
    found: list[dict[str, Any]] = run["differences"]
    assert {"at": "back", "metric": "vm.ksm_swpin_copy", "machine": 0, "kernel": 270} in found
    assert {one["at"] for one in found} == {"back"}
