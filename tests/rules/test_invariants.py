"""The checker: each invariant, broken by hand, is reported by its name with the entity that is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from ksmlab_core.mm import mm_types as t


def broken(rig, invariant):
    """The entities that the checker names under an invariant."""
    return [violation.entity for violation in rig.checker.violations() if violation.invariant == invariant]


def all_broken(rig):
    return {violation.invariant for violation in rig.checker.violations()}


@pytest.fixture
def busy(machine):
    """Two merged pages, an unshared and a volatile one, pages in the swap cache and on disk, a fork and a lock."""
    rig = machine()
    rig.sc[t.PAGE_CLUSTER] = 0  # no readahead
    rig.a, rig.b = rig.processes(2, pages=2, content=[7, 8])
    rig.locked = rig.process(content=5, mergeable=False, flags=t.VM_WRITE | t.VM_LOCKED)
    rig.disk, rig.cached = rig.process(content=30, mergeable=False), rig.process(content=31, mergeable=False)
    rig.scan_passes(2)
    rig.reclaim_all()
    rig.cached.read()
    for area in (rig.a, rig.b):
        area.read()
    rig.scan_passes(1)
    rig.c = rig.process(pages=2, content=[100, 101])
    rig.scan_passes(2)
    rig.c.write(102, 1)
    rig.scan_passes(1)
    rig.d = rig.process(content=50, mergeable=False)
    rig.child = rig.d.forked()
    rig.drain()
    assert rig.counters() == (2, 2, 1, 1)
    assert rig.disk.slot() != t.NONE
    assert rig.has(rig.cached.frame(), t.PG_SWAPCACHE)
    rig.check()
    return rig


def test_a_sound_machine_has_no_violations(busy):
    """INV-1 to INV-20 hold, every one of which is looked at; the shadow memory covers every mapped page (INV-15)."""
    from ksmlab_core.mm import invariants

    assert all_broken(busy) == set()
    assert len(invariants._CHECKS) == 20
    assert len(busy.checker.shadow) == busy.nr_ptes


def test_inv_1_mapcount_is_the_number_of_ptes(busy):
    """INV-1."""
    page = busy.a.frame()
    busy.m.frame.mapcount[page] += 1
    assert broken(busy, "INV-1") == [f"frame {page}"]


def test_inv_2_refcount_is_the_sum_of_its_holders(busy):
    """INV-2: one too many, one too few, a free frame with flags, a wrong number of free frames."""
    m, page = busy.m, busy.a.frame()
    for wrong in (1, -1):
        m.frame.refcount[page] += wrong
        assert broken(busy, "INV-2") == [f"frame {page}"]
        m.frame.refcount[page] -= wrong
    free = int(busy.sc[t.FREE_FRAME])
    m.frame.pg[free] = t.PG_LRU
    assert broken(busy, "INV-2") == [f"frame {free}"]
    m.frame.pg[free], m.frame.mapping[free] = 0, 3
    assert broken(busy, "INV-2") == [f"frame {free}"]
    m.frame.mapping[free] = t.NONE
    busy.sc[t.NR_FREE] += 1
    assert broken(busy, "INV-2") == ["free list"]


def test_inv_2_knows_pins_and_batches(busy):
    """INV-2: both are holders."""
    busy.a.pin()
    busy.process(content=60)
    assert broken(busy, "INV-2") == []
    busy.machine.pins.clear()
    assert broken(busy, "INV-2") == [f"frame {busy.a.frame()}"]


def test_inv_3_slots_and_the_swap_cache_agree(busy):
    """INV-3: count and swap ptes; a cached page that its slot does not find; a cache mark without its page."""
    slot = busy.disk.slot()
    busy.m.slot.refs[slot] += 1
    assert broken(busy, "INV-3") == [f"slot {slot}"]
    busy.m.slot.refs[slot] -= 1
    page = busy.cached.frame()
    mark = int(busy.m.frame.private[page])
    busy.m.slot.frame[mark] = t.NONE
    assert broken(busy, "INV-3") == [f"frame {page}"]
    busy.m.slot.frame[mark] = page
    busy.m.slot.frame[slot] = busy.d.frame()
    assert broken(busy, "INV-3") == [f"slot {slot}"]


def test_inv_4_a_clean_cached_page_is_what_its_slot_holds(busy):
    """INV-4; a dirty one may differ, by its own bit or by a pte's."""
    page, p = busy.cached.frame(), busy.cached.pte()
    busy.m.frame.content[page] += 1
    assert broken(busy, "INV-4") == [f"frame {page}"]
    busy.m.pte_flags[p] |= t.PTE_DIRTY
    assert broken(busy, "INV-4") == []
    busy.m.pte_flags[p] &= 0xFF ^ t.PTE_DIRTY
    busy.m.frame.pg[page] |= t.PG_DIRTY
    assert broken(busy, "INV-4") == []


