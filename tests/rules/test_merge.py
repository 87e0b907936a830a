"""Merging: R-MERGE-1 to R-MERGE-7, X-12."""

from __future__ import annotations

import pytest

from ksmlab_core.mm import mm_types as t

LOCKED = t.VM_WRITE | t.VM_LOCKED


def kpages(rig):
    return int(rig.sc[t.KSM_KPAGES])


# -- R-MERGE-1: two pages -------------------------------------------------------------------------------------


def test_two_pages_become_a_third(rig):
    """R-MERGE-1: a new page with their contents, dirty, uptodate and swapbacked, active; both old ones are freed."""
    a, b = rig.processes(2, content=7)
    old, used = {a.frame(), b.frame()}, rig.used_frames()
    rig.scan_passes(2)
    rig.drain()
    page = a.frame()
    assert page == b.frame()
    assert page not in old
    assert [rig.count(frame) for frame in old] == [0, 0]
    assert rig.used_frames() == used - 1
    assert a.state() == "[KadA,mc2,rc3,node]"
    assert rig.has(page, t.PG_UPTODATE)
    assert rig.has(page, t.PG_SWAPBACKED)
    assert page in rig.lru(t.LRU_ACTIVE_ANON)
    assert kpages(rig) == 1


def test_without_a_frame_nothing_is_merged(rig):
    """R-MERGE-1: the allocation fails, both pages stay as they are."""
    a, b = rig.processes(2, content=7)
    before = a.frame(), b.frame()
    rig.scan_passes(1)
    rig.fail("alloc_page", 1)
    rig.scan_passes(1)
    assert (a.frame(), b.frame()) == before
    assert kpages(rig) == 0
    assert rig.counters() == (0, 0, 1, 1)
    rig.scan_passes(1)
    assert rig.counters() == (1, 1, 0, 0)


def test_the_first_merge_failing_drops_the_new_page(rig):
    """R-MERGE-1: the scanned page is pinned: neither it nor its partner is touched."""
    a, b = rig.processes(2, content=7)
    rig.drain()
    before, used = (a.frame(), b.frame()), rig.used_frames()
    b.pin()
    rig.scan_passes(2)
    rig.drain()
    assert (a.frame(), b.frame()) == before
    assert b.is_writable()
    assert a.is_writable()
    assert kpages(rig) == 1
    assert rig.used_frames() == used
    assert rig.counters() == (0, 0, 1, 1)


def test_the_second_merge_failing_breaks_the_first(rig):
    """R-MERGE-1: the partner in the tree is pinned: the scanned page gets a fresh private page, its frame changes."""
    a, b = rig.processes(2, content=7)
    rig.drain()
    pinned, scanned, used = a.pin(), b.frame(), rig.used_frames()
    rig.scan_passes(2)
    rig.drain()
    assert a.frame() == pinned
    assert b.frame() not in (scanned, pinned)
    assert not b.is_ksm()
    assert b.is_writable()
    assert rig.used_frames() == used
    assert rig.counters() == (0, 0, 1, 1)
    rig.unpin(pinned)
    rig.scan_passes(1)
    assert rig.counters() == (1, 1, 0, 0)


# -- R-MERGE-2: one page --------------------------------------------------------------------------------------


@pytest.mark.parametrize("locked", [0, 1])
def test_a_contended_page_lock_fails_the_merge(rig, locked):
    """R-MERGE-2: trylock, no waiting: whichever of the two pages is locked, nothing is merged until it is free."""
    areas = rig.processes(2, content=7)
    frame = areas[locked].lock()
    rig.scan_passes(3)
    assert rig.counters() == (0, 0, 1, 1)
    assert areas[locked].frame() == frame
    rig.lock_page(frame, False)
    rig.scan_passes(1)
    assert rig.counters() == (1, 1, 0, 0)


def test_a_contended_lock_fails_joining_too(rig):
    """R-MERGE-2: merging into an existing KSM page takes the same trylock on the page that would leave."""
    rig.merged()
    c = rig.process(content=7)
    frame = c.lock()
    rig.scan_passes(1)
    assert c.frame() == frame
    assert rig.counters() == (1, 1, 0, 1)
    rig.lock_page(frame, False)
    rig.scan_passes(1)
    assert c.is_ksm()


