"""Every switch of the profile that has two values: what changes when it is flipped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm.profile import PROFILES, SWITCHES, profile


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
    "shrink_falls_through": (_shrink_falls_through, {True: True, False: False}),
    "node_holds_ref": (_node_holds_ref, {True: (1, False), False: (0, True)}),
    "free_node_on_last_item": (
        _free_node_on_last_item,
        {True: "[KasI,mc1,rc2,orph]", False: "[KasI,mc1,rc2,node]"},
    ),
    "alloc_on_first_merge": (_alloc_on_first_merge, {True: True, False: False}),
    "rmap_mode": (_rmap_mode, {"items-only": [True, True, False], "anon_vma": [True, True, True]}),
    "stale_node": (_stale_node, {"give-up": (0, 0, 0, 2), "restart": (1, 1, 0, 0)}),
}
# What a switch needs to have an effect, or to have its other value at all.
TOGETHER_WITH = {"free_node_on_last_item": {"node_holds_ref": False}, "stale_node": {"node_holds_ref": False}}


def test_every_switch_with_two_values_is_flipped_here() -> None:
    """A new switch needs an entry above."""
    assert set(EFFECTS) == {name for name, switch in SWITCHES.items() if len(switch.values) > 1}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in sorted(EFFECTS) for value in EFFECTS[name][1]])
def test_effect(machine: Any, name: str, value: Any) -> None:
    """R-OBJ-8, R-KNOB-2, R-CMP-2, R-CMP-3, R-MERGE-1, R-MERGE-7, R-RECL-1, R-RECL-6, R-REM-1: what each value does."""
    effect, expected = EFFECTS[name]
    assert set(expected) == set(SWITCHES[name].values)
    assert effect(machine(switches={**TOGETHER_WITH.get(name, {}), name: value})) == expected[value]


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
    [{"no_such": True}, {"copy_test": "root+index"}, {"born_young": 1}, {"break_orphan": "false"}, {"copy_test": None}],
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
