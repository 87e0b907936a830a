"""What makes two runs the same, and what does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ksmlab_core.experiment import read_experiment
from ksmlab_core.experiment.plan import RunSpec
from ksmlab_core.lab import identity as module
from ksmlab_core.lab.identity import identity, parts_of

FILE = """\
experiment: t
kernel: seed
machine: {memory: 1MiB, swap: 4MiB}
plugins: [./mine.py]
policies: {swapin: mine}
workload: {use: reader, source: data.bin}
"""
SCRIPT = """\
experiment: t
kernel: seed
machine: {memory: 1MiB, swap: 4MiB}
workload:
  script:
    - spawn: a
    - expect: {vm.pswpin: 0}
expect: [{vm.pswpout: 0}]
"""
PLUGIN = '''\
"""A policy, and a workload that reads a file."""
from ksmlab_core.policy import Field, Swapin, SwapinPolicy, Workload, hookimpl


class Mine(SwapinPolicy):
    name = "mine"

    class Params(SwapinPolicy.Params):
        budget: int = Field(3, description="pages")

    def decide(self, fault):
        return Swapin.KERNEL


class Reader(Workload):
    name = "reader"

    class Params(Workload.Params):
        source: str = Field(description="file")
        others: list[str] = Field([], description="files")

    def events(self):
        yield from ()


@hookimpl
def ksmlab_swapin_policies():
    return [Mine]


@hookimpl
def ksmlab_workloads():
    return [Reader]
'''
OBSERVER = '''\
"""Looks on."""
from ksmlab_core.policy import hookimpl


@hookimpl
def ksmlab_run_finished(run, result):
    pass
'''
Name = Callable[..., str]


@pytest.fixture
def name_of(tmp_path: Path) -> Name:
    """The identity of the only run of a file in a folder."""

    def find(text: str = FILE, folder: str = ".", plugins: tuple[str, ...] = (), **files: str) -> str:
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        for name, content in {"mine.py": PLUGIN, "data.bin": "abc", "t.yaml": text, **files}.items():
            (place / name.replace("__", ".")).write_text(content)
        plan = read_experiment(place / "t.yaml", plugins=[str(place / plugin) for plugin in plugins])
        [spec] = plan.points
        return identity(spec, plan.registry, parts_of(spec, plan.registry))

    return find


@pytest.mark.parametrize(
    "text",
    [
        f"# a comment\n{FILE}",
        FILE.replace("kernel: seed\n", "") + "kernel: seed\n",
        FILE.replace("swapin: mine", "swapin: {use: mine, budget: 3}"),
        FILE.replace("1MiB", "1024KiB"),
        FILE.replace("experiment: t", "experiment: t\nabout: something else"),
        FILE.replace("data.bin", "./data.bin"),
    ],
    ids=["comment", "order of keys", "defaults spelled out", "other unit", "about", "other way to a file"],
)
def test_the_same_said_otherwise_is_the_same_run(name_of: Name, text: str) -> None:
    assert name_of(text) == name_of()


def test_lines_are_not_what_a_run_is_made_by(name_of: Name) -> None:
    assert name_of(SCRIPT) == name_of(f"# a comment\n{SCRIPT}")


def test_another_folder_is_the_same_run(name_of: Name) -> None:
    assert name_of(folder="here") == name_of(folder="there")


@pytest.mark.parametrize(
    "text",
    [
        FILE + "seed: 1\n",
        FILE.replace("kernel: seed", "kernel: v6.18"),
        FILE.replace("1MiB", "2MiB"),
        FILE.replace("swapin: mine", "swapin: {use: mine, budget: 4}"),
        FILE + "ksm: {run: 1}\n",
        FILE + "measure: {every: 1ms}\n",
        FILE + "expect: [{vm.pswpin: 0}]\n",
        FILE.replace("swapin: mine", "scan: random"),
    ],
    ids=["seed", "kernel", "machine", "parameter", "knob", "samples", "expectation", "policy"],
)
def test_another_setting_is_another_run(name_of: Name, text: str) -> None:
    assert name_of(text) != name_of()


def test_the_order_of_steps_counts(name_of: Name) -> None:
    one = SCRIPT.replace("- expect: {vm.pswpin: 0}", "- set: {ksm.run: 1, ksm.pages_to_scan: 7}")
    other = SCRIPT.replace("- expect: {vm.pswpin: 0}", "- set: {ksm.pages_to_scan: 7, ksm.run: 1}")
    assert name_of(one) != name_of(other)


def test_a_plugin_and_a_file_count_by_their_content(name_of: Name) -> None:
    names = [name_of(), name_of(mine__py=PLUGIN + "\n"), name_of(data__bin="abd"), name_of(x__bin="abc")]
    assert len(set(names)) == 3
    assert names[3] == names[0], "a file that no parameter names"
    nested = FILE.replace("source: data.bin", "source: data.bin, others: [x.bin]")
    assert name_of(nested, x__bin="one") != name_of(nested, x__bin="two")


def test_a_policy_that_was_not_chosen_does_not_count(name_of: Name) -> None:
    other = PLUGIN.replace("mine", "theirs").replace("reader", "their-reader")
    assert name_of(plugins=("other.py",), other__py=other) == name_of()


def test_an_observer_counts(name_of: Name) -> None:
    names = {
        name_of(plugins=("look.py",), look__py=text) for text in (OBSERVER, OBSERVER.replace("pass", "print(run.id)"))
    }
    assert len(names | {name_of()}) == 3


def test_the_engine_counts(name_of: Name, monkeypatch: pytest.MonkeyPatch) -> None:
    before = name_of()
    monkeypatch.setattr(module, "sources", lambda: "f" * 64)
    assert name_of() != before


def test_sources_are_those_below_the_experiments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A change in any room below, in whatever file, is another engine; tables and commands are not in it."""
    core = tmp_path / "core"
    for file in ("mm/ksm.py", "simulation/deep/x.py", "lab/store.py", "__init__.py"):
        (core / file).parent.mkdir(parents=True, exist_ok=True)
        (core / file).write_text("one")
    monkeypatch.setattr(module.ksmlab_core, "__file__", str(core / "__init__.py"))

    def digest() -> str:
        module.sources.cache_clear()
        return module.sources()

    try:
        digests = [digest()]
        for file in ("lab/store.py", "mm/ksm.py", "simulation/deep/x.py"):
            (core / file).write_text("two")
            digests.append(digest())
    finally:
        module.sources.cache_clear()
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_who_carries_it_out_counts(fake: Any, make_plan: Any) -> None:
    plan = make_plan(("kernel",))
    spec: RunSpec = plan.points[0]
    names = {identity(spec, plan.registry, parts_of(spec, plan.registry, how)) for how in (None, fake.run, fake.counts)}
    assert len(names) == 3
    unnamed = replace(spec, id="x", experiment="y", file="z", point={})
    assert identity(unnamed, plan.registry, parts_of(unnamed, plan.registry, fake.run)) in names
