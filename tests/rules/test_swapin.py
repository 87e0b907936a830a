"""Bringing a page back from swap (R-SWAPIN-1 to R-SWAPIN-11)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ksmlab_core.mm import mm_types as t

MAJOR, WRITE, OOM, SIGBUS = 1, 2, 4, 8
ACCESS_OOM, ACCESS_SIGBUS = 4, 5


def fault(area: Any, page: int = 0, write: bool = False) -> int:
    """One page fault, as the hardware raises it; VM_FAULT_*."""
    from ksmlab_core.mm import doors

    result = area.rig.machine._call(doors.FAULT, area.pte(page), int(write))
    area.rig.check()
    return int(result)


def access(area: Any, content: int = -1, page: int = 0) -> int:
    """One access without anybody making room or asking again; doors.ACCESS_*."""
    _i, reason = area.rig.access(area.ptes(page), np.array([content], np.int64))
    return int(reason)


def on_disk(rig: Any, pages: int = 1, **kwargs: Any) -> Any:
    """A process whose pages are in slots 1, 2, ... and nowhere else."""
    area = rig.process(pages, range(100, 100 + pages), **kwargs)
    for _ in range(2):
        rig.unmap_to_swap()
    assert [area.slot(i) for i in range(pages)] == list(range(1, pages + 1))
    assert rig.sc[t.NR_SWAPCACHE] == 0
    return area


def pair_on_disk(rig: Any, **kwargs: Any) -> tuple[Any, Any]:
    """Two processes whose swap ptes name one slot that once held a KSM page; nothing is cached."""
    a, b = rig.processes(2, content=7, **kwargs)
    rig.scan_passes(2)
    rig.unmap_to_swap()
    rig.scan_passes(1)
    rig.shrink(), rig.shrink()
    assert rig.refs(a.slot()) == rig.refs(b.slot()) == (2, False)
    return a, b


def cached_slots(rig: Any) -> list[int]:
    """Slots with a page in the swap cache."""
    return [int(e) for e in np.flatnonzero(rig.m.slot.frame != t.NONE)]


# -- R-SWAPIN-1: lookup and readahead -----------------------------------------------------------------------------


def test_cache_hit_is_a_minor_fault(rig: Any) -> None:
    """R-SWAPIN-1: the page is in the swap cache: no I/O, the same frame."""
    area = rig.process(1, 5)
    frame = area.frame()
    rig.unmap_to_swap()
    assert fault(area) == 0
    assert area.frame() == frame
    assert (rig.sc[t.PSWPIN], rig.sc[t.PGMAJFAULT]) == (0, 0)


def test_miss_is_a_major_fault(rig: Any) -> None:
    """R-SWAPIN-1: read from the slot, PGMAJFAULT +1, PSWPIN +1."""
    area = on_disk(rig)
    assert fault(area) == MAJOR
    assert area.read() == [100]
    assert (rig.sc[t.PSWPIN], rig.sc[t.PGMAJFAULT], rig.sc[t.PGFAULT]) == (1, 1, 2)


@pytest.mark.parametrize(
    ("slot", "window"),
    [
        (1, range(1, 8)),
        (7, range(1, 8)),
        (8, range(8, 16)),
        (10, range(8, 16)),
        (15, range(8, 16)),
        (17, range(16, 21)),
    ],
)
def test_readahead_reads_the_aligned_window_of_eight(rig: Any, slot: int, window: range) -> None:
    """R-SWAPIN-1: slots 8n to 8n+7 around the target, without slot 0 and without slots that are not in use."""
    area = on_disk(rig, 20)
    area.read(slot - 1)
    assert cached_slots(rig) == list(window)
    assert rig.sc[t.PSWPIN] == len(window)


@pytest.mark.parametrize(
    ("gaps", "window"),
    [
        ((12,), [8, 9, 10, 11]),
        ((9,), [10, 11, 12, 13, 14, 15]),
        ((9, 12), [10, 11]),
        ((9, 11), [10]),
        ((11,), [8, 9, 10]),
    ],
)
def test_readahead_stops_at_a_free_slot(rig: Any, gaps: tuple[int, ...], window: list[int]) -> None:
    """R-SWAPIN-1: only the contiguous run of slots in use around the target."""
    area = on_disk(rig, 20)
    for slot in gaps:
        area.munmap(range(slot - 1, slot))
    area.read(9)
    assert cached_slots(rig) == window


def test_readahead_window_ends_with_the_swap_space(machine: Any) -> None:
    """R-SWAPIN-1: the last window is cut at the last slot."""
    rig = machine(slots=19)
    area = on_disk(rig, 19)
    area.read(16)
    assert rig.sc[t.PSWPIN] == 4
    assert cached_slots(rig) == [16, 18, 19]  # swap is full: slot 17 was freed as soon as its page was mapped


def test_readahead_passes_over_cached_slots_without_reading_them(rig: Any) -> None:
    """R-SWAPIN-1: a cached slot is in use: it does not end the window, and it is not read again."""
    area = on_disk(rig, 7)
    area.munmap(range(3, 4))
    area.read(2)  # slots 1 to 3
    assert rig.sc[t.PSWPIN] == 3
    rig.evict(rig.machine.frames_of(area.ptes(2)))
    assert cached_slots(rig) == [1, 2]
    area.read(2)
    assert cached_slots(rig) == [1, 2, 3]
    assert rig.sc[t.PSWPIN] == 4


def test_pages_read_ahead(rig: Any) -> None:
    """R-SWAPIN-1: swapbacked, clean, uptodate, no mapping, on the inactive list, held by the swap cache alone."""
    area = on_disk(rig, 3)
    area.read(1)
    ahead = int(rig.m.slot.frame[3])
    assert rig.state(ahead) == "[sI,mc0,rc1]"
    assert rig.has(ahead, t.PG_SWAPBACKED)
    assert rig.has(ahead, t.PG_UPTODATE)
    assert rig.m.frame.mapping[ahead] == t.NONE
    assert rig.refs(3) == (1, True)


def test_no_page_to_read_into_is_oom(rig: Any) -> None:
    """R-SWAPIN-1: no frame for the page: OOM, nothing changed, not counted as a major fault; later it works."""
    area = on_disk(rig)
    rig.fail("alloc_page", 1)
    assert access(area) == ACCESS_OOM
    assert area.slot() == 1
    assert rig.refs(1) == (1, False)
    assert rig.sc[t.PGMAJFAULT] == 0
    assert area.read() == [100]


def test_failing_readahead_does_not_fail_the_fault(rig: Any) -> None:
    """R-SWAPIN-1: readahead gives up at the first page it cannot have; the page itself is then tried again."""
    area = on_disk(rig, 8)
    rig.fail("alloc_page", 2)
    assert fault(area, 4) == MAJOR
    assert cached_slots(rig) == [1, 5]


# -- R-SWAPIN-2 ---------------------------------------------------------------------------------------------------


def test_swap_in_waits_for_the_page_lock(rig: Any) -> None:
    """R-SWAPIN-2: a contended page is waited for, not given up as reclaim does."""
    area = rig.process(1, 5)
    frame = area.frame()
    rig.unmap_to_swap()
    rig.lock_page(frame, True)
    assert fault(area) == 0
    assert area.frame() == frame


def test_page_is_uptodate_and_unlocked_when_its_read_is_over(rig: Any) -> None:
    """R-SWAPIN-2: the end of the I/O unlocks the page and sets uptodate."""
    area = on_disk(rig)
    area.read()
    assert rig.has(area.frame(), t.PG_UPTODATE)
    assert not rig.has(area.frame(), t.PG_LOCKED)


# -- R-SWAPIN-3, -4: the copy test --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mapping", "index", "copied"),
    [
        ("own", 0, False),
        ("own", 1, True),
        ("other", 0, True),
        ("other", 1, True),
        ("null", 0, False),
        ("null", 1, False),
    ],
)
def test_copy_test_compares_anon_vma_and_index(rig: Any, mapping: str, index: int, copied: bool) -> None:
    """R-SWAPIN-3: as it is iff the page has no anon_vma, or the fault's own at the fault's own linear index."""
    area, other = rig.process(1, 5), rig.process(1, 6)
    frame = area.frame()
    rig.unmap_to_swap()
    f = rig.m.frame
    f.index[frame] += index
    if mapping == "other":
        f.mapping[frame] = rig.m.vma.anon_vma[other.vma()]
    elif mapping == "null":
        f.mapping[frame] = t.NONE
        f.pg[frame] &= ~t.PAGE_MAPPING_FLAGS
    area.read()
    assert (area.frame() != frame) is copied
    assert rig.sc[t.SWAPIN_COPIES] == copied


def test_ksm_page_is_never_copied(rig: Any) -> None:
    """R-SWAPIN-3: a KSM page's anon_vma is NULL, whatever its index says: all sharers map it as it is."""
    a, b = rig.merged()
    frame = a.frame()
    rig.unmap_to_swap()
    rig.m.frame.index[frame] = 12345
    a.read(), b.read()
    assert a.frame() == b.frame() == frame
    assert rig.sc[t.SWAPIN_COPIES] == 0


