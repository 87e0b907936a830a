"""What random scripts have found, each as the smallest experiment that shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

PLUGIN = '''
"""Test policies."""
from ksmlab_core.policy import ScanOrder, Swapin, SwapinPolicy, hookimpl


class Share(SwapinPolicy):
    """Share whatever is read from swap."""

    name = "share"

    def decide(self, fault):
        return Swapin.SHARE if fault.shareable and not fault.cached else Swapin.KERNEL


class OneOnly(ScanOrder):
    """Two passes over the second page, then only ever the first; a pass is one page."""

    name = "one-only"

    def started(self, run):
        self.asked = 0

    def order(self, pages, n):
        self.asked += 1
        return [] if self.asked % 2 == 0 else [1 if self.asked < 5 else 0]


class Nothing(ScanOrder):
    """Every pass is over at once."""

    name = "nothing"

    def order(self, pages, n):
        return []


@hookimpl
def ksmlab_swapin_policies():
    return [Share]


@hookimpl
def ksmlab_scan_orders():
    return [OneOnly, Nothing]
'''
HEAD = """
experiment: found
kernel: {kernel}
machine: {{memory: {memory}KiB, swap: {swap}KiB, invariants: steps}}
plugins: [./policies.py]
policies: {{{policies}}}
{more}
workload:
  script:
"""


@pytest.fixture
def play(tmp_path: Path) -> Any:
    """Carries a script out, invariants checked after every step."""

    def run(
        script: str, *, memory: int = 256, swap: int = 256, policies: str = "", more: str = "", kernel: str = "seed"
    ) -> Any:
        from ksmlab_core.experiment.read import read_experiment
        from ksmlab_core.simulation import run as simulate

        (tmp_path / "policies.py").write_text(PLUGIN.lstrip(), encoding="utf-8")
        head = HEAD.format(memory=memory, swap=swap, policies=policies, more=more, kernel=kernel)
        lines = [f"    - {line.strip()}" for line in script.strip().splitlines()]
        path = tmp_path / "found.yaml"
        path.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
        plan = read_experiment(path)
        return simulate(plan.points[0], plan.registry)

    return run


def succeeded(result: Any) -> dict[str, int]:
    """The metrics of a run in which all went well."""
    assert result.error is None, result.error["message"]
    failed = [comparison for comparison in result.expect if not comparison["ok"]]
    assert not failed, failed
    return result.metrics  # type: ignore[no-any-return]


def test_an_unstable_item_that_passes_do_not_come_to_leaves_the_tree(play: Any) -> None:
    """INV-9: under a scan order of a policy it stayed unstable for more than one pass."""
    result = play(
        """
        spawn: a
        mmap: {process: a, area: m, pages: 2, advise: mergeable}
        write: {process: a, area: m, content: {cycle: 2}}
        scan: {passes: 2}
        expect: {ksm.pages_unshared: 1}
        scan: {passes: 1}
        expect: {ksm.pages_unshared: 0}
        scan: {passes: 3}
        """,
        policies="scan: one-only",
    )
    assert succeeded(result)["ksm.full_scans"] == 6


def test_a_shared_page_has_an_item(play: Any) -> None:
    """INV-7: SHARE made a node although no rmap_item could be had."""
    result = play(
        """
        spawn: a
        mmap: {process: a, area: m, pages: 1, advise: mergeable}
        write: {process: a, area: m, content: x}
        reclaim: all
        fail: {rmap_item: 1}
        read: {process: a, area: m}
        """,
        policies="swapin: share",
    )
    metrics = succeeded(result)
    assert (metrics["vm.swapin_shared"], metrics["ksm.pages_shared"]) == (0, 0)


def test_a_child_that_fork_could_not_register_shares_nothing(play: Any) -> None:
    """INV-17: at a fork that does not fail for want of an mm_slot, SHARE gave the child an item all the same."""
    result = play(
        """
        spawn: a
        mmap: {process: a, area: m, pages: 1, advise: mergeable}
        fail: {mm_slot: 1}
        fork: {process: a, child: b}
        write: {process: [a, b], area: m, content: x}
        reclaim: all
        read: {process: b, area: m}
        expect: {vm.swapin_shared: 0}
        read: {process: a, area: m}
        """,
        policies="swapin: share",
        kernel="v6.18",
    )
    assert succeeded(result)["vm.swapin_shared"] == 1


@pytest.mark.parametrize("step", ["swapoff: true", "swapon: true"], ids=["swapoff", "swapon"])
def test_without_a_swap_area_there_is_nothing_to_turn_off_or_on(play: Any, step: str) -> None:
    """swapoff looked at slots that there are not."""
    result = play(f"spawn: a\n{step}", swap=0)
    assert "returned EINVAL" in result.error["message"]


def test_swapon_of_a_swap_area_in_use_is_busy(play: Any) -> None:
    """INV-20: it forgot the slots in use."""
    result = play(
        """
        spawn: a
        mmap: {process: a, area: m, pages: 4}
        write: {process: a, area: m, content: unique}
        reclaim: all
        swapon: true
        """
    )
    assert "returned EBUSY" in result.error["message"]
    assert result.metrics["machine.slots_used"] == 4


def test_a_sample_in_the_middle_of_a_step_knows_what_the_step_has_written(play: Any) -> None:
    """INV-15: the shadow memory learnt of accesses only when their step was over."""
    result = play(
        """
        spawn: a
        mmap: {process: a, area: m, pages: 30}
        write: {process: a, area: m, content: unique}
        write: {process: a, area: m, content: unique}
        """,
        more="measure: {every: 1us}",
    )
    succeeded(result)
    assert len(result.series["time.elapsed"]) > 10


def test_dontneed_stops_at_a_locked_area(play: Any) -> None:
    """INV-15: what lies before the locked pages is let go of although the call returns EINVAL."""
    result = play(
        """
        spawn: a
        mmap: {process: a, area: m, pages: 6}
        write: {process: a, area: m, content: unique}
        mlock: {process: a, area: m, pages: 3}
        madvise: {process: a, area: m, advice: dontneed, returns: EINVAL}
        expect: {process.a.resident_pages: 3}
        """
    )
    succeeded(result)


def test_advice_on_an_area_moved_apart_spares_what_lies_between(play: Any) -> None:
    """INV-15: the call covered everything from the lowest of its pages to the highest."""
    result = play(
        """
        spawn: a
        mmap: {process: a, area: m, pages: 4}
        mmap: {process: a, area: n, pages: 4}
        write: {process: a, area: m, content: unique}
        write: {process: a, area: n, content: unique}
        mremap: {process: a, area: m, pages: 1..2}
        madvise: {process: a, area: m, advice: dontneed}
        expect: {process.a.resident_pages: 4}
        """
    )
    succeeded(result)


@pytest.mark.parametrize("order", ["kernel", "nothing"])
def test_a_scan_for_pages_ends_where_there_are_none(play: Any, order: str) -> None:
    """It went round for ever: pages exist, but none that ksmd would look at."""
    result = play(
        """
        spawn: a
        mmap: {process: a, area: empty, pages: 2, advise: mergeable}
        mmap: {process: a, area: m, pages: 2}
        write: {process: a, area: m, content: unique}
        scan: {pages: 5}
        """,
        policies=f"scan: {order}",
    )
    assert succeeded(result)["ksm.pages_scanned"] == 0


def test_a_scan_for_passes_outlasts_an_item_that_could_not_be_had(play: Any) -> None:
    """R-SCAN-4: the failure ends a batch, and the next one goes on."""
    result = play(
        """
        spawn: a
        mmap: {process: a, area: m, pages: 2, advise: mergeable}
        write: {process: a, area: m, content: x}
        fail: {rmap_item: 1}
        scan: {passes: 2}
        expect: {ksm.full_scans: 2}
        """
    )
    succeeded(result)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("set: {ksm.run: 2}", "write to ksm.run returned ENOMEM"),
        ("madvise: {process: a, area: m, advice: unmergeable}", "madvise returned EAGAIN"),
        ("mremap: {process: a, area: m}", "mremap returned ENOMEM"),
    ],
    ids=["run", "madvise", "mremap"],
)
def test_an_allocation_that_is_to_fail_fails_where_pages_are_unmerged(play: Any, step: str, message: str) -> None:
    """R-KNOB-3, R-ADV-4, R-ADV-5: it was tried again, with frames free, and went well."""
    result = play(
        f"""
        spawn: [a, b]
        mmap: {{process: [a, b], area: m, pages: 2, advise: mergeable}}
        write: {{process: [a, b], area: m, content: x}}
        scan: {{passes: 2}}
        fail: {{alloc_page: 1}}
        {step}
        """
    )
    assert message in result.error["message"]
    assert result.metrics["ksm.run"] == 0
    assert result.metrics["ksm.pages_sharing"] == 3


def test_locking_more_areas_than_the_tables_hold_at_first(play: Any) -> None:
    """mlock faults areas in that were never touched: each needs an anon_vma."""
    areas = "\n".join(f"mmap: {{process: a, area: m{i}, pages: 1}}" for i in range(100))
    locks = "\n".join(f"mlock: {{process: a, area: m{i}}}" for i in range(100))
    result = play(f"spawn: a\n{areas}\n{locks}", memory=4096)
    assert succeeded(result)["vm.nr_mlock"] == 100