def test_inv_5_ksm_pages_are_read_only_and_constant(busy):
    """INV-5: a writable pte; bytes that changed since the last check."""
    p, page = busy.a.pte(), busy.a.frame()
    busy.m.pte_flags[p] |= t.PTE_WRITE
    assert broken(busy, "INV-5") == [f"pte {p}"]
    busy.m.pte_flags[p] &= 0xFF ^ t.PTE_WRITE
    busy.m.frame.content[page] += 100
    assert broken(busy, "INV-5") == [f"frame {page}"]


def test_inv_5_holds_for_mapped_orphans_too(rig):
    """INV-5: a KSM page without a node, as long as somebody maps it."""
    a, _b = rig.merged()
    rig.unmap_to_swap()
    rig.scan_passes(1)
    a.read()
    page = a.frame()
    assert rig.is_orphan(page)
    rig.m.frame.content[page] += 1
    assert broken(rig, "INV-5") == [f"frame {page}"]


def test_inv_6_node_and_page_name_each_other(busy):
    """INV-6: a node whose frame does not name it, and a frame whose node does not name it."""
    node, page = busy.a.node(), busy.a.frame()
    other = busy.a.frame(1)
    busy.m.node.kpage[node] = other
    assert f"node {node}" in broken(busy, "INV-6")
    assert f"frame {page}" in broken(busy, "INV-6")
    busy.m.node.kpage[node] = page
    busy.m.frame.mapping[page] = t.NONE
    assert broken(busy, "INV-6") == [f"node {node}"]
    busy.m.frame.mapping[page] = busy.a.node(1)
    assert broken(busy, "INV-6") == [f"node {node}", f"frame {page}"]


def test_inv_7_the_stable_tree_is_in_order_and_whole(busy):
    """INV-7: contents the wrong way round, equal contents, a node without items, a node that is not in the tree."""
    first, second = busy.a.node(0), busy.a.node(1)
    pages = busy.a.frame(0), busy.a.frame(1)
    for contents in ([8, 7], [7, 7]):
        busy.m.frame.content[list(pages)] = contents
        assert broken(busy, "INV-7") == [f"nodes {first} and {second}"]
    busy.m.frame.content[list(pages)] = [7, 8]
    head = int(busy.m.node.hlist[first])
    busy.m.node.hlist[first] = t.NONE
    assert broken(busy, "INV-7") == [f"node {first}"]
    busy.m.node.hlist[first] = head
    root = int(busy.sc[t.ROOT_STABLE])
    assert root in (first, second)
    busy.m.node.rb_left[root] = busy.m.node.rb_right[root] = t.NONE
    assert broken(busy, "INV-7") == ["stable tree"]


@pytest.mark.parametrize("counter", ["KSM_PAGES_SHARED", "KSM_PAGES_SHARING", "KSM_PAGES_UNSHARED", "KSM_RMAP_ITEMS"])
def test_inv_8_counters_count_the_records(busy, counter):
    """INV-8: each of the four, one too many."""
    names = {"KSM_RMAP_ITEMS": "rmap_items"}
    busy.sc[getattr(t, counter)] += 1
    assert names.get(counter, counter.lower()[4:]) in broken(busy, "INV-8")