@pytest.mark.parametrize("mergeable", [True, False])
def test_copy_test_does_not_ask_whether_the_area_is_mergeable(rig: Any, mergeable: bool) -> None:
    """R-SWAPIN-3: VM_MERGEABLE is not consulted (case f)."""
    a, b = pair_on_disk(rig)
    if not mergeable:
        a.unmergeable(), b.unmergeable()
    a.read(), b.read()
    assert a.frame() != b.frame()
    assert rig.sc[t.SWAPIN_COPIES] == 1


@pytest.mark.parametrize("mapped", [True, False])
def test_copy_test_does_not_ask_how_often_the_page_is_used(rig: Any, mapped: bool) -> None:
    """R-SWAPIN-3, R-SWAPIN-4: whether the first reader still maps the page makes no difference to the second."""
    a, b = pair_on_disk(rig)
    a.read()
    if not mapped:
        a.munmap()
    b.read()
    assert rig.sc[t.SWAPIN_COPIES] == 1


def test_unmapped_cached_page_is_still_its_last_owners(rig: Any) -> None:
    """R-SWAPIN-4: a wrote at once: the page read is unmapped but cached, with a's anon_vma: b copies it."""
    a, b = pair_on_disk(rig)
    a.write(9)
    rig.drain()
    left = int(rig.m.slot.frame[b.slot()])
    assert rig.state(left) == "[asI,mc0,rc1]"
    assert b.read() == [7]
    assert b.frame() != left
    assert rig.sc[t.SWAPIN_COPIES] == 1
    assert rig.sc[t.PGMAJFAULT] == 1


