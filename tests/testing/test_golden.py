"""Golden results: compared exactly, written only with a reason, none left over."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ksmlab_core.simulation
from ksmlab_core.experiment import read_experiment
from ksmlab_core.experiment.document import Document
from ksmlab_core.experiment.yaml_reader import read_document
from ksmlab_core.lab.golden import golden_of, settings_of
from ksmlab_core.simulation import ENGINE_VERSION, RunResult
from tests.testing.conftest import MINE, RUNS, SCRIPT, Run, outcomes, said

Write = Callable[[str, str], None]
OWN = SCRIPT.replace("[kernel, remerge]", "[kernel, mine]") + "plugins: [./mine.py]\n"
MY_RUNS = tuple(run.replace("remerge", "mine") for run in RUNS)
FAULT = MINE.replace("if fault.ksm_twin", "if fault.ksm_twin and fault.mapcount > 9")


@pytest.fixture
def golden(pytester: pytest.Pytester, write: Write, run_here: Run) -> Path:
    """The folder with golden results of `twins.yaml`, two runs of which ask the policy in `mine.py`."""
    write("mine.py", MINE)
    write("twins.yaml", OWN)
    run_here("--regen", "twins.yaml").assert_outcomes(passed=5)
    return pytester.path / "golden" / "twins"


def texts(folder: Path) -> dict[str, str]:
    """Every file of a folder."""
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


def test_a_golden_file_holds_every_integer_and_what_it_depends_on(golden: Path) -> None:
    assert set(texts(golden)) == {f"{run}.json" for run in MY_RUNS}
    kept = json.loads((golden / f"{MY_RUNS[2]}.json").read_text())
    assert list(kept["metrics"]) == ["1 merged", "end"]
    assert kept["metrics"]["1 merged"]["ksm.pages_sharing"] == 9
    assert kept["metrics"]["end"]["vm.swapin_remerges"] > 0
    assert all(list(some) == sorted(some) for some in kept["metrics"].values())
    assert (kept["engine"], kept["plugins"]) == (ENGINE_VERSION, {"swapin mine": 1})
    assert json.loads((golden / f"{MY_RUNS[0]}.json").read_text())["plugins"] == {}


def test_what_agrees_passes_and_stays_byte_for_byte(golden: Path, run_here: Run) -> None:
    before = {path: path.stat().st_mtime_ns for path in golden.iterdir()}
    run_here().assert_outcomes(passed=5)
    run_here("--regen").assert_outcomes(passed=5)
    assert {path: path.stat().st_mtime_ns for path in golden.iterdir()} == before


def test_a_fault_in_a_policy_is_told_with_file_line_and_counter(golden: Path, write: Write, run_here: Run) -> None:
    write("mine.py", FAULT)
    result = run_here("-rA")
    assert outcomes(result) == {f"twins.yaml::{run}": "PASSED" if "kernel" in run else "FAILED" for run in MY_RUNS} | {
        "twins.yaml::golden-files": "PASSED"
    }
    [first, *_] = said(result, f"golden/twins/{MY_RUNS[2]}.json:")
    place = re.match(r"(golden/twins/\S+\.json):(\d+): (\S+): wanted (\d+), got (\d+)$", first)
    assert place is not None
    line = (golden.parents[1] / place[1]).read_text().splitlines()[int(place[2]) - 1]
    assert line.strip().rstrip(",") == f'"{place[3]}": {place[4]}'
    shown = next(line.split() for line in result.outlines if "vm.swapin_remerges" in line)
    assert shown[1:3] == ["end", "vm.swapin_remerges"]
    assert (int(shown[3]) > 0, shown[4:]) == (True, ["0", "-100", "%"])
    assert f"again: pytest -p no:xdist twins.yaml::{MY_RUNS[2]}" in result.outlines


def test_changed_integers_are_written_only_with_a_higher_version(golden: Path, write: Write, run_here: Run) -> None:
    before = texts(golden)
    write("mine.py", FAULT)
    result = run_here("--regen", "-rA")
    assert [name for name, came in outcomes(result).items() if came == "FAILED"] == [
        f"twins.yaml::{run}" for run in MY_RUNS[2:]
    ]
    [advice, _] = said(result, "not written: ")
    assert advice.startswith("not written: integers changed, but no version; raise that of what changed")
    assert f"ENGINE_VERSION of ksmlab_core.simulation ({ENGINE_VERSION})" in advice
    assert "version of swapin mine (mine.py:6: 1)" in advice
    assert texts(golden) == before

    write("mine.py", FAULT.replace('name = "mine"', 'name = "mine"\n    version = 2'))
    changed = run_here()
    changed.assert_outcomes(passed=3, failed=2)
    assert (
        "since then: plugins swapin mine 1 became swapin mine 2; if the new figures are meant" in changed.stdout.str()
    )
    run_here("--regen").assert_outcomes(passed=5)
    run_here().assert_outcomes(passed=5)
    after = texts(golden)
    assert {name for name in before if before[name] != after[name]} == {f"{run}.json" for run in MY_RUNS[2:]}


def test_a_new_engine_may_give_new_integers(golden: Path, run_here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in golden.iterdir():
        path.write_text(path.read_text().replace('"ksm.pages_sharing": 9', '"ksm.pages_sharing": 8'))
    result = run_here("--regen")
    result.assert_outcomes(failed=4, passed=1)
    assert said(result, "not written: ")[0].endswith(f"ENGINE_VERSION of ksmlab_core.simulation ({ENGINE_VERSION})")
    monkeypatch.setattr(ksmlab_core.simulation, "ENGINE_VERSION", ENGINE_VERSION + 1)
    assert (
        f"since then: engine {ENGINE_VERSION} became {ENGINE_VERSION + 1}; if the new figures are meant"
        in run_here().stdout.str()
    )
    run_here("--regen").assert_outcomes(passed=5)
    run_here().assert_outcomes(passed=5)


def test_an_experiment_that_asks_for_something_else_needs_no_version(golden: Path, write: Write, run_here: Run) -> None:
    write(
        "twins.yaml",
        OWN.replace("{cycle: 3}", "{cycle: 4}").replace("pages_shared: 3, ksm.pages_sharing: 9", "pages_shared: 4"),
    )
    result = run_here()
    result.assert_outcomes(failed=4, passed=1)
    assert "since then: the experiment asks for something else" in result.stdout.str()
    run_here("--regen").assert_outcomes(passed=5)
    run_here().assert_outcomes(passed=5)


def test_the_same_integers_under_a_new_version_are_only_noted(golden: Path, write: Write, run_here: Run) -> None:
    write("mine.py", MINE.replace('name = "mine"', 'name = "mine"\n    version = 7'))
    run_here().assert_outcomes(passed=5)
    run_here("--regen").assert_outcomes(passed=5)
    assert '"swapin mine": 7' in (golden / f"{MY_RUNS[3]}.json").read_text()


def test_comments_and_lines_do_not_matter(golden: Path, write: Write, run_here: Run) -> None:
    before = texts(golden)
    write("twins.yaml", f"# A comment.\n\n{OWN}")
    run_here("--regen").assert_outcomes(passed=5)
    assert texts(golden) == before


def test_a_new_point_needs_regen_and_one_that_is_gone_is_removed_by_it(
    golden: Path, write: Write, run_here: Run
) -> None:
    write("twins.yaml", OWN.replace("[100, 200]", "[100, 300]"))
    result = run_here("-rA")
    new, gone = MY_RUNS[1].replace("200", "300"), f"{MY_RUNS[1]}.json"
    assert outcomes(result)[f"twins.yaml::{new}"] == "FAILED"
    assert (
        f"golden/twins/{new}.json: there is no golden result of this run; pytest --regen writes it" in result.outlines
    )
    assert outcomes(result)["twins.yaml::golden-files"] == "FAILED"
    stale = f"golden/twins/{gone}: twins.yaml has no run {MY_RUNS[1]}; pytest --regen twins.yaml removes it"
    assert stale in result.outlines
    assert gone in texts(golden)
    run_here("--regen", f"twins.yaml::{new}").assert_outcomes(passed=1)
    assert gone in texts(golden)
    run_here("--regen").assert_outcomes(passed=5)
    assert gone not in texts(golden)
    assert f"{new}.json" in texts(golden)


def test_only_files_that_are_named_get_their_first_golden_results(
    pytester: pytest.Pytester, write: Write, run_here: Run
) -> None:
    write("a/one.yaml", SCRIPT)
    write("a/two.yaml", SCRIPT)
    run_here("--regen", "a").assert_outcomes(passed=8)
    assert not (pytester.path / "a" / "golden").exists()
    run_here("--regen", "a/one.yaml").assert_outcomes(passed=5)
    assert [path.name for path in (pytester.path / "a" / "golden").iterdir()] == ["one"]
    run_here("a").assert_outcomes(passed=9)


def test_golden_results_of_a_file_that_was_renamed_are_not_lost_in_silence(
    golden: Path, pytester: pytest.Pytester, run_here: Run
) -> None:
    (pytester.path / "twins.yaml").rename(pytester.path / "pairs.yaml")
    result = run_here("--regen")
    result.assert_outcomes(passed=4, failed=1)
    assert "golden/twins: of no experiment file here; rename it or remove it" in result.outlines
    golden.rename(golden.with_name("pairs"))
    run_here().assert_outcomes(passed=5)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "<<<<<<< HEAD\n{}\n", '{"format": 99}', '{"format": 1, "x": 2}'])
def test_a_golden_file_that_is_torn_is_one_line_and_regen_mends_it(golden: Path, run_here: Run, text: str) -> None:
    file = golden / f"{MY_RUNS[0]}.json"
    before = file.read_text()
    file.write_text(text)
    result = run_here()
    result.assert_outcomes(failed=1, passed=4)
    assert f"golden/twins/{file.name}: torn, or not a golden file of format 1" in result.outlines
    run_here("--regen").assert_outcomes(passed=5)
    assert file.read_text() == before


def test_a_folder_that_cannot_be_written_is_one_line(pytester: pytest.Pytester, write: Write, run_here: Run) -> None:
    write("twins.yaml", SCRIPT)
    write("golden", "a file where the folder should be")
    result = run_here("--regen", "twins.yaml")
    result.assert_outcomes(failed=4, passed=1)
    assert said(result, f"golden/twins/{RUNS[0]}.json: not written: Not a directory")
    assert (pytester.path / "golden").read_text() == "a file where the folder should be"


def test_a_file_that_cannot_be_replaced_is_one_line_and_stays(golden: Path, run_here: Run, write: Write) -> None:
    file = golden / f"{MY_RUNS[0]}.json"
    file.unlink()
    (file / "in the way").mkdir(parents=True)
    result = run_here("--regen")
    result.assert_outcomes(failed=1, passed=4)
    assert said(result, f"golden/twins/{file.name}: ")
    assert [path.name for path in golden.iterdir() if path.name.startswith(".")] == []


def test_a_run_that_failed_is_never_golden(pytester: pytest.Pytester, write: Write, run_here: Run) -> None:
    write("twins.yaml", SCRIPT.replace("ksm.pages_sharing: 9", "ksm.pages_sharing: 10"))
    run_here("--regen", "twins.yaml").assert_outcomes(failed=4, passed=1)
    assert not (pytester.path / "golden").exists()


def test_each_kernel_of_a_scenario_has_golden_results_of_its_own(
    pytester: pytest.Pytester, write: Write, run_here: Run
) -> None:
    block = "conformance: {suite: mine, scenario: twins, rules: [R-CMP-5], kernels: [{since: v6.1}]}\n"
    write("twins.yaml", SCRIPT.partition("sweep:")[0] + block)
    run_here("--regen", "twins.yaml").assert_outcomes(passed=4)
    assert {path.stem for path in (pytester.path / "golden" / "twins").iterdir()} == {"v6.1", "v6.8", "v6.18"}


def test_a_capture_that_changed_is_something_else_that_is_asked(tmp_path: Path) -> None:
    """The digest of what was asked holds the contents of files that the workload names."""
    file = tmp_path / "x.yaml"
    file.write_text("experiment: x\nkernel: seed\nworkload: {use: snapshot, capture: a.ksmcap}\n")
    capture = Path(__file__).parents[2] / "experiments" / "captures" / "quickstart.ksmcap"
    (tmp_path / "a.ksmcap").write_bytes(capture.read_bytes())
    plan = read_experiment(file)
    [spec] = plan.points

    def asked(**changed: Any) -> str:
        settings = settings_of(read_document(file), None)
        return golden_of("x", plan, replace(spec, **changed), settings, RunResult("x", 0, {})).asked

    here = asked()
    assert asked(file="other.yaml", experiment="y", id="z") == here
    assert asked(seed=1) != here
    (tmp_path / "a.ksmcap").write_bytes(b"something else")
    assert asked() != here


def test_a_setting_that_is_new_asks_for_nothing_else() -> None:
    """A default that the engine did not know before is the engine's: it may not let other integers in."""
    document = Document("x.yaml", {"kernel": "seed", "machine": {"swap": 0}, "workload": {}, "expect": [], "seed": 3})
    assert settings_of(document, None) == {"kernel": "seed", "machine": {"swap": 0}, "workload": {}}
    assert settings_of(document, "v6.18")["kernel"] == "v6.18"
