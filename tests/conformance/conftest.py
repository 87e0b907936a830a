"""A small suite of one's own, and the command called as a user calls it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ksmlab_core.cli import main

TWINS = """\
experiment: {name}
about: Two equal pages (R-CMP-5).
{block}
kernel: seed
machine: {{memory: 1MiB, swap: 0}}
workload:
  script:
    - spawn: [a, b]
    - mmap: {{process: [a, b], area: mem, pages: 1, advise: mergeable}}
    - write: {{process: [a, b], area: mem, content: x}}
    - scan: {{passes: 1}}
    - sample: first pass
    - expect: {{ksm.pages_shared: 0, ksm.pages_sharing: 0, ksm.pages_unshared: 0, ksm.pages_volatile: 2}}
    - scan: {{passes: 1}}
    - sample: second pass
    - expect: {{ksm.pages_shared: 1, ksm.pages_sharing: {sharing}, ksm.pages_unshared: 0, ksm.pages_volatile: 0}}
    - expect: {{machine.frames_mapped: {{max: 1}}}}
"""
BLOCK = "conformance: {suite: mine, scenario: twins, rules: [R-CMP-5]}"


@dataclass(frozen=True)
class Outcome:
    """What a command said and how it ended."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document on standard output."""
        found: dict[str, Any] = json.loads(self.out)
        return found


@pytest.fixture
def suite(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file of two equal pages into a folder, with its block and what it expects of pages_sharing."""

    def write(name: str, block: str = BLOCK, *, sharing: int = 1, more: str = "") -> Path:
        folder = tmp_path / "mine"
        folder.mkdir(exist_ok=True)
        file = folder / f"{name}.yaml"
        file.write_text(TWINS.format(name=name, block=textwrap.dedent(block), sharing=sharing) + more)
        return file

    return write


@pytest.fixture
def ksmlab(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Calls a command in this process."""

    def call(*words: object) -> Outcome:
        capfd.readouterr()
        status = main([str(word) for word in words])
        out, err = capfd.readouterr()
        return Outcome(status, out, err)

    return call
