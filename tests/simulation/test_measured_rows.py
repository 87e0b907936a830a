"""Measured rows: what they list, what they leave to others, and steps on frames whose process is gone."""

from __future__ import annotations

import pytest

V61 = "kernel=v6.1"
MACHINE = "machine: {memory: 1MiB, swap: 4MiB, invariants: steps}\n"


def test_areas_that_are_not_measured_are_in_no_row(desk):
    """Their pages count in what is read off the whole machine: swap traffic, the swap cache, slots in use."""
    desk.script(
        """
        - spawn: [a, hog]
        - mmap: {process: a, area: mem, pages: 2}
        - mmap: {process: [a, hog], area: stack, pages: 3, measured: false}
        - write: {process: a, area: mem, content: x}
        - write: {process: [a, hog], area: stack, content: unique}
        - measured: {label: written, row: "0/0/0/0 | 0 | 0/0/0 | a:2/0/0 | 2 | 0 | 0/0 | 0/0 | 0 | a0=P1[a,mc1] a1=P2[a,mc1]"}
        - fork: {process: a, child: b}
        - reclaim: all
        - measured: {label: out, row: "0/0/0/0 | 0 | 0/8/0 | a:0/2/0 b:0/2/0 | 0 | 2 | 0/0 | 0/0 | 64 | a0=S1 a1=S2 b0=S1 b1=S2"}
        - read: {process: hog, area: stack}
        - measured: {label: back, row: "0/0/0/0 | 0 | 3/0/1 | a:0/2/0 b:0/2/0 | 0 | 2 | 0/0 | 3/0 | 64 | "}
        """,
        V61,
        more=MACHINE,
    )


def test_a_page_locked_while_its_process_exits_stays_in_the_swap_cache(desk):
    """R-FREE-2: until the lock is let go of, which needs no process, and reclaim comes by."""
    desk.script(
        """
        - spawn: a
        - mmap: {process: a, area: mem, pages: 4}
        - write: {process: a, area: mem, content: unique}
        - lru: shrink
        - lru: shrink
        - read: {process: a, area: mem, pages: 1..2}
        - lock: {process: a, area: mem, pages: 1..2}
        - exit: a
        - expect: {machine.swapcache_unmapped: 2, machine.slots_used: 2, vm.pswpin: 0}
        - reclaim: all
        - expect: {machine.swapcache_unmapped: 2}
        - unlock: {process: a, area: mem, pages: 1..2}
        - reclaim: all
        - expect: {machine.swapcache_unmapped: 0, machine.slots_used: 0, machine.slots_in_hand: 64}
        """,
        V61,
        more=MACHINE,
    )


def test_a_pin_outlives_its_process(desk):
    desk.script(
        """
        - spawn: a
        - mmap: {process: a, area: mem, pages: 1}
        - write: {process: a, area: mem, content: x}
        - lru: drain
        - pin: {process: a, area: mem, pages: 0}
        - exit: a
        - expect: {machine.frames_used: 1}
        - unpin: {process: a, area: mem, pages: 0}
        - expect: {machine.frames_used: 0}
        """,
        V61,
        more=MACHINE,
    )


@pytest.mark.parametrize("in_hand", [(1, 0), (2, 64), (64, 64), (65, 0)])
def test_slots_in_hand_are_told_apart_from_those_with_pages(desk, in_hand):
    start, there = in_hand
    desk.script(
        f"""
        - spawn: a
        - expect: {{machine.slots_in_hand: {there}, machine.slots_used: 0}}
        """,
        V61,
        more=MACHINE.replace("swap:", f"swap_start: {start}, swap:"),
    )


@pytest.mark.parametrize(("files", "active"), [(0, 0), (8, 4)])
def test_what_comes_back_at_once_is_held_against_the_pages_of_files(desk, files, active):
    """R-OBJ-14: four pages out and in again; by then the clock has moved on by seven at most."""
    desk.script(
        f"""
        - spawn: a
        - mmap: {{process: a, area: mem, pages: 4}}
        - write: {{process: a, area: mem, content: unique}}
        - reclaim: all
        - read: {{process: a, area: mem}}
        - lru: drain
        - expect: {{vm.pswpin: 4, vm.nr_active_anon: {active}}}
        """,
        V61,
        more=MACHINE.replace("swap:", f"file_pages: {files}, swap:"),
    )
