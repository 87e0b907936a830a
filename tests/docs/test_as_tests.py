"""What experiments/README.md says of experiments as tests: its commands, and its example for GitHub Actions."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml

from tests.docs.conftest import ROOT, TINY, Document

README = Document(ROOT / "experiments" / "README.md")
COMMANDS = [
    line.partition(" #")[0].strip()
    for block in README.blocks("sh")
    for line in block.splitlines()
    if line.startswith("pytest ")
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder of experiments that has what the commands name."""
    suites = tmp_path / "experiments" / "suites"
    suites.mkdir(parents=True)
    (suites / "smoke.yaml").write_text(TINY.replace("tiny", "smoke"))
    (suites.parent / "mine.yaml").write_text(TINY.replace("tiny", "mine").replace("kernel: seed", "kernel: v6.18"))
    return tmp_path


def called(command: str, project: Path) -> subprocess.CompletedProcess[str]:
    """A command line of the README, with this Python; uncompiled, with two workers where it says auto."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment |= {"NUMBA_DISABLE_JIT": "1", "PYTEST_XDIST_AUTO_NUM_WORKERS": "2"}
    words = re.sub(r"^(python -m )?pytest", f"{sys.executable} -m pytest", command)
    return subprocess.run(words, shell=True, cwd=project, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_understood(command: str, project: Path) -> None:
    done = called(f"{command} --collect-only -q", project)
    nothing_left = pytest.ExitCode.NO_TESTS_COLLECTED if " -k " in command else pytest.ExitCode.OK
    assert done.returncode in (pytest.ExitCode.OK, nothing_left), done.stdout + done.stderr


def test_the_example_for_github_actions_runs_every_experiment_once(project: Path) -> None:
    [text] = [block for block in README.blocks("yaml") if "runs-on:" in block]
    [job] = yaml.safe_load(text)["jobs"].values()
    install, test = [step["run"] for step in job["steps"] if "run" in step]
    assert install.startswith("python -m pip install ")
    ran = []
    for shard in job["strategy"]["matrix"]["shard"]:
        done = called(test.replace("${{ matrix.shard }}", str(shard)), project)
        assert done.returncode == 0, done.stdout + done.stderr
        cases = ElementTree.parse(project / "junit.xml").findall(".//testcase")
        ran += [f"{case.get('classname')} {case.get('name')}" for case in cases]
    assert len(ran) == len(set(ran)) == 4
    [uploaded] = [step["with"]["path"] for step in job["steps"] if "upload" in step.get("uses", "")]
    assert uploaded == "junit.xml"
