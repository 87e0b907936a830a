"""The answers that a policy may give at swap-in, on the machine itself: COPY, REMERGE, SHARE, DEFER.

They are not the kernel's: no rule describes them. What is tested is that each does what it says and that the machine
stays sound: every operation is followed by all invariants.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ksmlab_core.mm import mm_types as t

ACCESS_OOM, ACCESS_SIGBUS = 4, 5
READ, WRITE = pytest.param(None, id="read"), pytest.param(9, id="write")
HOW = pytest.mark.parametrize("content", [READ, WRITE])


def answer(area: Any, decision: str, content: int | None = None, page: int = 0) -> int:
    """Access a swapped-out page, a policy having decided about it; doors.ACCESS_*."""
    from ksmlab_core.mm import memory

    rig = area.rig
    assert area.slot(page) != t.NONE
    if decision == "DEFER":
        rig.machine.state.reserve_queue()
    rig.sc[t.DECIDED_PTE] = area.pte(page)
    rig.sc[t.DECISION] = getattr(memory, "SWAPIN_" + decision)
    contents = np.array([-1 if content is None else content], np.int64)
    _i, reason = rig.machine.access(area.ptes(page), contents)
    if reason == 0:
        rig.checker.written(area.ptes(page), contents)
    rig.check()
    assert rig.sc[t.DECIDED_PTE] == t.NONE  # used once
    return int(reason)


def read(area: Any, page: int = 0) -> int:
    """A page's content, nothing being faulted in."""
    return int(area.rig.machine.contents_of(area.ptes(page))[0])


def evict(rig: Any, *areas: Any) -> None:
    """Send the areas' pages to disk and out of memory, whatever ksmd has to say."""
    for area in areas:
        frames = rig.machine.frames_of(area.ptes())
        rig.drain()
        rig.evict(np.unique(frames[frames > 0]).astype(np.int32))


def on_disk(rig: Any, content: int = 7, **kwargs: Any) -> Any:
    """A process whose page is on disk and not cached."""
    area = rig.process(1, content, **kwargs)
    evict(rig, area)
    assert area.slot() != t.NONE
    assert rig.sc[t.NR_SWAPCACHE] == 0
    return area


def pair_on_disk(rig: Any) -> tuple[Any, Any]:
    """Two processes whose swap ptes name one slot; nothing is cached, no node is left."""
    a, b = rig.merged()
    rig.unmap_to_swap()
    rig.scan_passes(1)
    rig.shrink(), rig.shrink()
    assert rig.refs(1) == (2, False)
    return a, b


# -- COPY ---------------------------------------------------------------------------------------------------------


@HOW
def test_copy_from_disk(rig: Any, content: int | None) -> None:
    """COPY: a private page, writable at once for a writer; the page that was read stays cached under its slot."""
    a, b = pair_on_disk(rig)
    assert answer(a, "COPY", content) == 0
    assert read(a) == (content or 7)
    assert a.is_writable() is (content is not None)
    assert not rig.has(a.frame(), t.PG_SWAPCACHE)
    assert rig.refs(1) == (1, True)
    assert rig.sc[t.SWAPIN_COPIES] == 1
    # Nobody has mapped the page that was read, so the next one can have it as it is.
    assert b.read() == [7]
    assert rig.sc[t.SWAPIN_COPIES] == 1


@HOW
def test_copy_of_a_cached_ksm_page(rig: Any, content: int | None) -> None:
    """COPY where the kernel would map K again (case e1): K stays unmapped, node and items as they were."""
    a, b = rig.merged()
    frame = a.frame()
    rig.unmap_to_swap()
    assert answer(a, "COPY", content) == 0
    assert a.frame() != frame
    assert not a.is_ksm()
    assert rig.state(frame) == "[KasdI,mc0,rc2,node]"
    assert b.read() == [7]
    rig.scan_passes(2)
    assert read(a) == (content or 7)


