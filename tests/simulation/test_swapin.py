"""What answers at swap-in do to a run: copies, remerges, pages shared at once, pages first in ksmd's queue."""

from __future__ import annotations

import pytest

from tests.simulation.conftest import samples

OUT = """\
- spawn: [a, b, c]
- mmap: {process: [a, b, c], area: heap, pages: 10, advise: mergeable}
- write: {process: [a, b, c], area: heap, content: {cycle: 10}}
- scan: {passes: 2}
- expect: {ksm.pages_shared: 10, ksm.pages_sharing: 20}
- reclaim: all
- scan: {passes: 1}
- reclaim: all
- expect: {machine.frames_used: 0, machine.slots_mapped: 10, ksm.pages_shared: 0}
"""
TWINS = (
    OUT
    + """\
- read: {process: [a, b], area: heap}
- scan: {passes: 2}
- expect: {ksm.pages_shared: 10, ksm.pages_sharing: 10, machine.frames_mapped: 10}
- sample: merged
"""
)
MERGED = (
    TWINS
    + """\
- read: {process: c, area: heap}
- sample: back
"""
)


def difference(result, first, second):
    """What changed between two samples."""
    found = samples(result)
    return {name: value - found[first].get(name, 0) for name, value in found[second].items()}


def test_a_copy_is_a_frame_of_its_own_until_ksmd_finds_it(desk):
    result = desk.script(MERGED + "- scan: {passes: 2}\n- sample: later\n")
    copied = difference(result, "merged", "back")
    assert (copied["machine.frames_mapped"], copied["ksm.pages_sharing"], copied["vm.swapin_copies"]) == (10, 0, 10)
    found = difference(result, "merged", "later")
    assert (found["machine.frames_mapped"], found["ksm.pages_sharing"]) == (0, 10)


def test_remerge_maps_the_ksm_page_at_once(desk):
    result = desk.script(MERGED, "policies.swapin=remerge")
    changed = difference(result, "merged", "back")
    assert (changed["vm.swapin_remerges"], changed["vm.swapin_copies"]) == (10, 0)
    assert (changed["machine.frames_mapped"], changed["ksm.pages_sharing"]) == (0, 10)
    assert changed["process.c.ksm_pages"] == changed["process.c.resident_pages"] == 10


def test_remerge_asks_for_sharers_where_it_is_told_to(desk):
    """The twins are mapped twice: three sharers are not there, so the kernel's way is taken."""
    result = desk.script(MERGED, "policies.swapin={use: remerge, min_sharers: 3}")
    assert difference(result, "merged", "back")["vm.swapin_remerges"] == 0
    result = desk.script(MERGED, "policies.swapin={use: remerge, min_sharers: 2}")
    assert difference(result, "merged", "back")["vm.swapin_remerges"] == 10


DEFERRED = (
    TWINS
    + """\
- read: {process: c, area: heap, pages: 7}
- sample: back
- scan: {pages: 1}
- sample: scanned
"""
)


def test_a_deferred_page_is_the_first_that_ksmd_looks_at(desk):
    """One page is looked at: the copy that was deferred, which is merged, far from the cursor as it is."""
    result = desk.script(DEFERRED, "policies.swapin=defer")
    back, scanned = difference(result, "merged", "back"), difference(result, "back", "scanned")
    assert (back["vm.swapin_deferred"], back["vm.swapin_copies"], back["machine.frames_mapped"]) == (1, 1, 1)
    assert (scanned["ksm.pages_scanned"], scanned["ksm.merges"], scanned["ksm.pages_sharing"]) == (1, 1, 1)
    assert scanned["machine.frames_mapped"] == -1


def test_without_being_deferred_it_waits_for_the_cursor(desk):
    """The kernel copies too; ksmd comes by after the 20 pages before it and merges it then."""
    result = desk.script(DEFERRED + "- scan: {pages: 27}\n- sample: later\n")
    scanned, later = difference(result, "back", "scanned"), difference(result, "scanned", "later")
    assert (scanned["ksm.pages_scanned"], scanned["ksm.merges"]) == (1, 0)
    assert later["ksm.merges"] == 1


@pytest.mark.parametrize("order", ["kernel", "random", "cold-first", "changed-last"])
def test_a_deferred_page_is_looked_at_by_the_next_batch_in_time(desk, order):
    """ksmd's next batch, of one page, takes it before it goes on where it was, whatever the scan order."""
    steps = DEFERRED.replace("- scan: {pages: 1}", "- set: {ksm.pages_to_scan: 1, ksm.run: 1}\n- sleep: 1ms")
    result = desk.script(steps, "policies.swapin=defer", f"policies.scan={order}")
    scanned = difference(result, "back", "scanned")
    assert (scanned["ksm.pages_scanned"], scanned["ksm.merges"], scanned["ksm.pages_sharing"]) == (1, 1, 1)


@pytest.mark.parametrize("gone", ["exit: c", "munmap: {process: c, area: heap}", "reclaim: all"])
def test_a_deferred_page_that_is_gone_is_not_looked_for(desk, gone):
    steps = DEFERRED.replace("- scan: {pages: 1}", f"- {gone}\n- scan: {{passes: 1}}")
    result = desk.script(steps, "policies.swapin=defer")
    assert difference(result, "merged", "back")["vm.swapin_deferred"] == 1
    assert difference(result, "back", "scanned")["ksm.merges"] == 0


SHARE = """
    from ksmlab_core.policy import Swapin, SwapinPolicy, hookimpl

    class Share(SwapinPolicy):
        '''Make the page a KSM page where nobody has done so yet.'''
        name = "share"

        def decide(self, fault):
            assert fault.process in ("a", "b", "c")
            assert fault.references + fault.mapcount == 3 or fault.ksm_twin
            assert not fault.write
            self.count("asked")
            return Swapin.KERNEL if fault.ksm_twin or fault.mapcount else Swapin.SHARE

    @hookimpl
    def ksmlab_swapin_policies():
        return [Share]
"""


def test_a_shared_page_is_a_ksm_page_for_all_who_come_after(desk):
    """One read from swap, one frame, no copy: the others find the KSM page in the swap cache or as a twin."""
    steps = OUT + "- sample: out\n- read: {process: [a, b, c], area: heap}\n- sample: back\n"
    result = desk.script(steps, "policies.swapin=share", plugin=desk.plugin(SHARE))
    changed = difference(result, "out", "back")
    assert (changed["vm.swapin_shared"], changed["vm.swapin_copies"], changed["vm.pswpin"]) == (10, 0, 10)
    assert changed["machine.frames_mapped"] == changed["ksm.pages_shared"] == 10
    assert result.metrics["process.c.ksm_pages"] == 10


@pytest.mark.parametrize("policy", ["kernel", "copy", "remerge", "defer"])
def test_whatever_is_answered_contents_and_slots_are_right(desk, policy):
    """With every invariant checked after every step: everything comes back, and no slot stays in use for ever."""
    steps = MERGED + "- touch: {process: [a, b, c], area: heap}\n- swapoff: true\n"
    metrics = desk.script(steps, f"policies.swapin={policy}").metrics
    assert (metrics["machine.slots_used"], metrics["process.c.resident_pages"]) == (0, 10)
