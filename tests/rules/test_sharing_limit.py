"""max_page_sharing, chains and dups: R-B-MAX-1 to R-B-MAX-3, R-B-SCAN-7."""

from __future__ import annotations

import pytest

from ksmlab_core.mm import mm_types as t

KNOBS = ["max_page_sharing", "stable_node_chains_prune_millisecs"]
LATER = {"stable_insert_equal": "chain", "stale_node": "restart"}


@pytest.fixture(params=["seed", "v2.6.33"])
def limited(machine, request):
    """A maker of machines with a sharing limit, with nodes that hold a reference and with nodes that do not."""

    def make(limit, **kwargs):
        base = request.param
        rig = machine(kernel=base, knobs=KNOBS, switches=LATER if base != "seed" else {"stable_insert_equal": "chain"},
                      **{"frames": 1200, **kwargs})  # fmt: skip
        assert rig.set_knob("max_page_sharing", limit) == 0
        return rig

    return make


def chains(rig):
    """(stable_node_chains, stable_node_dups)."""
    counters = rig.machine.ksm_counters()
    return counters["stable_node_chains"], counters["stable_node_dups"]


def lengths(rig):
    """How many items each node has, ascending."""
    return sorted(len(rig.node_items(node)) for node in rig.nodes())


def formula(pages, limit):
    """R-B-MAX-1, §10: (shared, sharing, left over) of so many equal pages."""
    shared, rest = divmod(pages, limit)
    return (shared, shared * (limit - 1), rest) if rest < 2 else (shared + 1, pages - shared - 1, 0)


@pytest.mark.parametrize(
    ("pages", "limit"),
    [(10, 256), (11, 10), (2, 2), (3, 2), (4, 2), (5, 2), (12, 4), (13, 4), (14, 4), (64, 3), (9, 8)],
)
def test_the_formula(limited, pages, limit):
    """R-B-MAX-1, R-B-MAX-2, selftests' formula: full pages of `limit` ptes, the rest together, one alone unshared."""
    rig = limited(limit)
    rig.process(pages, 7)
    rig.scan_passes(3)
    shared, sharing, alone = formula(pages, limit)
    assert rig.counters() == (shared, sharing, alone, 0)
    assert chains(rig) == ((1, shared) if shared > 1 else (0, 0))


def test_the_measured_thousand(limited):
    """R-B-MAX-2, measured (sharing_limit): 1000 pages with a limit of 64 are 16 pages in one chain."""
    rig = limited(64)
    rig.processes(2, 500, 7)
    rig.scan_passes(3)
    assert rig.counters() == (16, 984, 0, 0)
    assert chains(rig) == (1, 16)
    assert lengths(rig) == [40] + [64] * 15


def test_a_full_node_is_not_joined(limited):
    """R-B-MAX-1, R-B-MAX-2: the third page waits in the unstable tree, and founds a new KSM page with the fourth."""
    rig = limited(2)
    a, b = rig.merged()
    c = rig.process(content=7)
    rig.scan_passes(2)
    assert rig.counters() == (1, 1, 1, 0)
    d = rig.process(content=7)
    rig.scan_passes(2)
    assert rig.counters() == (2, 2, 0, 0)
    assert chains(rig) == (1, 2)
    assert a.frame() == b.frame() != c.frame() == d.frame()


def test_fork_goes_over_the_limit(limited):
    """R-B-MAX-1: ptes that map the KSM page by fork are listed with it however many there are."""
    rig = limited(2)
    a, _b = rig.merged()
    children = [a.forked() for _ in range(3)]
    rig.scan_passes(1)
    assert rig.counters() == (1, 4, 0, 0)
    assert {child.frame() for child in children} == {a.frame()}
    assert chains(rig) == (0, 0)


def test_a_page_that_nobody_shares_is_not_joined(machine):
    """R-B-MAX-1: a node without items, its page still in the swap cache, gets no new item (X-8 was otherwise)."""
    for limit, joined in ((256, False), (None, True)):
        rig = machine(kernel="v2.6.33", knobs=KNOBS if limit else [], switches=LATER)
        a, b = rig.merged()
        rig.unmap_to_swap()
        rig.scan_passes(1)
        assert [rig.node_items(node) for node in rig.nodes()] == [[]]
        assert a.slot() == b.slot() != t.NONE
        c = rig.process(content=7)
        rig.scan_passes(1)
        assert c.is_ksm() == joined


