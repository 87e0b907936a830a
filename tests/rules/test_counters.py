"""Counters: R-CTR-1 to R-CTR-8."""

from __future__ import annotations

import pytest

from ksmlab_core.mm import mm_types as t


def test_shared_counts_nodes_and_sharing_counts_the_other_items(rig):
    """R-CTR-1: appended to an empty node: shared + 1, to another: sharing + 1; removed the other way round."""
    areas = [rig.process(pages=3, content=[5, 6, 6]) for _ in range(3)]
    rig.scan_passes(2)
    assert rig.counters() == (2, 2 + 5, 0, 0)
    assert sorted(len(rig.node_items(node)) for node in rig.nodes()) == [3, 6]
    areas[0].write(100, 0)
    rig.scan_passes(1)
    assert rig.counters() == (2, 1 + 5, 0, 1)
    areas[1].write(101, 0)
    areas[2].write(102, 0)
    rig.scan_passes(1)
    assert rig.counters() == (1, 5, 1, 2)


def test_unshared_counts_leftovers_of_the_pass_before(rig):
    """R-CTR-2: an item keeps its unstable state, and is counted, until ksmd comes to it again."""
    rig.processes(1, pages=4, content=[1, 2, 3, 4])
    rig.scan_passes(2)
    assert rig.counters() == (0, 0, 4, 0)
    rig.scan_pages(1)
    assert rig.counters() == (0, 0, 4, 0)
    tags = {int(rig.m.item.seqnr[item]) for item in rig.items(1)}
    assert tags == {1, 2}


def test_an_unstable_item_that_dies_is_uncounted(rig):
    """R-CTR-2: unshared falls when its page is gone and ksmd has passed."""
    a = rig.process(pages=2, content=[1, 2])
    rig.scan_passes(2)
    a.dontneed(range(1))
    assert rig.counters() == (0, 0, 2, 0)
    rig.scan_passes(1)
    assert rig.counters() == (0, 0, 1, 0)


def test_volatile_is_what_is_left_and_never_negative(rig):
    """R-CTR-3: items that are neither shared, sharing nor unshared; never below 0."""
    a = rig.process(pages=4, content=[1, 2, 3, 3])
    rig.scan_passes(2)
    a.write(50, 0)
    rig.scan_passes(1)
    assert rig.counters() == (1, 1, 1, 1)
    assert int(rig.sc[t.KSM_RMAP_ITEMS]) == 4
    rig.sc[t.KSM_RMAP_ITEMS] = 1
    assert rig.counters() == (1, 1, 1, 0)
    rig.sc[t.KSM_RMAP_ITEMS] = 4


def test_full_scans_rises_per_pass_and_run_2_resets_it(rig):
    """R-CTR-4: one per return to the head; 0 after a successful run=2."""
    rig.process(content=7)
    rig.scan_passes(3)
    assert rig.full_scans() == 3
    assert rig.set_knob("run", 2) == 0
    assert rig.full_scans() == 0


def test_a_failed_run_2_does_not_reset_full_scans(rig):
    """R-CTR-4: only success resets it."""
    a, _b = rig.merged()
    rig.machine.room_maker = lambda frames: None
    rig.machine.sc[t.NR_RESERVE] = 0
    hog = rig.process(pages=int(rig.sc[t.NR_FREE]), content=1, mergeable=False)
    assert rig.set_knob("run", 2) != 0
    assert rig.full_scans() == 2
    hog.exit()
    assert a.is_ksm()


def test_anon_pages_counts_pages_not_ptes(rig):
    """R-CTR-5: KSM pages like others; the page counts while at least one pte maps it."""
    a, b = rig.processes(2, content=7)
    child = a.forked()
    assert int(rig.sc[t.NR_ANON_PAGES]) == 2
    child.exit()
    rig.scan_passes(2)
    assert int(rig.sc[t.NR_ANON_PAGES]) == 1
    a.write(1)
    assert int(rig.sc[t.NR_ANON_PAGES]) == 2
    b.write(2)
    assert int(rig.sc[t.NR_ANON_PAGES]) == 2
    rig.unmap_to_swap()
    assert int(rig.sc[t.NR_ANON_PAGES]) == 0
    a.read()
    assert int(rig.sc[t.NR_ANON_PAGES]) == 1


def test_rss_counts_present_ptes(rig):
    """R-CTR-6: merging leaves it; unmapping to swap lowers it, swap-in raises it; the swap cache has its own count."""
    a, _b = rig.processes(2, content=7)
    a.read()
    assert rig.rss(a.mm) == 1
    rig.scan_passes(2)
    assert rig.rss(a.mm) == 1
    rig.unmap_to_swap()
    assert rig.rss(a.mm) == 0
    assert int(rig.sc[t.NR_SWAPCACHE]) == 1
    a.read()
    assert rig.rss(a.mm) == 1
    a.exit()
    assert rig.rss(a.mm) == 0


EVENTS = {
    "PGFAULT": 2,  # first write, swap-in
    "PGMAJFAULT": 1,
    "PSWPIN": 1,
    "PSWPOUT": 1,
    "PGDEACTIVATE": 1,
    "PGREFILL": 1,
    "PGSTEAL": 1,
    "PGSCAN_KSWAPD": 0,
}


def test_vmstat_of_a_page_that_goes_out_and_comes_back(rig):
    """R-CTR-7: faults, swap traffic and reclaim's work are counted as vmstat does."""
    a = rig.process(content=7, mergeable=False)
    rig.make_all_old()
    rig.deactivate()
    assert rig.shrink() == 0
    assert rig.shrink() == 1
    a.read()
    assert {name: int(rig.sc[getattr(t, name)]) for name in EVENTS} == EVENTS
    assert int(rig.sc[t.PGSCAN_DIRECT]) == 2


def test_vmstat_of_activation_and_locks(rig):
    """R-CTR-7: a page found used is activated; mlock, munlock and the unevictable list count theirs."""
    a = rig.process(content=7, mergeable=False)
    rig.deactivate()
    a.read()
    rig.shrink()
    assert int(rig.sc[t.PGACTIVATE]) == 1
    a.mlock()
    assert (int(rig.sc[t.NR_MLOCK]), int(rig.sc[t.UNEVICTABLE_PGMLOCKED])) == (1, 1)
    assert int(rig.sc[t.UNEVICTABLE_PGCULLED]) == 1
    a.munlock()
    assert (int(rig.sc[t.NR_MLOCK]), int(rig.sc[t.UNEVICTABLE_PGMUNLOCKED])) == (0, 1)
    assert int(rig.sc[t.UNEVICTABLE_PGRESCUED]) == 1


@pytest.mark.parametrize("run", [0, 1])
def test_counters_lag_while_ksmd_stands_still(rig, run):
    """R-CTR-8: nothing but ksmd's own visit changes them, even when every sharer has exited."""
    rig.set_knob("run", run)
    a, b = rig.merged()
    c = rig.process(content=8)
    rig.scan_passes(2)
    assert rig.counters() == (1, 1, 1, 0)
    a.write(1)
    b.exit()
    a.exit()
    c.exit()
    assert rig.counters() == (1, 1, 1, 0)
    rig.scan_passes(1)
    assert rig.counters() == (0, 0, 0, 0)
