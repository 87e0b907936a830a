"""Every switch of the profile that has two values: what changes when it is flipped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm.errno import EINVAL, ENOMEM
from ksmlab_core.mm.profile import PROFILES, profile
from ksmlab_core.mm.switches import SWITCHES


def _shrink_falls_through(rig: Any) -> bool:
    """X-1, R-RECL-1: is the quota of an active list that need not shrink spent on the inactive list?

    64 inactive pages whose locks are held (so they stay), 40 active ones: one try_to_free_pages scans 128 pages of
    the inactive list on its own account.
    """
    from ksmlab_core.mm import doors

    area = rig.process(64, range(100, 164)).make_old()
    rig.deactivate()
    rig.process(40, range(500, 540))
    rig.drain()
    for i in range(64):
        rig.machine.lock_page(area.frame(i), True)
    doors.reclaim(*rig.machine.state.doors, doors.FREE_PAGES, 256)
    rig.check()
    assert rig.sc[t.PGSCAN_DIRECT] >= 128
    return bool(rig.sc[t.PGSCAN_DIRECT] > 128)


def _born_young(rig: Any) -> tuple[bool, bool, bool]:
    """R-OBJ-8: are the ptes that a merge, a swap-in and a first write make young? (All three are looked at.)"""
    a, b = rig.processes(2, content=7)
    rig.make_all_old()
    rig.scan_passes(2)
    merged = a.is_young() and b.is_young()
    rig.deactivate(), rig.shrink(), rig.deactivate(), rig.shrink()
    from ksmlab_core.mm import doors

    rig._call(doors.FAULT, a.pte(), 0)
    c = rig.process(1)
    rig._call(doors.FAULT, c.pte(), 1)
    return merged, a.is_young(), c.is_young()


def _max_kernel_pages(rig: Any) -> tuple[int, int, int, int]:
    """R-KNOB-2: with room for one KSM page and two pairs of equal pages."""
    rig.set_knob("max_kernel_pages", 1)
    rig.processes(2, 2, [7, 8])
    rig.scan_passes(3)
    counters: tuple[int, int, int, int] = rig.counters()
    return counters


def _break_orphan(rig: Any) -> bool:
    """R-CMP-3: is an orphan KSM page copied back to an ordinary page by the next passes?"""
    a, _b = rig.merged()
    rig.unmap_to_swap()
    rig.scan_passes(1)
    a.read()
    assert rig.is_orphan(a.frame())
    rig.scan_passes(3)
    return not a.is_ksm()


def _checksum_before_stable(rig: Any) -> list[tuple[int, int, int, int]]:
    """R-CMP-2, R-B-SCAN-3: a new page of a node's content: counters after one pass and after two."""
    rig.merged()
    rig.process(1, 7)
    seen = []
    for _ in range(2):
        rig.scan_passes(1)
        seen.append(rig.counters())
    return seen


def _mlock_transfer(rig: Any) -> tuple[bool, int]:
    """R-MERGE-7: is the KSM page of two locked areas mlocked, and what does NR_MLOCK say?"""
    a, b = rig.processes(2, content=7)
    a.mlock(), b.mlock()
    rig.scan_passes(2)
    rig.drain()
    assert a.frame() == b.frame()
    return rig.has(a.frame(), t.PG_MLOCKED), int(rig.sc[t.NR_MLOCK])


def _mark_zero_pages(rig: Any) -> tuple[int, bool]:
    """R-B-ZERO-1: how many ptes of zeros are counted, and are they broken by MADV_UNMERGEABLE?"""
    rig.sc[t.KSM_USE_ZERO_PAGES] = 1
    area = rig.process(3, 0)
    rig.scan_passes(2)
    assert [area.frame(page) for page in range(3)] == [t.ZERO_PAGE] * 3
    counted = int(rig.sc[t.KSM_ZERO_PAGES])
    area.unmergeable()
    return counted, area.frame() != t.ZERO_PAGE