def test_copy_of_a_page_that_a_relative_maps(rig: Any) -> None:
    """COPY where the kernel would share (case c)."""
    parent = rig.process(1, 5)
    child = parent.forked()
    rig.unmap_to_swap()
    parent.read()
    assert answer(child, "COPY") == 0
    assert child.frame() != parent.frame()
    assert rig.refs(1) == (0, True)


def test_copy_without_a_frame(rig: Any) -> None:
    """COPY and no frame for it: OOM, nothing changed; the decision is used up."""
    a, _b = pair_on_disk(rig)
    rig.fail("alloc_page", 2)
    assert answer(a, "COPY") == ACCESS_OOM
    assert rig.refs(1) == (2, True)
    assert a.read() == [7]


# -- REMERGE ------------------------------------------------------------------------------------------------------


@HOW
def test_remerge_maps_the_twin(rig: Any, content: int | None) -> None:
    """REMERGE: the KSM page of equal content takes the pte, its node the item; slot and page read are given up."""
    c, d = rig.merged()
    a = on_disk(rig)
    frame = c.frame()
    assert answer(a, "REMERGE", content) == 0
    assert rig.sc[t.SWAPIN_REMERGES] == 1
    assert rig.counters() == (1, 2, 0, 0)
    assert a.item_state() == t.ITEM_STABLE
    assert rig.sc[t.SWAP_INUSE] == 0
    if content is None:
        assert a.frame() == frame
        assert not a.is_writable()
        assert rig.mapcount(frame) == 3
        rig.unmap_to_swap()
        assert a.slot() == c.slot() == d.slot()  # reclaim finds all three through their items
    else:
        assert a.frame() != frame
        assert a.is_writable()
        assert rig.mapcount(frame) == 2
    rig.scan_passes(1)
    assert read(a) == (content or 7)


def test_remerge_without_a_twin_is_what_the_kernel_does(rig: Any) -> None:
    """REMERGE: no node of equal content: the page is mapped as it is."""
    a = on_disk(rig)
    assert answer(a, "REMERGE") == 0
    assert rig.sc[t.SWAPIN_REMERGES] == 0
    assert not a.is_ksm()


def test_remerge_of_the_cached_ksm_page_itself(rig: Any) -> None:
    """REMERGE: the cached page is the twin, the item is on its node already (case e1): mapped, listed once."""
    a, b = rig.merged()
    frame = a.frame()
    rig.unmap_to_swap()
    assert answer(a, "REMERGE") == 0
    assert a.frame() == frame
    assert rig.counters() == (1, 1, 0, 0)
    assert rig.refs(b.slot()) == (1, True)
    assert rig.state(frame) in ("[KasdI,mc1,rc3,node]",)


def test_remerge_with_the_item_on_that_node_already(rig: Any) -> None:
    """REMERGE: a wrote the same bytes (its item stays on the node) and was evicted: listed once, as before."""
    a, b = rig.merged()
    a.touch()
    evict(rig, a)
    assert a.item_state() == t.ITEM_STABLE
    items = rig.node_items(b.node())
    assert answer(a, "REMERGE") == 0
    assert a.frame() == b.frame()
    assert rig.node_items(b.node()) == items
    assert rig.counters() == (1, 1, 0, 0)


def test_remerge_of_the_last_item_of_its_own_node(rig: Any) -> None:
    """REMERGE: the one item of the node, K unmapped and a's equal page on disk: the node must not vanish under it."""
    a, b = rig.merged()
    frame = a.frame()
    b.munmap()
    rig.scan_passes(1)
    a.touch()
    evict(rig, a)
    assert rig.counters() == (1, 0, 0, 0)
    assert answer(a, "REMERGE") == 0
    assert a.frame() == frame
    assert rig.counters() == (1, 0, 0, 0)


def test_remerge_takes_the_last_item_from_another_node(rig: Any) -> None:
    """REMERGE: the stale item was the last of node 7: that node goes (its page is free), the item joins node 8."""
    a, b = rig.processes(2, content=7)
    c, _d = rig.processes(2, content=8)
    rig.scan_passes(2)
    seven = a.frame()
    b.munmap()
    rig.scan_passes(1)
    a.write(8)
    evict(rig, a)
    assert rig.counters() == (2, 1, 0, 0)
    assert answer(a, "REMERGE") == 0
    assert a.frame() == c.frame()
    assert rig.counters() == (1, 2, 0, 0)
    assert rig.count(seven) == 0