def test_inv_8_nodes_count_their_items(busy):
    """INV-8: a node's own count, and an item that says it is stable but is on no node."""
    node = busy.a.node()
    busy.m.node.nr_items[node] += 1
    assert broken(busy, "INV-8") == [f"node {node}"]
    busy.m.node.nr_items[node] -= 1
    busy.m.item.state[busy.c.item(1)] = t.ITEM_STABLE
    assert broken(busy, "INV-8") == ["nodes"]


def test_inv_9_items_ascend_and_are_listed(busy):
    """INV-9: an address out of order, an item of another process, an item that no list holds."""
    items = busy.items(busy.a.mm)
    address = int(busy.m.item.address[items[1]])
    busy.m.item.address[items[1]] = busy.m.item.address[items[0]]
    assert broken(busy, "INV-9") == [f"item {items[1]}"]
    busy.m.item.address[items[1]] = address
    busy.m.item.mm[items[0]] = busy.b.mm
    assert broken(busy, "INV-9") == [f"item {items[0]}"]
    busy.m.item.mm[items[0]] = busy.a.mm
    busy.m.item.rmap_next[items[0]] = t.NONE
    assert broken(busy, "INV-9") == ["rmap_items"]


def test_inv_9_unstable_items_are_of_this_pass_or_the_last(busy):
    """INV-9: a tag two passes old; and in mid-pass the tree holds exactly the items of this pass."""
    item = busy.c.item(0)
    busy.m.item.seqnr[item] = (busy.full_scans() - 2) & 0xFF
    assert broken(busy, "INV-9") == [f"item {item}"]
    busy.m.item.seqnr[item] = (busy.full_scans() - 1) & 0xFF
    busy.scan_pages(5)
    assert busy.sc[t.SCAN_SLOT] != t.MM_HEAD
    root = int(busy.sc[t.ROOT_UNSTABLE])
    assert root == item
    busy.sc[t.ROOT_UNSTABLE] = t.NONE
    assert broken(busy, "INV-9") == ["unstable tree"]
    busy.sc[t.ROOT_UNSTABLE] = root
    busy.m.item.seqnr[item] -= 1
    assert broken(busy, "INV-9") == ["unstable tree"]


def test_inv_10_lists_and_flags_agree(busy):
    """INV-10: on a list without PG_lru, on the wrong list, on two lists, a wrong count, active and unevictable."""
    page = busy.d.frame()
    for flag in (t.PG_LRU, t.PG_ACTIVE):
        busy.m.frame.pg[page] ^= flag
        assert broken(busy, "INV-10") == [f"frame {page}"]
        busy.m.frame.pg[page] ^= flag
    busy.m.frame.pg[page] |= t.PG_UNEVICTABLE
    assert broken(busy, "INV-10") == [f"frame {page}", f"frame {page}"]
    busy.m.frame.pg[page] &= ~t.PG_UNEVICTABLE
    busy.sc[t.LRU_COUNT + t.LRU_ACTIVE_ANON] += 1
    assert broken(busy, "INV-10") == [f"LRU list {t.LRU_ACTIVE_ANON}"]
    busy.sc[t.LRU_COUNT + t.LRU_ACTIVE_ANON] -= 1
    busy.sc[t.LRU_HEAD + t.LRU_UNEVICTABLE] = page
    assert broken(busy, "INV-10") == [f"frame {page}"]


@pytest.mark.parametrize(
    ("scalar", "entity"),
    [("NR_ANON_PAGES", "NR_ANON_PAGES"), ("NR_MLOCK", "NR_MLOCK"), ("NR_SWAPCACHE", "swap cache")],
)
def test_inv_11_vmstat_counts_pages(busy, scalar, entity):
    """INV-11: mapped anon pages, mlocked pages, pages in the swap cache."""
    busy.sc[getattr(t, scalar)] -= 1
    assert broken(busy, "INV-11") == [entity]


