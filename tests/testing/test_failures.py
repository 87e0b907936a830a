"""What is said of a run that was not well, and that the command it gives repeats it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest

from ksmlab_core.cli import main
from tests.testing.conftest import MINE, RUNS, SCRIPT, Run, outcomes, said

Write = Callable[[str, str], None]
WRONG = SCRIPT.replace("ksm.pages_sharing: 9", "ksm.pages_sharing: 10").replace("{min: 3}", "{min: 3, max: 3}")
BLOCK = "conformance: {suite: mine, scenario: twins, rules: [R-CMP-5], kernels: [{since: v6.1, before: v6.9}]}\n"


def repeated(result: pytest.RunResult, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Carry out the one command that a failure gives: its status, and what it says on standard error."""
    [again] = said(result, "again: ksmlab ")
    capfd.readouterr()
    status = main([*shlex.split(again)[2:], "--json"])
    out, err = capfd.readouterr()
    assert out.count('"id":') == (1 if out else 0)
    return status, err


@pytest.mark.parametrize("run", RUNS)
def test_an_expectation_is_told_with_its_line_and_the_command_repeats_it(
    write: Write, run_here: Run, capfd: pytest.CaptureFixture[str], run: str
) -> None:
    write("twins.yaml", WRONG)
    result = run_here(f"twins.yaml::{run}")
    result.assert_outcomes(failed=1)
    told = said(result, "twins.yaml:")
    assert told == ["twins.yaml:11: ksm.pages_sharing: wanted 10, got 9"]
    assert said(result, "again: ") == [f"again: ksmlab run twins.yaml --only {run}"]
    assert "Traceback" not in result.stdout.str()
    assert repeated(result, capfd) == (1, f"{told[0]}\n")