def test_remerge_takes_an_item_from_the_unstable_tree(rig: Any) -> None:
    """REMERGE in the middle of a pass: an item that waits in the unstable tree leaves it for the node."""
    rig.merged()
    a = rig.process(1, 9)
    rig.scan_passes(1)
    rig.scan_pages(3)  # the two sharers, then a: its checksum is known, it enters the unstable tree
    assert a.item_state() == t.ITEM_UNSTABLE
    a.write(7)
    evict(rig, a)
    assert answer(a, "REMERGE") == 0
    assert a.item_state() == t.ITEM_STABLE
    assert rig.counters() == (1, 2, 0, 0)
    assert rig.sc[t.ROOT_UNSTABLE] == t.NONE
    rig.scan_passes(1)
    assert rig.counters() == (1, 2, 0, 0)


@pytest.mark.parametrize("page", [0, 1, 2, 4])
def test_remerge_in_front_of_the_cursor_and_behind_it(rig: Any, page: int) -> None:
    """REMERGE in the middle of a pass, where there is no item yet: made in its place in the process's list."""
    rig.merged()
    area = rig.process(5, [20 + i if i != page else 7 for i in range(5)])
    rig.drain()
    rig.evict(rig.machine.frames_of(area.ptes(page)))
    rig.scan_pages(2 + 2)  # the two sharers and two of the four pages that are present
    assert answer(area, "REMERGE", page=page) == 0
    assert area.item_state(page) == t.ITEM_STABLE
    rig.scan_pages(1)
    rig.scan_passes(1)
    assert [area.is_ksm(i) for i in range(5)] == [i == page for i in range(5)]
    assert rig.counters()[:2] == (1, 2)
    assert len(rig.items(area.mm)) == 5


def test_remerge_just_behind_a_cursor_that_could_not_go_on(rig: Any) -> None:
    """REMERGE at an address that ksmd has skipped, while it waits for an item of a later one: the new item stays."""
    rig.merged()
    area = rig.process(3, [20, 7, 21])
    rig.drain()
    rig.evict(rig.machine.frames_of(area.ptes(1)))
    rig.scan_pages(3)  # the two sharers and page 0
    rig.fail("rmap_item", 1)
    rig.ksmd(1)  # page 2
    assert answer(area, "REMERGE", page=1) == 0
    rig.scan_pages(1)
    assert [area.item(i) != t.NONE for i in range(3)] == [True, True, True]
    assert area.item_state(1) == t.ITEM_STABLE
    assert rig.counters()[:2] == (1, 2)


def test_remerge_beside_a_relative_that_maps_the_page_read(rig: Any) -> None:
    """REMERGE: the page in the swap cache is mapped by somebody else: only its slot's count falls."""
    c, _d = rig.merged()
    parent = rig.process(1, 7)
    child = parent.forked()
    evict(rig, parent)
    parent.read()
    assert answer(child, "REMERGE") == 0
    assert child.frame() == c.frame() != parent.frame()
    assert rig.refs(1) == (0, True)
    assert rig.mapcount(parent.frame()) == 1


def test_remerge_without_an_item_leaves_the_pte_unlisted(rig: Any) -> None:
    """REMERGE and no item to be had: mapped like a fork child; ksmd lists it at its next visit."""
    c, _d = rig.merged()
    a = on_disk(rig)
    rig.fail("rmap_item", 1)
    assert answer(a, "REMERGE") == 0
    assert a.frame() == c.frame()
    assert rig.counters() == (1, 1, 0, 0)
    rig.scan_passes(1)
    assert rig.counters() == (1, 2, 0, 0)


