"""Pages per second that ksmd gets through, ours beside the real one, over the same contents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ksmlab_core.mm.machine import Machine

from . import real_ksmd
from .measure import Figure, Skipped, Stopwatch, interleaved

PHASES = ("first pass", "second pass", "steady state")
_STEADY_PASSES = 4


def contents(kind: str, pages: int) -> Any:
    """int64 per page: all different, or every content in two places; in random order."""
    rng = np.random.default_rng(1)
    if kind == "pairs":
        return np.concatenate([rng.permutation(pages // 2), rng.permutation(pages // 2)]) + 1
    return rng.permutation(pages) + 1


def simulated_rates(numbers: Any) -> list[float]:
    """Million pages per second of the phases; growing the records that a pass needs is in it."""
    pages = len(numbers)
    machine = Machine(frames=2 * pages, slots=pages)
    machine.set_knob("max_kernel_pages", 0)  # no limit, as in today's kernel
    process = machine.spawn()
    start = machine.mmap(process, pages)
    machine.madvise_mergeable(process, start, pages)
    machine.access_all(machine.ptes(process, start, pages), numbers)
    return [_timed(machine, pages, 1), _timed(machine, pages, 1), _timed(machine, pages, _STEADY_PASSES)]


def _timed(machine: Machine, pages: int, passes: int) -> float:
    watch = Stopwatch()
    with watch.running():
        machine.scan_passes(passes)
    return passes * pages / watch.seconds / 1e6


def _rounds(rounds: int, pages: int, real: bool) -> dict[tuple[str, str, str], list[float]]:
    """(side, kind, phase) -> a rate per round."""
    sides: dict[str, Callable[[Any], list[float]]] = {"ksmlab": simulated_rates}
    if real:
        sides["real"] = real_ksmd.pass_rates
    rates: dict[tuple[str, str, str], list[float]] = {}

    def run(side: str, kind: str) -> float:
        for phase, rate in zip(PHASES, sides[side](contents(kind, pages)), strict=True):
            rates.setdefault((side, kind, phase), []).append(rate)
        return 0.0

    pairs = [(side, kind) for kind in ("all different", "pairs") for side in sides]
    interleaved(rounds, {f"{side} {kind}": lambda side=side, kind=kind: run(side, kind) for side, kind in pairs})
    return rates


def ksmd_pages(rounds: int, pages: int) -> tuple[list[Figure], str | None]:
    """The figures, and why the real ksmd is not beside them if it is not."""
    simulated_rates(contents("pairs", 1000))  # compiled before the clock starts
    why = None
    try:
        with real_ksmd.ksm_for_us():
            rates = _rounds(rounds, pages, real=True)
    except Skipped as skipped:
        why = str(skipped)
        rates = _rounds(rounds, pages, real=False)
    figures = []
    for kind in ("all different", "pairs"):
        for phase in PHASES:
            name = f"ksmd, {kind}, {phase}"
            ours, real = rates["ksmlab", kind, phase], rates.get(("real", kind, phase), ())
            figures.append(Figure(name, "M pages/s", ours, "real ksmd", real, 10 if real else None))
    return figures, why
