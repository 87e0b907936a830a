"""Hook specifications: documented, with examples that run, and as the README lists them."""

from __future__ import annotations

import inspect
import re
import textwrap
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ksmlab_core.policy import RunInfo, hookspecs, load_registry
from ksmlab_core.policy.inspection import SPECS
from ksmlab_core.policy.kinds import HOOKS, KINDS

README = Path(__file__).parents[2] / "plugins" / "README.md"
OBSERVERS = {  # hook: arguments besides the run, variable of the example, what is in it afterwards
    "ksmlab_run_started": ({}, "started", ["one-s0"]),
    "ksmlab_sampled": (
        {"sample": {"at": "end", "ns": 5, "metrics": {"ksm.pages_sharing": 3}}},
        "shared",
        {("one-s0", "end"): 3},
    ),
    "ksmlab_run_finished": (
        {"result": SimpleNamespace(metrics={"vm.pgmajfault": 2})},
        "faults",
        {"one-s0": 2},
    ),
    "ksmlab_run_failed": ({"failure": RuntimeError("no")}, "failures", ["one-s0: no"]),
}


def example(hook):
    return textwrap.dedent(inspect.getdoc(getattr(hookspecs, hook)).split("Example::\n")[1]).strip() + "\n"


def load(tmp_path, hook):
    path = tmp_path / "example.py"
    path.write_text(example(hook), encoding="utf-8")
    return load_registry([str(path)], autoload=False)


def test_the_hooks_are_those_of_the_contract():
    assert set(SPECS) == {kind.hook for kind in KINDS.values()} | set(OBSERVERS)
    assert HOOKS == ("reclaim", "swapin", "scan")


@pytest.mark.parametrize("hook", SPECS)
def test_every_hook_says_what_it_is_when_it_is_called_and_explains_its_arguments(hook):
    text = inspect.getdoc(getattr(hookspecs, hook))
    assert re.match(r"(Register|Observe) [^\n]+\.\n", text)
    assert "Called " in text
    assert all(f"{argument}:" in text for argument in SPECS[hook])


@pytest.mark.parametrize("hook", SPECS)
def test_the_readme_lists_the_hook_with_the_same_arguments(hook):
    assert f"| `{hook}({', '.join(SPECS[hook])})` |" in README.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_registering_examples_register(tmp_path, kind):
    before = {entry.name for entry in load_registry(autoload=False).entries(kind)}
    registry = load(tmp_path, KINDS[kind].hook)
    new = [entry for entry in registry.entries(kind) if entry.name not in before]
    assert len(new) == 1
    assert new[0].summary


def test_the_workload_example_yields_events(tmp_path):
    entry = load(tmp_path, "ksmlab_workloads").get("workload", "twins")
    events = list(entry.cls(entry.params(pages=3), np.random.default_rng(0)).events())
    assert [type(event).__name__ for event in events] == ["Spawn", "Map", "Access"] * 2
    assert events[5].area.tolist() == [1, 1, 1]
    assert events[5].content.tolist() == [1, 2, 3]


@pytest.mark.parametrize("hook", OBSERVERS)
def test_observing_examples_observe(tmp_path, hook):
    registry = load(tmp_path, hook)
    arguments, variable, expected = OBSERVERS[hook]
    getattr(registry.hook, hook)(run=RunInfo("one-s0"), **arguments)
    assert getattr(registry.providers[-1].module, variable) == expected
