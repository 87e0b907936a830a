"""Experiments written in a test and carried out in this process."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ksmlab_core.experiment import read_experiment

HEAD = """\
experiment: t
kernel: seed
"""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A folder for experiment files and plugins."""
    return Desk(tmp_path)


class Desk:
    """Writes experiments and plugins, and carries them out.

    Attributes:
        events: what the runs reported for their logs, as (name, fields).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[tuple[str, dict[str, Any]]] = []

    def plugin(self, text: str, name: str = "mine.py") -> str:
        """Write a plugin; gives its name."""
        (self.folder / name).write_text(textwrap.dedent(text))
        return name

    def run(self, text: str, *overrides: str, plugin: str | None = None) -> Any:
        """Carry out an experiment of one run; its result."""
        from ksmlab_core.simulation import run

        file = self.folder / "t.yaml"
        file.write_text(HEAD + textwrap.dedent(text))
        plan = read_experiment(file, overrides=overrides, plugins=[str(self.folder / plugin)] if plugin else [])
        [spec] = plan.points
        self.events = []
        return run(spec, plan.registry, on_event=lambda name, **fields: self.events.append((name, fields)))

    def script(self, steps: str, *overrides: str, plugin: str | None = None, more: str = "") -> Any:
        """Carry out a script; its result, which must be a success with every expectation met."""
        text = f"{textwrap.dedent(more)}workload:\n  script:\n{textwrap.indent(textwrap.dedent(steps), '    ')}"
        if "machine:" not in more:
            text = "machine: {memory: 1MiB, swap: 4MiB, invariants: steps}\n" + text
        result = self.run(text, *overrides, plugin=plugin)
        assert result.status == "succeeded", result.error
        assert [one for one in result.expect if not one["ok"]] == []
        return result

    def named(self, name: str) -> list[dict[str, Any]]:
        """The fields of every event of a name in the last run."""
        return [fields for event, fields in self.events if event == name]


Run = Callable[..., Any]
MS = 1_000_000


def samples(result: Any) -> dict[str, dict[str, int]]:
    """The metrics of each labelled sample."""
    return {sample["at"]: sample["metrics"] for sample in result.samples}
