"""What a comparison must not show: `vm.pswpin > +1%`, and which points show it all the same."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ksmlab_core.errors import BadInput
from ksmlab_core.lab.compare.figures import of_metric
from ksmlab_core.lab.compare.words import figure, percent
from ksmlab_core.lab.headline import Number

if TYPE_CHECKING:
    from ksmlab_core.lab.compare.table import Cell, Comparison, Row

_OPERATORS: dict[str, Callable[[Number, Number], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
_FORM = re.compile(
    r"(?P<metric>[^<>=!]+?)\s*(?P<operator>>=|<=|==|!=|>|<)\s*(?P<sign>[+-]?)(?P<number>\d+(\.\d+)?)\s*(?P<percent>%?)"
)
_ALLOWED = "METRIC OP [+-]N[%], such as 'vm.pswpin > +1%' (change in per cent), '> +50' (change) or '> 9000' (value)"


@dataclass(frozen=True)
class Rule:
    """One thing that must not be.

    Attributes:
        told: as the user wrote it.
        metric: a figure's name.
        operator: one of > >= < <= == !=.
        of: what is held against `limit`: the mean's change in per cent, its change, or the mean itself.
        limit: the number.
    """

    told: str
    metric: str
    operator: str
    of: Literal["percent", "change", "value"]
    limit: Number

    def holds(self, cell: Cell) -> bool:
        """Is what must not be?"""
        got = {"percent": cell.percent, "change": cell.difference, "value": cell.mean}[self.of]
        return _OPERATORS[self.operator](got, self.limit)


@dataclass(frozen=True)
class Violation:
    """A rule and where it was broken, in words."""

    rule: Rule
    told: str


def read_rule(told: str) -> Rule:
    """A rule from what the user wrote.

    Raises:
        BadInput: it is none; the message says what one looks like.
    """
    found = _FORM.fullmatch(told.strip())
    if found is None:
        raise BadInput(f"--fail-if {told!r}: not a rule; {_ALLOWED}")
    number: Number = float(found["number"]) if "." in found["number"] else int(found["number"])
    of: Literal["percent", "change", "value"] = (
        "percent" if found["percent"] else "change" if found["sign"] else "value"
    )
    limit = -number if found["sign"] == "-" else number
    return Rule(told.strip(), found["metric"], found["operator"], of, limit)


def broken(rules: list[Rule], comparison: Comparison) -> list[Violation]:
    """Where rules were broken, or cannot be checked: a figure or a run is missing that the base has."""
    found = []
    for rule in rules:
        for one in comparison.points:
            place = one.point.label
            if rule.metric in one.lacking:
                found.append(Violation(rule, _said(rule, place, "not in every run")))
            for row in one.rows:
                if rule.metric in (row.column.title, of_metric(row.column)):
                    found += _in_row(rule, place, row, comparison.sides.names[1:])
    lost = [f"could not be checked: {told}" for told in comparison.sides.lost]
    return found + [Violation(rule, f"{rule.told}: {told}") for rule in rules[:1] for told in lost]


def _in_row(rule: Rule, place: str, row: Row, names: list[str]) -> list[Violation]:
    return [
        Violation(
            rule, _said(rule, ", ".join(filter(None, (place, name if len(names) > 1 else ""))), _change(row, cell))
        )
        for name, cell in zip(names, row.cells, strict=True)
        if rule.holds(cell)
    ]


def _said(rule: Rule, place: str, what: str) -> str:
    return ": ".join(filter(None, (rule.told, place, what)))


def _change(row: Row, cell: Cell) -> str:
    unit = row.column.unit
    return f"{figure(row.mean, unit)} → {figure(cell.mean, unit)} ({percent(cell.percent)})"
