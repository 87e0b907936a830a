"""Scripts on the running kernel: what it answers, and what the result looks like."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ksmlab_core import host as on_kernel
from ksmlab_core.cli import main
from ksmlab_core.experiment import read_experiment
from ksmlab_core.host import carry_out, cgroup, ksmd, script, swap
from ksmlab_core.simulation.result import RunResult
from tests.host.conftest import recorded, scripted

EVERY_STEP = """
spawn: [a, b]
mmap: {process: [a, b], area: heap, pages: 2000, advise: mergeable}
mmap: {process: b, area: ro, pages: 10, flags: [readonly, locked]}
mmap: {process: b, area: shm, pages: 10, flags: [shared], advise: mergeable}
write: {process: [a, b], area: heap, content: {cycle: 100}}
write: {process: a, area: heap, pages: 0..9, content: zero}
write: {process: a, area: heap, pages: 10..19, content: unique}
write: {process: a, area: heap, pages: 20, content: hello}
scan: {passes: 2}
sample: merged
expect: {ksm.full_scans: 2, ksm.pages_scanned: 8000, ksm.pages_unshared: 11}
fork: {process: a, child: c}
memcg: {process: [a, b, c]}
touch: {process: b, area: heap, pages: 0..99}
mremap: {process: c, area: heap, pages: 100..199}
read: {process: c, area: heap}
mlock: {process: c, area: heap, pages: 300..309}
madvise: {process: c, area: heap, advice: dontneed, pages: 300..309, returns: EINVAL}
munlock: {process: c, area: heap, pages: 300..309}
madvise: {process: c, area: heap, advice: dontneed, pages: 400..499}
read: {process: c, area: heap, pages: 400..499}
reclaim: all
sample: out
read: {process: [a, b, c], area: heap}
munmap: {process: a, area: heap, pages: 1000..1999}
madvise: {process: a, area: heap, advice: unmergeable, pages: 0..99}
mprotect: {process: a, area: heap, pages: 0..9, writable: false}
swapoff: true
swapon: true
scan: {pages: 1234}
exit: a
set: {ksm.pages_to_scan: 77}
set: {ksm.run: 7, returns: EINVAL}
set: {ksm.run: 1}
sleep: 10ms
set: {ksm.run: 2}
sample: end
"""


FIGURES = {"fork-cow": 196, "volatile-unshared": 126, "sharing-limit": 72, "sharing-limit-kept": 72}


@pytest.mark.parametrize(("name", "figures"), FIGURES.items())
def test_a_6_18_kernel_gives_the_recorded_answers(host: None, name: str, figures: int) -> None:
    result = on_kernel.run(recorded(name))
    assert (result.error, _unmet(result), len(result.expect)) == (None, [], figures)


def _unmet(result: RunResult) -> list[dict[str, Any]]:
    return [one for one in result.expect if not one["ok"]]


def test_every_step_that_can_be_carried_out(host: None, tmp_path: Path) -> None:
    result = on_kernel.run(scripted(tmp_path, EVERY_STEP))
    assert result.error is None
    assert [one["at"] for one in result.samples] == ["merged", "out", "end"]
    assert [(one["metric"], one["ok"]) for one in result.expect if not one["ok"]] == []
    assert [one["metric"] for one in result.expect] == [
        "ksm.full_scans", "ksm.pages_scanned", "ksm.pages_unshared", "madvise returns", "write to ksm.run returns",
    ]  # fmt: skip
    out, end = result.samples[1]["metrics"], result.metrics
    # The shared zero page alone stays: locked read-only pages (10) and those that were dropped and read again (100).
    assert [out[f"process.{name}.resident_pages"] for name in "abc"] == [0, 10, 100]
    assert [out[f"process.{name}.swapped_pages"] for name in "abc"] == [2000, 2000, 1900]
    assert out["machine.frames_mapped"] == 1
    assert (end["ksm.run"], end["ksm.pages_to_scan"], end["ksm.pages_shared"]) == (2, 77, 0)
    assert end["process.b.resident_pages"] >= 2000
    assert "process.a.resident_pages" not in end
    assert result.metrics["time.elapsed"] > result.samples[0]["ns"] > 0


def test_the_document_has_the_shape_of_the_machines(
    host: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    steps = """
    spawn: a
    mmap: {process: a, area: heap, pages: 100, advise: mergeable}
    write: {process: a, area: heap, content: same}
    scan: {passes: 2}
    sample: merged
    expect: {machine.frames_mapped: 1, vm.cow_ksm: 1}
    """
    scripted(tmp_path, steps)
    documents = []
    for where in ("machine", "kernel"):
        status = main(["run", "scripted.yaml", "--on", where, "--json", "--no-input"])
        out, err = capfd.readouterr()
        assert (status, err.count("\n")) == (1, 1)
        documents.append(json.loads(out))
    machine, kernel = documents
    assert list(machine) == list(kernel)
    [ours], [theirs] = machine["runs"], kernel["runs"]
    assert list(ours) == list(theirs)
    assert [{**one, "got": 0} for one in ours["expect"]] == [{**one, "got": 0} for one in theirs["expect"]]
    assert [list(one) for one in ours["samples"]] == [list(one) for one in theirs["samples"]]
    counters = {f"ksm.pages_{name}" for name in ("shared", "sharing", "unshared", "volatile", "scanned")}
    for name in {*counters, "process.a.resident_pages", "machine.frames_mapped", "machine.pages_saved"}:
        assert ours["metrics"][name] == theirs["metrics"][name], name
    manifest = json.loads((tmp_path / "runs-on-kernel" / "scripted" / "s0" / "manifest.json").read_text())
    assert "--on kernel" in manifest["command"]


def test_a_hundred_thousand_pages_take_seconds(host: None, tmp_path: Path) -> None:
    steps = """
    spawn: a
    mmap: {process: a, area: heap, pages: 100000}
    write: {process: a, area: heap, content: unique}
    touch: {process: a, area: heap}
    read: {process: a, area: heap}
    sample: done
    """
    began = time.monotonic()
    result = on_kernel.run(scripted(tmp_path, steps, machine={"memory": "512MiB"}))
    assert (result.error, result.metrics["process.a.resident_pages"]) == (None, 100_000)
    assert time.monotonic() - began < 30


def test_zram_where_no_file_system_takes_a_swap_file(
    host: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not swap.ZRAM.exists():
        pytest.skip("this kernel has no zram to add")
    monkeypatch.setattr(swap, "FOLDERS", ())
    steps = """
    spawn: a
    mmap: {process: a, area: heap, pages: 100}
    write: {process: a, area: heap, content: unique}
    reclaim: all
    sample: out
    read: {process: a, area: heap}
    """
    seen: list[str] = []
    told: Callable[..., None] = lambda name, **_: seen.extend(swap.active() if name == "sample" else [])  # noqa: E731
    result = on_kernel.run(scripted(tmp_path, steps), on_event=told)
    assert result.error is None
    assert [name.rstrip("0123456789") for name in seen] == ["/dev/zram"]
    assert (result.samples[0]["metrics"]["process.a.swapped_pages"], result.metrics["process.a.swapped_pages"]) == (
        100,
        0,
    )


MERGED = """
spawn: a
mmap: {process: a, area: heap, pages: 100, advise: mergeable}
write: {process: a, area: heap, content: {cycle: 10}}
scan: {passes: 2}
reclaim: all
sample: out
"""


def test_a_pass_too_many_and_the_run_is_repeated(host: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ksmd that does not sleep goes through such a script many times before anybody sees that it has."""
    told: list[tuple[str, dict[str, Any]]] = []

    def tell(name: str, **about: Any) -> None:
        told.append((name, about))
        if name == "run repeated":
            monkeypatch.setattr(ksmd, "_LONG_MS", (20_000, 20_001))

    monkeypatch.setattr(ksmd, "_LONG_MS", (0, 0))
    result = on_kernel.run(scripted(tmp_path, MERGED), on_event=tell)
    repeated = [about for name, about in told if name == "run repeated"]
    assert [about["attempt"] for about in repeated] == [1]
    assert "scan: ksmd overran: full_scans rose by " in repeated[0]["reason"]
    out = result.samples[0]["metrics"]
    assert (len(result.samples), out["ksm.full_scans"], out["process.a.swapped_pages"]) == (1, 2, 100)