def merge_one(rig, ksm, area, kpage):
    """try_to_merge_one_page by hand, holding the page as ksmd does."""
    frame = area.frame()
    rig.machine.pin(frame)
    merged = bool(ksm._try_to_merge_one_page(rig.m, area.vma(), frame, kpage))
    rig.unpin(frame)
    return merged


def test_what_merging_one_page_requires(rig, ksm):
    """R-MERGE-2: a mergeable area, an anon page, equal bytes."""
    a, _b = rig.merged()
    page = a.frame()
    plain = rig.process(content=7, mergeable=False)
    other = rig.process(content=8)
    equal = rig.process(content=7)
    rig.drain()
    assert not merge_one(rig, ksm, plain, page)
    assert not merge_one(rig, ksm, other, page)
    assert merge_one(rig, ksm, a, page)
    assert equal.frame() != page
    assert merge_one(rig, ksm, equal, page)
    assert equal.frame() == page


def test_contents_are_compared_after_write_protection(rig, ksm):
    """R-MERGE-2: what differs by now stays; its pte is read-only from then on, and the next write reuses the page."""
    a, _b = rig.merged()
    other = rig.process(content=8)
    rig.drain()
    frame = other.frame()
    assert not merge_one(rig, ksm, other, a.frame())
    assert other.frame() == frame
    assert not other.is_writable()
    assert other.read() == [8]
    other.write(9)
    assert other.frame() == frame
    assert other.is_writable()


# -- R-MERGE-3 to R-MERGE-5 -----------------------------------------------------------------------------------


def test_an_orphan_that_matches_a_node_is_neither_merged_nor_broken(rig):
    """R-MERGE-3: a KSM page is never the source of a merge, and a node found stops the visit before the break."""
    a, _b = rig.merged()
    orphan = a.frame()
    rig.unmap_to_swap()
    rig.scan_passes(1)
    rig.merged()
    assert a.read() == [7]
    assert a.frame() == orphan
    rig.m.frame.index[orphan] = a.start  # means nothing in a KSM page (R-OBJ-10), and helps nobody to find it
    rig.scan_passes(3)
    assert a.frame() == orphan
    assert rig.is_orphan(orphan)
    assert a.item_state() == t.ITEM_NONE
    assert rig.counters() == (1, 1, 0, 1)


def test_an_orphan_in_the_unstable_tree_is_no_source_either(machine):
    """R-MERGE-3: in kernels that do not break orphans it gets there, and every attempt to merge with it is undone."""
    rig = machine(switches={"break_orphan": False})
    a, _b = rig.merged()
    orphan = a.frame()
    rig.unmap_to_swap()
    rig.scan_passes(1)
    a.read()
    rig.m.frame.index[orphan] = a.start
    c = rig.process(content=7)
    rig.scan_passes(3)
    assert a.frame() == orphan
    assert a.item_state() == t.ITEM_UNSTABLE
    assert not c.is_ksm()
    assert rig.counters() == (0, 0, 1, 1)


@pytest.mark.parametrize("extra", ["pin", "batch"])
def test_a_writable_pte_with_another_holder_cannot_be_protected(machine, extra):
    """R-MERGE-4: mapcount + 1 (+1 in the swap cache) must be the whole refcount; the pte stays writable."""
    rig = machine(drained=False)
    a, b = rig.merged()
    c = rig.process(content=7)
    if extra == "pin":
        rig.drain()
        c.pin()
    rig.scan_passes(1)
    assert not c.is_ksm()
    assert c.is_writable()
    if extra == "pin":
        rig.unpin(c.frame())
    rig.drain()
    rig.scan_passes(1)
    assert c.frame() == a.frame() == b.frame()


def test_a_read_only_pte_is_replaced_in_spite_of_a_pin(rig):
    """R-MERGE-4, X-12: the refcount is not looked at; the pinned frame lives on, unmapped."""
    a, _b = rig.merged()
    c = rig.process(content=7)
    rig.drain()
    c.mprotect(False)
    pinned = c.pin()
    rig.scan_passes(1)
    assert c.frame() == a.frame()
    assert rig.count(pinned) == 1
    assert rig.mapcount(pinned) == 0


