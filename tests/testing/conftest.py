"""A project of experiments of one's own, and pytest called in it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

import pytest

SCRIPT = """\
experiment: twins
kernel: v6.18
machine: {memory: 256KiB, swap: 1MiB}
workload:
  script:
    - spawn: [a, b]
    - mmap: {process: [a, b], area: heap, pages: 6, advise: mergeable}
    - write: {process: [a, b], area: heap, content: {cycle: 3}}
    - scan: {passes: 2}
    - sample: merged
    - expect: {ksm.pages_shared: 3, ksm.pages_sharing: 9}
    - reclaim: all
    - read: {process: a, area: heap}
    - scan: {passes: 3}
    - read: {process: b, area: heap}
expect:
  - vm.pswpin: {min: 3}
sweep:
  matrix: {policies.swapin: [kernel, remerge], ksm.pages_to_scan: [100, 200]}
"""
"""Four runs, all of them well; line 11 expects pages_shared, line 17 pswpin, line 19 sweeps."""
RUNS = ("kernel-pages_to_scan100", "kernel-pages_to_scan200", "remerge-pages_to_scan100", "remerge-pages_to_scan200")
MINE = '''\
"""Rejoin a KSM page of equal content at swap-in."""

from ksmlab_core.policy import Swapin, SwapinPolicy, hookimpl


class Mine(SwapinPolicy):
    name = "mine"

    def decide(self, fault):
        return Swapin.REMERGE if fault.ksm_twin else Swapin.KERNEL


@hookimpl
def ksmlab_swapin_policies():
    return [Mine]
'''


@pytest.fixture(scope="session", autouse=True)
def _simulation_is_loaded(tmp_path_factory: pytest.TempPathFactory) -> None:
    """pytester forgets what was imported inside; the machine would be loaded anew in every test."""
    import ksmlab_core.cli.outcome
    import ksmlab_core.testing.pytest_items  # noqa: F401
    from ksmlab_core.experiment import read_experiment
    from ksmlab_core.lab.runner import carry_out

    file = tmp_path_factory.mktemp("loaded") / "twins.yaml"
    file.write_text(SCRIPT)
    assert all(result.ok for result in carry_out(read_experiment(file)))


@pytest.fixture
def write(pytester: pytest.Pytester) -> Callable[[str, str], None]:
    """Writes a file of the project."""

    def put(name: str, text: str) -> None:
        path = pytester.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    return put


Run = Callable[..., pytest.RunResult]


@pytest.fixture(autouse=True)
def _not_on_a_build_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """On one, pytest repeats whole messages in its summary, so that each would be found twice."""
    for name in ("CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run_here(pytester: pytest.Pytester) -> Run:
    """Calls pytest in this process, without workers (and without hypothesis, which would be imported anew each time)."""

    def call(*words: str) -> pytest.RunResult:
        return pytester.runpytest_inprocess("-p", "no:xdist", "-p", "no:hypothesispytest", *words)

    return call


@pytest.fixture
def run_apart(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Calls pytest in a process of its own, where it may have workers; nothing is compiled, which would take longer."""
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
        monkeypatch.delenv(name)
    return lambda *words: pytester.runpytest_subprocess(*words, timeout=120)


def outcomes(result: pytest.RunResult) -> dict[str, str]:
    """What came of each item, from the lines of -v, -rA or the summary."""
    found: dict[str, str] = {}
    for line in result.outlines:
        if match := re.search(r"^(PASSED|FAILED|SKIPPED|ERROR) (\S+\.ya?ml::\S+)", line):
            found[match[2]] = match[1]
    return found


def said(result: pytest.RunResult, beginning: str) -> list[str]:
    """The lines that begin so."""
    return [line for line in result.outlines if line.startswith(beginning)]
