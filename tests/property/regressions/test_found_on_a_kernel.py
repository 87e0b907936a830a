"""What random scripts on Linux 6.18 have found, each as the smallest experiment that shows it, with its figures."""

from __future__ import annotations

from pathlib import Path

import pytest

HEAD = """\
experiment: found
kernel: v6.18
machine: {{memory: 2MiB, swap: 2MiB, invariants: steps}}
ksm: {{run: 0, {knobs}}}
workload:
  script:
"""
LEFT_IN_THE_SWAP_CACHE = """
spawn: p1
mmap: {process: p1, area: m1, pages: 12, advise: mergeable}
fork: {process: p1, child: p2}
write: {process: p2, area: m1, content: {cycle: 1, from: 1}}
reclaim: all
read: {process: p2, area: m1, pages: 6..11}
scan: {pages: 40}
write: {process: p2, area: m1, content: x}
scan: {pages: 30}
"""
LOCKED_AND_MADE_WRITABLE = """
spawn: p0
mmap: {process: p0, area: m0, pages: 7}
write: {process: p0, area: m0, content: unique}
mlock: {process: p0, area: m0}
mprotect: {process: p0, area: m0, pages: 1..5, writable: false}
fork: {process: p0, child: p1}
mprotect: {process: p0, area: m0, writable: true}
"""
ALL_PASSED_OVER = """
spawn: p0
mmap: {process: p0, area: m0, pages: 3, advise: mergeable}
write: {process: p0, area: m0, content: unique}
scan: {passes: 9}
scan: {pages: 9}
"""
LOCKED_AND_FORKED = """
spawn: p0
mmap: {process: p0, area: m, pages: 200, advise: mergeable}
mlock: {process: p0, area: m}
fork: {process: p0, child: p3}
scan: {passes: 2}
"""
FOUND_THROUGH_A_CHILD = """
spawn: p0
mmap: {process: p0, area: a, pages: 1}
mmap: {process: p0, area: b, pages: 1}
write: {process: p0, area: a, content: x}
write: {process: p0, area: b, content: x}
fork: {process: p0, child: p1}
madvise: {process: p1, area: a, advice: mergeable}
madvise: {process: p1, area: b, advice: mergeable}
scan: {passes: 3}
reclaim: all
"""
UNLOCKED_THOUGH_NOT_LOCKED = """
spawn: p0
mmap: {process: p0, area: m2, pages: 11}
read: {process: p0, area: m2, pages: 8..10}
munlock: {process: p0, area: m2, pages: 6..9}
touch: {process: p0, area: m2, pages: 1..6}
fork: {process: p0, child: p1}
"""


@pytest.mark.parametrize(
    ("knobs", "script", "want"),
    [
        pytest.param(
            "smart_scan: 0, max_page_sharing: 3, stable_node_chains_prune_millisecs: 3600000",
            LEFT_IN_THE_SWAP_CACHE,
            {"ksm.stable_node_chains": 1, "ksm.stable_node_dups": 4},
            id="a copy on write frees the slot of the page that it leaves",
        ),
        pytest.param(
            "smart_scan: 0",
            LOCKED_AND_MADE_WRITABLE,
            {"machine.frames_mapped": 12, "machine.pages_saved": 2},
            id="mprotect copies what is locked and may be written now",
        ),
        pytest.param(
            "smart_scan: 1",
            ALL_PASSED_OVER,
            {"ksm.pages_scanned": 27, "ksm.full_scans": 31, "ksm.pages_skipped": 69},
            id="pages that smart scan passes over are not nothing",
        ),
        pytest.param(
            "smart_scan: 0, use_zero_pages: 1",
            LOCKED_AND_FORKED,
            {"ksm.ksm_zero_pages": 386, "machine.frames_mapped": 15},
            id="a child keeps what waits in the batch of mlock when ksmd comes to it",
        ),
        pytest.param(
            "smart_scan: 0",
            FOUND_THROUGH_A_CHILD,
            {"process.p0.resident_pages": 1, "process.p1.swapped_pages": 2, "machine.ksm_frames_mapped": 1},
            id="reclaim does not come from the items of a child to its parent",
        ),
        pytest.param(
            "smart_scan: 0",
            UNLOCKED_THOUGH_NOT_LOCKED,
            {"process.p1.resident_pages": 9, "machine.pages_saved": 11},
            id="munlock of what is not locked does not cut an area",
        ),
    ],
)
def test_the_machine_answers_as_the_kernel(tmp_path: Path, knobs: str, script: str, want: dict[str, int]) -> None:
    """R-B-MAX-3, R-MLOCK-1, R-B-SMART-1, R-B-MLOCK-1, R-B-OBJ-1, R-OBJ-6."""
    from ksmlab_core.experiment import read_experiment
    from ksmlab_core.simulation import run

    file = tmp_path / "found.yaml"
    lines = "".join(f"    - {line}\n" for line in script.strip().splitlines())
    file.write_text(HEAD.format(knobs=knobs) + lines, encoding="utf-8")
    plan = read_experiment(file)
    result = run(plan.points[0], plan.registry)
    assert result.error is None
    assert {name: result.metrics[name] for name in want} == want
