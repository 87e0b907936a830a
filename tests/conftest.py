"""What the whole suite shares."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from ksmlab_core.cli import main

os.environ.setdefault("NUMBA_NUM_THREADS", "1")


def pytest_configure(config: pytest.Config) -> None:
    """Compile the machine once before workers start; otherwise each of them would, all at the same time."""
    has_workers = bool(getattr(config.option, "numprocesses", None)) and not hasattr(config, "workerinput")
    if has_workers and os.environ.get("NUMBA_DISABLE_JIT", "0") != "1":
        from ksmlab_core.mm import precompile

        precompile()


@dataclass(frozen=True)
class Outcome:
    """What a command said and how it ended."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The JSON document on standard output."""
        return json.loads(self.out)

    @property
    def complaints(self) -> list[str]:
        """The lines on standard error, without the tracebacks of plugins."""
        return self.err.split("Traceback (most recent call last):")[0].splitlines()

    def refused(self, *lines: str) -> None:
        """Bad input: status 2, nothing on standard output, these lines (or their beginnings) on standard error."""
        assert (self.status, self.out) == (2, ""), self
        self._said(lines)

    def failed(self, *lines: str) -> None:
        """A run failed: status 1, and these lines (or their beginnings) on standard error."""
        assert self.status == 1, self
        self._said(lines)

    def _said(self, lines: Sequence[str]) -> None:
        assert [said[: len(wanted)] for said, wanted in zip(self.complaints, lines, strict=False)] == list(lines), (
            self.err
        )
        assert len(self.complaints) == len(lines), self.err
        assert ours_in(self.err) == [], self.err


def ours_in(text: str) -> list[str]:
    """Lines of a traceback that lie in ksmlab's own files."""
    return [line for line in text.splitlines() if line.strip().startswith("File ") and "ksmlab_core" in line]


@pytest.fixture
def ksmlab(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Calls a command as a user does, in this process."""

    def call(*words: object) -> Outcome:
        capfd.readouterr()
        status = main([str(word) for word in words])
        out, err = capfd.readouterr()
        return Outcome(status, out, err)

    return call