def _unshare(rig: Any) -> tuple[bool, bool]:
    """R-B-UNM-1: is a pte that was broken out of a KSM page writable, and dirty?"""
    a, _b = rig.merged()
    a.unmergeable()
    assert not a.is_ksm()
    return a.is_writable(), a.is_dirty()


def _free_swap_on_merge(rig: Any) -> int:
    """R-MERGE-6, R-B-SCAN-6: slots in use after two pages that were in the swap cache have merged."""
    a, b = rig.processes(2, content=7)
    rig.unmap_to_swap(), rig.unmap_to_swap()
    a.read(), b.read()
    rig.scan_passes(2)
    assert a.frame() == b.frame()
    return int(rig.sc[t.SWAP_INUSE])


def _upgrade_dirties(rig: Any) -> bool:
    """X-6, R-B-OBJ-4: is the KSM page dirty that was a clean page of the swap cache?"""
    a, b = rig.processes(2, content=7)
    rig.unmap_to_swap(), rig.unmap_to_swap()
    a.read(), b.read()
    rig.scan_passes(2)
    assert a.frame() == b.frame()
    return rig.has(a.frame(), t.PG_DIRTY)


def _check_readonly(rig: Any) -> bool:
    """X-12, R-MERGE-4: is a page merged although it is pinned, its pte being read-only (and dirty)?"""
    a, _b = rig.processes(2, content=7)
    a.mprotect(False)
    a.pin()
    rig.scan_passes(3)
    return a.is_ksm()


def _drain_at_pass(rig: Any) -> tuple[int, int, int, int]:
    """R-OBJ-15, R-B-SCAN-1: without draining from outside, pages written a moment ago sit in a batch."""
    rig.machine.drained = False
    rig.processes(2, content=7)
    rig.scan_passes(3)
    counters: tuple[int, int, int, int] = rig.counters()
    return counters


def _node_holds_ref(rig: Any) -> tuple[int, bool]:
    """R-RECL-6, R-B-OBJ-2: frames that two visits of reclaim leave of a KSM page, and was it written?"""
    rig.merged()
    rig.unmap_to_swap()
    rig.shrink()
    return rig.used_frames(), bool(rig.sc[t.PSWPOUT])


def _free_node_on_last_item(rig: Any) -> str:
    """R-REM-1, R-B-OBJ-3: the KSM page, mapped from the swap cache after ksmd took the last item off its node."""
    a, _b = rig.merged()
    rig.unmap_to_swap()
    rig.scan_passes(1)
    assert rig.counters() == (0, 0, 0, 0)
    a.read()
    state: str = a.state()
    return state


def _alloc_on_first_merge(rig: Any) -> bool:
    """R-MERGE-1, R-B-OBJ-4: is the KSM page another frame than those of the two pages?"""
    areas = rig.processes(2, content=7)
    frames = {area.frame() for area in areas}
    rig.scan_passes(2)
    assert rig.counters() == (1, 1, 0, 0)
    return areas[0].frame() not in frames


def _rmap_mode(rig: Any) -> list[bool]:
    """R-REF-5, R-B-OBJ-1: which of two sharers and a child that ksmd has not visited lose their pte to reclaim?"""
    a, b = rig.merged()
    child = a.forked()
    rig.unmap_to_swap()
    return [area.slot() != t.NONE for area in (a, b, child)]


def _stale_node(rig: Any) -> tuple[int, int, int, int]:
    """X-9: two equal pages with stable checksums between the nodes of sixteen pages that were freed; one pass."""
    a, b = rig.processes(2)
    others = rig.processes(2, 16, range(100, 116))
    rig.scan_passes(1)
    a.write(7), b.write(7)
    rig.scan_passes(1)
    assert rig.counters() == (16, 16, 0, 2)
    rig.evict(others[0].rig.machine.frames_of(others[0].ptes()))
    rig.scan_passes(1)
    counters: tuple[int, int, int, int] = rig.counters()
    return counters


