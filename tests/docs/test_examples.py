"""What the READMEs show runs as it is written there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Outcome
from tests.docs.conftest import DOCUMENTS, ROOT, SMALL, SMALLER, Desk, Document

Ksmlab = Callable[..., Outcome]
Desks = Callable[[Document], Desk]


def examples(kind: str) -> list[object]:
    """Every example of a kind, with its document."""
    return [
        pytest.param(document, example, id=f"{document.name} {number}")
        for document in DOCUMENTS
        for number, example in enumerate(getattr(document, kind)())
    ]


def test_there_are_examples_of_every_kind() -> None:
    names = [document.name for document in DOCUMENTS]
    assert {"README.md", "experiments/README.md", "plugins/README.md", "tests/README.md"} <= set(names)
    assert all(examples(kind) for kind in ("experiments", "commands", "inline"))


@pytest.mark.parametrize(("document", "text"), examples("experiments"))
def test_an_experiment_runs_and_meets_its_expectations(
    desk: Desks, ksmlab: Ksmlab, document: Document, text: str
) -> None:
    here = desk(document)
    _capture_what_is_missing(here, ksmlab, document, text)
    (here.folder / "example.yaml").write_text(text)
    smaller = [word for one in SMALLER if SMALL and "use: zipf" in text for word in ("--set", one)]
    outcome = ksmlab(here.folder, "run", "example.yaml", "--json", *smaller)
    assert (outcome.status, outcome.err) == (0, "")
    runs = json.loads(outcome.out)["runs"]
    assert runs
    assert [run["status"] for run in runs] == ["succeeded"] * len(runs)
    assert all(one["ok"] for run in runs for one in run["expect"])


def _capture_what_is_missing(here: Desk, ksmlab: Ksmlab, document: Document, text: str) -> None:
    """A capture that the example names and that is not there is taken with the document's own command."""
    named = re.search(r"capture: ([\w.-]+)", text)
    if named is None or (here.folder / named[1]).exists():
        return
    [command] = [line for line in document.commands() if line.startswith("ksmlab capture") and named[1] in line]
    assert ksmlab(here.folder, *here.words(command)).status == 0
    assert (here.folder / named[1]).exists()


@pytest.mark.parametrize(("document", "command"), examples("commands"))
def test_a_command_of_an_example_does_what_it_should(
    desk: Desks, ksmlab: Ksmlab, document: Document, command: str
) -> None:
    here = desk(document)
    outcome = ksmlab(here.folder, *here.words(command))
    assert outcome.status == 0, outcome.err


@pytest.mark.parametrize(("document", "command"), examples("inline"))
def test_a_command_within_the_text_is_one_that_exists(
    desk: Desks, ksmlab: Ksmlab, document: Document, command: str
) -> None:
    """FILE is a small experiment; the long ones on files of the repository are only planned; a bare name is asked,
    and so is what needs root."""
    here = desk(document)
    words = here.words(command)
    files = [word for word in words if word.startswith("experiments/")]
    if files:
        found = [path for pattern in files for path in sorted(ROOT.glob(pattern))]
        assert len(found) >= len(files)
        outcome = ksmlab(ROOT, "plan", str(found[0]))
    elif (
        words[0] in ("verify", "conformance")
        or "--on" in words
        or words in (["run"], ["plan"], ["new"], ["capture"], ["report"], ["compare"])
    ):
        outcome = ksmlab(here.folder, words[0], "--help")
    else:
        outcome = ksmlab(here.fresh() if words[0] == "new" else here.folder, *words)
    assert outcome.status == 0, outcome.err


@pytest.mark.parametrize(("document", "text"), examples("notebooks"))
def test_a_notebook_s_cell_runs(desk: Desks, document: Document, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("polars")
    monkeypatch.chdir(desk(document).folder)
    found: dict[str, object] = {}
    exec(compile(text, document.name, "exec"), found)
    assert len(found["frame"]) >= 2
    assert found["means"].columns == ["swapin", "pswpin"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_file_and_folder_that_is_linked_or_named_exists(document: Document) -> None:
    linked = re.findall(r"\]\(([^)#:]+)\)", document.text)
    named = re.findall(r"`((?:ksmlab_core|plugins|experiments|tests|\.ci)/[\w./-]*)`", document.text)
    assert [name for name in linked if not (document.path.parent / name).exists()] == []
    assert [name for name in named if not (ROOT / name).exists() and not _is_module(name)] == []


def _is_module(name: str) -> bool:
    return (ROOT / name).with_suffix(".py").exists() or (ROOT / "plugins" / Path(name)).exists()
