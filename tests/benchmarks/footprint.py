"""Bytes of simulator memory per mapped page."""

from __future__ import annotations

import numpy as np

from ksmlab_core.mm.machine import Machine

from .measure import Figure

PASSES = 3
WATERMARKS = 1024  # frames that stay free so that every page can be mapped at once


def _bytes_per_page(pages: int, processes: int, sharers: int, frames: int) -> float:
    """All pages mapped, known to ksmd and looked at three times; as many slots as pages.

    Args:
        pages: of all processes.
        processes: each has an area of its own.
        sharers: pages that hold the same content.
        frames: of the machine, beside those that stay free.
    """
    machine = Machine(frames=frames + WATERMARKS, slots=pages)
    machine.set_knob("max_kernel_pages", 0)
    each = pages // processes
    for number in range(processes):
        process = machine.spawn()
        start = machine.mmap(process, each)
        machine.madvise_mergeable(process, start, each)
        first = number * each
        machine.access_all(machine.ptes(process, start, each), np.arange(first, first + each) // sharers + 1)
        if frames < pages:
            machine.scan_passes(PASSES)
    machine.scan_passes(PASSES)
    mapped = int(np.count_nonzero(machine.state.m.pte_flags & 1))
    if mapped < each * processes:
        raise RuntimeError(f"{each * processes - mapped} pages were swapped out: the figure would be of another state")
    return machine.state.bytes_used() / mapped


def bytes_per_page(pages: int) -> list[Figure]:
    """The dearest states: every page in a frame of its own, and every page merged with one other."""
    own = [_bytes_per_page(pages, processes, 1, pages) for processes in (1, 7, 33)]
    merged = [_bytes_per_page(pages, processes, 2, pages * 3 // 4) for processes in (10, 20, 40)]
    return [
        Figure("mapped page, all different", "bytes", own, target=128),
        Figure("mapped page, all in pairs, memory for 3/4", "bytes", merged, target=128),
    ]
