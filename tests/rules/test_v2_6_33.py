"""What the 2.6.33 release does otherwise than the seed commit (R-B-OBJ-1 to R-B-OBJ-4, X-5 to X-9, X-13)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm.profile import profile


@pytest.fixture
def rig(machine: Any) -> Any:
    """A machine of the release."""
    return machine(kernel="v2.6.33")


def evict_of(rig: Any, area: Any, page: int = 0) -> int:
    """Write the frame of a page and free it, whoever maps it; the frame."""
    frame = int(area.frame(page))
    rig.evict(rig.machine.frames_of(area.ptes(page)))
    assert rig.m.frame.refcount[frame] == 0
    return frame


def stale_nodes(rig: Any) -> list[int]:
    """The nodes that their frames do not name."""
    return [node for node in rig.nodes() if rig.m.frame.mapping[rig.m.node.kpage[node]] != node]


# -- the keyhole: nodes without a reference -----------------------------------------------------------------------


def test_a_node_holds_no_reference(rig: Any) -> None:
    """R-OBJ-12, R-B-OBJ-2: count = ptes; +1 in the swap cache."""
    a, b = rig.merged()
    assert a.frame() == b.frame()
    assert a.state() == "[KaAr,mc2,rc2,node]"
    rig.unmap_to_swap()
    a.read()
    rig.drain()
    assert a.state() == "[KasI,mc1,rc2,node]"


def test_an_unmapped_ksm_page_is_written_and_freed_while_ksmd_sleeps(rig: Any) -> None:
    """R-B-OBJ-2 against R-RECL-6: written at the first visit, freed at the second; the counters lag (R-CTR-8)."""
    rig.merged()
    rig.unmap_to_swap()
    assert (rig.sc[t.PSWPOUT], rig.used_frames()) == (1, 1)
    rig.shrink()
    assert (rig.sc[t.PSWPOUT], rig.used_frames()) == (1, 0)
    assert rig.counters() == (1, 1, 0, 0)
    assert stale_nodes(rig) == rig.nodes() != []


def test_what_keeps_an_unmapped_page_is_not_its_node(rig: Any) -> None:
    """R-B-OBJ-2: a policy that evicts a pinned KSM page is told of the pin."""
    from ksmlab_core.mm import vmscan

    a, _b = rig.merged()
    a.pin()
    assert rig.evict(rig.machine.frames_of(a.ptes())).tolist() == [vmscan.PAGE_PINNED]


def test_exit_frees_the_page_at_once(rig: Any) -> None:
    """R-EXIT-1, R-B-OBJ-2: no leak while ksmd is stopped; the items wait for ksmd."""
    a, b = rig.merged()
    a.exit(), b.exit()
    assert rig.used_frames() == 0
    assert rig.counters() == (1, 1, 0, 0)
    rig.scan_passes(1)
    assert rig.counters() == (0, 0, 0, 0)
    assert rig.nodes() == []


def test_a_policy_may_evict_a_cached_ksm_page(rig: Any) -> None:
    """R-B-OBJ-2: its node does not keep it, so it is among the candidates, and an eviction frees it."""
    from ksmlab_core.mm import doors

    a, _b = rig.merged()
    frame = a.frame()
    rig.unmap_to_swap()
    candidates = rig.m.frame.lru_next.copy()
    tried, offered = np.zeros((2, len(candidates)), np.bool_)
    n = doors.reclaim_candidates(*rig.machine.state.doors, tried, offered, candidates)
    assert np.flatnonzero(offered).tolist() == [frame]
    assert candidates[:n].tolist() == [frame]
    assert rig.evict(candidates[:n]).tolist() == [0]
    assert rig.used_frames() == 0


def test_a_frame_that_is_used_again_does_not_name_the_old_node(rig: Any) -> None:
    """R-B-OBJ-2: an ordinary page in the frame of a freed KSM page; the node is pruned when its items are touched."""
    a, _b = rig.merged()
    frame = evict_of(rig, a)
    c = rig.process(1, 9)
    assert c.frame() == frame
    assert stale_nodes(rig) == rig.nodes() != []
    rig.scan_passes(1)
    assert rig.nodes() == []
    assert rig.counters() == (0, 0, 0, 1)
    assert c.read() == [9]


def test_a_frame_that_is_a_ksm_page_again_names_its_new_node_only(rig: Any) -> None:
    """R-B-OBJ-2: two nodes have one frame, of which one is stale; its pruning leaves the other alone.

    5 goes to the left of 10 in the tree and 20 is on its right, so nobody meets the stale node on the way.
    """
    c, d = rig.processes(2)
    a, b = rig.processes(2, 2, [10, 20])
    rig.scan_passes(1)
    c.write(5), d.write(5)
    rig.scan_passes(1)
    assert rig.counters() == (2, 2, 0, 2)
    old = a.node(1)
    d.dontneed()
    frame = evict_of(rig, a, 1)
    d.write(5)
    rig.drain()
    assert d.frame() == frame
    rig.scan_pages(2)
    assert c.frame() == d.frame() == frame
    assert [int(rig.m.node.kpage[node]) for node in (old, d.node())] == [frame, frame]
    assert stale_nodes(rig) == [old]
    assert rig.counters() == (3, 3, 0, 0)
    rig.scan_passes(1)
    assert rig.counters() == (2, 2, 0, 0)
    assert sorted(rig.nodes()) == sorted([a.node(0), d.node()])
    assert (a.read(), b.read()) == ([10, 20], [10, 20])


def test_pruning_takes_all_items_off(rig: Any) -> None:
    """R-B-OBJ-2: the first item of a stale node that ksmd drops frees the others of the stable state too."""
    a, b, c = rig.merged(3)
    evict_of(rig, a)
    b.read(), c.read()
    assert [area.item_state() for area in (a, b, c)] == [t.ITEM_STABLE] * 3
    b.write(1), c.write(2)
    rig.scan_pages(1)  # a has no page: its item goes, and b is looked at
    assert (a.item(), b.item_state(), c.item_state()) == (t.NONE, t.ITEM_NONE, t.ITEM_NONE)
    assert rig.counters() == (0, 0, 0, 2)


def test_a_stale_node_ends_the_search_without_a_match(rig: Any) -> None:
    """R-B-OBJ-2: a live node of equal content lies below the stale root; the page joins it a pass later only."""
    c = rig.process()
    a, _b = rig.processes(2, 2, [10, 20])
    rig.scan_passes(2)
    evict_of(rig, a, 0)
    assert len(rig.nodes()) == 2
    c.write(20)
    rig.drain()
    rig.scan_pages(1)
    assert not c.is_ksm()
    assert len(rig.nodes()) == 1
    rig.scan_passes(2)
    assert c.frame() == a.frame(1)


def test_the_undone_merge_leaves_no_trace(rig: Any) -> None:
    """X-9: the failed insertion breaks both pages; the upgraded page lingers in the swap cache as an orphan."""
    a, b = rig.processes(2)
    others = rig.processes(2, 16, range(100, 116))
    rig.scan_passes(1)
    a.write(7), b.write(7)
    rig.scan_passes(1)
    rig.reclaim_all()
    a.read(), b.read()
    upgraded = b.frame()
    rig.scan_passes(1)
    assert rig.counters() == (0, 0, 0, 2)
    assert rig.state(upgraded) == "[KasIr,mc0,rc1,orph]"
    assert (a.read(), b.read(), others[0].read()) == ([7], [7], list(range(100, 116)))
    rig.scan_passes(2)
    assert a.frame() == b.frame()


# -- a node without items -----------------------------------------------------------------------------------------


def test_the_node_stays_when_its_last_item_goes(rig: Any) -> None:
    """R-B-OBJ-3, X-7: the cached page keeps its node; who maps it again is listed as after a fork."""
    a, b = rig.merged()
    node, page = a.node(), a.frame()
    rig.unmap_to_swap()
    rig.scan_passes(1)
    assert rig.counters() == (0, 0, 0, 0)
    assert rig.node_items(node) == []
    a.read()
    assert (a.frame(), a.node()) == (page, node)
    rig.scan_passes(1)
    assert rig.counters() == (1, 0, 0, 0)
    b.read()
    rig.scan_passes(1)
    assert rig.counters() == (1, 1, 0, 0)
    assert rig.sc[t.KSM_FORKED] == 2


def test_run_2_leaves_the_node_of_a_cached_page(rig: Any) -> None:
    """X-7, R-UNM-2: nothing is counted any more, and the page comes back with its node."""
    a, _b = rig.merged()
    page = a.frame()
    rig.unmap_to_swap()
    assert rig.set_knob("run", 2) == 0
    assert (rig.counters(), rig.full_scans()) == ((0, 0, 0, 0), 0)
    a.read()
    assert a.frame() == page
    assert a.node() != t.NONE
    rig.scan_passes(1)
    assert rig.counters() == (1, 0, 0, 0)


def test_a_new_page_joins_a_node_without_items(rig: Any) -> None:
    """X-8: in its first pass, and so the cached page is mapped again."""
    a, _b = rig.merged()
    page = a.frame()
    rig.unmap_to_swap()
    c = rig.process(1, 7)
    rig.scan_passes(1)
    assert c.frame() == page
    assert rig.counters() == (1, 0, 0, 0)


def test_written_by_its_only_mapper_the_page_goes_and_the_node_is_pruned(rig: Any) -> None:
    """R-COW-1, R-B-OBJ-2: nothing but the pte held it."""
    a, b = rig.merged()
    a.write(1)
    page = b.frame()
    b.write(2)
    assert rig.m.frame.refcount[page] == 0
    rig.scan_passes(1)
    assert rig.nodes() == []


# -- upgraded in place --------------------------------------------------------------------------------------------


def test_the_scanned_page_becomes_the_ksm_page(rig: Any) -> None:
    """R-B-OBJ-4, X-13: no frame is taken; marked accessed, not dirty; its own pte stays dirty, the other is new."""
    a, b = rig.processes(2, content=7)
    rig.drain()
    frame, taken = b.frame(), int(rig.sc[t.PGALLOC])
    rig.scan_passes(2)
    assert a.frame() == b.frame() == frame
    assert rig.sc[t.PGALLOC] == taken
    assert b.state() == "[KaAr,mc2,rc2,node]"
    assert (b.is_dirty(), b.is_writable(), a.is_dirty(), a.is_writable()) == (True, False, False, False)


def test_an_upgrade_in_the_swap_cache_keeps_slot_and_cleanness(rig: Any) -> None:
    """X-6: reclaim then unmaps the KSM page without a write, and both ptes name its old slot."""
    rig.sc[t.PAGE_CLUSTER] = 0
    a, b = rig.processes(2, content=7)
    rig.reclaim_all()
    slot, written = b.slot(), int(rig.sc[t.PSWPOUT])
    assert a.slot() != slot
    a.read(), b.read()
    rig.scan_passes(2)
    assert b.state() == "[KasIr,mc2,rc3,node]"
    rig.unmap_to_swap(), rig.unmap_to_swap()  # marked accessed, it is activated once
    assert a.slot() == b.slot() == slot
    assert rig.sc[t.PSWPOUT] == written


def test_a_pinned_tree_page_undoes_the_upgrade(rig: Any) -> None:
    """R-MERGE-1, T-DRV-7: the upgraded page is broken and freed at once; it was in no batch (X-3 is the seed's)."""
    a, b = rig.processes(2, content=7)
    rig.drain()
    a.pin()
    frame = b.frame()
    rig.scan_passes(2)
    assert rig.counters() == (0, 0, 1, 1)
    assert b.frame() != frame
    assert rig.m.frame.refcount[frame] == 0
    assert rig.used_frames() == 2


def test_a_pinned_scanned_page_is_not_upgraded(rig: Any) -> None:
    """R-MERGE-4: a writable pte and a reference more."""
    a, b = rig.processes(2, content=7)
    rig.drain()
    frame = b.pin()
    rig.scan_passes(2)
    assert rig.counters() == (0, 0, 1, 1)
    assert (b.frame(), b.is_ksm(), b.is_writable()) == (frame, False, True)
    assert a.read() == [7]


def test_the_lock_stays_on_the_upgraded_page(rig: Any) -> None:
    """R-MERGE-7: b's page is upgraded and keeps its lock, a's loses its own; transferred where only a has one."""
    a, b = rig.processes(2, content=7)
    a.mlock(), b.mlock()
    rig.scan_passes(2)
    assert (rig.has(b.frame(), t.PG_MLOCKED), rig.sc[t.NR_MLOCK]) == (True, 1)
    c, d = rig.processes(2, content=8)
    c.mlock()
    rig.scan_passes(2)
    assert c.frame() == d.frame()
    assert (rig.has(c.frame(), t.PG_MLOCKED), rig.sc[t.NR_MLOCK]) == (True, 2)


def test_an_orphan_is_never_broken(rig: Any) -> None:
    """R-CMP-3 is gone: a page whose node could not be had and that could not be broken stays KSM and unreclaimable."""
    a, b = rig.processes(2, content=7)
    rig.drain()
    rig.scan_passes(1)
    rig.fail("stable_node", 1)
    rig.fail("alloc_page", 1)
    rig.scan_passes(1)
    assert rig.is_orphan(a.frame())
    assert not b.is_ksm()
    rig.scan_passes(3)
    rig.unmap_to_swap()
    assert rig.is_orphan(a.frame())
    assert a.read() == [7]


# -- remerging ----------------------------------------------------------------------------------------------------


def test_out_and_back_between_two_passes_remerges_in_one(rig: Any) -> None:
    """X-5, R-REMERGE-2: the items survive with their checksums; with a pass in between it takes two (R-REMERGE-1)."""
    a, b = rig.merged()
    for between, passes in ((0, 1), (1, 2)):
        evict_of(rig, a)
        rig.scan_passes(between)
        a.read(), b.read()
        assert a.frame() != b.frame()
        rig.drain()
        rig.scan_passes(passes - 1)
        assert a.frame() != b.frame()
        rig.scan_passes(1)
        assert a.frame() == b.frame()
        assert rig.counters() == (1, 1, 0, 0)


# -- reverse mapping through the anon_vma -------------------------------------------------------------------------


def test_reclaim_finds_a_child_that_ksmd_has_not_visited(rig: Any) -> None:
    """R-B-OBJ-1, T-DRV-3: in the second pass over the items."""
    a, b = rig.merged()
    child = a.forked()
    rig.unmap_to_swap()
    assert a.slot() == b.slot() == child.slot() != t.NONE
    assert rig.refs(a.slot())[0] == 3


def test_a_childs_use_counts(rig: Any) -> None:
    """R-B-OBJ-1 against R-REF-5: only the child has read: K is activated, and nothing is unmapped."""
    a, b = rig.merged()
    child = a.forked()
    rig.make_all_old()
    rig.deactivate()
    child.read()
    rig.shrink()
    assert child.state() == "[KaA,mc3,rc3,node]"
    assert not child.is_young()
    assert t.NONE not in (a.frame(), b.frame())


def test_the_memcg_filter_looks_at_the_process_of_each_vma(rig: Any) -> None:
    """R-REF-3, R-B-OBJ-1: reclaim for the sharers' group does not see that the child, which left it, used the page.

    Unmapping has no filter (R-TTU-4): the child's young pte stops it, in the second pass, after both sharers.
    """
    a, b = rig.merged()
    child = b.forked()
    assert rig.node_items(b.node())[0] == b.item()
    rig.make_all_old()
    rig.deactivate()
    child.read()
    rig.limit_to_memcg([a.mm, b.mm])
    rig.shrink()
    assert (child.slot(), child.is_young()) == (t.NONE, False)
    assert a.slot() == b.slot() != t.NONE
    assert rig.refs(a.slot())[0] == 2


def test_sequential_use_does_not_count(rig: Any) -> None:
    """R-B-OBJ-1 against R-REF-4: VM_SEQ_READ of the real area: young bits are cleared, K is unmapped all the same."""
    a, b = rig.merged(flags=t.VM_WRITE | t.VM_SEQ_READ)
    rig.make_all_old()
    rig.deactivate()
    a.read(), b.read()
    rig.shrink()
    assert a.slot() == b.slot() != t.NONE


def test_a_locked_area_keeps_the_page(rig: Any) -> None:
    """R-B-OBJ-1 against R-REF-4: the lock lost to another's write (R-COW-3) comes back with reclaim's visit."""
    a, b, c = rig.processes(3, content=7)
    a.mlock(), b.mlock()
    rig.scan_passes(2)
    b.write(8)
    assert not rig.has(a.frame(), t.PG_MLOCKED)
    rig.drain()
    rig.unmap_to_swap()
    assert rig.has(a.frame(), t.PG_MLOCKED)
    assert a.frame() in rig.lru(t.LRU_UNEVICTABLE)
    assert (a.slot(), a.read(), c.read()) == (t.NONE, [7], [7])


def test_munlock_finds_the_other_lock(rig: Any) -> None:
    """R-MLOCK-3, R-TTU-2: try_to_munlock walks KSM pages; the last lock gone, the page is evictable."""
    a, b = rig.processes(2, content=7)
    a.mlock(), b.mlock()
    rig.scan_passes(2)
    a.munlock()
    assert (rig.has(b.frame(), t.PG_MLOCKED), rig.sc[t.NR_MLOCK]) == (True, 1)
    b.munlock()
    assert (rig.has(b.frame(), t.PG_MLOCKED), rig.sc[t.NR_MLOCK]) == (False, 0)


def test_looking_for_a_lock_takes_nothing_away(rig: Any) -> None:
    """R-MLOCK-3, R-TTU-4: TTU_MUNLOCK neither unmaps nor clears young bits."""
    a, b = rig.processes(2, content=7)
    a.mlock()
    rig.scan_passes(2)
    assert a.frame() == b.frame()
    b.read(), a.read()
    a.munlock()
    assert (a.is_young(), b.is_young(), a.slot(), b.slot()) == (True, True, t.NONE, t.NONE)


def test_an_area_that_is_gone_is_passed_over(rig: Any) -> None:
    """R-B-OBJ-1: one sharer has unmapped its area; the items of the others lead on."""
    a, b, c = rig.merged(3)
    b.munmap()
    rig.unmap_to_swap()
    assert a.slot() == c.slot() != t.NONE


# -- knobs, and what policies see ---------------------------------------------------------------------------------


def test_there_is_no_max_kernel_pages(machine: Any) -> None:
    """R-KNOB-2: neither the knob nor the limit; the switch brings both back."""
    from ksmlab_core.mm.errno import EINVAL, OK

    rig = machine(kernel="v2.6.33")
    assert rig.set_knob("max_kernel_pages", 1) == EINVAL
    assert "ksm.max_kernel_pages" not in rig.kernel.metrics
    rig.processes(2, 2, [7, 8])
    rig.scan_passes(2)
    assert rig.counters() == (2, 2, 0, 0)
    rig = machine(kernel="v2.6.33", switches={"max_kernel_pages": True})
    assert "ksm.max_kernel_pages" in rig.kernel.metrics
    assert rig.set_knob("max_kernel_pages", 1) == OK
    rig.processes(2, 2, [7, 8])
    rig.scan_passes(3)
    assert rig.counters() == (1, 1, 1, 1)


def test_a_question_at_swap_in_prunes_nothing(rig: Any) -> None:
    """R-B-OBJ-2: the twin is found below a stale node, and the stale node stays for ksmd to meet."""
    import numpy as np

    from ksmlab_core.mm import doors

    a, b = rig.processes(2, 2, [10, 20])
    c = rig.process(1, 20)
    c.unmergeable()
    rig.scan_passes(2)
    evict_of(rig, a, 0)
    evict_of(rig, c)
    c.mergeable()
    nodes, counters = rig.nodes(), rig.counters()
    assert len(stale_nodes(rig)) == 1
    facts = np.zeros(9, np.int64)
    doors.swapin_facts(*rig.machine.state.doors, c.pte(), facts)
    assert facts[5:7].tolist() == [b.frame(1), 2]
    assert (rig.nodes(), rig.counters()) == (nodes, counters)
    facts[:] = 0
    doors.swapin_facts(*rig.machine.state.doors, a.pte(0), facts)
    assert facts[5] == t.NONE


def test_reclaim_finds_a_pte_that_a_policy_let_rejoin(rig: Any) -> None:
    """R-B-OBJ-1: the item that REMERGE lists with the node holds the anon_vma of its area."""
    from ksmlab_core.mm import memory

    c = rig.process(1, 7)
    c.unmergeable()
    evict_of(rig, c)
    a, b = rig.merged()
    c.mergeable()
    rig.sc[t.DECIDED_PTE], rig.sc[t.DECISION] = c.pte(), memory.SWAPIN_REMERGE
    assert c.read() == [7]
    assert c.frame() == a.frame() == b.frame()
    assert rig.counters() == (1, 2, 0, 0)
    rig.unmap_to_swap()
    assert a.slot() == b.slot() == c.slot() != t.NONE


def test_the_release_is_the_seed_but_for_these_switches() -> None:
    """R-CMP-2, R-SWAPIN-3: what stayed the same is the same."""
    seed, release = profile("seed").switches, profile("v2.6.33").switches
    assert {name for name in seed if seed[name] != release[name]} == {
        "node_holds_ref", "alloc_on_first_merge", "rmap_mode", "free_node_on_last_item", "max_kernel_pages",
        "break_orphan", "shrink_falls_through",
    }  # fmt: skip


# -- what the checker knows ---------------------------------------------------------------------------------------


def test_the_checker_still_sees_a_frame_that_names_a_node_of_another(rig: Any) -> None:
    """INV-6, INV-2: stale nodes are allowed, but no page may name a node that has another frame; no hidden holders."""
    a, _b = rig.merged()
    other = rig.process(1, 9)
    rig.m.node.kpage[a.node()] = other.frame()
    found = {violation.invariant for violation in rig.checker.violations()}
    assert "INV-6" in found
    rig.m.node.kpage[a.node()] = a.frame()
    rig.m.frame.refcount[a.frame()] += 1
    assert {violation.invariant for violation in rig.checker.violations()} == {"INV-2"}


def test_the_checker_sees_an_item_that_holds_another_anon_vma(rig: Any) -> None:
    """INV-8: what reclaim would walk by."""
    a, _b = rig.merged()
    rig.m.item.anon_vma[a.item()] += 1
    assert [violation.entity for violation in rig.checker.violations()] == [f"item {a.item()}"]