def _stable_insert_equal(rig: Any) -> tuple[int, int, int, int]:
    """R-STAB-2, R-B-SCAN-7: a second KSM page of a content; its node is full, so the search finds nothing."""
    rig.sc[t.KSM_MAX_PAGE_SHARING] = 2
    rig.processes(4, content=7)
    rig.scan_passes(2)
    counters: tuple[int, int, int, int] = rig.counters()
    return counters


def _copy_test(rig: Any) -> tuple[bool, int]:
    """R-SWAPIN-3, R-B-SWAPIN-1: is a KSM page without a node mapped from the swap cache, and was it copied?"""
    a, _b = rig.merged()
    rig.unmap_to_swap()
    rig.scan_passes(1)
    a.read()
    return a.is_ksm(), int(rig.sc[t.SWAPIN_COPIES])


def _reclaim_ref_policy(rig: Any) -> list[str]:
    """R-RECL-4, R-B-RECL-1: a page that one pte has used: its list letter, after one visit and after two."""
    area = rig.process(content=7, mergeable=False)
    rig.deactivate()
    area.touch()
    seen = []
    for _ in range(2):
        rig.shrink()
        seen.append(area.state()[1:-9] if area.frame() != t.NONE else "gone")
    return seen


def _swapin_exclusive(rig: Any) -> tuple[bool, bool]:
    """R-SWAPIN-9, R-B-SWAPIN-2: is the only user's page writable after a read, and after a fork and a read?"""
    area = rig.process(content=7, mergeable=False)
    rig.unmap_to_swap(), rig.unmap_to_swap()
    area.read()
    alone = area.is_writable()
    rig.unmap_to_swap(), rig.unmap_to_swap()
    area.forked()
    area.read()
    return alone, area.is_writable()


def _readahead(rig: Any) -> tuple[int, int]:
    """R-SWAPIN-1, R-B-SWAPIN-4: pages read for a fault on the first and on the sixth of two areas' turns in swap.

    Their pages take turns in the slots, so that what lies together in one area is spread over the slots.
    """
    a, b = rig.processes(2, 16, mergeable=False)
    for page in range(16):
        for area in (a, b):
            area.write(100 + 2 * page + (area is b), page)
    rig.unmap_to_swap(), rig.unmap_to_swap()
    a.read(0)
    first = int(rig.sc[t.PSWPIN])
    a.read(range(1, 6))
    return first, int(rig.sc[t.PSWPIN])


def _new_pages(rig: Any) -> tuple[bool, bool]:
    """R-OBJ-14: is a page written first on the active list, and a copy on write?"""
    area = rig.process(content=7, mergeable=False)
    child = area.forked()
    child.write(8)
    rig.drain()
    return tuple(rig.has(page.frame(), t.PG_ACTIVE) for page in (area, child))  # type: ignore[return-value]


def _swapoff_walk(rig: Any) -> tuple[int, int]:
    """R-OFF-4, R-B-OFF-1: reads and copies of a swapoff, for a slot that two processes name which are no relatives."""
    a, b = rig.merged()
    rig.unmap_to_swap()
    rig.scan_passes(1)
    rig.shrink(), rig.shrink()
    assert a.slot() == b.slot() != t.NONE
    assert rig.swapoff() == 0
    return int(rig.sc[t.PSWPIN]), int(rig.sc[t.SWAPIN_COPIES])


def _mlock_by_mapping(rig: Any) -> bool:
    """R-COW-3, R-B-MLOCK-1: two locked areas share a page by fork, one copies it: is the other's still locked?"""
    area = rig.process(content=7, mergeable=False)
    child = area.forked()
    area.mprotect(False), child.mprotect(False)
    area.mlock(), child.mlock()
    child.mprotect(True)
    child.write(8)
    assert area.frame() != child.frame()
    return rig.has(area.frame(), t.PG_MLOCKED)