def test_a_pair_with_a_pinned_read_only_half_merges(rig):
    """R-MERGE-4, X-12: in the two-page merge as well."""
    a, b = rig.processes(2, content=7)
    rig.drain()
    a.mprotect(False)
    a.pin()
    rig.scan_passes(2)
    assert a.frame() == b.frame()
    assert rig.counters() == (1, 1, 0, 0)


def test_a_writable_page_in_the_swap_cache_is_counted_with_its_cache(rig):
    """R-MERGE-4: a shared page mapped read-only from the swap cache, then a private one; both merge."""
    a, b = rig.processes(2, content=7)
    rig.scan_passes(1)
    rig.unmap_to_swap()
    a.read()
    b.read()
    assert rig.has(a.frame(), t.PG_SWAPCACHE)
    rig.scan_passes(1)
    assert a.frame() == b.frame()


def test_a_writable_swapcache_page_can_be_protected(rig):
    """R-MERGE-4: the swap cache's reference is allowed for: mapcount 1 and count 3 (pte, cache, ksmd's look) pass."""
    a, _b = rig.merged()
    c = rig.process(content=7)
    rig.deactivate()
    a.read()
    rig.shrink()
    c.read()
    frame = c.frame()
    assert rig.has(frame, t.PG_SWAPCACHE)
    assert a.frame() != t.NONE
    rig.m.pte_flags[c.pte()] |= t.PTE_WRITE  # as after a reuse under writeback (INV-13)
    rig.scan_passes(1)
    assert c.frame() == a.frame()
    assert rig.mapcount(frame) == 0
    assert rig.has(frame, t.PG_SWAPCACHE)


def test_a_page_at_another_place_of_its_anon_vma_cannot_be_protected(rig, ksm):
    """R-MERGE-4: the page's linear address in this area must be the address that maps it; the dirty bit stays."""
    a, other = rig.process(pages=2, content=[7, 8]), rig.process(content=9)
    rig.drain()
    vma, page = a.vma(), a.pin(0)
    assert ksm._write_protect_page(rig.m, other.vma(), page) == t.NONE
    for distance in (1, 100, -101):
        rig.m.frame.index[page] += distance
        expected = a.pte(0) if distance < 0 else t.NONE
        assert ksm._write_protect_page(rig.m, vma, page) == expected
    assert not a.is_writable(0)
    assert a.is_dirty(0)


def test_replacing_a_page(rig):
    """R-MERGE-5: K's counts rise, the pte is read-only, clean and young, the old page's counts fall, rss stays."""
    a, _b = rig.merged()
    c = rig.process(content=7)
    child = c.forked()
    rig.drain()
    page, old, rss = a.frame(), c.frame(), rig.rss(c.mm)
    counts = rig.mapcount(page), rig.count(page), rig.mapcount(old), rig.count(old)
    rig.make_all_old()
    rig.scan_pages(3)
    assert c.frame() == page
    assert child.frame() == old
    after = rig.mapcount(page), rig.count(page), rig.mapcount(old), rig.count(old)
    assert [new - was for new, was in zip(after, counts, strict=True)] == [1, 1, -1, -1]
    assert c.flags() == t.PTE_PRESENT | t.PTE_YOUNG
    assert rig.rss(c.mm) == rss


def test_a_pte_that_has_become_read_only_stays_so_after_a_refused_merge(rig):
    """R-MERGE-5: a pte of an area without VM_WRITE is merged read-only too, and reads back."""
    a, _b = rig.merged()
    c = rig.process(content=7)
    c.mprotect(False)
    rig.scan_passes(1)
    assert c.frame() == a.frame()
    assert c.read() == [7]
    assert not c.is_writable()


# -- R-MERGE-6, R-MERGE-7 -------------------------------------------------------------------------------------