def test_a_chain_of_one_collapses(limited):
    """R-B-MAX-2: when one dup is left, it takes the chain's place at the next search."""
    rig = limited(2, slots=0)
    a, b, c, d = rig.processes(4, content=7)
    rig.scan_passes(3)
    assert chains(rig) == (1, 2)
    a.dontneed(), b.dontneed()
    rig.scan_passes(1)
    assert chains(rig) == (1, 1)
    rig.process(content=8)
    rig.scan_passes(2)
    assert chains(rig) == (0, 0)
    assert rig.counters() == (1, 1, 1, 0)
    e = rig.process(content=7)
    c.dontneed()
    rig.scan_passes(2)
    assert rig.counters() == (1, 1, 1, 0)
    assert e.frame() == d.frame()


def test_a_chain_without_dups_goes(limited):
    """R-B-MAX-2: when no dup is left, the next search that comes by frees the chain."""
    rig = limited(2)
    for area in rig.processes(4, content=7):
        rig.scan_passes(1)
        last = area
    rig.scan_passes(2)
    assert chains(rig) == (1, 2)
    mms = rig.slots_ring()
    for mm in mms:
        rig.exit(mm)
    rig.scan_passes(1)
    assert chains(rig) == (1, 0)
    last = rig.process(content=7)
    rig.scan_passes(2)
    assert chains(rig) == (0, 0)
    assert rig.counters() == (0, 0, 1, 0)
    assert not last.is_ksm()


def two_with_room(rig):
    """A chain of a node with 2 items and one with 3, which was founded first; limit 4. The process of the pages."""
    area = rig.process(8, 7)
    rig.scan_passes(3)
    assert lengths(rig) == [4, 4]
    first, second = area.frame(0), area.frame(7)
    assert first != second
    area.dontneed(range(1))
    area.dontneed(range(6, 8))
    rig.scan_passes(1)
    assert lengths(rig) == [2, 3]
    return area, first, second


def test_the_fullest_with_room_is_chosen_when_it_is_time(limited):
    """R-B-MAX-3: a whole walk, the prune interval after the last one, finds the fullest dup; before, the first does."""
    rig = limited(4)
    rig.set_knob("stable_node_chains_prune_millisecs", 1000)
    area, first, second = two_with_room(rig)
    rig.sc[t.NOW] += 999 * 1_000_000
    new = rig.process(content=7)
    rig.scan_passes(2)
    assert new.frame() == second, "the first dup with room in the chain, newest first"
    new.write(9)
    rig.scan_passes(1)
    assert lengths(rig) == [2, 3]
    rig.sc[t.NOW] += 1 * 1_000_000
    new.write(7)
    rig.scan_passes(2)
    assert new.frame() == first
    assert lengths(rig) == [2, 4]
    assert area.read(1) == [7]


def test_run_2_leaves_no_chain_in_the_way(limited):
    """R-B-UNM-2, R-B-MAX-1: after run=2 the limit can be changed and everything merges anew."""
    rig = limited(2)
    rig.process(6, 7)
    rig.scan_passes(3)
    assert chains(rig) == (1, 3)
    assert rig.set_knob("run", 2) == 0
    assert rig.set_knob("max_page_sharing", 3) == 0
    rig.set_knob("run", 0)
    rig.scan_passes(3)
    assert rig.counters() == (2, 4, 0, 0)
    assert chains(rig) == (1, 2)


@pytest.mark.parametrize(("n", "left"), [(1, 2), (2, 2)])
def test_no_memory_for_a_node_or_its_chain(limited, n, left):
    """R-B-SCAN-7: an insert fails only on allocation failure, of the node or of the chain: both pages are broken."""
    rig = limited(2)
    rig.merged()
    c, d = rig.processes(2, content=7)
    rig.scan_passes(1)
    rig.fail("stable_node", n)
    rig.scan_passes(1)
    assert rig.counters() == (1, 1, 0, left)
    assert not c.is_ksm()
    assert not d.is_ksm()
    rig.scan_passes(1)
    assert rig.counters() == (2, 2, 0, 0)
    assert chains(rig) == (1, 2)


def test_different_contents_have_chains_of_their_own(limited):
    """R-B-MAX-2, INV-7: contents left and right of a chain are found through it."""
    rig = limited(2)
    contents = [7, 9, 5, 8, 6] * 5
    rig.process(25, contents)
    rig.scan_passes(4)
    assert rig.counters() == (10, 10, 5, 0)
    assert chains(rig) == (5, 10)