def test_remerge_write_without_a_frame_for_the_copy(rig: Any) -> None:
    """REMERGE for a writer, then no frame for the COW: OOM, but the twin stays mapped read-only."""
    c, _d = rig.merged()
    a = on_disk(rig)
    rig.fail("alloc_page", 2)
    assert answer(a, "REMERGE", 9) == ACCESS_OOM
    assert a.frame() == c.frame()
    a.write(9)
    assert c.read() == [7]


@pytest.mark.parametrize("decision", ["REMERGE", "SHARE"])
def test_page_that_could_not_be_read_is_not_shared(rig: Any, decision: str) -> None:
    """R-SWAPIN-8: after a read error nobody knows the bytes: SIGBUS, no KSM page is mapped, none is made."""
    rig.merged(content=7 if decision == "REMERGE" else 8)
    a = on_disk(rig)
    before = rig.counters()
    rig.fail("swap_read", 1)
    assert answer(a, decision) == ACCESS_SIGBUS
    assert a.slot() != t.NONE
    assert rig.counters() == before
    assert not rig.is_ksm(int(rig.m.slot.frame[a.slot()]))


# -- SHARE --------------------------------------------------------------------------------------------------------


@HOW
def test_share_makes_the_page_read_a_ksm_page(rig: Any, content: int | None) -> None:
    """SHARE: a node for the page just read, the reader's item on it; the next sharer maps it as it is (case e1)."""
    a, b = pair_on_disk(rig)
    assert answer(a, "SHARE", content) == 0
    assert rig.sc[t.SWAPIN_SHARED] == 1
    assert rig.counters() == (1, 0, 0, 0)
    shared = int(rig.m.slot.frame[1])
    assert rig.is_ksm(shared)
    assert a.is_ksm() is (content is None)
    assert b.read() == [7]
    assert b.frame() == shared
    assert rig.sc[t.SWAPIN_COPIES] == 0
    rig.scan_passes(1)
    # A writer's item leaves the node as its last, before b is reached: b's page is broken, as any orphan.
    assert rig.counters() == ((1, 1, 0, 0) if content is None else (0, 0, 0, 2))
    assert (read(a), read(b)) == (content or 7, 7)


def test_share_where_a_twin_exists_already(rig: Any) -> None:
    """SHARE: the stable tree holds the content: no second node; the page is mapped as the kernel would."""
    c, _d = rig.merged()
    a = on_disk(rig)
    assert answer(a, "SHARE") == 0
    assert rig.sc[t.SWAPIN_SHARED] == 0
    assert not a.is_ksm()
    assert a.frame() != c.frame()


@pytest.mark.parametrize("mapped", [True, False])
def test_share_of_a_page_that_somebody_has_mapped(rig: Any, mapped: bool) -> None:
    """SHARE: the cached page belongs to a's anon_vma, mapped or not: it cannot become a KSM page any more; b copies."""
    a, b = pair_on_disk(rig)
    a.read()
    if not mapped:
        a.write(9)
    assert answer(b, "SHARE") == 0
    assert rig.sc[t.SWAPIN_SHARED] == 0
    assert rig.sc[t.SWAPIN_COPIES] == 1


def test_share_in_an_area_that_is_not_mergeable(rig: Any) -> None:
    """SHARE: ksmd must be able to visit the reader."""
    a = on_disk(rig, mergeable=False)
    assert answer(a, "SHARE") == 0
    assert not a.is_ksm()


@pytest.mark.parametrize("missing", ["stable_node", "rmap_item"])
def test_share_without_the_records_for_it(rig: Any, missing: str) -> None:
    """SHARE and no node, or no item, to be had: the page is mapped as it is, and no node is without an item."""
    a, b = pair_on_disk(rig)
    rig.fail(missing, 1)
    assert answer(a, "SHARE") == 0
    assert not a.is_ksm()
    assert rig.nodes() == []
    assert (a.read(), b.read()) == ([7], [7])


def test_share_takes_the_last_item_from_another_node(rig: Any) -> None:
    """SHARE: the reader's stale item was the last of a node of other content: that node goes."""
    a, b = rig.merged()
    seven = a.frame()
    b.munmap()
    rig.scan_passes(1)
    a.write(8)
    evict(rig, a)
    assert answer(a, "SHARE") == 0
    assert rig.counters() == (1, 0, 0, 0)
    assert rig.count(seven) == 0
    assert a.is_ksm()


