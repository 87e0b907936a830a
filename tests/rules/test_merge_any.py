"""prctl(PR_SET_MEMORY_MERGE), unmerging of today, run=2 of today: R-B-PRCTL-1, R-B-UNM-1, R-B-UNM-2, R-B-FORK-1."""

from __future__ import annotations

import pytest

from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm.errno import EBUSY, EINVAL, ENOMEM, OK


@pytest.fixture
def now(machine):
    """A machine of 6.18 without smart_scan."""
    rig = machine(kernel="v6.18")
    assert rig.set_knob("smart_scan", 0) == OK
    return rig


def plain(rig, content=7, **kwargs):
    return rig.process(content=content, mergeable=False, **kwargs)


def is_mergeable(area):
    return bool(area.vm_flags() & t.VM_MERGEABLE)


def test_every_area_now_and_in_future(now):
    """R-B-PRCTL-1: compatible areas are marked, those that come later too; both merge."""
    a = plain(now)
    assert now.prctl_memory_merge(a.mm, True) == OK
    assert is_mergeable(a)
    b = plain(now, mm=a.mm)
    assert is_mergeable(b)
    shared = now.process(mergeable=False, mm=a.mm, flags=t.VM_WRITE | t.VM_SHARED | t.VM_MAYSHARE)
    assert not is_mergeable(shared)
    now.scan_passes(2)
    assert now.counters() == (1, 1, 0, 0)


def test_off_again_unmerges_everything(now):
    """R-B-PRCTL-1, selftest prctl_unmerge: madvised areas too; later areas are as they always were."""
    a = plain(now)
    b = now.process(content=7, mm=a.mm)
    now.prctl_memory_merge(a.mm, True)
    now.scan_passes(2)
    assert a.frame() == b.frame()
    assert now.prctl_memory_merge(a.mm, False) == OK
    assert a.frame() != b.frame()
    assert not is_mergeable(a)
    assert not is_mergeable(b)
    assert not is_mergeable(plain(now, mm=a.mm))


def test_off_without_on_does_nothing(now):
    """R-B-PRCTL-1: a process that has not asked keeps its madvised areas."""
    a = now.process(content=7)
    assert now.prctl_memory_merge(a.mm, False) == OK
    assert is_mergeable(a)


def test_failing_to_unmerge_changes_nothing(now):
    """R-B-PRCTL-1: without memory to unmerge, ENOMEM, and all areas are marked again."""
    a = plain(now)
    b = plain(now, mm=a.mm)
    now.prctl_memory_merge(a.mm, True)
    now.scan_passes(2)
    now.fail("alloc_page", 2)
    assert now.prctl_memory_merge(a.mm, False) == ENOMEM
    assert is_mergeable(a)
    assert is_mergeable(b)
    assert now.prctl_memory_merge(a.mm, False) == OK


def test_no_slot_to_be_had(now):
    """R-B-PRCTL-1: the process is not registered and nothing is marked."""
    a = plain(now)
    now.fail("mm_slot", 1)
    assert now.prctl_memory_merge(a.mm, True) == ENOMEM
    assert not is_mergeable(a)


def test_children_have_it(now):
    """R-B-PRCTL-1, selftest prctl_fork: inherited, so an area that the child maps merges unadvised."""
    a = plain(now)
    now.prctl_memory_merge(a.mm, True)
    child = a.forked()
    assert is_mergeable(plain(now, content=8, mm=child.mm))
    assert now.prctl_memory_merge(child.mm, False) == OK
    assert is_mergeable(a)


def test_it_ends_with_the_registration(now):
    """R-SCAN-6: a process in which ksmd finds no mergeable area is forgotten, its wish with it."""
    mm = now.machine.spawn()
    assert now.prctl_memory_merge(mm, True) == OK
    now.process(content=7)
    now.scan_passes(1)
    assert mm not in now.slots_ring()
    assert not is_mergeable(plain(now, mm=mm))


def test_older_kernels_have_no_such_call(machine):
    """R-B-VER: 6.1 knows nothing of it."""
    rig = machine(kernel="v6.1")
    assert rig.prctl_memory_merge(rig.process().mm, True) == EINVAL


def test_unsharing_in_a_read_only_area(now):
    """R-B-UNM-1, selftest prot_none: VM_WRITE is irrelevant, the pte is not made writable."""
    a, b = now.merged()
    a.mprotect(False)
    assert a.unmergeable() == OK
    assert a.frame() != b.frame()
    assert not a.is_writable()
    assert exclusive(a)
    a.mprotect(True)
    frame = a.frame()
    a.write(8)
    assert a.frame() == frame


def exclusive(area):
    return area.rig.has(area.frame(), t.PG_ANON_EXCLUSIVE)


def test_run_2_forgets_nodes_that_nobody_maps(machine):
    """R-B-UNM-2: a node whose page is left unmapped in the swap cache goes; in 2.6.33 it stays and can be revived."""
    for kernel, left in (("v2.6.33", 1), ("v6.1", 0)):
        rig = machine(kernel=kernel)
        a, _b = rig.merged()
        rig.make_all_old()
        rig.deactivate(), rig.shrink()
        assert a.slot() != t.NONE
        rig.set_knob("run", 2)
        assert len(rig.nodes()) == left


def test_a_mapped_page_without_items_keeps_the_trees_busy(now):
    """R-B-MAX-1: pages_shared is 0, but a child whom ksmd has not visited maps the KSM page: EBUSY."""
    a, b = now.merged()
    child = a.forked()
    a.dontneed(), b.dontneed()
    from ksmlab_core.mm import doors

    for area in (a, b):
        now._call(doors.REMOVE_ITEMS, area.mm)
    assert now.counters() == (0, 0, 0, 0)
    assert child.is_ksm()
    assert now.set_knob("max_page_sharing", 10) == EBUSY
    child.exit()
    assert now.set_knob("max_page_sharing", 10) == OK
    assert now.nodes() == []


def test_a_child_starts_with_nothing(now):
    """R-B-FORK-1, selftest fork_ksm_merging_page_count: no items and no merging pages until ksmd has come by."""
    a, _b = now.merged()
    child = a.forked()
    shown = now.machine.process_counters()
    assert shown["ksm_merging_pages"][child.mm] == 0
    now.scan_passes(1)
    assert now.machine.process_counters()["ksm_merging_pages"][child.mm] == 1
    assert now.counters() == (1, 2, 0, 0)


def test_two_passes_to_join(now):
    """R-B-SCAN-3: 6.11 and later ask for an unchanged checksum before the stable tree."""
    now.merged()
    c = now.process(content=7)
    now.scan_passes(1)
    assert not c.is_ksm()
    now.scan_passes(1)
    assert c.is_ksm()


def test_merging_needs_no_help(machine):
    """R-B-SCAN-1: with per-CPU batches as the kernel leaves them, pages written a moment ago merge in two passes."""
    rig = machine(kernel="v6.18", drained=False)
    rig.processes(2, content=7)
    rig.scan_passes(2)
    assert rig.counters() == (1, 1, 0, 0)
