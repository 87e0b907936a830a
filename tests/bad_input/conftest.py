"""The commands called as a user calls them, beside results that had been finished before."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ksmlab_core.cli import main
from tests.conftest import Outcome

GOOD = """\
experiment: before
kernel: seed
machine: {memory: 256KiB, swap: 1MiB}
workload:
  script:
    - spawn: a
    - mmap: {process: a, area: heap, pages: 8, advise: mergeable}
    - write: {process: a, area: heap, content: {cycle: 2}}
    - scan: {passes: 2}
    - expect: {ksm.pages_sharing: 6}
"""


class Folder:
    """A folder of finished results, and what was in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._before = contents(path)

    def is_whole(self) -> None:
        """Every file of before is there with every byte of before, and nothing that is only half there."""
        now = contents(self.path)
        assert {name: now.get(name) for name in self._before} == self._before
        assert [name for name in now if ".aside" in name] == []


def contents(path: Path) -> dict[str, bytes]:
    """Every file in a folder, by its name from there."""
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


@pytest.fixture(scope="session")
def _finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of one good run, made once."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "before.yaml").write_text(GOOD)
    assert main(["run", str(folder / "before.yaml"), "--json", "--out", str(folder / "runs")]) == 0
    return folder / "runs"


@pytest.fixture
def finished(_finished: Path, here: Path) -> Folder:
    """`runs` in the working directory, with the results of an experiment called `before`."""
    shutil.copytree(_finished, here / "runs")
    return Folder(here / "runs")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def write(here: Path) -> Callable[[str, str], str]:
    """Writes a file into the working directory; gives its name."""

    def put(name: str, text: str) -> str:
        (here / name).write_text(textwrap.dedent(text))
        return name

    return put


@dataclass
class Running:
    """A command in a process of its own, in a process group of its own as a terminal's foreground job is."""

    child: subprocess.Popen[str]

    def ended(self) -> Outcome:
        """What it said when it had come to its end."""
        out, err = self.child.communicate(timeout=60)
        return Outcome(self.child.returncode, out, err)

    def interrupted(self) -> Outcome:
        """Ctrl-C: SIGINT to the whole group; what it said then."""
        os.killpg(self.child.pid, signal.SIGINT)
        out, err = self.child.communicate(timeout=60)
        return Outcome(self.child.returncode, out, err)


@pytest.fixture
def start(here: Path) -> Iterator[Callable[..., Running]]:
    """Starts a command; what still runs at the end of the test is ended."""
    children: list[subprocess.Popen[str]] = []

    def begin(*words: str, before: Callable[[], None] | None = None) -> Running:
        child = subprocess.Popen(
            [sys.executable, "-m", "ksmlab_core.cli", *words],
            cwd=here,
            env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
            preexec_fn=before,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        children.append(child)
        return Running(child)

    yield begin
    for child in children:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
