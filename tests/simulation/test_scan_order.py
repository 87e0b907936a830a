"""Scan orders in a run: passes end, every page is looked at, items of what is gone are given back."""

from __future__ import annotations

import itertools

import pytest

from tests.simulation.conftest import samples

ORDERS = ["kernel", "random", "cold-first", "changed-last"]
AREAS = """\
- spawn: [a, b]
- mmap: {process: [a, b], area: heap, pages: 30, advise: mergeable}
- mmap: {process: a, area: plain, pages: 30}
- write: {process: [a, b], area: heap, content: {cycle: 20}}
- write: {process: a, area: plain, content: {cycle: 20}}
"""


@pytest.mark.parametrize("order", ORDERS)
def test_passes_are_counted_and_each_looks_at_every_page_once(desk, order):
    steps = AREAS + "- scan: {passes: 1}\n- sample: one\n- scan: {passes: 1}\n- sample: two\n- scan: {passes: 3}\n"
    result = desk.script(steps, f"policies.scan={order}")
    found = samples(result)
    assert [found[label]["ksm.full_scans"] for label in ("one", "two")] == [1, 2]
    assert [found[label]["ksm.pages_scanned"] for label in ("one", "two")] == [60, 120]
    assert result.metrics["ksm.full_scans"] == 5


@pytest.mark.parametrize("order", ORDERS)
def test_in_the_end_the_same_is_merged(desk, order):
    """Whatever the order: 40 contents of pages that were given to ksmd lie in 20 frames."""
    metrics = desk.script(AREAS + "- scan: {passes: 4}\n", f"policies.scan={order}").metrics
    assert (metrics["ksm.pages_shared"], metrics["ksm.pages_sharing"]) == (20, 40)
    assert metrics["machine.frames_mapped"] == 20 + 30


@pytest.mark.parametrize("order", ORDERS)
def test_items_of_pages_that_are_gone_are_given_back(desk, order):
    """Unmapped, no longer mergeable, or swapped out: after a pass and the next there is nothing left of them."""
    steps = (
        AREAS
        + """\
- scan: {passes: 2}
- expect: {ksm.rmap_items: 60}
- munmap: {process: a, area: heap, pages: 0..9}
- madvise: {process: b, area: heap, pages: 0..4, advice: unmergeable}
- scan: {passes: 2}
- expect: {ksm.rmap_items: 45, ksm.pages_volatile: 0}
- exit: b
- scan: {passes: 2}
- expect: {ksm.rmap_items: 20}
- reclaim: all
- scan: {passes: 1}
- reclaim: all
- scan: {passes: 1}
- expect: {ksm.pages_shared: 0, ksm.pages_sharing: 0, ksm.pages_unshared: 0}
"""
    )
    desk.script(steps, f"policies.scan={order}")


@pytest.mark.parametrize("order", ORDERS)
def test_in_time_the_budget_holds_and_passes_go_on(desk, order):
    """60 pages in batches of 25: three batches and the end of the pass, once every 10 ms."""
    more = (
        "machine: {memory: 1MiB, swap: 4MiB, costs: free, invariants: steps}\n"
        "ksm: {run: 1, pages_to_scan: 25, sleep_millisecs: 10}\nmeasure: {every: 10ms, warmup: 5ms}\n"
    )
    series = desk.script(AREAS + "- sleep: 200ms\n", f"policies.scan={order}", more=more).series
    scanned, passes = series["ksm.pages_scanned"].tolist(), series["ksm.full_scans"].tolist()
    steps = [later - earlier for earlier, later in itertools.pairwise(scanned)]
    assert max(steps) <= 25
    assert passes == sorted(passes)
    assert passes[-1] in (5, 6)
    assert series["ksm.pages_sharing"][-1] == 40


@pytest.mark.parametrize("order", ORDERS)
def test_nothing_to_scan_is_nothing_to_wait_for(desk, order):
    more = "machine: {memory: 1MiB, swap: 0}\nksm: {run: 1, sleep_millisecs: 1}\n"
    metrics = desk.script("- spawn: a\n- sleep: 100ms\n", f"policies.scan={order}", more=more).metrics
    assert (metrics["ksm.pages_scanned"], metrics["ksm.full_scans"]) == (0, 0)


def test_what_an_order_is_shown_is_what_the_machine_knows(desk):
    """Rows are the present pages of areas given to ksmd, with what ksmd found at its last look."""
    plugin = desk.plugin("""
        import numpy as np
        from ksmlab_core.policy import ItemState, ScanOrder, hookimpl

        class Looking(ScanOrder):
            '''Ascending order; compares what it is shown with what it knows.'''
            name = "looking"
            batch = 1000

            def started(self, run):
                self.passes = 0

            def order(self, pages, n):
                assert len(pages) == 60 == len(pages.process) == len(pages.last_access_ns)
                assert (np.diff(pages.process) >= 0).all()
                assert pages.full_scans == self.passes
                due = np.flatnonzero(pages.last_scanned < pages.full_scans)
                if pages.full_scans == 0:
                    assert (pages.last_scanned == -1).all() and (pages.state == ItemState.NONE).all()
                    assert not pages.stable.any() and not pages.changes.any()
                if pages.full_scans == 2:
                    assert (pages.state == ItemState.STABLE).sum() == 60
                assert (pages.age_ns >= 0).all()
                self.passes += 1
                return due[:n]

        @hookimpl
        def ksmlab_scan_orders():
            return [Looking]
    """)
    desk.script(AREAS + "- scan: {passes: 3}\n", "policies.scan=looking", plugin=plugin)


def test_looks_that_find_a_change_are_counted(desk):
    plugin = desk.plugin("""
        import numpy as np
        from ksmlab_core.policy import ScanOrder, hookimpl

        class Changing(ScanOrder):
            '''Ascending order; counts the changes that it is shown.'''
            name = "changing"
            batch = 1000

            def order(self, pages, n):
                self.count("changes", int(pages.changes.max(initial=0)) - self.counts.get("changes", 0))
                self.count("stable", int(pages.stable.sum()) - self.counts.get("stable", 0))
                return np.flatnonzero(pages.last_scanned < pages.full_scans)[:n]

        @hookimpl
        def ksmlab_scan_orders():
            return [Changing]
    """)
    steps = """\
    - spawn: a
    - mmap: {process: a, area: heap, pages: 4, advise: mergeable}
    - write: {process: a, area: heap, content: unique}
    - scan: {passes: 1}
    - write: {process: a, area: heap, pages: 0, content: unique}
    - scan: {passes: 1}
    - write: {process: a, area: heap, pages: 0, content: unique}
    - scan: {passes: 2}
    """
    metrics = desk.script(steps, "policies.scan=changing", plugin=plugin).metrics
    assert metrics["policy.scan.changes"] in (2, 3)
    assert metrics["policy.scan.stable"] == 3