def _mlock_populates(rig: Any) -> int:
    """R-MLOCK-1, R-B-MLOCK-1: pages merged under a lock are locked again: how many of them are merged still?"""
    one, other = rig.process(content=7), rig.process(content=7)
    one.mlock(), other.mlock()
    rig.scan_passes(3)
    one.mlock(), other.mlock()
    return sum(rig.is_ksm(area.frame()) for area in (one, other))


def _mlock_batch(rig: Any) -> list[int]:
    """R-MERGE-4, R-B-MLOCK-1: a child's pages that are not merged yet, pass by pass, where the parent's are locked.

    Each of the 40 merges puts two pages into the batch, the KSM page and the one that left, which the child maps still.
    Without it those that left wait to be put on the inactive list, in a batch of 14.
    """
    contents = list(range(1, 41))
    low = rig.process(pages=40).write(contents)
    high = rig.process(mm=low.mm, pages=40).write(contents)
    low.mlock(), high.mlock()
    child = low.forked()
    left = []
    for _ in range(3):
        rig.scan_passes(1)
        left.append(sum(not child.is_ksm(page) for page in range(40)))
    return left


def _anon_vma_chains(rig: Any) -> bool:
    """R-B-OBJ-1, R-TTU-1: does reclaim take a page from a parent when only the child let ksmd make it a KSM page?"""
    low = rig.process(content=7, mergeable=False)
    high = rig.process(mm=low.mm, content=7, mergeable=False)
    child = low.forked()
    assert rig.madvise_mergeable(child.mm, low.start, high.start + 1 - low.start) == ENOMEM  # over the gap between
    rig.scan_passes(3)
    rig.reclaim_all()
    return high.frame() == t.NONE


def _run_2_lasts(rig: Any) -> list[int]:
    """R-SCAN-8, R-B-UNM-2: where a process that is registered in mid-pass and while run is 2 comes in the list."""
    first = rig.processes(3, content=7)
    rig.scan_pages(2)
    rig.sc[t.KSM_RUN] = 2
    rig.process(content=7)
    return [mm - first[0].mm for mm in rig.slots_ring()]


def _merge_any(rig: Any) -> int:
    """R-B-PRCTL-1: what prctl(PR_SET_MEMORY_MERGE) returns."""
    result: int = rig.prctl_memory_merge(rig.process().mm, True)
    return result


def _fork_best_effort(rig: Any) -> bool:
    """R-FORK-1, R-B-FORK-1: is there a child when no mm_slot can be had?"""
    area = rig.process(content=7)
    rig.fail("mm_slot", 1)
    child = rig.machine.fork(area.mm)
    if child > 0:
        rig.copy_shadow(area.mm, child)
    rig.check()
    return bool(child > 0)


def _slot_cache(rig: Any) -> int:
    """R-RECL-5, INV-20: slots in use after one page was driven out."""
    area = rig.process(content=7, mergeable=False)
    rig.evict(rig.machine.frames_of(area.ptes()))
    return int(rig.sc[t.SWAP_INUSE])


def _refault_activates(rig: Any) -> bool:
    """R-OBJ-14, R-SWAPIN-1: is a page active that comes back at once, while two other pages are active?"""
    rig.process(2, [8, 9], mergeable=False)
    area = rig.process(content=7, mergeable=False)
    rig.drain()
    rig.evict(rig.machine.frames_of(area.ptes()))
    area.read()
    rig.drain()
    return rig.has(area.frame(), t.PG_ACTIVE)


def _activate_batch(rig: Any) -> tuple[bool, bool]:
    """R-OBJ-15: is a KSM page of the swap cache that swapoff maps active at once, and after a drain?"""
    a, _b = rig.merged()
    rig.unmap_to_swap()
    assert rig.swapoff() == 0
    at_once = rig.has(a.frame(), t.PG_ACTIVE)
    rig.drain()
    return at_once, rig.has(a.frame(), t.PG_ACTIVE)


def _pin_references(rig: Any) -> bool:
    """R-OBJ-12: is a page referenced because somebody took a reference on it?"""
    return rig.has(rig.process(content=7).pin(), t.PG_REFERENCED)