# -- R-SWAPIN-5 to -7: the copy -----------------------------------------------------------------------------------


def test_the_copy_is_a_new_private_page(rig: Any) -> None:
    """R-SWAPIN-5: dirty, uptodate, swapbacked, queued for the active list, not cached; the old page stays."""
    a, b = pair_on_disk(rig)
    a.read()
    rig.process(20, 99).exit()  # so that free frames hold other bytes
    before = a.state()
    assert b.read() == [7]
    rig.drain()
    assert b.state() == "[adA,mc1,rc1]"
    assert rig.has(b.frame(), t.PG_UPTODATE)
    assert rig.has(b.frame(), t.PG_SWAPBACKED)
    assert not b.is_dirty()
    assert a.state() == before == "[asI,mc1,rc2]"
    assert rig.refs(1) == (0, True)


def test_the_copy_for_a_locked_area_is_mlocked(rig: Any) -> None:
    """R-SWAPIN-5: in a VM_LOCKED area the copy is marked mlocked and goes to the unevictable list."""
    a, b = pair_on_disk(rig)
    a.read()
    rig.m.vma.vm_flags[b.vma()] |= t.VM_LOCKED
    b.read()
    assert b.state() == "[adIUm,mc1,rc1]"
    assert rig.lru(t.LRU_UNEVICTABLE) == [b.frame()]
    assert rig.sc[t.NR_MLOCK] == 1


@pytest.mark.parametrize("write", [False, True])
def test_no_frame_for_the_copy(rig: Any, write: bool) -> None:
    """R-SWAPIN-6: OOM; the old page is released, pte and swap count are as before; later it works."""
    a, b = pair_on_disk(rig)
    a.read()
    before = a.state()
    rig.fail("alloc_page", 1)
    assert fault(b, write=write) == OOM
    assert b.slot() == 1
    assert rig.refs(1) == (1, True)
    assert a.state() == before
    assert rig.sc[t.SWAPIN_COPIES] == 0
    assert b.read() == [7]


def test_oom_replaces_major(rig: Any) -> None:
    """R-SWAPIN-6: a page read from disk and copied by a policy's decision, the copy failing: OOM, not OOM and MAJOR."""
    area = on_disk(rig)
    decide(rig, area, "COPY")
    rig.fail("alloc_page", 2)
    assert fault(area) == OOM
    assert rig.refs(1) == (1, True)
    assert rig.sc[t.PGMAJFAULT] == 1


