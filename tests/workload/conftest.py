"""Captures made by hand, and live programs with known memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from ksmlab_core.capture.format import Header, Kind, ProcessPages, State
from ksmlab_core.capture.writer import CaptureWriter

Memory = Mapping[int, tuple[Kind, int]]
"""Kind and digest by page number."""

ProcessAt = Memory | State
"""The memory of a live process, or how else it was found."""


def pages_of(process: int, found: ProcessAt) -> ProcessPages:
    """What the recorder would hand over."""
    if isinstance(found, State):
        return ProcessPages.nothing(process, found)
    numbers = sorted(found)
    kinds = [found[page][0] for page in numbers]
    digests = [found[page][1] for page in numbers]
    return ProcessPages(
        process,
        State.ALIVE,
        np.array(numbers, np.uint64),
        np.array(digests, np.uint64),
        np.array(kinds, np.uint8),
    )


@pytest.fixture
def write_capture(tmp_path: Path) -> Callable[..., Path]:
    """Write a capture: for each snapshot the processes' memories, one second apart."""

    def write(
        snapshots: Sequence[Sequence[ProcessAt]], names: Sequence[str] = ("a", "b", "c"), file: str = "made.ksmcap"
    ) -> Path:
        path = tmp_path / file
        used = tuple(names[: len(snapshots[0])]) if snapshots else tuple(names)
        with CaptureWriter(path, Header(4096, 10**9, used)) as writer:
            for number, processes in enumerate(snapshots):
                writer.snapshot(number * 10**9, [pages_of(n, found) for n, found in enumerate(processes)])
            writer.finish(["one note"])
        return path

    return write


class Program:
    """A child process that does the next thing it knows each time it is told to."""

    def __init__(self, code: str) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.pid = self._child.pid
        self.said = self._answer()

    def step(self) -> str:
        """Tell it to go on; what it answers ("" when it has exited)."""
        assert self._child.stdin is not None
        self._child.stdin.write("\n")
        self._child.stdin.flush()
        answer = self._answer()
        if not answer:
            self._child.wait(10)
        return answer

    def end(self) -> None:
        """Kill it and reap it."""
        self._child.kill()
        self._child.communicate()

    def _answer(self) -> str:
        assert self._child.stdout is not None
        return self._child.stdout.readline().strip()


@pytest.fixture
def program() -> Iterator[Callable[[str], Program]]:
    """Start programs that are ended with the test."""
    started: list[Program] = []

    def start(code: str) -> Program:
        started.append(Program(code))
        return started[-1]

    yield start
    for one in started:
        one.end()
