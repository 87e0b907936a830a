"""The figures that answer first: what each is called, where it comes from, and what it means to someone new."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ksmlab_core.lab.collection import Collection
    from ksmlab_core.simulation import RunResult

Unit = Literal["pages", "count", "ns", "share"]
Number = int | float


@dataclass(frozen=True)
class Column:
    """One figure of a run."""

    title: str
    unit: Unit
    better: Literal["more", "less", ""]
    """Which direction is good news; empty where neither is."""
    meaning: str
    value: Callable[[RunResult], Number | None]
    least: Number = 0
    """The column is left out where no run has as much."""


@dataclass(frozen=True)
class OfMetric:
    """A figure that is made of one metric."""

    name: str
    sampled: bool
    """Is it made of the run's series, and not of the value at the end?"""
    reckon: Callable[[RunResult], Number | None]

    def __call__(self, result: RunResult) -> Number | None:
        return self.reckon(result)


def metric(name: str) -> OfMetric:
    """The final value of a metric, None where the run has none."""
    return OfMetric(name, False, lambda result: result.metrics.get(name))


def mean_over_time(name: str) -> OfMetric:
    """The mean of a sampled metric over simulated time, each interval weighted by its length."""

    def mean(result: RunResult) -> Number | None:
        import numpy as np

        if name not in result.series or len(result.series[name]) < 2:
            return None
        time = np.asarray(result.series["time.elapsed"], dtype=np.float64)
        span = time[-1] - time[0]
        if span <= 0:
            return None
        return float(np.trapezoid(np.asarray(result.series[name], dtype=np.float64), time) / span)

    return OfMetric(name, True, mean)


def back_after(name: str, share: float = 0.95) -> OfMetric:
    """Time from the last labelled sample until a metric is back at `share` of its highest value before it.

    None where it is not lost at that sample, or never comes back.
    """

    def back(result: RunResult) -> Number | None:
        return back_from(result, name, str(result.samples[-1]["at"]), share) if result.samples else None

    return OfMetric(name, True, back)


def back_from(result: RunResult, name: str, label: str, share: float = 0.95) -> Number | None:
    """The same from the sample of this label on; precise to the interval of the run's samples, ns."""
    import numpy as np

    start = next(sample["ns"] for sample in result.samples if sample["at"] == label)
    if name not in result.series:
        return None
    time, values = result.series["time.elapsed"], result.series[name]
    before, after = time <= start, time >= start
    wanted = share * values[before].max() if before.any() else 0
    reached = np.flatnonzero(after & (values >= wanted))
    if not reached.size or time[reached[0]] == start or reached[0] == np.flatnonzero(after)[0]:
        return None
    return int(time[reached[0]] - start)


COLUMNS = (
    Column(
        "saved, mean",
        "pages",
        "more",
        "page frames that sharing saves, averaged over the run: pages the programs see minus frames that hold them",
        mean_over_time("machine.pages_saved"),
    ),
    Column("saved, end", "pages", "more", "page frames saved when the run ended", metric("machine.pages_saved")),
    Column(
        "swap-in copies",
        "count",
        "less",
        "pages that came back from swap into a frame of their own although they had been shared",
        metric("vm.swapin_copies"),
    ),
    Column(
        "rejoined",
        "count",
        "more",
        "pages that at swap-in were given the shared page that has their content, instead of a frame of their own",
        metric("vm.swapin_remerges"),
    ),
    Column(
        "deferred",
        "count",
        "",
        "pages copied at swap-in and put first in the queue of ksmd, to be merged again soon",
        metric("vm.swapin_deferred"),
    ),
    Column("faults", "count", "less", "page faults of every kind", metric("vm.pgfault")),
    Column("major faults", "count", "less", "faults that had to wait for the swap device", metric("vm.pgmajfault")),
    Column("stall", "ns", "less", "time the programs spent waiting in faults", metric("time.fault_stall")),
    Column(
        "ksmd time", "ns", "less", "CPU time of ksmd, the kernel thread that looks for equal pages", metric("time.ksmd")
    ),
    Column(
        "run time",
        "ns",
        "less",
        "simulated time from beginning to end",
        metric("time.elapsed"),
    ),
    Column("swapped in", "pages", "less", "pages read from the swap device", metric("vm.pswpin")),
    Column("swapped out", "pages", "less", "pages written to the swap device", metric("vm.pswpout")),
    Column(
        "held, mean",
        "pages",
        "less",
        "page frames of KSM pages that nobody maps and that are still in memory, averaged over the run",
        mean_over_time("machine.ksm_frames_unmapped"),
        least=10,
    ),
    Column(
        "back after",
        "ns",
        "less",
        "time from the last sample with a name until 95 % of the saving that there had been before it is back",
        back_after("machine.pages_saved"),
    ),
)


def columns_of(collection: Collection) -> list[Column]:
    """The columns for which at least one run has a figure worth a column."""

    def told(column: Column) -> bool:
        return any(value is not None and value >= column.least for value in map(column.value, results))

    results = [run.result for run in collection.runs]
    return [column for column in COLUMNS if told(column)]


def text(value: Number | None, unit: Unit) -> str:
    """A figure for people: 12,345 pages, 3.21 ms; a dash where there is none."""
    if value is None:
        return "–"
    if unit == "share":
        return f"{100 * value:.1f} %"
    return duration(value) if unit == "ns" else f"{value:,.0f}"


def duration(ns: Number) -> str:
    """Nanoseconds in the unit that leaves one to three digits before the point."""
    for name, size in (("s", 1_000_000_000), ("ms", 1_000_000), ("µs", 1_000)):
        if abs(ns) >= size:
            return f"{ns / size:,.{_decimals(ns / size)}f} {name}"
    return f"{ns:.0f} ns"


def _decimals(value: float) -> int:
    """Decimals for three digits that count."""
    return 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0


def change(value: Number | None, base: Number | None) -> str:
    """How far a figure is from the first run's, in percent; empty where that says nothing."""
    if value is None or base is None or value == base:
        return ""
    if base == 0:
        return "from 0"
    percent = 100 * (value - base) / abs(base)
    return f"{percent:+,.0f} %" if abs(percent) >= 10 else f"{percent:+.1f} %"


def alike(one: Number, other: Number) -> bool:
    """Are two figures less than one percent apart?"""
    return one == other or abs(one - other) < 0.01 * max(abs(one), abs(other))
