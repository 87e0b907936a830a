"""What ksmd does with pages that came back from swap (R-REMERGE-1, R-REMERGE-2, X-6, X-8)."""

from __future__ import annotations

from typing import Any

from ksmlab_core.mm import mm_types as t


def evict_ksm(rig: Any) -> None:
    """Reclaim and one pass: KSM pages whose sharers are all swapped out are written and freed."""
    rig.unmap_to_swap()
    rig.scan_passes(1)
    rig.shrink(), rig.shrink()


# -- R-REMERGE-1 --------------------------------------------------------------------------------------------------


def test_pages_without_a_node_need_two_passes(rig: Any) -> None:
    """R-REMERGE-1: cases a and b left two ordinary pages: checksums in pass 1, merged in pass 2."""
    a, b = rig.merged()
    evict_ksm(rig)
    a.read(), b.read()
    assert rig.counters() == (0, 0, 0, 0)
    rig.scan_passes(1)
    assert rig.counters() == (0, 0, 0, 2)
    rig.scan_passes(1)
    assert rig.counters() == (1, 1, 0, 0)
    assert a.frame() == b.frame()


def test_copy_from_swap_rejoins_in_the_same_pass(rig: Any) -> None:
    """R-REMERGE-1: two processes hold 7 on K, a third's 7 comes from disk as an ordinary page: one pass."""
    a, b, c = rig.processes(3, content=7)
    c.unmergeable()
    rig.scan_passes(2)
    rig.evict(rig.machine.frames_of(c.ptes()))
    assert c.slot() != t.NONE
    c.mergeable()
    c.read()
    assert c.frame() != a.frame()
    rig.scan_passes(1)
    assert c.frame() == a.frame() == b.frame()
    assert rig.counters() == (1, 2, 0, 0)


# -- R-REMERGE-2 --------------------------------------------------------------------------------------------------


def test_stable_item_of_a_page_that_is_ksm_no_longer_leaves_its_node(rig: Any) -> None:
    """R-REMERGE-2: swapped out, back and written between two visits: sharing -1, and volatile by its checksum."""
    a, b = rig.merged()
    rig.unmap_to_swap()
    a.write(9)
    assert a.item_state() == t.ITEM_STABLE
    b.read()
    rig.scan_passes(1)
    assert rig.counters() == (1, 0, 0, 1)
    assert a.item_state() == t.ITEM_NONE


def test_last_stable_item_takes_its_node_along(rig: Any) -> None:
    """R-REMERGE-2: shared -1 when it was the node's last."""
    a, b = rig.merged()
    b.munmap()
    rig.scan_passes(1)
    assert rig.counters() == (1, 0, 0, 0)
    a.write(9)
    rig.scan_passes(1)
    assert rig.counters() == (0, 0, 0, 1)
    assert rig.nodes() == []


def test_old_checksum_lets_unchanged_content_go_on_at_once(rig: Any) -> None:
    """R-REMERGE-2: the node's last item, its page copied without a change: the old checksum still fits.

    So it enters the unstable tree in the same pass, and an equal page that is as well known merges with it.
    """
    a, b = rig.merged()
    b.munmap()
    rig.scan_passes(1)
    a.touch()
    assert not a.is_ksm()
    rig.scan_passes(1)
    assert rig.counters() == (0, 0, 1, 0)


# -- X-6, X-8 -----------------------------------------------------------------------------------------------------


def test_merging_cached_pages_takes_a_fresh_frame_and_leaves_them_in_the_cache(rig: Any) -> None:
    """X-6 (R-MERGE-6): both sources are in the swap cache: K is neither of them; they stay, unmapped, 0+C."""
    a, b = rig.merged()
    evict_ksm(rig)
    a.read(), b.read()
    source, slot = a.frame(), 1
    rig.scan_passes(2)
    assert rig.counters() == (1, 1, 0, 0)
    assert a.frame() not in (source, t.NONE)
    assert not rig.has(a.frame(), t.PG_SWAPCACHE)
    assert rig.state(source) == "[asI,mc0,rc1]"
    assert rig.refs(slot) == (0, True)


def test_reclaim_writes_the_fresh_ksm_page_to_a_new_slot(rig: Any) -> None:
    """X-6: later K gets a slot of its own and is written; the leftover is freed with its old slot."""
    a, b = rig.merged()
    evict_ksm(rig)
    a.read(), b.read()
    rig.scan_passes(2)
    written = int(rig.sc[t.PSWPOUT])
    evict_ksm(rig)
    assert rig.sc[t.PSWPOUT] == written + 1
    assert a.slot() == b.slot() != 1
    assert rig.refs(1) == (0, False)


def test_equal_page_cannot_join_an_orphan(rig: Any) -> None:
    """X-8: the node is gone, the cached K is an orphan that nobody can join: a new equal page stays unshared."""
    a, b = rig.merged()
    orphan = a.frame()
    rig.unmap_to_swap()
    rig.scan_passes(1)
    assert rig.is_orphan(orphan)
    c = rig.process(1, 7)
    rig.scan_passes(2)
    assert rig.counters() == (0, 0, 1, 0)
    assert c.frame() != orphan
    assert not c.is_ksm()
    assert a.slot() == b.slot() != t.NONE