Effect = tuple[Callable[[Any], Any], dict[Any, Any]]
EFFECTS: dict[str, Effect] = {
    "born_young": (_born_young, {True: (True, True, True), False: (False, False, False)}),
    "max_kernel_pages": (_max_kernel_pages, {True: (1, 1, 1, 1), False: (2, 2, 0, 0)}),
    "checksum_before_stable": (
        _checksum_before_stable,
        {False: [(1, 2, 0, 0), (1, 2, 0, 0)], True: [(1, 1, 0, 1), (1, 2, 0, 0)]},
    ),
    "break_orphan": (_break_orphan, {True: True, False: False}),
    "mlock_transfer": (_mlock_transfer, {True: (True, 1), False: (False, 0)}),
    "mark_zero_pages": (_mark_zero_pages, {True: (3, True), False: (0, False)}),
    "unshare": (_unshare, {True: (False, False), False: (True, True)}),
    "free_swap_on_merge": (_free_swap_on_merge, {True: 0, False: 2}),
    "upgrade_dirties": (_upgrade_dirties, {True: True, False: False}),
    "check_readonly": (_check_readonly, {True: False, False: True}),
    "drain_at_pass": (_drain_at_pass, {True: (1, 1, 0, 0), False: (0, 0, 1, 1)}),
    "shrink_falls_through": (_shrink_falls_through, {True: True, False: False}),
    "node_holds_ref": (_node_holds_ref, {True: (1, False), False: (0, True)}),
    "free_node_on_last_item": (
        _free_node_on_last_item,
        {True: "[KasI,mc1,rc2,orph]", False: "[KasI,mc1,rc2,node]"},
    ),
    "alloc_on_first_merge": (_alloc_on_first_merge, {True: True, False: False}),
    "rmap_mode": (_rmap_mode, {"items-only": [True, True, False], "anon_vma": [True, True, True]}),
    "stable_insert_equal": (_stable_insert_equal, {"fail": (1, 1, 0, 2), "chain": (2, 2, 0, 0)}),
    "copy_test": (_copy_test, {"pointer+index": (True, 0), "root+index": (False, 1)}),
    "reclaim_ref_policy": (_reclaim_ref_policy, {"any-activates": ["aA", "aA"], "second-chance": ["aIr", "gone"]}),
    "swapin_exclusive": (_swapin_exclusive, {True: (True, False), False: (False, False)}),
    "readahead": (_readahead, {"slots": (7, 15), "addresses": (5, 13)}),
    "new_pages": (_new_pages, {"active": (True, True), "inactive": (False, False)}),
    "swapoff_walk": (_swapoff_walk, {"slots": (2, 0), "processes": (1, 1)}),
    "mlock_by_mapping": (_mlock_by_mapping, {True: True, False: False}),
    "mlock_populates": (_mlock_populates, {True: 0, False: 2}),
    "mlock_batch": (_mlock_batch, {0: [40, 12, 0], 15: [40, 3, 0], 31: [40, 9, 0]}),
    "anon_vma_chains": (_anon_vma_chains, {False: True, True: False}),
    "run_2_lasts": (_run_2_lasts, {True: [0, 1, 2, 3], False: [0, 3, 1, 2]}),
    "merge_any": (_merge_any, {True: 0, False: EINVAL}),
    "fork_best_effort": (_fork_best_effort, {True: True, False: False}),
    "slot_cache": (_slot_cache, {True: 64, False: 1}),
    "refault_activates": (_refault_activates, {True: True, False: False}),
    "activate_batch": (_activate_batch, {True: (False, True), False: (True, True)}),
    "pin_references": (_pin_references, {True: True, False: False}),
    "stale_node": (_stale_node, {"give-up": (0, 0, 0, 2), "restart": (1, 1, 0, 0)}),
}
# What a switch needs to have an effect, or to have its other value at all.
TOGETHER_WITH: dict[str, dict[str, Any]] = {
    "upgrade_dirties": {"alloc_on_first_merge": False},
    "free_node_on_last_item": {"node_holds_ref": False},
    "stale_node": {"node_holds_ref": False},
    "mlock_batch": {"alloc_on_first_merge": False, "mlock_by_mapping": True, "check_readonly": True},
    "anon_vma_chains": {"alloc_on_first_merge": False, "node_holds_ref": False, "rmap_mode": "anon_vma"},
}


