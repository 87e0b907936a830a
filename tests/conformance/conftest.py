"""A small suite of one's own, and the command called as a user calls it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

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