def test_inv_11_rss_counts_ptes(busy):
    """INV-11."""
    busy.m.mm.rss[busy.d.mm] += 1
    assert broken(busy, "INV-11") == [f"rss of mm {busy.d.mm}"]


def test_inv_12_anon_pages_are_mapped_where_they_belong(busy):
    """INV-12: the area's anon_vma and the linear index are the page's; KSM pages are exempt."""
    page, ptes = busy.d.frame(), [f"pte {busy.d.pte()}", f"pte {busy.child.pte()}"]
    busy.m.frame.index[page] += 1
    assert broken(busy, "INV-12") == ptes
    busy.m.frame.index[page] -= 1
    busy.m.frame.mapping[page] += 1
    assert broken(busy, "INV-12") == ptes
    busy.m.frame.mapping[page] -= 1
    busy.m.frame.index[busy.a.frame()] += 1
    assert broken(busy, "INV-12") == []


def test_inv_13_a_writable_page_has_one_user(busy):
    """INV-13: not two ptes, nor a swap pte beside the writable one."""
    p = busy.d.pte()
    busy.m.pte_flags[p] |= t.PTE_WRITE
    assert broken(busy, "INV-13") == [f"pte {p}"]
    busy.m.pte_flags[p] &= 0xFF ^ t.PTE_WRITE
    page, p = busy.cached.frame(), busy.cached.pte()
    busy.m.pte_flags[p] |= t.PTE_WRITE
    assert broken(busy, "INV-13") == []
    busy.m.slot.refs[busy.m.frame.private[page]] += 1
    assert broken(busy, "INV-13") == [f"pte {p}"]


def test_inv_14_nothing_stays_isolated_or_under_writeback(busy):
    """INV-14: a page neither on a list nor in a batch; a write that was never finished."""
    page = busy.process(content=61).frame()
    busy.sc[t.PVEC_COUNT + t.LRU_ACTIVE_ANON] -= 1
    assert broken(busy, "INV-14") == [f"frame {page}"]
    busy.sc[t.PVEC_COUNT + t.LRU_ACTIVE_ANON] += 1
    busy.sc[t.NR_WRITEBACK] += 1
    assert broken(busy, "INV-14") == ["writeback"]


def test_inv_15_reads_give_what_was_written(busy):
    """INV-15: in memory, in the swap cache and on disk; a lost pte reads as zero."""
    for area in (busy.d, busy.cached):
        busy.m.frame.content[area.frame()] += 1
        assert f"pte {area.pte()}" in broken(busy, "INV-15")
        busy.m.frame.content[area.frame()] -= 1
    busy.m.slot.content[busy.disk.slot()] += 1
    assert broken(busy, "INV-15") == [f"pte {busy.disk.pte()}"]
    busy.m.slot.content[busy.disk.slot()] -= 1
    busy.m.pte_flags[busy.c.pte()] = 0
    assert broken(busy, "INV-15") == [f"pte {busy.c.pte()}"]


def test_inv_15_the_shadow_follows_writes_forks_and_zeroing(busy):
    """INV-15: the shadow is what the caller reports; a write that is not reported is a violation."""
    ptes = busy.d.ptes()
    busy.machine.access_all(ptes, np.array([77], np.int64))
    assert broken(busy, "INV-15") == [f"pte {busy.d.pte()}"]
    busy.checker.written(ptes, np.array([77], np.int64))
    assert broken(busy, "INV-15") == []
    busy.checker.copied(ptes, busy.child.ptes())
    assert broken(busy, "INV-15") == [f"pte {busy.child.pte()}"]
    busy.checker.zeroed(busy.child.ptes())
    assert broken(busy, "INV-15") == [f"pte {busy.child.pte()}"]
    busy.checker.written(busy.child.ptes(), np.array([50], np.int64))
    assert broken(busy, "INV-15") == []


