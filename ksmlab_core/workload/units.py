"""Parameters with units: durations as experiment files write them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

NANOSECONDS: Final = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9}
"""Nanoseconds in one of each unit of time."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ns|us|µs|ms|s|min)")
LONGEST_NS: Final = 2**62


def duration_ns(value: Any) -> int:
    """Nanoseconds of a text such as ``20ms`` or ``1.5s``; a whole number is nanoseconds already.

    Raises:
        ValueError: Not a duration, not a whole number of nanoseconds, or longer than 2**62 ns.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        exact = Decimal(value)
    elif isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        exact = Decimal(match[1]) * NANOSECONDS[match[2]]
    else:
        raise ValueError(f"a duration is a number and a unit ({', '.join(NANOSECONDS)}), such as 20ms")
    if exact < 0 or exact > LONGEST_NS or exact != exact.to_integral_value():
        raise ValueError("a duration is a whole number of nanoseconds from 0 to 2**62")
    return int(exact)


Duration = Annotated[
    int,
    BeforeValidator(duration_ns),
    Field(ge=0),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": rf"^\s*{_DURATION.pattern}\s*$"},
                {"type": "integer", "minimum": 0},
            ]
        }
    ),
]
"""A parameter's type: simulated nanoseconds, written as ``20ms`` (or a whole number of ns)."""