def test_every_switch_with_two_values_is_flipped_here() -> None:
    """A new switch needs an entry above."""
    assert set(EFFECTS) == {name for name, switch in SWITCHES.items() if len(switch.values) > 1}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in sorted(EFFECTS) for value in EFFECTS[name][1]])
def test_effect(machine: Any, name: str, value: Any) -> None:
    """R-OBJ-8, R-KNOB-2, R-CMP-2, R-CMP-3, R-MERGE-1, R-MERGE-7, R-RECL-1, R-RECL-6, R-REM-1: what each value does."""
    effect, expected = EFFECTS[name]
    assert set(expected) == set(SWITCHES[name].values)
    assert effect(machine(slots=512, switches={**TOGETHER_WITH.get(name, {}), name: value})) == expected[value]


@pytest.mark.parametrize("kernel", PROFILES)
@pytest.mark.parametrize("name", sorted(EFFECTS))
def test_every_switch_can_be_flipped_alone(machine: Any, kernel: str, name: str) -> None:
    """R-RECL-6: or, where a node would keep its page for ever, it is refused with the switch that has to go along."""
    for value in SWITCHES[name].values:
        switches = {**PROFILES[kernel].switches, name: value}
        if switches["node_holds_ref"] and not switches["free_node_on_last_item"]:
            with pytest.raises(ValueError, match=r"free_node_on_last_item cannot be false: .* node_holds_ref: false"):
                machine(kernel=kernel, switches={name: value})
            continue
        rig = machine(kernel=kernel, switches={name: value})
        assert rig.kernel.switches == switches
        a, b = rig.merged()
        rig.unmap_to_swap(), rig.shrink()
        assert a.read() == b.read() == [7]


@pytest.mark.parametrize("name", sorted(SWITCHES))
def test_seed_has_the_first_value(machine: Any, name: str) -> None:
    """Profile `seed` is the seed commit: setting a switch to the value it has changes nothing but `changed`."""
    seed = profile("seed")
    value = SWITCHES[name].values[0]
    assert seed.switches[name] == value
    same = seed.with_switches({name: value})
    assert dict(same.switches) == dict(seed.switches)
    assert dict(same.changed) == {name: value}


@pytest.mark.parametrize(
    "changes",
    [{"no_such": True}, {"copy_test": "swap-table"}, {"born_young": 1}, {"break_orphan": "false"}, {"copy_test": None}],
    ids=["unknown", "later-kernels-value", "number-for-bool", "text-for-bool", "none"],
)
def test_switch_or_value_that_is_not_known_is_refused(changes: dict[str, Any]) -> None:
    """One clear ValueError that names the switch, and for a value also what is known."""
    with pytest.raises(ValueError) as caught:
        profile("seed").with_switches(changes)
    assert next(iter(changes)) in str(caught.value)


@pytest.mark.parametrize("steps", [3])
@pytest.mark.parametrize("value", [True, False])
def test_orphans_that_stay_are_harmless(machine: Any, value: bool, steps: int) -> None:
    """R-CMP-3, R-MERGE-3: whether ksmd breaks orphans or leaves them, equal pages around them keep every invariant."""
    rig = machine(switches={"break_orphan": value})
    a, b = rig.merged()
    rig.unmap_to_swap()
    rig.scan_passes(1)
    a.read()
    c, d = rig.processes(2, content=7)
    for _ in range(steps):
        rig.scan_passes(1)
    assert [area.read() for area in (a, b, c, d)] == [[7]] * 4
    assert c.is_ksm() or not value