def test_a_source_in_the_swap_cache_stays_there(rig):
    """R-MERGE-6: unmapped, on the LRU, holding its slot; reclaim frees it later without a write."""
    a, b = rig.processes(2, content=7)
    rig.scan_passes(1)
    rig.unmap_to_swap()
    a.read()
    b.read()
    sources = [a.frame(), b.frame()]
    slots = [int(rig.m.frame.private[frame]) for frame in sources]
    rig.scan_passes(1)
    rig.drain()
    assert rig.counters() == (1, 1, 0, 0)
    assert a.frame() == b.frame()
    assert a.frame() not in sources
    for frame, slot in zip(sources, slots, strict=True):
        assert rig.mapcount(frame) == 0
        assert rig.has(frame, t.PG_SWAPCACHE)
        assert rig.has(frame, t.PG_LRU)
        assert rig.refs(slot) == (0, True)
    out = int(rig.sc[t.PSWPOUT])
    rig.deactivate()
    rig.shrink()
    rig.shrink()
    assert [rig.count(frame) for frame in sources] == [0, 0]
    assert int(rig.sc[t.PSWPOUT]) == out


def test_merging_in_a_locked_area_moves_the_lock(machine):
    """R-MERGE-7: K becomes mlocked and unevictable at once, though it was only just queued; NR_MLOCK stays right."""
    rig = machine(drained=False)
    a, b = rig.processes(2, content=7, flags=LOCKED)
    old = [a.frame(), b.frame()]
    assert int(rig.sc[t.NR_MLOCK]) == 2
    rig.scan_passes(2)
    page = a.frame()
    assert page == b.frame()
    assert rig.state(page) == "[KadIUm,mc2,rc3,node]"
    assert page in rig.lru(t.LRU_UNEVICTABLE)
    assert int(rig.sc[t.NR_MLOCK]) == 1
    rig.drain()
    assert [rig.count(frame) for frame in old] == [0, 0]


def test_the_lock_moves_when_joining_an_unlocked_ksm_page(rig):
    """R-MERGE-7: a locked area's page joins a KSM page of unlocked areas, which is locked from then on."""
    a, b = rig.merged()
    assert not rig.has(a.frame(), t.PG_MLOCKED)
    rig.process(content=7, flags=LOCKED)
    rig.scan_passes(1)
    rig.drain()
    assert a.state() == "[KadIUm,mc3,rc4,node]"
    assert b.frame() == a.frame()
    assert int(rig.sc[t.NR_MLOCK]) == 1


def test_the_old_page_of_a_locked_area_is_unlocked(rig):
    """R-MERGE-7: also when it lives on, pinned and unmapped."""
    rig.merged()
    c = rig.process(content=7, flags=LOCKED)
    c.mprotect(False)
    old = c.pin()
    assert rig.has(old, t.PG_MLOCKED)
    rig.scan_passes(1)
    assert c.is_ksm()
    assert not rig.has(old, t.PG_MLOCKED)
    assert int(rig.sc[t.NR_MLOCK]) == 1


def test_kernels_without_the_transfer(machine):
    """R-MERGE-7, the switch mlock_transfer: the KSM page of two locked areas is not locked."""
    rig = machine(switches={"mlock_transfer": False})
    a, _b = rig.processes(2, content=7, flags=LOCKED)
    rig.scan_passes(2)
    assert a.is_ksm()
    assert not rig.has(a.frame(), t.PG_MLOCKED)


def test_a_locked_merge_drains_the_batches(machine):
    """R-MERGE-7, R-OBJ-15: what else sat in the batch reaches its list too; an unlocked merge leaves it there."""
    rig = machine(drained=False)
    a, b = rig.processes(2, content=7)
    rig.drain()
    bystander = rig.process(content=99, mergeable=False)
    rig.scan_passes(2)
    assert a.frame() == b.frame()
    assert bystander.frame() in rig.batch(t.LRU_ACTIVE_ANON)
    c = rig.process(content=7, flags=LOCKED)
    again = rig.process(content=98, mergeable=False)
    assert again.frame() in rig.batch(t.LRU_ACTIVE_ANON)
    rig.scan_passes(1)
    assert c.is_ksm()
    assert rig.batch(t.LRU_ACTIVE_ANON) == []
