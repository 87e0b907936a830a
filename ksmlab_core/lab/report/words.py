"""The sentences of a report: what came out, what was run, what the words mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ksmlab_core.lab.headline import COLUMNS, Column, Number, alike, change, text

if TYPE_CHECKING:
    from ksmlab_core.lab.collection import Collection, Run

PAGE_SIZE = 4096
_ANSWERING = ("saved, mean", "swap-in copies", "major faults", "stall", "ksmd time")

GLOSSARY = (
    (
        "page, page frame",
        "Memory is handed out in pieces of 4 KiB. A page is such a piece as a program sees it; a page frame is the "
        "piece of the machine's memory that holds it.",
    ),
    (
        "KSM, ksmd",
        "Kernel samepage merging: the kernel thread ksmd looks for pages of equal content in different programs and "
        "lets them share one page frame, which nobody may then write.",
    ),
    ("merge", "A page joins a shared frame; its own frame becomes free."),
    ("break", "A program writes to a shared page, so it gets a frame of its own again (copy on write)."),
    (
        "frames saved",
        "Pages that the programs have in memory minus the page frames that hold them: what sharing is worth at "
        "that moment.",
    ),
    (
        "swap-out, swap-in",
        "When memory runs short the kernel writes pages to a swap device and takes their frames; a page that is "
        "touched again is read back.",
    ),
    (
        "swap-in copy",
        "A shared page that was swapped out comes back. Where the kernel cannot tell that sharing is still safe, it "
        "copies the page for whoever asks: the saving is gone until ksmd finds the copies again.",
    ),
    (
        "swap-in policy",
        "What is done at that moment. kernel: what the kernel does. copy: always copy. remerge: map a shared page of "
        "equal content, if there is one. defer: copy, and let ksmd look at the copy first.",
    ),
    ("fault, major fault", "A program touches a page that is not mapped; major if it must wait for the swap device."),
    ("stall", "Time the programs spend waiting in faults."),
    (
        "simulated time",
        "The clock of the simulated machine. Every access, fault, copy, comparison and swap transfer has a cost in "
        "nanoseconds; the computer that ran the simulation has no influence on it.",
    ),
)


def answer(collection: Collection) -> list[str]:
    """What the runs say, in sentences: the best of each figure and how far it is from the first run."""
    runs = [run for run in collection.runs if run.result.status == "succeeded"]
    if not runs:
        return []
    columns = [column for column in COLUMNS if column.title in _ANSWERING]
    if len(runs) == 1:
        return [f"{_sentence_start(column)}: {_figure(column, runs[0])}." for column in _known(columns, runs)]
    return [sentence for column in _known(columns, runs) if (sentence := _best(column, runs, collection))]


def _known(columns: list[Column], runs: list[Run]) -> list[Column]:
    return [column for column in columns if all(column.value(run.result) is not None for run in runs)]


def _best(column: Column, runs: list[Run], collection: Collection) -> str:
    """Which run has the best of a figure, against the first and the worst."""
    labels = collection.label_of
    values = [_value(column, run) for run in runs]
    first = runs[0].result.id
    if len(set(values)) == 1:
        return f"{_sentence_start(column)}: the same in every run, {_figure(column, runs[0])}."
    if alike(min(values), max(values)):
        return f"{_sentence_start(column)}: within 1 % of each other, {_figure(column, runs[0])} in {labels[first]}."
    pick = max if column.better == "more" else min
    best = pick(values)
    winners = [labels[run.result.id] for run, value in zip(runs, values, strict=True) if value == best]
    at = runs[values.index(best)]
    sentence = f"{_sentence_start(column)}: best with {' and '.join(winners)}: {_figure(column, at)}"
    if best != values[0]:
        sentence += f"; {_against(best, values[0])}{labels[first]} with {_figure(column, runs[0])}"
    return f"{sentence}."


def _against(value: Number, base: Number) -> str:
    """`12 % more than `, `3.4 % less than `; nothing where a percentage means nothing."""
    if base == 0:
        return ""
    percent = change(value, base)
    return f"{percent.lstrip('+-')} {'more' if value > base else 'less'} than "


def _value(column: Column, run: Run) -> Number:
    value = column.value(run.result)
    assert value is not None, "only columns that every run has are asked for"
    return value


def _sentence_start(column: Column) -> str:
    return {
        "saved, mean": "Memory saved on average",
        "swap-in copies": "Pages copied at swap-in",
        "major faults": "Faults that waited for the swap device",
        "stall": "Time programs waited in faults",
        "ksmd time": "CPU time of ksmd",
    }[column.title]


def _figure(column: Column, run: Run) -> str:
    value = _value(column, run)
    if column.unit != "pages":
        return text(value, column.unit)
    return f"{text(value, column.unit)} frames, {value * PAGE_SIZE / 2**20:,.1f} MiB"


def settings(collection: Collection) -> tuple[list[tuple[str, str]], list[tuple[str, list[str]]]]:
    """What was run: the settings that all runs share, and those that differ, with a value per run."""
    flat = [dict(_flat(_shown(run.spec))) for run in collection.runs]
    names = list(dict.fromkeys(name for one in flat for name in one))
    shared = [(name, flat[0][name]) for name in names if len({one.get(name) for one in flat}) == 1]
    varied = [
        (name, [one.get(name, "–") for one in flat]) for name in names if len({one.get(name) for one in flat}) > 1
    ]
    return shared, varied


def _shown(spec: dict[str, Any]) -> dict[str, Any]:
    """The parts of a run's specification that say what was run."""
    return {
        name: spec[name]
        for name in ("seed", "kernel", "machine", "ksm", "policies", "workload", "measure")
        if name in spec
    }


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Leaves of nested mappings by dotted name; a script is only counted."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        yield path, f"{len(value)} steps"
    else:
        yield path, _leaf(path, value)


def _leaf(path: str, value: Any) -> str:
    if path in ("machine.frames", "machine.slots"):
        return f"{value:,} ({value * PAGE_SIZE / 2**20:,.0f} MiB)"
    if path.endswith("_ns") and isinstance(value, int):
        return text(value, "ns")
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}" if path != "seed" else str(value)
    return "–" if value is None else str(value)
