"""Rows of a conformance table in words: what was expected, what came, and many rows as few."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from ksmlab_core.experiment.conformance import in_order
from ksmlab_core.lab.conformance import Row
from ksmlab_core.lab.expectations import wanted

COUNTERS: Final = ("ksm.pages_shared", "ksm.pages_sharing", "ksm.pages_unshared", "ksm.pages_volatile")
"""What ``2/98302/0/0`` says, in this order."""
_SPECIAL: Final = re.compile(r"[|*]")
SPELT: Final = 3
"""Figures beside the counters that a row spells out; of more it tells how many."""
COLUMNS: Final = ("suite", "scenario", "expected", "got", "rule", "kernel")


@dataclass(frozen=True)
class Line:
    """One line of the table, cells by COLUMNS, and whether all was well."""

    cells: tuple[str, str, str, str, str, str]
    ok: bool


def lines(rows: Sequence[Row], *, every_file: bool = False) -> list[Line]:
    """The table of some rows: rows that say the same of several kernels as one.

    Args:
        rows: What came of the scenarios.
        every_file: Give each row a line; otherwise rows of many figures (measured tables, traces) share one per suite
            and kernel as long as they are well.
    """
    alone: list[Row] = []
    together: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if every_file or not row.ok or _few(row):
            alone.append(row)
        else:
            together.setdefault((row.suite, row.kernel), []).append(row)
    return [*_merged(alone), *(_whole_suite(suite, kernel, some) for (suite, kernel), some in together.items())]


def as_markdown(told: Iterable[Line]) -> Iterator[str]:
    """The table as lines of Markdown."""
    for cells in (COLUMNS, ("---",) * len(COLUMNS), *(line.cells for line in told)):
        escaped = (_SPECIAL.sub(r"\\\g<0>", cell) for cell in cells)
        yield f"| {' | '.join(escaped)} |"


def _merged(rows: Iterable[Row]) -> list[Line]:
    """Equal rows of several kernels as one line."""
    kernels: dict[tuple[str, ...], list[str]] = {}
    well: dict[tuple[str, ...], bool] = {}
    for row in rows:
        name = f"{row.scenario}: {row.stage}" if row.stage else row.scenario
        key = (row.suite, name, expected(row), got(row), ", ".join(row.rules))
        kernels.setdefault(key, []).append(row.kernel)
        well[key] = row.ok
    return [Line((*key, ", ".join(in_order(dict.fromkeys(some)))), well[key]) for key, some in kernels.items()]  # type: ignore[arg-type]


def _whole_suite(suite: str, kernel: str, rows: Sequence[Row]) -> Line:
    rules = dict.fromkeys(rule for row in rows for rule in row.rules)
    figures = counted(sum(len(row.checks) for row in rows), "figure")
    return Line((suite, counted(len(rows), "file"), figures, figures, counted(len(rules), "rule"), kernel), True)


def counted(number: int, noun: str) -> str:
    """``1 file``, ``2,000 files``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def expected(row: Row) -> str:
    """What a row wants: its figures if they are few, otherwise how many they are."""
    if row.error is not None:
        return "runs to its end"
    return _spelt(row, "want") if _few(row) else counted(len(row.checks), "figure")


def got(row: Row) -> str:
    """What a row got, as `expected` says it; figures that differ are always told."""
    if row.error is not None:
        return row.error
    differing = [check for check in row.checks if not check["ok"]]
    if not _few(row):
        text = counted(len(row.checks) - len(differing), "figure")
        return "; ".join([text, *map(_told, differing)])
    others = _others(row)
    hidden = [check for check in others if not check["ok"]] if len(others) > SPELT else []
    return "; ".join([_spelt(row, "got"), *map(_told, hidden)])


def _told(check: dict[str, Any]) -> str:
    at = f"{check['at']}: " if check["at"] else ""
    return f"line {check['line']}: {at}{check['metric']} {check['got']}, not {wanted(check['want'])}"


def _short(metric: str) -> str:
    """A metric without its first part; what the table is about is plain."""
    return metric.partition(".")[2] or metric


def _counters(row: Row) -> dict[str, dict[str, Any]]:
    """The comparisons of the four counters, if each was compared once."""
    found = {check["metric"]: check for check in row.checks if check["metric"] in COUNTERS}
    once = sum(check["metric"] in COUNTERS for check in row.checks) == len(COUNTERS) == len(found)
    return found if once else {}


def _others(row: Row) -> list[dict[str, Any]]:
    """What was compared beside those four."""
    beside = COUNTERS if _counters(row) else ()
    return [check for check in row.checks if check["metric"] not in beside]


def _few(row: Row) -> bool:
    """Can the figures of a row be spelt out? Of a stage the counters are, whatever else it compares."""
    beside = len(_others(row))
    return beside <= SPELT or (bool(row.stage) and beside < len(row.checks))


def _spelt(row: Row, side: Literal["want", "got"]) -> str:
    """``2/98302/0/0``, and the figures beside them or how many they are."""
    counters, others = _counters(row), _others(row)
    said = ["/".join(wanted(counters[name][side]) for name in COUNTERS)] if counters else []
    if len(others) <= SPELT:
        said += [f"{_short(check['metric'])} {wanted(check[side])}" for check in others]
    else:
        met = len(others) if side == "want" else sum(check["ok"] for check in others)
        said.append(f"+{counted(met, 'figure')}")
    return ", ".join(said)
