"""Experiment files in a folder of their own, and what reading them says."""

from __future__ import annotations

import functools
import re
import textwrap

import pytest
from jsonschema import Draft202012Validator

from ksmlab_core.errors import BadInput
from ksmlab_core.experiment import experiment_schema, read_experiment
from ksmlab_core.experiment.yaml_reader import read_document
from ksmlab_core.policy.registry import load_registry

PLUGIN = '''
"""Policies and a workload with parameters of every kind."""
from ksmlab_core.policy import Field, ScanOrder, Swapin, SwapinPolicy, Workload, hookimpl


class Choosy(SwapinPolicy, ScanOrder):
    """Fills two hooks."""

    name = "choosy"

    class Params(SwapinPolicy.Params):
        budget: int = Field(8, ge=1, le=100, description="pages")
        eager: bool = Field(False, description="at once")
        mode: str = Field("soft", pattern="^(soft|hard)$", description="how")

    def decide(self, fault):
        return Swapin.KERNEL

    def order(self, pages, n):
        return []


class Busy(Workload):
    """Does nothing."""

    name = "busy"

    class Params(Workload.Params):
        processes: int = Field(ge=1, description="processes")
        shares: list[float] = Field([1.0], description="shares")

    def events(self):
        return iter(())


@hookimpl
def ksmlab_swapin_policies():
    return [Choosy]


@hookimpl
def ksmlab_scan_orders():
    return [Choosy]


@hookimpl
def ksmlab_workloads():
    return [Busy]
'''


SCHEMAS: dict[tuple[str, ...], Draft202012Validator] = {}


def schema_of(registry):
    """A validator of the files that can be read with a registry; made once for equal ones."""
    names = tuple(entry.provider + entry.name for kind in registry.kinds for entry in registry.entries(kind))
    if names not in SCHEMAS:
        schema = experiment_schema(registry)
        Draft202012Validator.check_schema(schema)
        SCHEMAS[names] = Draft202012Validator(schema)
    return SCHEMAS[names]


class Desk:
    """Writes experiment files and reads them; what can be read, the schema has to accept."""

    def __init__(self, folder):
        self.folder = folder
        self.file = folder / "x.yaml"
        (folder / "mine.py").write_text(PLUGIN, encoding="utf-8")

    def read(self, text, **options):
        """The plan of a text, or of bytes."""
        if isinstance(text, str):
            text = textwrap.dedent(text).encode()
        self.file.write_bytes(text)
        plan = read_experiment(self.file, **options)
        schema_of(plan.registry).validate(read_document(self.file).data)
        return plan

    def only(self, text, **options):
        """The only run of a text."""
        (run,) = self.read(text, **options).points
        return run

    def says(self, text, **options):
        """The lines of what is wrong with a text, without the name of the file."""
        with pytest.raises(BadInput) as caught:
            self.read(text, **options)
        assert caught.value.exit_status == 2
        return [line.removeprefix(f"{self.file}:").strip() for line in str(caught.value).split("\n")]

    def script(self, *steps, head=""):
        """A file with a script; its first step stands in line 4, behind one line per line of `head`."""
        lines = ["experiment: t", "kernel: seed", *head.splitlines(), "workload: {script: ["]
        return "\n".join(lines + [f"  {{{step}}}," for step in steps] + ["]}"]) + "\n"


@pytest.fixture(scope="session")
def folder_of_files(tmp_path_factory):
    return tmp_path_factory.mktemp("experiments")


known_registries = functools.cache(lambda plugins, base_dir: load_registry(plugins, base_dir, autoload=False))


@pytest.fixture
def desk(folder_of_files, monkeypatch):
    """All tests share a folder and, as long as they name the same plugins, a registry."""
    load = lambda plugins, base_dir: known_registries(tuple(plugins), base_dir)  # noqa: E731
    monkeypatch.setattr("ksmlab_core.experiment.surroundings.load_registry", load)
    return Desk(folder_of_files)


def pytest_make_parametrize_id(val):
    """Short ids without the characters that -k and shells trip over."""
    return re.sub(r"[^A-Za-z0-9_.,:{}-]+", "~", val)[:50] if isinstance(val, str) else None