def test_inv_16_a_nodes_page_is_neither_written_nor_freed(busy):
    """INV-16."""
    page = busy.a.frame()
    busy.m.frame.pg[page] |= t.PG_WRITEBACK
    assert broken(busy, "INV-16") == [f"frame {page}"]
    busy.m.frame.pg[page] &= ~t.PG_WRITEBACK
    busy.m.frame.refcount[page] = 0
    assert broken(busy, "INV-16") == [f"frame {page}"]


def test_inv_17_registered_means_having_a_slot(busy):
    """INV-17: a flag without a slot, a slot without the flag, items without a slot."""
    for mm in (busy.d.mm, busy.a.mm):
        busy.m.mm.mm_flags[mm] ^= t.MMF_VM_MERGEABLE
        assert broken(busy, "INV-17") == ["mm_slots"]
        busy.m.mm.mm_flags[mm] ^= t.MMF_VM_MERGEABLE
    busy.m.mm.rmap_list[busy.d.mm] = busy.m.mm.rmap_list[busy.a.mm]
    assert broken(busy, "INV-17") == [f"mm {busy.d.mm}"]


def test_inv_18_full_scans_does_not_fall(busy):
    """INV-18: except by a successful run=2."""
    busy.sc[t.SCAN_SEQNR] -= 1
    assert "full_scans" in broken(busy, "INV-18")
    assert "full_scans" not in broken(busy, "INV-18")
    busy.set_knob("run", 2)
    assert busy.full_scans() == 0
    busy.scan_passes(1)
    assert broken(busy, "INV-18") == []


def test_inv_18_run_2_leaves_nothing(busy):
    """INV-18: no items and no counters right after it; what comes later is no longer its doing."""
    busy.set_knob("run", 2)
    for scalar in (t.KSM_PAGES_SHARED, t.KSM_PAGES_SHARING, t.KSM_PAGES_UNSHARED, t.KSM_RMAP_ITEMS):
        busy.sc[scalar] += 1
        assert broken(busy, "INV-18") == ["run=2"]
        busy.sc[scalar] -= 1
    busy.scan_pages(2)
    assert int(busy.sc[t.KSM_RMAP_ITEMS]) == 2
    assert broken(busy, "INV-18") == []


def test_inv_19_every_frame_taken_has_a_cause(busy):
    """INV-19: zero fill, COW, swap-in copy, read from swap or KSM page; taken minus freed is what is in use."""
    busy.sc[t.COW_COPIES] += 1
    assert broken(busy, "INV-19") == ["page allocations"]
    busy.sc[t.PGALLOC] += 1
    assert broken(busy, "INV-19") == ["frames"]


def test_inv_20_slots_in_use_are_counted(busy):
    """INV-20: vm_swap_full goes by this count."""
    busy.sc[t.SWAP_INUSE] += 1
    assert broken(busy, "INV-20") == ["swap slots"]


def test_violations_say_what_is_wrong_and_dumps_show_it(busy):
    """INV-1, INV-15: number, entity and reason in words; the dump names frame, flags and the ptes that map it."""
    page = busy.a.frame()
    busy.m.frame.mapcount[page] += 3
    violation = next(iter(busy.checker.violations()))
    assert violation.reason == "mapcount 5, mapped by 2 ptes"
    dump = busy.checker.dump(violation)
    assert f"frame {page}: content 7" in dump
    assert "SWAPBACKED" in dump
    assert "(KSM)" in dump
    assert dump.count("mapped by pte") == 2
    busy.m.frame.mapcount[page] -= 3
    busy.m.slot.content[busy.disk.slot()] = 1
    violation = next(iter(busy.checker.violations()))
    assert violation.reason == "reads 1, last written was 30"
    assert f"SWAP -> {busy.disk.slot()}" in busy.checker.dump(violation)
