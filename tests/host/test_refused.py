"""What the running kernel cannot do, or may not be asked for, is said in a line, before anything is touched."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ksmlab_core.cli import main
from ksmlab_core.errors import HostInUse, HostUnfit, NotSteady, Problems
from ksmlab_core.experiment import read_experiment
from ksmlab_core.experiment.steps import STEPS
from ksmlab_core.host import able, carry_out, cgroup, guard, journal, knobs, metrics, pagemap, swap
from ksmlab_core.host.script import Script
from tests.host.conftest import scripted

KNOBS = {"run": "0", "pages_to_scan": "100", "sleep_millisecs": "20", "smart_scan": "1", "max_page_sharing": "256"}
COUNTERS = ("pages_shared", "pages_sharing", "pages_unshared", "pages_volatile", "pages_scanned", "full_scans")


@pytest.fixture(autouse=True)
def a_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of KSM's files and a vmstat that nobody's kernel has; nothing in these tests reaches the real ones."""
    folder = tmp_path / "ksm"
    folder.mkdir()
    for name, value in KNOBS.items():
        (folder / name).write_text(f"{value}\n")
    for name in COUNTERS:
        (folder / name).write_text("0\n")
        (folder / name).chmod(0o444)
    (folder / "advisor_mode").write_text("[none] scan-time\n")
    monkeypatch.setattr(knobs, "SYSFS", folder)
    (tmp_path / "vmstat").write_text("pgfault 7\ncow_ksm 3\nthp_split 1\n")
    monkeypatch.setattr(metrics, "_VMSTAT_FILE", tmp_path / "vmstat")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(cgroup, "find", lambda: cgroup.Hierarchy(2, tmp_path))
    monkeypatch.setattr(pagemap, "KPAGEFLAGS", tmp_path / "vmstat")
    (tmp_path / "status").write_text("Name:\tksmlab\nCapEff:\t000001ffffffffff\n")
    monkeypatch.setattr(guard, "STATUS", tmp_path / "status")
    monkeypatch.setattr(guard, "LOCK", tmp_path / "lock")
    monkeypatch.setattr(journal, "FOLDER", tmp_path / "run")
    monkeypatch.setattr(swap, "FOLDERS", ())
    monkeypatch.setattr(guard, "mergeable_process", lambda: None)
    return folder


def refused(tmp_path: Path, script: str, **settings: object) -> list[str]:
    """The lines with which a script is refused, without the name of its file."""
    spec = scripted(tmp_path, script, **settings)
    with pytest.raises(Problems) as found:
        able.refuse_what_cannot_be_done([spec, spec])
    assert found.value.exit_status == 2
    return [line.removeprefix(f"{spec.file}:") for line in str(found.value).splitlines()]


def test_every_kind_of_step_is_carried_out_or_refused() -> None:
    assert {kind for kind in STEPS if not hasattr(Script, f"_do_{kind}")} == set(able._STEPS)


CANNOT = [
    ("memcg: {process: a}\nspawn: b", "memcg", "one memory cgroup holds all processes of a run"),
    ("fail: {alloc_page: 3}", "fail", "no allocation of the running kernel can be made to fail"),
    ("pin: {process: a, area: heap, pages: 0}", "pin", "gives no way to do that to a page of another process"),
    ("lock: {process: a, area: heap, pages: 0}", "lock", "gives no way to do that to a page of another process"),
    ("lru: drain", "lru", "the kernel has no way to do a single step of reclaim"),
    ("reclaim: {pages: 7}", "reclaim", "it reclaims in batches, not an exact number of pages; use `reclaim: all`"),
    ("sample: {label: s, pages: true}", "sample", "it does not show the state of single pages"),
    ("mmap: {process: a, area: b, pages: 2, flags: [io]}", "mmap", "no process can ask for an area with io"),
    ("prctl: {process: a, merge: 1}", "prctl", "it would have Python's own memory merged too"),
    ("set: {ksm.max_kernel_pages: 5}", "set", "it has no knob ksm.max_kernel_pages"),
]


@pytest.mark.parametrize(("step", "kind", "why"), CANNOT, ids=[kind for _, kind, _ in CANNOT])
def test_a_step_that_cannot_be_carried_out_is_refused_with_its_line(
    tmp_path: Path, step: str, kind: str, why: str
) -> None:
    [line] = refused(tmp_path, f"spawn: a\nmmap: {{process: a, area: heap, pages: 10}}\n{step}")
    assert line.startswith(f"10:7: {kind}: this step cannot be carried out on the running kernel: ")
    assert why in line