def test_second_half_of_a_write_fault_fails(rig: Any) -> None:
    """R-SWAPIN-9, R-SWAPIN-6: mapped read-only, then the COW finds no frame: OOM alone, the mapping stays."""
    a, b = pair_on_disk(rig)
    rig.fail("alloc_page", 2)
    assert fault(a, write=True) == OOM
    assert a.flags() == t.PTE_PRESENT | t.PTE_YOUNG
    assert rig.refs(b.slot()) == (1, True)
    assert rig.rss(a.mm) == 1
    a.write(9)
    assert (a.read(), b.read()) == ([9], [7])


def test_nothing_is_charged_to_a_memory_cgroup(rig: Any) -> None:
    """R-SWAPIN-7: copies and new KSM pages escape charging: here nobody is charged, a group is no limit."""
    a, b = pair_on_disk(rig)
    rig.limit_to_memcg([a.mm])
    assert fault(a) == MAJOR
    assert fault(b) == 0
    assert rig.sc[t.SWAPIN_COPIES] == 1


# -- R-SWAPIN-8: errors -------------------------------------------------------------------------------------------


def test_read_error_is_sigbus(rig: Any) -> None:
    """R-SWAPIN-8: the page is not uptodate: SIGBUS, pte and count unchanged; the page stays cached, and bad."""
    from ksmlab_core.mm.machine import BusError

    area = on_disk(rig)
    rig.fail("swap_read", 1)
    assert access(area) == ACCESS_SIGBUS
    assert area.slot() == 1
    assert rig.refs(1) == (1, True)
    assert rig.rss(area.mm) == 0
    assert not rig.has(int(rig.m.slot.frame[1]), t.PG_UPTODATE)
    assert access(area, content=9) == ACCESS_SIGBUS
    with pytest.raises(BusError):
        area.read()


def test_read_error_of_a_page_read_ahead_hits_its_owner_later(rig: Any) -> None:
    """R-SWAPIN-8: the second page of the window is bad: the fault for the first one is fine, the second's is not."""
    area = on_disk(rig, 3)
    rig.fail("swap_read", 2)
    assert access(area, page=0) == 0
    assert access(area, page=1) == ACCESS_SIGBUS
    assert access(area, page=2) == 0


def test_a_copy_hides_the_error(rig: Any) -> None:
    """R-SWAPIN-8, caveat of A: uptodate is not asked before copying, and the copy is uptodate."""
    a, b = pair_on_disk(rig)
    a.read()
    rig.m.frame.pg[a.frame()] &= ~t.PG_UPTODATE
    assert fault(b) == 0
    assert rig.has(b.frame(), t.PG_UPTODATE)


def test_a_copy_by_a_policys_decision_hides_the_error_too(rig: Any) -> None:
    """R-SWAPIN-8: the same from the disk: asked to copy, the machine copies before anybody looks at uptodate."""
    area = on_disk(rig)
    rig.fail("swap_read", 1)
    decide(rig, area, "COPY")
    assert fault(area) == MAJOR
    assert rig.has(area.frame(), t.PG_UPTODATE)
    assert not rig.has(int(rig.m.slot.frame[1]), t.PG_UPTODATE)


def decide(rig: Any, area: Any, answer: str) -> None:
    """Leave a swap-in policy's answer for the area's first page."""
    from ksmlab_core.mm import memory

    rig.sc[t.DECIDED_PTE] = area.pte()
    rig.sc[t.DECISION] = getattr(memory, "SWAPIN_" + answer)


# -- R-SWAPIN-9: what is done, in which order -----------------------------------------------------------------------


def test_read_fault_maps_read_only_young_and_clean(rig: Any) -> None:
    """R-SWAPIN-9: rss +1, a read-only young pte, mapcount 1, the entry's count -1; the cache keeps the page."""
    area = on_disk(rig)
    area.read()
    rig.drain()
    assert area.flags() == t.PTE_PRESENT | t.PTE_YOUNG
    assert rig.rss(area.mm) == 1
    assert area.state() == "[asI,mc1,rc2]"
    assert rig.refs(1) == (0, True)


def test_write_by_the_only_user_reuses_the_page(rig: Any) -> None:
    """R-SWAPIN-9, R-REUSE-1: writable and dirty at once, out of the swap cache, the slot is free; no copy."""
    area = on_disk(rig)
    assert fault(area, write=True) & WRITE
    rig.drain()
    assert area.flags() == t.PTE_PRESENT | t.PTE_YOUNG | t.PTE_DIRTY | t.PTE_WRITE
    assert area.state() == "[adI,mc1,rc1]"
    assert rig.refs(1) == (0, False)
    assert rig.sc[t.COW_COPIES] == 0


