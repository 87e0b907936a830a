"""What ksmd does with one page: R-CMP-1 to R-CMP-6."""

from __future__ import annotations

import pytest

from ksmlab_core.mm import mm_types as t


def checksums(rig):
    return int(rig.sc[t.KSM_CHECKSUMS])


def test_an_item_first_leaves_the_tree_it_is_in(rig):
    """R-CMP-1: a page that changed is out of the unstable tree, or off its node, though nothing else comes of it."""
    a = rig.process(content=1)
    b, _c = rig.merged(content=7)
    assert rig.counters() == (1, 1, 1, 0)
    a.write(2)
    b.write(3)
    rig.scan_passes(1)
    assert rig.counters() == (1, 0, 0, 2)
    assert (a.item_state(), b.item_state()) == (t.ITEM_NONE, t.ITEM_NONE)


def test_joining_a_node_needs_no_checksum(rig):
    """R-CMP-2: a page seen for the first time joins an equal KSM page at once; its checksum is not even taken."""
    a, _b = rig.merged()
    before = checksums(rig)
    c = rig.process(content=7)
    rig.scan_passes(1)
    assert c.frame() == a.frame()
    assert rig.counters() == (1, 2, 0, 0)
    assert checksums(rig) == before
    assert rig.m.item.oldchecksum[c.item()] == 0


def test_later_kernels_ask_for_the_checksum_first(machine):
    """R-CMP-2, the switch checksum_before_stable: then the same page takes a second pass."""
    rig = machine(switches={"checksum_before_stable": True})
    rig.merged()
    c = rig.process(content=7)
    rig.scan_passes(1)
    assert not c.is_ksm()
    rig.scan_passes(1)
    assert c.is_ksm()


def test_a_page_found_on_its_own_node_is_only_listed(rig):
    """R-CMP-2: the forked KSM page: no comparison and no merge, the item joins."""
    a, _b = rig.merged()
    child = a.forked()
    before = int(rig.sc[t.KSM_COMPARES]), int(rig.sc[t.KSM_MERGES])
    rig.scan_passes(1)
    assert (int(rig.sc[t.KSM_COMPARES]), int(rig.sc[t.KSM_MERGES])) == before
    assert rig.node_items(a.node())[0] == child.item()
    assert int(rig.sc[t.KSM_FORKED]) == 1


def test_a_node_found_ends_the_visit_even_if_the_merge_fails(rig):
    """R-CMP-2: a pinned page equal to a node gets neither a checksum nor a place in the unstable tree."""
    rig.merged()
    c = rig.process(content=7)
    rig.drain()
    c.pin()
    before = checksums(rig)
    rig.scan_passes(3)
    assert c.item_state() == t.ITEM_NONE
    assert rig.counters() == (1, 1, 0, 1)
    assert checksums(rig) == before
    assert rig.m.item.oldchecksum[c.item()] == 0


def orphan(rig):
    """Two areas that map an orphan KSM page of content 7 (R-CASE-e2)."""
    a, b = rig.merged()
    rig.unmap_to_swap()
    rig.scan_passes(1)
    a.read()
    b.read()
    assert rig.is_orphan(a.frame())
    assert a.frame() == b.frame()
    return a, b


def test_an_orphan_is_broken(rig):
    """R-CMP-3: no node of its content: each mapper gets its own page, and goes on with the old one's contents."""
    a, b = orphan(rig)
    page = a.frame()
    rig.scan_passes(1)
    assert len({a.frame(), b.frame(), page}) == 3
    assert not a.is_ksm()
    assert not b.is_ksm()
    assert rig.counters() == (0, 0, 0, 2)
    rig.scan_passes(1)
    assert rig.counters() == (1, 1, 0, 0)


def test_an_orphan_with_a_known_checksum_goes_straight_on(rig):
    """R-CMP-3: after the break the contents of the old page are checksummed and looked up in the same visit."""
    a, b = orphan(rig)
    rig.machine.sc[t.SW_BREAK_ORPHAN] = 0
    rig.scan_passes(1)
    rig.machine.sc[t.SW_BREAK_ORPHAN] = 1
    rig.scan_pages(1)
    assert not a.is_ksm()
    assert a.item_state() == t.ITEM_UNSTABLE
    assert b.is_ksm()


def test_kernels_that_do_not_break_orphans(machine):
    """R-CMP-3, the switch break_orphan: the orphan stays mapped."""
    rig = machine(switches={"break_orphan": False})
    a, b = orphan(rig)
    page = a.frame()
    rig.scan_passes(3)
    assert (a.frame(), b.frame()) == (page, page)


def test_a_first_look_only_takes_the_checksum(rig):
    """R-CMP-4: the page counts as volatile and is in no tree."""
    a = rig.process(content=7)
    rig.scan_passes(1)
    assert a.item_state() == t.ITEM_NONE
    assert rig.m.item.oldchecksum[a.item()] != 0
    assert rig.counters() == (0, 0, 0, 1)


