"""The random scripts must keep reaching everything: a generator that goes blind finds nothing and stays green."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from ksmlab_core.experiment.steps import STEPS

REACHED = (
    "ksm.merges", "ksm.failed_merges", "ksm.forked", "ksm.orphaned", "ksm.full_scans", "ksm.pages_sharing",
    "vm.cow", "vm.cow_ksm", "vm.pgmajfault", "vm.pswpin", "vm.pswpout", "vm.swapin_copies", "vm.swapin_remerges",
    "vm.swapin_deferred", "vm.swapin_shared", "vm.pgsteal", "vm.nr_mlock", "vm.unevictable_pgs_culled",
    "vm.unevictable_pgs_rescued", "vm.unevictable_pgs_mlocked", "vm.unevictable_pgs_munlocked",
    "machine.swapcache_mapped", "machine.swapcache_unmapped", "machine.ksm_frames_unmapped", "time.kswapd",
    "time.direct_reclaim", "time.ksmd", "time.fault_stall", "policy.swapin.share", "policy.swapin.remerge",
    "policy.swapin.copy", "policy.swapin.defer", "policy.reclaim.asked", "policy.scan.ordered",
)  # fmt: skip
REFUSED = (
    "out of memory", "SIGBUS", "no process is registered", "is not present", "madvise returned ENOMEM",
    "madvise returned EINVAL", "madvise returned EAGAIN", "mlock returned EAGAIN", "mremap returned ENOMEM",
    "swapoff returned ENOMEM", "swapoff returned EINVAL", "swapon returned EBUSY", "fork failed",
    "write to ksm.run returned ENOMEM",
)  # fmt: skip


def test_everything_is_reached() -> None:
    """Over fixed cases: every kind of step, every event, every reason to refuse; and most steps are carried out."""
    from ksmlab_core.testing.cases import case_of
    from ksmlab_core.testing.fuzz import Tally

    tally = Tally()
    for number in range(1_000_000, 1_000_400):
        tally.add(case_of(number))
    assert not tally.broken, tally.broken[0]
    assert set(STEPS) - set(tally.kinds) == set()
    assert [event for event in REACHED if not tally.events[event]] == []
    assert [reason for reason in REFUSED if not any(reason in refusal for refusal in tally.refusals)] == []
    assert sum(tally.refusals.values()) < 0.1 * sum(tally.kinds.values())


def test_all_combinations_of_policies_come_up() -> None:
    from ksmlab_core.testing.cases import policies_of

    combinations = {tuple(choice["use"] for choice in policies_of(number).values()) for number in range(150)}
    assert len(combinations) == 6 * 5 * 5


def test_run_2_finds_work_to_do() -> None:
    from ksmlab_core.testing.cases import case_of
    from ksmlab_core.testing.fuzz import carry_out

    undone = 0
    for number in range(1_000_000, 1_000_120):
        case = case_of(number)
        sharing = [0]

        def look(engine: Any, step: Any, sharing: list[int] = sharing) -> None:
            nonlocal undone
            now = engine.metrics()["ksm.pages_sharing"]
            undone += step.kind == "set" and engine.machine.knobs["run"] == 2 and sharing[0] > now == 0
            sharing[0] = now

        if any(step.args.get("knobs") == {"ksm.run": 2} for step in case.steps):
            carry_out(case, invariants="never", look=look)
    assert undone > 0


PLANTED = {
    "no copy at swap-in": "memory.swapin_needs_copy = lambda m, page, p: False",
    "a young pte that reclaim takes": "rmap.swap_duplicate = lambda m, e: True",
    "a merge without a comparison": "ksm._checksum_changed = lambda m, item, page: False;"
    "ksm.compare = lambda m, content, page: 0",
    "a write to a shared page": "memory.reuse_swap_page = lambda m, page: True",
    "a stale unstable tree": "ksm.begin_ordered_pass = doors.begin_ordered_pass = lambda m: None",
    "a lock that is lost": "mlock.clear_page_mlock = memory.clear_page_mlock ="
    " lambda m, page: m.frame.pg.__setitem__(page, m.frame.pg[page] & ~mm_types.PG_MLOCKED)",
    "a page left in a batch": "lru.pagevec_move_tail = lambda m: m.sc.__setitem__(mm_types.PVEC_COUNT + 2, 0)",
    "shadowed writes": "memory.alloc_zeroed_page = memory.alloc_page",
    "a freed page's node taken for a live one": "stable_tree.is_stale = lambda m, node: False",
    "a page upgraded while somebody writes to it": "ksm._write_protect_page = lambda m, vma, page:"
    " rmap.vma_pte(m, page, vma) if rmap.page_check_address(m, page, rmap.vma_pte(m, page, vma)) else -1",
}
SEARCH = """
from ksmlab_core.mm import doors, ksm, lru, memory, mlock, mm_types, rmap, stable_tree
from ksmlab_core.testing.cases import case_of
from ksmlab_core.testing.shrink import broken
{plant}
for number in range(300):
    error = broken(case_of(number))
    if error is not None:
        print(number, error.kind)
        break
"""


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(bug: str) -> None:
    program = SEARCH.format(plant=PLANTED[bug])
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    found = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip(), f"{bug}: no case broke"


def test_a_broken_case_is_printed_as_a_small_experiment() -> None:
    program = SEARCH.replace("print(number, error.kind)", "sys.exit(main([str(number)]))").format(
        plant="import sys\nfrom ksmlab_core.testing.fuzz import main\n" + PLANTED["no copy at swap-in"]
    )
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    found = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert found.returncode == 1, found.stderr
    assert "INV-12 violated after step" in found.stdout
    assert "again, from the whole script: python -m ksmlab_core.testing.fuzz" in found.stdout
    script = found.stdout.partition("script:\n")[2].partition("\n1 cases")[0].splitlines()
    assert 4 < len(script) < 20