def test_write_asks_for_reuse_before_the_entry_is_given_up(rig: Any) -> None:
    """R-SWAPIN-9: with two swap ptes the writer is not alone, its own still counting: read-only first, then copied."""
    a, b = pair_on_disk(rig)
    assert fault(a, write=True) == MAJOR | WRITE
    rig.drain()
    assert rig.sc[t.COW_COPIES] == 1
    left = int(rig.m.slot.frame[1])
    assert a.frame() != left
    assert a.is_writable()
    assert rig.refs(1) == (1, True)
    assert rig.state(left) == "[asI,mc0,rc1]"
    a.write(9)
    assert b.read() == [7]


def test_write_to_a_copy_is_done_at_once(rig: Any) -> None:
    """R-SWAPIN-9, R-REUSE-1: a fresh copy has no other user: writable and dirty in the same fault."""
    a, b = pair_on_disk(rig)
    a.read()
    assert fault(b, write=True) & WRITE
    assert b.is_writable()
    assert b.is_dirty()
    assert (rig.sc[t.SWAPIN_COPIES], rig.sc[t.COW_COPIES]) == (1, 0)


def test_write_where_writing_is_forbidden_stays_read_only(rig: Any) -> None:
    """R-SWAPIN-9: get_user_pages-style write into an area without VM_WRITE: dirty, not writable."""
    area = on_disk(rig)
    area.mprotect(False)
    fault(area, write=True)
    assert area.is_dirty()
    assert not area.is_writable()


@pytest.mark.parametrize("why", ["nothing", "swap full", "locked area", "mlocked page"])
def test_slot_is_freed_early_only_for_a_reason(machine: Any, why: str) -> None:
    """R-SWAPIN-9: vm_swap_full, VM_LOCKED or an mlocked page free the slot at once; else it stays cached."""
    rig = machine(slots=1 if why == "swap full" else 64)
    area = rig.process(1, 5)
    rig.unmap_to_swap()
    if why == "locked area":
        rig.m.vma.vm_flags[area.vma()] |= t.VM_LOCKED
    if why == "mlocked page":
        rig.m.frame.pg[int(rig.m.slot.frame[1])] |= t.PG_MLOCKED
        rig.sc[t.NR_MLOCK] += 1
    area.read()
    assert rig.refs(1) == (0, why == "nothing")
    assert rig.has(area.frame(), t.PG_DIRTY) is (why != "nothing")


def test_slot_that_others_name_is_not_freed(machine: Any) -> None:
    """R-SWAPIN-9, R-FREE-1: swap full, but another pte names the slot."""
    rig = machine(slots=1)
    a, b = pair_on_disk(rig)
    a.read()
    assert rig.refs(1) == (1, True)
    assert b.slot() == 1


# -- R-SWAPIN-10, -11 ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slots", [64, 1])
def test_nobody_frees_the_page_that_was_copied(machine: Any, slots: int) -> None:
    """R-SWAPIN-10: the last reference copied: the old page lingers as 0+C, even with swap full."""
    rig = machine(slots=slots)
    a, b = pair_on_disk(rig)
    a.write(9)
    left = int(rig.m.slot.frame[1])
    b.read()
    rig.drain()
    assert rig.refs(1) == (0, True)
    assert rig.state(left) == "[asI,mc0,rc1]"


@pytest.mark.parametrize("from_disk", [True, False])
def test_swap_in_neither_activates_nor_marks(rig: Any, from_disk: bool) -> None:
    """R-SWAPIN-11: the page stays on the inactive list without PG_referenced."""
    area = on_disk(rig) if from_disk else rig.process(1, 100)
    if not from_disk:
        rig.unmap_to_swap()
    area.read()
    rig.drain()
    assert rig.lru(t.LRU_INACTIVE_ANON) == [area.frame()]
    assert not rig.has(area.frame(), t.PG_REFERENCED)


def test_page_swapped_into_a_locked_area_is_mlocked_lazily(rig: Any) -> None:
    """R-SWAPIN-11, R-RECL-4 #10: not mlocked by the fault; reclaim finds the lock and culls it."""
    area = on_disk(rig)
    rig.m.vma.vm_flags[area.vma()] |= t.VM_LOCKED
    area.read()
    assert not rig.has(area.frame(), t.PG_MLOCKED)
    rig.shrink()
    assert rig.has(area.frame(), t.PG_MLOCKED)
    assert rig.lru(t.LRU_UNEVICTABLE) == [area.frame()]
