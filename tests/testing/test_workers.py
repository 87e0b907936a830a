"""Under xdist: the same items, the same outcomes, whatever the distribution; workers that die; who is first."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from tests.testing.conftest import MINE, RUNS, SCRIPT, Run, outcomes, said

pytest.importorskip("xdist")
Write = Callable[[str, str], None]
BLOCK = "conformance: {suite: mine, scenario: twins, rules: [R-CMP-5], kernels: [{since: v6.8}]}\n"


@pytest.fixture
def folder(pytester: pytest.Pytester, write: Write, run_here: Run) -> pytest.Pytester:
    """Experiments of every kind and fate: well, wrong, broken, golden and not, under several kernels."""
    write("good.yaml", SCRIPT)
    write("wrong.yaml", SCRIPT.replace("ksm.pages_sharing: 9", "ksm.pages_sharing: 10"))
    write("broken.yaml", SCRIPT.replace("kernel: v6.18", "kernel: v9"))
    write("kernels.yaml", SCRIPT + BLOCK)
    write("golden.yaml", SCRIPT)
    run_here("--regen", "golden.yaml").assert_outcomes(passed=5)
    kept = pytester.path / "golden" / "golden" / f"{RUNS[0]}.json"
    kept.write_text(kept.read_text().replace('"ksm.pages_sharing": 9', '"ksm.pages_sharing": 8'))
    kept.with_name("gone.json").write_text(kept.read_text())
    return pytester


@pytest.mark.parametrize("dist", ["load", "loadscope", "loadfile", "loadgroup", "worksteal"])
def test_workers_and_no_workers_agree_item_by_item(
    folder: pytest.Pytester, run_here: Run, run_apart: Run, dist: str
) -> None:
    alone = run_here("-rA")
    together = run_apart("-rA", "-n", "2", "--dist", dist)
    assert outcomes(together) == outcomes(alone)
    assert sorted(outcomes(alone).values()) == ["FAILED"] * 7 + ["PASSED"] * 15
    beginnings = ("wrong.yaml:", "broken.yaml:", "golden/", "  ", "again: ", "if the new")
    for beginning in beginnings:
        assert sorted(said(together, beginning)) == sorted(said(alone, beginning))


def test_golden_results_are_written_by_workers(
    pytester: pytest.Pytester, write: Write, run_apart: Run, run_here: Run
) -> None:
    write("twins.yaml", SCRIPT)
    run_apart("-n", "2", "--regen", "twins.yaml").assert_outcomes(passed=5)
    assert {path.stem for path in (pytester.path / "golden" / "twins").iterdir()} == set(RUNS)
    run_here().assert_outcomes(passed=5)


def test_the_run_at_which_a_worker_dies_is_named_with_its_command(write: Write, run_apart: Run) -> None:
    write("mine.py", MINE.replace("        return", "        import os\n\n        os._exit(7)\n        return"))
    write(
        "twins.yaml",
        SCRIPT.replace("[kernel, remerge]", "[kernel, mine]").replace("[100, 200]", "[100]") + "plugins: [./mine.py]\n",
    )
    result = run_apart("-rA", "-n", "2")
    assert outcomes(result) == {
        "twins.yaml::kernel-pages_to_scan100": "PASSED",
        "twins.yaml::mine-pages_to_scan100": "FAILED",
    }
    assert any(
        re.search("worker 'gw.' crashed while running 'twins.yaml::mine-pages_to_scan100'", line)
        for line in result.outlines
    )
    assert said(result, "again: ") == ["again: ksmlab run twins.yaml --only mine-pages_to_scan100"]


def test_what_took_longest_comes_first_on_every_worker(pytester: pytest.Pytester, write: Write, run_apart: Run) -> None:
    """The controller tells all workers one order, though the cache may have changed in between."""
    write("twins.yaml", SCRIPT)
    write("test_other.py", "def test_a(): pass\n")
    took = {f"twins.yaml::{run}": seconds for run, seconds in zip(RUNS, (0.1, 5, 0.5, 50), strict=True)}
    write(".pytest_cache/v/ksmlab/seconds", json.dumps(took))
    pytester.makeconftest(
        "import pytest\n"
        "@pytest.hookimpl(trylast=True)\n"
        "def pytest_collection_finish(session):\n"
        "    if hasattr(session.config, 'workerinput'):\n"
        "        name = session.config.workerinput['workerid']\n"
        "        with open(f'order-{name}', 'w') as stream:\n"
        "            stream.write('\\n'.join(item.nodeid for item in session.items))\n"
    )
    run_apart("-n", "2").assert_outcomes(passed=5)
    slowest = [f"twins.yaml::{RUNS[place]}" for place in (3, 1, 2, 0)]
    for name in ("gw0", "gw1"):
        assert (pytester.path / f"order-{name}").read_text().splitlines() == ["test_other.py::test_a", *slowest]
    kept = json.loads((pytester.path / ".pytest_cache/v/ksmlab/seconds").read_text())
    assert set(kept) == {"test_other.py::test_a", *slowest}
    assert kept[slowest[0]] < 50


def test_workers_run_one_share(write: Write, run_apart: Run) -> None:
    write("twins.yaml", SCRIPT)
    shares = [outcomes(run_apart("-rA", "-n", "2", "--shard", f"{number}/2")) for number in (1, 2)]
    assert [len(one) for one in shares] == [2, 2]
    assert {**shares[0], **shares[1]} == {f"twins.yaml::{run}": "PASSED" for run in RUNS}
