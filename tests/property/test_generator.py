"""The generator: the same script again, scripts that the reader takes, and the shrinker."""

from __future__ import annotations

from pathlib import Path

import pytest

from ksmlab_core.errors import Problems
from ksmlab_core.experiment.read import read_experiment
from ksmlab_core.experiment.steps import STEPS
from ksmlab_core.testing.random_scripts import WEIGHTS, random_script


def test_every_step_of_the_contract_has_a_weight() -> None:
    assert set(STEPS) <= set(WEIGHTS)


def test_a_script_comes_again_from_seed_and_size() -> None:
    assert random_script(7, 40) == random_script(7, 40)
    assert random_script(7, 40) != random_script(8, 40)
    assert random_script(7, 40) != random_script(7, 41)


@pytest.mark.parametrize("size", [0, 1, 10, 100])
def test_a_script_is_about_as_long_as_asked_for(size: int) -> None:
    assert size < len(random_script(3, size)) <= size + 16


def test_only_the_kinds_asked_for_follow_the_opening() -> None:
    kinds = {step.kind for step in random_script(5, 200, kinds=("read", "scan"))}
    assert kinds == {"spawn", "mmap", "write", "read", "scan"}


@pytest.mark.parametrize("block", range(5))
def test_the_reader_takes_what_the_generator_writes(tmp_path: Path, block: int) -> None:
    """Written as a file and read again, a random script is the same steps: it is legal, and so is its form."""
    from dataclasses import replace

    from ksmlab_core.testing.anyhow import Anyhow
    from ksmlab_core.testing.cases import case_of
    from ksmlab_core.testing.script_text import experiment_text

    for number in range(block * 20, block * 20 + 20):
        case = case_of(number)
        kernel = {"use": "kernel", "params": {}}
        policies = {hook: kernel if c["use"] == Anyhow.name else c for hook, c in case.policies.items()}
        steps = [step for step in case.steps if step.kind in STEPS]
        path = tmp_path / f"case-{number}.yaml"
        path.write_text(experiment_text(replace(case, policies=policies, steps=steps)), encoding="utf-8")
        try:
            (point,) = read_experiment(path).points
        except Problems as problems:
            pytest.fail(f"case {number}: {problems}")
        assert [(step.kind, step.args) for step in point.workload["script"]] == [(s.kind, s.args) for s in steps]
        assert (point.machine["frames"], point.machine["slots"]) == (case.setting.frames, case.setting.slots)


def test_the_shrinker_leaves_only_what_the_break_needs() -> None:
    from ksmlab_core.testing.cases import Case, case_of
    from ksmlab_core.testing.fuzz import Broken
    from ksmlab_core.testing.shrink import minimised

    def attempt(case: Case) -> Broken | None:
        """Breaks where a script maps, later scans, and later still reads."""
        wanted = ["mmap", "scan", "read"]
        for step in case.steps:
            if wanted and step.kind == wanted[0]:
                del wanted[0]
        return None if wanted else Broken(case, "planted", "")

    numbers = [number for number in range(40) if attempt(case_of(number)) is not None]
    assert len(numbers) > 10
    for number in numbers:
        found = minimised(Broken(case_of(number), "planted", ""), attempt)
        assert [step.kind for step in found.case.steps] == ["mmap", "scan", "read"]


@pytest.mark.parametrize("arguments", [["4711"], ["0", "--cases", "10"], ["3", "--cases", "2", "--digests"]], ids=len)
def test_the_command_of_the_readme(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from ksmlab_core.testing.fuzz import main

    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert (" 0 broken; " in printed) or len(printed.splitlines()) == 2