# -- DEFER --------------------------------------------------------------------------------------------------------


@HOW
def test_defer_copies_and_puts_the_address_first(rig: Any, content: int | None) -> None:
    """DEFER: a copy now; ksmd's very next page is this one, and it joins an existing node at once."""
    c, _d = rig.merged()
    rig.process(20, range(100, 120))
    a = on_disk(rig)
    assert answer(a, "DEFER", content) == 0
    assert (rig.sc[t.SWAPIN_DEFERRED], rig.sc[t.KSM_QUEUE]) == (1, 1)
    assert a.frame() != c.frame()
    scanned = int(rig.sc[t.KSM_PAGES_SCANNED])
    rig.ksmd(1)
    assert rig.sc[t.KSM_PAGES_SCANNED] == scanned + 1
    assert rig.sc[t.KSM_QUEUE] == 0
    assert (a.frame() == c.frame()) is (content is None)
    assert read(a) == (content or 7)


@pytest.mark.parametrize("how", ["munmap", "exit", "dontneed", "unmergeable", "evicted"])
def test_deferred_address_may_be_gone_when_ksmd_comes(rig: Any, how: str) -> None:
    """DEFER: what waits in the queue is looked up when its turn comes: gone, it costs nothing."""
    rig.merged()
    a = on_disk(rig)
    answer(a, "DEFER")
    if how == "evicted":
        evict(rig, a)
    else:
        getattr(a, how)()
    scanned = int(rig.sc[t.KSM_PAGES_SCANNED])
    rig.ksmd(1)
    assert rig.sc[t.KSM_QUEUE] == 0
    assert rig.sc[t.KSM_PAGES_SCANNED] == scanned + 1  # the cursor's page


def test_queue_is_served_in_order(rig: Any) -> None:
    """DEFER: first in, first out."""
    areas = [on_disk(rig, content) for content in (20, 21)]
    for area in areas:
        answer(area, "DEFER")
    rig.ksmd(1)
    assert areas[0].item() != t.NONE
    assert areas[1].item() == t.NONE


def test_queue_grows_and_keeps_its_order(rig: Any) -> None:
    """DEFER: however many wait, none is forgotten; an address that waits twice keeps its first place."""
    queue = rig.machine.state.reserve_queue
    size = len(rig.m.queue)
    rig.sc[t.KSM_QUEUE_HEAD] = head = size - 3  # the ring goes over its end
    wanted = []
    for p in [*range(1000, 1000 + size), 1005, *range(2000, 2000 + size), 1000, 3000]:
        queue()
        ring = rig.m.queue
        ring[(rig.sc[t.KSM_QUEUE_HEAD] + rig.sc[t.KSM_QUEUE]) % len(ring)] = p
        rig.sc[t.KSM_QUEUE] += 1
        wanted.append(p)
    ring, head, n = rig.m.queue, int(rig.sc[t.KSM_QUEUE_HEAD]), int(rig.sc[t.KSM_QUEUE])
    got = [int(p) for p in np.roll(ring, -head)[:n]]
    assert rig.sc[t.QUEUE_SIZE] == len(ring) >= n
    assert list(dict.fromkeys(got)) == list(dict.fromkeys(wanted))
    rig.sc[t.KSM_QUEUE] = 0


def test_answers_one_after_the_other(rig: Any) -> None:
    """All four on the sharers of one evicted page, then two passes: everything is one KSM page again."""
    areas = rig.merged(4)
    rig.unmap_to_swap()
    rig.scan_passes(1)
    rig.shrink(), rig.shrink()
    for area, decision in zip(areas, ("SHARE", "COPY", "REMERGE", "DEFER"), strict=True):
        assert answer(area, decision) == 0
        assert read(area) == 7
    rig.scan_passes(2)
    assert len({area.frame() for area in areas}) == 1
    assert rig.counters() == (1, 3, 0, 0)
