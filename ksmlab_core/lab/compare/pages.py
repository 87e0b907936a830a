"""A comparison as a JSON document, as Markdown, and as an HTML page that needs nothing from outside."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from html import escape
from importlib import resources
from typing import TYPE_CHECKING, Any

from ksmlab_core.lab.compare import words
from ksmlab_core.lab.compare.figures import of_metric
from ksmlab_core.lab.compare.sides import differing_makers, differing_settings

if TYPE_CHECKING:
    from ksmlab_core.lab.compare.rules import Rule, Violation
    from ksmlab_core.lab.compare.table import Cell, Comparison, Row


def document(comparison: Comparison, rules: Sequence[Rule], violations: Sequence[Violation]) -> dict[str, Any]:
    """Everything as plain data; a change from zero has no per cent."""
    sides = comparison.sides
    return {
        "sides": sides.names,
        "by": sides.by,
        "identical": comparison.identical,
        "exact": comparison.exact,
        "unexplained": comparison.unexplained,
        "settings": {key: [list(pair) for pair in pairs] for key, pairs in differing_settings(sides).items()},
        "made_by": differing_makers(sides),
        "differing": comparison.differing,
        "left_out": sides.left_out,
        "tests": comparison.tests,
        "points": [
            {
                "point": one.point.settings,
                "seeds": one.point.seeds,
                "metrics": [_row(row, sides.names) for row in one.rows],
                "lacking": one.lacking,
            }
            for one in comparison.points
        ],
        "fail_if": [
            {"rule": rule.told, "violations": [one.told for one in violations if one.rule is rule]} for rule in rules
        ],
    }


def _row(row: Row, names: Sequence[str]) -> dict[str, Any]:
    return {
        "name": row.column.title,
        "metric": of_metric(row.column),
        "unit": row.column.unit,
        "better": row.column.better or None,
        "base": {"side": names[0], "mean": _rounded(row.mean), "values": row.base},
        "others": [_cell(cell, name) for cell, name in zip(row.cells, names[1:], strict=True)],
    }


def _cell(cell: Cell, name: str) -> dict[str, Any]:
    return {
        "side": name,
        "mean": _rounded(cell.mean),
        "values": cell.values,
        "difference": _rounded(cell.difference),
        "percent": _rounded(cell.percent),
        "pairs_differing": cell.differing,
        "p": _rounded(cell.p),
        "significant": cell.significant,
        "interval": cell.interval
        and {"low": _rounded(cell.interval.low), "high": _rounded(cell.interval.high), "method": cell.interval.method},
    }


def _rounded(value: float | None) -> float | None:
    """Floating-point numbers to the digits that are the same on every machine; integers as they are."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.9g}") if math.isfinite(value) else None


def markdown(comparison: Comparison, violations: Sequence[Violation]) -> str:
    """A table per point, between the words about it."""
    parts = ["\n".join(f"- {line}" for line in words.before(comparison))]
    heads = words.heads(comparison)
    for one in filter(lambda one: one.rows, comparison.points):
        lines = [_piped(heads), _piped(["---", *["--:"] * (len(heads) - 1)])]
        lines += [_piped(list(map(_narrow, cells))) for cells in words.rows(comparison, one)]
        parts += [f"**{_plain(words.place(one))}**", "\n".join(lines)]
    parts.append("\n".join(f"- {_plain(line)}" for line in [*words.after(comparison), *_violated(violations)]))
    return "\n\n".join(parts) + "\n"


def _piped(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_plain, cells)) + " |"


def _narrow(cell: str) -> str:
    """A cell without the blanks that put figures in line where letters are of one width."""
    return re.sub(r"([(*]) +", r"\1", cell)


def _plain(said: str) -> str:
    """Text in which stars, bars and angle brackets are themselves."""
    for sign in "\\*|<_`":
        said = said.replace(sign, f"\\{sign}")
    return said


def _violated(violations: Sequence[Violation]) -> list[str]:
    return [f"fails: {one.told}" for one in violations]


def html(comparison: Comparison, violations: Sequence[Violation]) -> str:
    """One page, in the report's dress; differences that are significant, or exact, are told as good or bad news."""
    style = (resources.files("ksmlab_core.lab.report") / "page.css").read_text(encoding="utf-8")
    name = " and ".join(comparison.sides.names)
    body = [f"<ul class=facts>{_items(words.before(comparison))}</ul>"]
    if violations:
        body.append(
            f"<section class='bad box'><h2>Fails</h2><ul>{_items([one.told for one in violations])}</ul></section>"
        )
    heads = "".join(f"<th scope=col>{escape(head)}</th>" for head in words.heads(comparison))
    for one in filter(lambda one: one.rows, comparison.points):
        rows = zip(one.rows, words.rows(comparison, one), strict=True)
        table = "".join(_table_row(comparison, row, cells) for row, cells in rows)
        body.append(
            f"<section><h2>{escape(words.place(one))}</h2><div class=scroll><table><thead><tr>{heads}</tr></thead>"
            f"<tbody>{table}</tbody></table></div></section>"
        )
    body.append(f"<section><ul class=facts>{_items(words.after(comparison))}</ul></section>")
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<title>{escape(name)} compared</title><style>\n{style}\n{_STYLE}</style></head>\n"
        f"<body><header><p class=kicker>ksmlab compare</p><h1>{escape(name)}</h1></header>\n"
        f"<main>{''.join(body)}</main></body></html>\n"
    )


_STYLE = """ul.facts { padding: 0; list-style: none; }
td, th { text-align: right; }
td { white-space: nowrap; padding: .2rem .7rem; }
td:first-child, th:first-child { text-align: left; }
td.good { color: var(--good); }
td.bad { color: var(--bad); }
"""


def _items(lines: Sequence[str]) -> str:
    return "".join(f"<li>{escape(line)}</li>" for line in lines)


def _table_row(comparison: Comparison, row: Row, cells: Sequence[str]) -> str:
    step = 2 if words.has_intervals(comparison) else 1
    news = {2 + step * nth: _news(comparison, row, cell) for nth, cell in enumerate(row.cells)}
    told = "".join(f"<td{news.get(nth, '')}>{escape(_narrow(cell))}</td>" for nth, cell in enumerate(cells))
    return f"<tr>{told}</tr>"


def _news(comparison: Comparison, row: Row, cell: Cell) -> str:
    """The class of a cell whose difference is sure, and good or bad."""
    sure = cell.significant or (comparison.exact and len(cell.values) == 1)
    if not (sure and cell.difference and row.column.better):
        return ""
    return " class=good" if (cell.difference > 0) == (row.column.better == "more") else " class=bad"