def test_reclaim_that_stands_still_is_no_answer(host: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup.Group, "reclaim", lambda self: None)
    monkeypatch.setattr(script, "STANDSTILL_S", 0.1)
    monkeypatch.setattr(carry_out, "ATTEMPTS", 2)
    result = on_kernel.run(scripted(tmp_path, MERGED))
    assert result.error is not None
    assert (result.status, result.error["type"], result.samples) == ("failed", "NotSteady", [])
    assert result.error["message"].endswith(
        "scripted.yaml:12: reclaim: reclaim is stuck: 10 page frames stay in memory; "
        "this was attempt 2 of 2, so there is no exact answer"
    )


THROUGH_A_CHILD = """
spawn: p0
mmap: {process: p0, area: a, pages: 1}
mmap: {process: p0, area: b, pages: 1}
write: {process: p0, area: a, content: x}
write: {process: p0, area: b, content: x}
fork: {process: p0, child: p1}
madvise: {process: p1, area: a, advice: mergeable}
madvise: {process: p1, area: b, advice: mergeable}
scan: {passes: 3}
reclaim: all
sample: out
"""


def test_a_page_that_ksmd_merged_through_a_child_stays_with_the_parent(host: None, tmp_path: Path) -> None:
    """R-B-OBJ-1: on the simulated machine too: reclaim does not come from the child's items to the parent's pte."""
    from ksmlab_core import simulation

    scripted(tmp_path, THROUGH_A_CHILD, kernel="v6.18")
    plan = read_experiment(tmp_path / "scripted.yaml")
    wanted = {"machine.ksm_frames_mapped": 1, "process.p0.resident_pages": 1, "process.p1.swapped_pages": 2}
    for run in (on_kernel.run, simulation.run):
        result = run(plan.points[0], plan.registry)
        assert result.error is None
        assert {name: result.samples[0]["metrics"][name] for name in wanted} == wanted


def test_a_scan_with_nothing_to_scan_says_so(host: None, tmp_path: Path) -> None:
    result = on_kernel.run(scripted(tmp_path, "spawn: a\nscan: {passes: 1}"))
    assert result.error is not None
    assert (result.status, result.error["type"], result.error["line"]) == ("failed", "StepFailed", 9)
    assert "no process is registered with ksmd" in result.error["message"]
