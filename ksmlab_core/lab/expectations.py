"""Expectations in words: which were not met, where they stand, what was wanted and what came."""

from __future__ import annotations

from typing import Any


def told(file: str, one: dict[str, Any]) -> str:
    """One expectation that was not met: ``file:line: metric: wanted X, got Y``."""
    place = f"{file}:{one['line']}" if one.get("line") is not None else file
    got = "no such metric in this run" if one["got"] is None else f"got {one['got']}"
    return f"{place}: {one['metric']}: wanted {wanted(one['want'])}, {got}"


def wanted(want: Any) -> str:
    """What an expectation asks for: a value, `at least 3`, `at most 9`, `3 to 9`."""
    if not isinstance(want, dict):
        return str(want)
    low, high = want.get("min"), want.get("max")
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"{low} to {high}"
