"""smart_scan: R-B-SMART-1."""

from __future__ import annotations

import pytest

from ksmlab_core.mm import mm_types as t


@pytest.fixture
def smart(machine):
    return machine(knobs=["smart_scan"])


def scanned_at(rig, passes):
    """The passes (from 1) in which a page was looked at."""
    seen = []
    for number in range(1, passes + 1):
        before = int(rig.sc[t.KSM_PAGES_SCANNED])
        rig.scan_passes(1)
        if int(rig.sc[t.KSM_PAGES_SCANNED]) != before:
            seen.append(number)
    return seen


def test_encounters_that_are_scanned(smart):
    """R-B-SMART-1: encounters 1, 2, 3, 4, 6, 9, 14, 23, 32, 41, 50, then every ninth, for ever."""
    area = smart.process(content=5)
    assert scanned_at(smart, 60) == [1, 2, 3, 4, 6, 9, 14, 23, 32, 41, 50, 59]
    for _ in range(240):
        smart.machine.scan_passes(1)
    smart.check()
    assert smart.m.item.age[area.item()] == 255
    assert smart.machine.ksm_counters()["pages_skipped"] + smart.sc[t.KSM_PAGES_SCANNED] == 300


def test_a_skipped_page_leaves_the_tree(smart):
    """R-B-SMART-1: it is removed from its tree, so it is volatile in that pass, not unshared."""
    area = smart.process(content=5)
    smart.scan_passes(4)
    assert smart.counters() == (0, 0, 1, 0)
    smart.scan_passes(1)
    assert smart.counters() == (0, 0, 0, 1)
    assert area.item_state() == t.ITEM_NONE
    smart.scan_passes(1)
    assert smart.counters() == (0, 0, 1, 0)


def test_ksm_pages_are_not_skipped_and_do_not_age(smart):
    """R-B-SMART-1: only pages that are not merged."""
    a, b = smart.merged()
    ages = [int(smart.m.item.age[area.item()]) for area in (a, b)]
    smart.scan_passes(10)
    assert [int(smart.m.item.age[area.item()]) for area in (a, b)] == ages == [2, 2]
    assert smart.machine.ksm_counters()["pages_skipped"] == 0
    assert smart.sc[t.KSM_PAGES_SCANNED] == 24


def test_skips_take_no_budget(smart):
    """R-B-SMART-1: a budget of one page finds the one page that is not skipped."""
    smart.process(20, range(100, 120))
    smart.scan_passes(4)
    new = smart.process(content=300)
    assert smart.scan_pages(1) == 1
    assert smart.m.item.age[new.item()] == 1
    assert smart.machine.ksm_counters()["pages_skipped"] == 20


def test_switched_off_ages_stand_still(smart):
    """R-B-SMART-1: with the knob at 0 nothing ages or is skipped; at 1 again it goes on from where it was."""
    area = smart.process(content=5)
    smart.scan_passes(2)
    smart.set_knob("smart_scan", 0)
    smart.scan_passes(6)
    assert smart.m.item.age[area.item()] == 2
    smart.set_knob("smart_scan", 1)
    assert scanned_at(smart, 4) == [1, 2, 4]


def test_a_new_item_begins_young(smart):
    """R-B-SMART-1, R-SCAN-5: an item that went and came back has no age."""
    area = smart.process(content=5)
    smart.scan_passes(5)
    area.dontneed()
    smart.scan_passes(1)
    area.write(5)
    assert scanned_at(smart, 4) == [1, 2, 3, 4]


def test_a_given_order_skips_too(smart):
    """R-B-SMART-1: pages that a scan order names are skipped like the cursor's, without using budget."""
    area = smart.process(2, [5, 6])
    smart.scan_passes(4)
    smart.begin_ordered_pass()
    assert smart.ksmd(1, area.ptes())[:2] == (0, 2)
    smart.end_ordered_pass()
    assert smart.machine.ksm_counters()["pages_skipped"] == 2
    assert smart.counters() == (0, 0, 0, 2)