def test_under_a_kernel_of_a_conformance_block_the_command_sets_it(
    write: Write, run_here: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    write("plain.yaml", WRONG.partition("sweep:")[0] + BLOCK)
    write("odd name.yaml", WRONG + BLOCK)
    plain = run_here("plain.yaml::v6.8")
    assert said(plain, "again: ") == ["again: ksmlab run plain.yaml --set kernel=v6.8"]
    assert repeated(plain, capfd)[0] == 1
    swept = run_here(f"odd name.yaml::v6.1-{RUNS[1]}")
    assert said(swept, "again: ") == [f"again: ksmlab run 'odd name.yaml' --set kernel=v6.1 --only {RUNS[1]}"]
    assert repeated(swept, capfd) == (1, "odd name.yaml:11: ksm.pages_sharing: wanted 10, got 9\n")


def test_a_file_below_is_named_from_where_pytest_was_called(write: Write, run_here: Run) -> None:
    write("some/where/twins.yaml", WRONG)
    result = run_here()
    assert len(said(result, "some/where/twins.yaml:11: ksm.pages_sharing: wanted 10, got 9")) == len(RUNS)
    assert f"again: ksmlab run some/where/twins.yaml --only {RUNS[0]}" in result.outlines


def test_a_policy_that_raises_is_told_with_its_own_lines(
    write: Write, run_here: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    write("mine.py", MINE.replace("return Swapin.REMERGE if fault.ksm_twin else Swapin.KERNEL", "return 1 // 0"))
    write("twins.yaml", SCRIPT.replace("[kernel, remerge]", "[kernel, mine]") + "plugins: [./mine.py]\n")
    result = run_here("-rA")
    assert sorted(outcomes(result).values()) == ["FAILED", "FAILED", "PASSED", "PASSED"]
    name = RUNS[2].replace("remerge", "mine")
    [line] = said(result, f"twins.yaml: run {name} failed: policy 'mine' (swapin) (")
    assert "mine.py:10): Mine raised ZeroDivisionError: " in line
    assert any('mine.py", line 10, in decide' in line for line in result.outlines)
    assert not any("ksmlab_core" in line for line in result.outlines if line.lstrip().startswith("File "))
    status, err = repeated(run_here(f"twins.yaml::{name}"), capfd)
    assert (status, line in err) == (1, True)


def test_a_step_that_cannot_be_carried_out(write: Write, run_here: Run) -> None:
    write(
        "twins.yaml", SCRIPT.partition("sweep:")[0].replace("pages: 6", "pages: 600").replace("swap: 1MiB", "swap: 0")
    )
    [line] = said(run_here(), "twins.yaml: run s0 failed: twins.yaml:8: write: ")
    assert line


def test_junit_has_file_line_message_and_what_was_run(pytester: pytest.Pytester, write: Write, run_here: Run) -> None:
    write("twins.yaml", WRONG.replace("experiment: twins", "experiment: twins\nseed: 4"))
    run_here("--junitxml=junit.xml", "-o", "junit_family=xunit1")
    cases = ElementTree.parse(pytester.path / "junit.xml").findall(".//testcase")
    assert [case.get("name") for case in cases] == list(RUNS)
    first = cases[0]
    assert (first.get("file"), first.get("line")) == ("twins.yaml", "19")
    assert "twins.yaml:12: ksm.pages_sharing: wanted 10, got 9" in str(first.find("failure").get("message"))  # type: ignore[union-attr]
    assert {one.get("name"): one.get("value") for one in first.findall(".//property")} == {
        "ksmlab.experiment": "twins",
        "ksmlab.run": RUNS[0],
        "ksmlab.kernel": "v6.18",
        "ksmlab.seed": "4",
        "ksmlab.point.policies.swapin": "kernel",
        "ksmlab.point.ksm.pages_to_scan": "100",
    }


def test_nothing_is_written_beside_the_experiments_unless_asked_for(
    pytester: pytest.Pytester, write: Write, run_here: Run
) -> None:
    write("a/twins.yaml", SCRIPT + BLOCK)
    write("b/twins.yaml", SCRIPT)
    run_here("-p", "no:cacheprovider").assert_outcomes(passed=12)
    assert {path.name for path in pytester.path.rglob("*") if path.is_file()} == {"twins.yaml"}
    run_here("--ksmlab-out", "kept").assert_outcomes(passed=12)
    kept = {str(path.parent.relative_to(pytester.path)) for path in (pytester.path / "kept").rglob("manifest.json")}
    assert kept == {f"kept/b/twins/twins/{run}" for run in RUNS} | {
        f"kept/a/twins/{kernel}/twins/{run}" for kernel in ("v6.1", "v6.8") for run in RUNS
    }


def test_results_that_cannot_be_kept_are_one_line(write: Write, run_here: Run) -> None:
    write("twins.yaml", SCRIPT.partition("sweep:")[0])
    write("kept", "a file")
    result = run_here("--ksmlab-out", "kept")
    result.assert_outcomes(failed=1)
    assert said(result, "kept/twins/twins/s0: results not written: Not a directory")


def test_a_file_that_changes_while_tests_run_is_not_judged(
    pytester: pytest.Pytester, write: Write, run_here: Run
) -> None:
    write("twins.yaml", SCRIPT.partition("sweep:")[0])
    pytester.makeconftest(
        "from pathlib import Path\n"
        "def pytest_collection_finish(session):\n"
        "    file = Path('twins.yaml')\n"
        "    file.write_text('# one line more\\n' + file.read_text())\n"
    )
    result = run_here()
    result.assert_outcomes(failed=1)
    assert said(result, "twins.yaml: was changed while the tests ran; run them again")


def test_ctrl_c_ends_the_tests_at_once(pytester: pytest.Pytester, write: Write) -> None:
    write(
        "mine.py",
        MINE.replace(
            "        return",
            "        import pathlib, time\n\n        pathlib.Path('here').touch()\n        time.sleep(60)\n        return",
        ),
    )
    write("twins.yaml", SCRIPT.replace("[kernel, remerge]", "[mine, kernel]") + "plugins: [./mine.py]\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    child = subprocess.Popen(
        command,
        cwd=pytester.path,
        env={**environment, "NUMBA_DISABLE_JIT": "1"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 60
    while not (pytester.path / "here").exists() and child.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=40)
    assert child.returncode == pytest.ExitCode.INTERRUPTED
    assert "KeyboardInterrupt" in out
    assert {path.name for path in Path(pytester.path).rglob("*") if path.is_file()} == {"mine.py", "twins.yaml", "here"}