def test_a_page_that_keeps_changing_stays_volatile(rig):
    """R-CMP-4: each new checksum is stored and stops the visit; the first unchanged one goes on."""
    a = rig.process(content=7)
    seen = set()
    for content in (8, 9, 10):
        a.write(content)
        rig.scan_passes(1)
        seen.add(int(rig.m.item.oldchecksum[a.item()]))
        assert rig.counters() == (0, 0, 0, 1)
    assert len(seen) == 3
    rig.scan_passes(1)
    assert rig.counters() == (0, 0, 1, 0)


def test_a_rewritten_equal_content_is_unchanged(rig):
    """R-CMP-4: it goes by the bytes, not by writes."""
    a = rig.process(content=7)
    rig.scan_passes(1)
    a.write(8)
    a.write(7)
    rig.scan_passes(1)
    assert rig.counters() == (0, 0, 1, 0)


def plain_checksum(content):
    """The checksum as plain Python computes it."""
    from ksmlab_core.mm.ksm import calc_checksum

    return int(getattr(calc_checksum, "py_func", calc_checksum)(content))


def test_checksums_are_32_bit_hashes_and_the_zero_pages_is_not_zero():
    """R-CMP-4: a new item holds 0, so a page whose checksum were 0 would be taken for known at first sight."""
    numbers = [0, 1, 2, 7, 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, *range(1000, 3000)]
    values = [plain_checksum(number) for number in numbers]
    assert all(0 < value < 2**32 for value in values)
    assert len(set(values)) == len(values)
    assert max(values) > 2**31


def test_the_machine_computes_the_same_checksums_as_plain_python(rig):
    """R-CMP-4: the same integers with and without the compiler."""
    contents = [0, 7, 2**32 - 1, 2**32 + 5, 2**63 - 1, 0x1234567890ABCDEF]
    a = rig.process(pages=6, content=1)
    a.write(contents)
    rig.scan_passes(1)
    found = [int(rig.m.item.oldchecksum[a.item(page)]) for page in range(6)]
    assert found == [plain_checksum(content) for content in contents]
    assert found[0] == 1457806033


def test_a_page_of_zeroes_takes_two_looks_like_any_other(rig):
    """R-CMP-4: and merges with its equals."""
    a, b = rig.processes(2)
    a.write(1).write(0)
    b.write(1).write(0)
    rig.scan_passes(1)
    assert rig.counters() == (0, 0, 0, 2)
    rig.scan_passes(1)
    assert rig.counters() == (1, 1, 0, 0)
    assert a.read() == [0]


def test_a_pair_becomes_a_node_with_the_tree_item_first(rig):
    """R-CMP-5: shared + 1, sharing + 1; the list then has the scanned item in front, the newest."""
    a, b = rig.processes(2, content=7)
    rig.scan_passes(1)
    rig.scan_pages(1)
    assert rig.counters() == (0, 0, 1, 1)
    rig.scan_pages(1)
    assert rig.counters() == (1, 1, 0, 0)
    assert rig.node_items(a.node()) == [b.item(), a.item()]
    assert int(rig.sc[t.ROOT_UNSTABLE]) == t.NONE


def test_a_node_that_cannot_be_inserted_undoes_the_merge(rig):
    """R-CMP-5: both pages are broken out again and both items stay NONE; the next pass merges them."""
    a, b = rig.processes(2, content=7)
    rig.scan_passes(1)
    rig.fail("stable_node", 1)
    used = rig.used_frames()
    rig.scan_passes(1)
    rig.drain()
    assert (a.item_state(), b.item_state()) == (t.ITEM_NONE, t.ITEM_NONE)
    assert not a.is_ksm()
    assert not b.is_ksm()
    assert a.frame() != b.frame()
    assert rig.counters() == (0, 0, 0, 2)
    assert rig.used_frames() == used
    assert rig.nodes() == []
    rig.scan_passes(1)
    assert rig.counters() == (1, 1, 0, 0)


@pytest.mark.parametrize("why", ["no frame", "limit", "pin"])
def test_a_failed_pair_leaves_the_item_in_no_tree(rig, why):
    """R-CMP-6: the scanned item stays NONE for this pass; the other one stays in the unstable tree."""
    a, b = rig.processes(2, content=7)
    if why == "limit":
        rig.processes(2, content=9)
        rig.set_knob("max_kernel_pages", 1)
        rig.scan_passes(1)
        b.write(100)
        a.write(101)
        rig.scan_passes(1)
        a.write(7)
        b.write(7)
    rig.scan_passes(1)
    rig.drain()
    if why == "pin":
        b.pin()
    if why == "no frame":
        rig.fail("alloc_page", 1)
    rig.scan_passes(1)
    assert b.item_state() == t.ITEM_NONE
    assert a.item_state() == t.ITEM_UNSTABLE
    assert rig.counters()[2:] == (1, 1)
