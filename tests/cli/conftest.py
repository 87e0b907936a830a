"""An experiment file, and the commands called as a user calls them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

STORM = """\
experiment: storm
about: What swap-in copies cost when clones wake.
seed: 7
kernel: seed
machine: {memory: 32MiB, swap: 256MiB}
ksm: {run: 1}
workload: {use: zipf}
measure: {every: 10ms}
sweep:
  matrix: {policies.swapin: [kernel, remerge, defer]}
"""


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The stand-in for the simulation; `simulated_by` puts one of its functions in place."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "lab"))
    return importlib.import_module("fake_simulation")


@pytest.fixture
def simulated_by(fake: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Chooses what takes the simulation's place."""
    import ksmlab_core.simulation

    def choose(name: str) -> None:
        monkeypatch.setattr(ksmlab_core.simulation, "run", getattr(fake, name), raising=False)

    choose("run")
    return choose


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with one experiment file in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "storm.yaml").write_text(STORM)
    return tmp_path