def test_all_is_said_at_once(tmp_path: Path) -> None:
    lines = refused(
        tmp_path,
        "spawn: a\nexpect: {machine.frames_used: 1, vm.cow_ksm: 0, process.a.ksm_pages: 0}\nlru: drain",
        machine={"pagevecs": "per-cpu"},
        policies={"swapin": "remerge"},
        ksm={"max_kernel_pages": 7},
        expect=[{"vm.pgmajfault": 1}],
    )
    assert [line.partition(": ")[2] for line in lines] == [
        "machine.pagevecs: page batches of the running kernel are its own affair; leave this out",
        "policies.swapin: remerge cannot be put into the running kernel",
        "ksm.max_kernel_pages: the running kernel has no such knob",
        "vm.pgmajfault: the running kernel has no such figure",
        "machine.frames_used: the running kernel has no such figure",
        "lru: this step cannot be carried out on the running kernel: the kernel has no way to do a single step of reclaim",
    ]
    assert all(line.partition(":")[0].isdigit() for line in lines)


def test_workloads_periods_and_switches_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "zipf.yaml"
    file.write_text(
        "experiment: z\nkernel: {profile: seed, break_orphan: true}\nmachine: {memory: 1MiB, swap: 1MiB}\n"
        "workload: {use: zipf, processes: 2, pages: 20, accesses: 100}\nmeasure: {every: 1ms}\n"
    )
    with pytest.raises(Problems) as found:
        able.refuse_what_cannot_be_done(read_experiment(file).points)
    assert [line.removeprefix(f"{file}:") for line in str(found.value).splitlines()] == [
        "2: kernel: the running kernel cannot be switched to behave otherwise",
        "4: workload: only scripts can be carried out on the running kernel",
        "5: measure: periodic samples are of simulated time; use `sample` steps",
    ]


def test_knobs_of_the_file_then_of_the_profile_then_as_if_there_were_none(tmp_path: Path) -> None:
    spec = scripted(tmp_path, "spawn: a", ksm={"sleep_millisecs": 7, "run": 1})
    assert able.settings(spec) == {
        "advisor_mode": "none", "max_page_sharing": "2147483647", "pages_to_scan": "100",
        "sleep_millisecs": "7", "smart_scan": "0",
    }  # fmt: skip


def test_everything_that_is_missing_is_named_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(knobs, "SYSFS", tmp_path / "nowhere")
    monkeypatch.setattr(cgroup, "find", lambda: None)
    monkeypatch.setattr(pagemap, "KPAGEFLAGS", tmp_path / "nothing")
    want = (
        "the running kernel cannot be used: it needs root (this is user 1000), and a kernel with CONFIG_KSM "
        f"(there is no {tmp_path}/nowhere), and a kernel with CONFIG_PROC_PAGE_MONITOR (there is no "
        f"{tmp_path}/nothing), and a memory cgroup hierarchy (none is mounted)"
    )
    with pytest.raises(HostUnfit) as said:
        able.require_host()
    assert str(said.value) == want
    monkeypatch.setattr(guard.sys, "platform", "darwin")  # type: ignore[attr-defined]
    assert guard.missing() == ["Linux (this is darwin)"]


def test_root_of_a_container_may_lack_the_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "status").write_text("Name:\tksmlab\nCapEff:\t00000000a80425fb\n")
    assert guard.missing() == ["CAP_SYS_ADMIN (root in a container often does without)"]
    (tmp_path / "status").write_text("Name:\tksmlab\nCapEff:\t000001ffffffffff\n")
    monkeypatch.setattr(os, "access", lambda _path, _right: False)
    assert guard.missing() == [f"a {tmp_path}/ksm that can be written"]


