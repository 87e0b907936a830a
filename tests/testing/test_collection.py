"""Which files are experiments, and what their items are called; collecting them compiles nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from ksmlab_core.testing.pytest_recognition import is_experiment
from tests.testing.conftest import RUNS, SCRIPT, Run, outcomes, said

ROOT = Path(__file__).parents[2]
Write = Callable[[str, str], None]
STRANGERS = {
    "docker-compose.yml": "services:\n  a: {image: x, experiment: y}\n",
    "model.yaml": "experiment: svm\nkernel: rbf\nseed: 3\n",
    "empty.yaml": "",
    "list.yaml": "- experiment: a\n- kernel: seed\n- workload: x\n",
    "text.yaml": "about: |\n  experiment: a\n  kernel: seed\n  workload: x\n",
    "torn.yaml": "{{{ \x00",
}


def test_the_points_of_a_file_are_its_items(write: Write, run_here: Run) -> None:
    write("some/twins.yaml", SCRIPT)
    result = run_here("-rA", "some/twins.yaml")
    assert outcomes(result) == {f"some/twins.yaml::{run}": "PASSED" for run in RUNS}


def test_one_point_can_be_named(write: Write, run_here: Run) -> None:
    write("twins.yaml", SCRIPT)
    assert outcomes(run_here("-rA", f"twins.yaml::{RUNS[2]}")) == {f"twins.yaml::{RUNS[2]}": "PASSED"}
    assert set(outcomes(run_here("-rA", "-k", "remerge and scan200"))) == {f"twins.yaml::{RUNS[3]}"}


def test_a_file_without_a_sweep_is_one_item_called_by_its_seed(write: Write, run_here: Run) -> None:
    write("twins.yaml", SCRIPT.partition("sweep:")[0] + "seed: 5\n")
    assert outcomes(run_here("-rA")) == {"twins.yaml::s5": "PASSED"}


def test_a_scenario_is_an_item_under_every_kernel_that_it_names(write: Write, run_here: Run) -> None:
    block = "conformance: {suite: mine, scenario: twins, rules: [R-CMP-5], kernels: [{since: v6.1}]}\n"
    write("swept.yaml", SCRIPT + block)
    write("plain.yaml", SCRIPT.partition("sweep:")[0] + block)
    write("future.yaml", SCRIPT.partition("sweep:")[0] + block.replace("v6.1", "v99.1"))
    found = outcomes(run_here("-rA"))
    kernels = ("v6.1", "v6.8", "v6.18")
    assert {name.split("::")[1] for name in found if name.startswith("plain")} == set(kernels)
    assert {name for name in found if name.startswith("swept")} == {
        f"swept.yaml::{kernel}-{run}" for kernel in kernels for run in RUNS
    }
    assert set(found.values()) == {"PASSED"}
    assert said(run_here("-rs", "future.yaml"), "SKIPPED")[0].endswith("holds for none of the kernels of this version")


@pytest.mark.parametrize("name", STRANGERS)
def test_files_of_others_are_left_alone(pytester: pytest.Pytester, write: Write, run_here: Run, name: str) -> None:
    write(name, STRANGERS[name])
    assert run_here().ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert "ksmlab_core.testing.pytest_plugin" in sys.modules
    assert not (pytester.path / ".pytest_cache" / "v" / "ksmlab").exists()


def test_a_file_that_is_named_needs_only_its_experiment(write: Write, run_here: Run) -> None:
    write("short.yaml", "experiment: short\n")
    assert run_here().ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result = run_here("short.yaml")
    result.assert_outcomes(failed=1)
    assert said(result, "short.yaml:1:1: workload: missing")


def test_which_files_are_looked_at_can_be_set(pytester: pytest.Pytester, write: Write, run_here: Run) -> None:
    for name in ("a/one.yaml", "a/two.exp.yaml", "b/c/three.yml"):
        write(name, SCRIPT.partition("sweep:")[0])
    assert len(outcomes(run_here("-rA"))) == 3
    pytester.makeini("[pytest]\nksmlab_experiments = *.exp.yaml b/*\n")
    assert set(outcomes(run_here("-rA"))) == {"a/two.exp.yaml::s0", "b/c/three.yml::s0"}
    assert set(outcomes(run_here("-rA", "a/one.yaml"))) == {"a/one.yaml::s0"}


@pytest.mark.parametrize(
    ("text", "named", "walked"),
    [
        ("experiment: a\nkernel: seed\nworkload: {}\n", True, True),
        ("experimnet: a\nkernel: seed\nworkload: {}\nmachine: {}\n", True, True),
        ('"experiment": a\n"kernel": seed\n"workload": {}\n', True, True),
        ("experiment: a\nabout: b\nseed: 3\n", True, False),
        ("kernel: seed\nmachine: x86\n", False, False),
        ("experiment:a\nkernel:b\nworkload:c\n", False, False),
    ],
)
def test_what_looks_like_an_experiment(tmp_path: Path, text: str, named: bool, walked: bool) -> None:
    (tmp_path / "x.yaml").write_text(text)
    assert is_experiment(tmp_path / "x.yaml", named=True) == named
    assert is_experiment(tmp_path / "x.yaml", named=False) == walked


BROKEN = {
    "keys": (
        "experiment: Twins\nkernel: v9\nmachine: {memroy: 1MiB}\nworkload: {use: zipff}\n",
        [
            "broken.yaml:1:13: experiment: 'Twins' is not a name",
            "broken.yaml:2:9: kernel: there is no profile 'v9'",
            "broken.yaml:3:11: machine.memroy: unknown key",
            "broken.yaml:4:17: workload.use: there is no workload 'zipff'",
        ],
    ),
    "twice": (SCRIPT + "kernel: seed\n", ["broken.yaml:20:1: kernel: "]),
    "tab": (SCRIPT + "\tx: 1\n", ["broken.yaml:20:1: "]),
    "bomb": (
        "experiment: bomb\nkernel: seed\nworkload: &a [x, x]\n"
        + "".join(f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in pairwise("abcdefghijk")),
        ["broken.yaml:8:40: f.8: too many values; at most 200000"],
    ),
    "range": (
        SCRIPT + "conformance: {suite: mine, rules: [R-CMP-5], kernels: [{since: now}]}\nmesure: {}\n",
        [
            "broken.yaml:20:1: conformance.scenario: missing",
            "broken.yaml:20:64: conformance.kernels.0.since: ",
            "broken.yaml:21:1: mesure: unknown key",
        ],
    ),
    "same": (
        SCRIPT.replace("[kernel, remerge]", "[kernel, kernel]"),
        ["broken.yaml:19:67: sweep.matrix.ksm.pages_to_scan.0: the same point twice", "broken.yaml:19:72: "],
    ),
    "many": (
        SCRIPT.replace("max_runs", "") + "  max_runs: 3\n",
        ["broken.yaml:18:1: sweep: the sweep expands to 4 runs"],
    ),
    "plugin": (SCRIPT + "plugins: [./bad.py]\n", ["broken.yaml:20:11: plugins.0: bad.py:1: cannot be imported"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_one_item_that_tells_everything(write: Write, run_here: Run, case: str) -> None:
    text, complaints = BROKEN[case]
    write("bad.py", "raise SystemExit(3)\n")
    write("broken.yaml", text)
    write("good.yaml", SCRIPT.partition("sweep:")[0])
    result = run_here("-rA")
    assert outcomes(result) == {"broken.yaml::broken-file": "FAILED", "good.yaml::s0": "PASSED"}
    told = said(result, "broken.yaml:")
    assert [line[: len(start)] for line, start in zip(told, complaints, strict=True)] == complaints
    assert said(result, "again: ") == ["again: ksmlab plan broken.yaml"]
    assert "Traceback" not in result.stdout.str()


def test_a_file_that_is_no_text_or_cannot_be_read_is_one_item_too(pytester: pytest.Pytester, run_here: Run) -> None:
    (pytester.path / "latin.yaml").write_bytes(SCRIPT.encode() + b"about: caf\xe9\n")
    result = run_here()
    result.assert_outcomes(failed=1)
    assert said(result, "latin.yaml:20:11: the byte 0xe9 is not UTF-8")


def test_a_fault_of_our_own_breaks_the_file_and_not_the_session(
    write: Write, run_here: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.yaml", SCRIPT)
    write("test_other.py", "def test_a(): pass\n")
    monkeypatch.setattr("ksmlab_core.testing.pytest_items.plans_of", lambda *_: 1 // 0)
    result = run_here()
    result.assert_outcomes(failed=1, passed=1)
    assert said(result, "a.yaml: a fault in ksmlab itself:")
    assert "ZeroDivisionError" in result.stdout.str()


def test_names_and_values_of_any_kind_make_ids_that_can_be_typed(write: Write, run_here: Run) -> None:
    write(
        "größe = 3.yaml",
        SCRIPT.partition("sweep:")[0] + "sweep: {matrix: {workload.script.2.write.content: ['a=b', é, É]}}\n",
    )
    ids = [line.split("::")[1] for line in run_here("--collect-only", "-q").outlines if "::" in line]
    assert len(set(ids)) == 3
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-") for name in ids)


def test_all_experiments_of_the_repository_are_collected_without_the_compiler() -> None:
    """And every file gives its runs: none is broken, none is taken for somebody else's."""
    code = (
        "import sys, pytest\n"
        "status = pytest.main(['--collect-only', '-q', '-p', 'no:cacheprovider', 'experiments'])\n"
        "print('LOADED', *sorted({'numba', 'llvmlite', 'structlog', 'matplotlib'} & set(sys.modules)))\n"
        "sys.exit(status)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "\nLOADED\n" in done.stdout
    ids = [line for line in done.stdout.splitlines() if ".yaml::" in line]
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "experiments").rglob("*.yaml")}
    files -= {name for name in files if name.startswith("experiments/sweeps/")}  # tests only when they are named
    assert {name.split("::")[0] for name in ids} == files
    assert len(set(ids)) == len(ids)
    assert [name for name in ids if name.endswith(("::broken-file", "::no-kernel"))] == []
