"""The other commands, and what all commands have in common."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Ksmlab = Callable[..., Any]
KSMLAB = [sys.executable, "-m", "ksmlab_core.cli"]
COMMANDS = [
    "run",
    "verify",
    "plan",
    "plugins",
    "new",
    "schema",
    "capture",
    "report",
    "compare",
    "sql",
    "reindex",
    "kernels",
    "conformance",
    "fuzz",
]


def listed(help_text: str) -> list[str]:
    """The commands that a help text lists."""
    lines = help_text[help_text.index("Commands:") :].splitlines()[1:]
    return [line.split()[0] for line in lines if line.strip()]


def test_help_lists_the_commands(ksmlab: Ksmlab) -> None:
    told = ksmlab("--help")
    assert (told.status, told.err) == (0, "")
    assert listed(told.out) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(ksmlab: Ksmlab, command: str) -> None:
    told = ksmlab(command, "--help")
    assert told.status == 0
    assert told.out.startswith(f"Usage: ksmlab {command} ")


def test_version(ksmlab: Ksmlab) -> None:
    from importlib.metadata import version

    assert ksmlab("--version").out == f"ksmlab, version {version('ksmlab')}\n"


def test_help_comes_in_a_blink_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from ksmlab_core.cli import main; main(['--help']); "
        "heavy = {'numba', 'numpy', 'structlog', 'pydantic', 'rich', 'yaml', 'pluggy'} & set(sys.modules); "
        "sys.exit(' '.join(sorted(heavy)) or 0)"
    )
    took = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert (done.returncode, done.stderr) == (0, "")
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(took) < 0.3, "CPU time, s: a busy machine makes no difference"


@pytest.mark.parametrize("words", [["plan", "storm.yaml"], ["plugins"], ["schema"], ["kernels"]])
def test_reading_commands_import_no_numba(here: Path, words: list[str]) -> None:
    code = (
        f"import sys; from ksmlab_core.cli import main; status = main({words!r}); "
        "heavy = {'numba', 'structlog', 'matplotlib'} & set(sys.modules); sys.exit(' '.join(sorted(heavy)) or status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=here)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_leaves_early_is_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*KSMLAB, "schema"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_an_unknown_command_is_status_2(ksmlab: Ksmlab) -> None:
    told = ksmlab("rum")
    assert told.status == 2
    assert "No such command 'rum'" in told.err


def test_plan_lists_the_points_and_runs_nothing(ksmlab: Ksmlab, here: Path) -> None:
    told = ksmlab("plan", "storm.yaml")
    lines = told.out.splitlines()
    assert lines[0] == "storm: What swap-in copies cost when clones wake."
    assert lines[1].split() == ["run", "seed", "state", "policies.swapin"]
    assert [line.split()[1:] for line in lines[2:5]] == [
        ["7", "pending", name] for name in ("kernel", "remerge", "defer")
    ]
    assert lines[5] == "3 runs: 3 pending; how long they take shows once one is done"
    assert [path.name for path in here.iterdir()] == ["storm.yaml"]


def test_plan_for_programs(ksmlab: Ksmlab, here: Path) -> None:
    told = json.loads(ksmlab("plan", "storm.yaml", "--json", "--set", "seed=9").out)
    assert told["experiment"] == "storm"
    assert [run["point"] for run in told["runs"]] == [
        {"policies.swapin": name} for name in ("kernel", "remerge", "defer")
    ]
    assert {run["seed"] for run in told["runs"]} == {9}


def test_plugins_lists_every_kind_with_provider_and_parameters(ksmlab: Ksmlab) -> None:
    told = ksmlab("plugins")
    assert (told.status, told.err) == (0, "")
    for line in ("reclaim: which frames go", "swapin: copy or remerge", "scan: what ksmd looks at next"):
        assert line in told.out
    assert "min_sharers  = 1  processes that must already map the KSM page" in told.out
    assert "metrics of kernel profile seed" in told.out


def test_plugins_for_programs(ksmlab: Ksmlab) -> None:
    told = json.loads(ksmlab("plugins", "--json").out)
    remerge = next(one for one in told["plugins"] if (one["kind"], one["name"]) == ("swapin", "remerge"))
    assert remerge["parameters"]["min_sharers"]["default"] == 1
    assert len(remerge["sha256"]) == 64
    assert told["metrics"]["seed"]["vm.pswpout"] == "pages written to swap"


def test_every_metric_is_explained() -> None:
    from ksmlab_core.lab.metric_words import WORDS, metrics_of
    from ksmlab_core.mm.profile import PROFILES

    for profile in PROFILES.values():
        listed = dict(metrics_of(profile))
        assert all(listed.values()), [name for name, words in listed.items() if not words]
    assert set(WORDS) == {name for profile in PROFILES.values() for name, _ in metrics_of(profile)}


def test_a_plugin_file_is_listed_with_the_rest(ksmlab: Ksmlab, here: Path) -> None:
    assert ksmlab("new", "reclaim", "oldest").status == 0
    told = ksmlab("plugins", "-p", "oldest.py")
    assert told.status == 0
    assert any(line.split()[:1] == ["oldest"] for line in told.out.splitlines())


@pytest.mark.parametrize("kind", ["reclaim", "swapin", "scan", "workload"])
def test_new_writes_a_plugin_and_its_test(ksmlab: Ksmlab, here: Path, kind: str) -> None:
    told = ksmlab("new", kind, "my-own")
    assert told.status == 0
    assert sorted(path.name for path in here.glob("*.py")) == ["my_own.py", "test_my_own.py"]
    assert told.out.splitlines()[:2] == ["plugin  my_own.py", "test    test_my_own.py"]
    again = ksmlab("new", kind, "my-own")
    assert (again.status, again.out) == (2, "")
    assert "my_own.py: is there already" in again.err


def test_schema_is_json_and_knows_the_plugins(ksmlab: Ksmlab) -> None:
    told = ksmlab("schema")
    assert told.status == 0
    assert "min_sharers" in json.dumps(json.loads(told.out))


def test_kernels_lists_profiles_and_switches(ksmlab: Ksmlab) -> None:
    from ksmlab_core.mm.profile import PROFILES
    from ksmlab_core.mm.switches import SWITCHES

    told = ksmlab("kernels")
    assert (told.status, told.err) == (0, "")
    assert all(f"profile {name}" in told.out for name in PROFILES)
    assert all(name in told.out for name in SWITCHES)
    document = json.loads(ksmlab("kernels", "--json").out)
    assert [one["name"] for one in document["profiles"]] == list(PROFILES)
    assert [one["name"] for one in document["switches"]] == list(SWITCHES)


def test_kernels_shows_how_two_differ(ksmlab: Ksmlab) -> None:
    told = ksmlab("kernels", "v6.8", "v6.18")
    assert (told.status, told.err) == (0, "")
    assert "checksum_before_stable: false or true  (v6.8: false, v6.18: true)" in told.out
    assert "node_holds_ref" not in told.out
    document = json.loads(ksmlab("kernels", "seed", "v2.6.33", "--json").out)
    assert document["switches"]["node_holds_ref"] == [True, False]
    assert document["metrics"] == [["ksm.max_kernel_pages"], []]


def test_kernels_of_one_name(ksmlab: Ksmlab) -> None:
    told = ksmlab("kernels", "v6.1")
    assert told.out.count("profile ") == 1


def test_kernels_knows_no_other(ksmlab: Ksmlab) -> None:
    told = ksmlab("kernels", "v6.9", "seed")
    assert told.status == 2
    assert told.err.startswith("no kernel profile is called 'v6.9'; known: seed, ")
    assert told.err.count("\n") == 1


def test_capture_takes_snapshots_of_a_process_of_ones_own(ksmlab: Ksmlab, here: Path) -> None:
    me = str(os.getpid())
    told = ksmlab("capture", "--pid", me, "--every", "1ms", "--count", "2", "-o", "me.ksmcap")
    assert told.status == 0
    assert "me.ksmcap: 2 snapshots" in told.out
    assert (here / "me.ksmcap").stat().st_size > 0


def test_capture_of_several_processes_reports_what_it_cannot_read(ksmlab: Ksmlab, here: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    told = ksmlab("capture", "--pid", str(os.getpid()), str(gone.pid), "--count", "1", "-o", "two.ksmcap")
    assert told.status == 0
    assert str(gone.pid) in told.err
    assert "two.ksmcap: 1 snapshot," in told.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--pid", "x"), "--pid: 'x' is no process id"),
        (("--pid", "1", "--every", "soon"), "--every: 'soon': a duration is"),
        (("--pid", "1", "--count", "0"), "0 is not in the range"),
        ((), "Missing option '--pid'"),
    ],
)
def test_capture_refuses_nonsense(ksmlab: Ksmlab, here: Path, words: tuple[str, ...], said: str) -> None:
    told = ksmlab("capture", *words, "-o", "x.ksmcap")
    assert told.status == 2
    assert said in told.err
    assert not (here / "x.ksmcap").exists()


def test_report_of_stored_results(ksmlab: Ksmlab, here: Path, simulated_by: Callable[[str], None]) -> None:
    assert ksmlab("run", "storm.yaml").status == 0
    page = here / "runs" / "storm" / "report.html"
    first = page.read_bytes()
    page.unlink()
    for folder in ("runs", "runs/storm"):
        told = ksmlab("report", folder)
        assert (told.status, told.out) == (0, "report   runs/storm/report.html\n")
        assert page.read_bytes() == first, "the same page, whether made at once or later"
    assert ksmlab("report", "runs", "-o", "page.html").status == 0
    assert (here / "page.html").read_bytes() == first


def test_report_of_nothing_is_one_line(ksmlab: Ksmlab, here: Path) -> None:
    (here / "empty").mkdir()
    for folder, said in (("nowhere", "no such folder of results"), ("empty", "no results here")):
        told = ksmlab("report", folder)
        assert (told.status, told.out) == (2, "")
        assert told.err.startswith(f"{folder}: {said}")
        assert told.err.count("\n") == 1