@pytest.mark.parametrize("command", [["run", "--on", "kernel"], ["verify"]], ids=["run", "verify"])
def test_a_command_that_cannot_begin_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    scripted(tmp_path, "spawn: a\nlru: drain")
    assert main([*command, "scripted.yaml"]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n"), "scripted.yaml:9:7: lru:" in err) == ("", 1, True)
    assert not list(tmp_path.glob("runs*"))


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("run", "1", "ksmd is running"),
        ("pages_shared", "12", "ksmd keeps track of others' pages (pages_shared is 12)"),
        ("pages_volatile", "3", "ksmd keeps track of others' pages (pages_volatile is 3)"),
    ],
)
def test_a_host_on_which_ksm_is_in_use(
    tmp_path: Path,
    a_kernel: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    name: str,
    value: str,
    reason: str,
) -> None:
    """Without --no-input it asks; without a terminal there is nobody to ask."""
    (a_kernel / name).chmod(0o644)
    (a_kernel / name).write_text(value)
    monkeypatch.chdir(tmp_path)
    scripted(tmp_path, "spawn: a")
    for more in ([], ["--no-input"]):
        assert main(["run", "scripted.yaml", "--on", "kernel", *more]) == 2
        assert capfd.readouterr().err == f"KSM is in use on this host: {reason}\n"
    asked: list[str] = []

    def answer(question: str, **_: object) -> bool:
        asked.append(question)
        return False

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.confirm", answer)
    assert main(["run", "scripted.yaml", "--on", "kernel"]) == 2
    assert capfd.readouterr().err == "nothing was done\n"
    assert asked == [
        f"KSM is in use on this host: {reason}. What is shared now is broken up, and the figures hold those pages too. Go on?"
    ]
    assert (a_kernel / name).read_text() == value
    with pytest.raises(HostInUse), guard.held():
        pass


def test_a_process_with_mergeable_memory_is_found(tmp_path: Path) -> None:
    """In one word where the kernel has it, else by the flags of its areas."""
    for pid, files in {
        "7": {"ksm_stat": "ksm_rmap_items 0\nksm_mergeable: no\n", "smaps": "VmFlags: rd wr mg\n"},
        "8": {"smaps": "Size: 4 kB\nVmFlags: rd wr mr\n"},
        "self": {"smaps": "VmFlags: mg\n"},
    }.items():
        (tmp_path / pid).mkdir()
        for name, text in files.items():
            (tmp_path / pid / name).write_text(text)
    assert knobs.mergeable_process(tmp_path) is None
    (tmp_path / "8" / "smaps").write_text("Size: 4 kB\nVmFlags: rd wr mr mg\n")
    (tmp_path / "8" / "comm").write_text("qemu\n")
    assert knobs.mergeable_process(tmp_path) == "process 8 (qemu) has memory advised mergeable"
    (tmp_path / "7" / "ksm_stat").write_text("ksm_mergeable: yes\n")
    assert knobs.mergeable_process(tmp_path) == "process 7 (it has just exited) has memory advised mergeable"


@pytest.fixture
def overruns(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Attempts that overran so far; the number in it is how many will."""
    left = [0]

    def attempt(self: object, _in_use_too: bool) -> object:
        if left[0]:
            left[0] -= 1
            raise NotSteady("f.yaml:3: scan: ksmd overran: full_scans rose by 4 where 3 were asked for")
        return self.result  # type: ignore[attr-defined]

    monkeypatch.setattr(carry_out._Attempt, "carry_out", attempt)
    return left


def test_a_run_that_overran_is_repeated_and_a_bound_on_that_is_an_error(tmp_path: Path, overruns: list[int]) -> None:
    told: list[tuple[str, dict[str, object]]] = []
    spec = scripted(tmp_path, "spawn: a")
    overruns[0] = carry_out.ATTEMPTS - 1
    result = carry_out.run(spec, on_event=lambda name, **about: told.append((name, about)))
    assert result.status == "succeeded"
    assert [about["attempt"] for name, about in told if name == "run repeated"] == [1, 2, 3, 4]
    overruns[0] = carry_out.ATTEMPTS
    result = carry_out.run(spec)
    assert result.error is not None
    assert (result.status, result.error["type"]) == ("failed", "NotSteady")
    assert result.error["message"] == (
        "f.yaml:3: scan: ksmd overran: full_scans rose by 4 where 3 were asked for; "
        "this was attempt 5 of 5, so there is no exact answer"
    )


def test_options_of_the_simulated_machine_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    scripted(tmp_path, "spawn: a")
    for more in (["-j", "2"], ["--invariants", "steps"]):
        assert main(["run", "scripted.yaml", "--on", "kernel", *more]) == 2
        assert "--jobs, --executor and --invariants are of the simulated machine only" in capfd.readouterr().err
