"""The documents, cut into their examples, and a folder in which they are carried out."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ksmlab_core.cli import main
from tests.conftest import Outcome

ROOT = Path(__file__).parents[2]
SMALL = os.environ.get("NUMBA_DISABLE_JIT", "0") == "1" or bool(os.environ.get("KSMLAB_SMALL"))
TINY = """\
experiment: tiny
kernel: seed
machine: {memory: 512KiB, swap: 2MiB}
ksm: {run: 1}
workload: {use: zipf, processes: 2, pages: 20, accesses: 100}
measure: {every: 20us}
sweep:
  matrix: {policies.swapin: [kernel, remerge]}
"""
PROGRAM = "import sys; pages = [bytes([n % 3 + 1]) * 4096 for n in range(200)]; print(); sys.stdout.flush(); input()"
SMALLER = ("workload.accesses=2000", "workload.pages=64", "machine.memory=1MiB")
"""What makes a generated workload small enough for plain Python."""


@dataclass(frozen=True)
class Document:
    """A README."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    def blocks(self, kind: str) -> list[str]:
        """The fenced examples in a language."""
        return re.findall(rf"^```{kind}\n(.*?)^```", self.text, re.DOTALL | re.MULTILINE)

    def experiments(self) -> list[str]:
        """The examples that are whole experiment files."""
        return [block for block in self.blocks("yaml") if block.startswith("experiment:")]

    def commands(self) -> list[str]:
        """Every command line of ksmlab in an example."""
        return [line for block in self.blocks("sh") for line in block.splitlines() if line.startswith("ksmlab ")]

    def notebooks(self) -> list[str]:
        """The examples that ask results."""
        return [block for block in self.blocks("python") if "ksmlab_core.load(" in block]

    def inline(self) -> list[str]:
        """Every command line of ksmlab within the text, once."""
        return list(dict.fromkeys(re.findall(r"`(ksmlab [^`\n]+)`", self.text)))


DOCUMENTS = [Document(path) for path in (ROOT / "README.md", *sorted(ROOT.glob("*/README.md")))]


@dataclass
class Desk:
    """A folder in which one document's examples are carried out, one after the other."""

    folder: Path
    start: Callable[[], int]

    def fresh(self) -> Path:
        """An empty folder in it."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    def words(self, command: str) -> list[str]:
        """A command line of a document: process numbers become those of live programs, waits become short."""
        words = shlex.split(command)[1:]
        words = [str(self.start()) if re.fullmatch(r"\d{4,}|PID", word) else word for word in words]
        short = {"--every": "100ms", "--count": "3"}
        return [short.get(before, word) for before, word in zip(["", *words], words, strict=False)]


@pytest.fixture(scope="session")
def _programs() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for child in started:
        child.kill()
        child.communicate()


@pytest.fixture(scope="session")
def desk(
    _programs: list[subprocess.Popen[str]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Document], Desk]:
    """The folder of a document, with its plugin examples in the files that its other examples name."""
    desks: dict[str, Desk] = {}

    def start() -> int:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        child = subprocess.Popen([sys.executable, "-S", "-E", "-c", PROGRAM], text=True, **pipes)  # type: ignore[call-overload]
        _programs.append(child)
        child.stdout.readline()
        return int(child.pid)

    def of(document: Document) -> Desk:
        if document.name not in desks:
            folder = tmp_path_factory.mktemp("document")
            (folder / "FILE").write_text(TINY)
            assert main(["run", str(folder / "FILE"), "--out", str(folder / "runs")]) == 0
            for block in document.blocks("python"):
                if name := re.search(r'^    name = "(.*)"$', block, re.MULTILINE):
                    (folder / f"{name[1].replace('-', '_')}.py").write_text(block)
            desks[document.name] = Desk(folder, start)
        return desks[document.name]

    return of


@pytest.fixture
def ksmlab(ksmlab: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Calls a command in a folder."""

    def call(folder: Path, *words: str) -> Outcome:
        monkeypatch.chdir(folder)
        return ksmlab(*words)

    return call
