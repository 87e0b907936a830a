"""The kinds of value that experiment files are made of: names, sizes, durations, page ranges, contents.

Each kind is a pydantic type: a function that reads what a person wrote, and the JSON Schema of it.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Final, TypeGuard

from pydantic import Field, PlainValidator, WithJsonSchema

from ksmlab_core.errors import did_you_mean
from ksmlab_core.experiment.complaints import shown, wrong
from ksmlab_core.mm.costs import COSTS, PRESETS
from ksmlab_core.workload.units import NANOSECONDS, duration_ns

PAGE_SIZE: Final = 4096
"""Bytes in a page."""
MOST_FRAMES: Final = 2**31 - 1
"""Frames, slots and pages are numbered with 32 bits."""
LONGEST_NAME: Final = 64

_UNITS: Final = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]+)")
_RANGE = re.compile(r"([0-9]{1,10})\.\.([0-9]{1,10})")
_PAGES_ALLOWED: Final = "a page number such as 7, or an inclusive range such as 0..99"


def is_whole(value: Any) -> TypeGuard[int]:
    """Whether a value is a whole number (true and false are not)."""
    return isinstance(value, int) and not isinstance(value, bool)


def read_name(value: Any) -> str:
    """The name of a process or an area."""
    allowed = f"1 to {LONGEST_NAME} letters, digits, - and _"
    if not isinstance(value, str):
        hint = f"; write '{value}' in quotes" if is_whole(value) else ""
        raise wrong(f"{shown(value)} is not a name", allowed + hint)
    if not _NAME.fullmatch(value) or len(value) > LONGEST_NAME:
        raise wrong(f"{shown(value)} cannot be a name", allowed)
    return value


def read_names(value: Any) -> list[str]:
    """One name or a list of different names."""
    if not isinstance(value, list):
        return [read_name(value)]
    names = [read_name(name) for name in value]
    if not names:
        raise wrong("an empty list of names", "a name or a list of names")
    if twice := [name for name in names if names.count(name) > 1]:
        raise wrong(f"{shown(twice[0])} is named twice")
    return names


def read_bytes(value: Any) -> int:
    """Bytes of a text such as ``64MiB``; a whole number is bytes already."""
    if is_whole(value):
        size = Decimal(value)
    elif isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        if match[2] not in _UNITS:
            raise wrong(f"{shown(value)} has an unknown unit", f"units: {', '.join(_UNITS)}", _nearest_unit(match[2]))
        size = Decimal(match[1]) * _UNITS[match[2]]
    else:
        raise wrong(f"{shown(value)} is not a size", "a number and a unit such as 64MiB, or bytes")
    if size < 0 or size % PAGE_SIZE:
        raise wrong(f"{shown(value)} is not a number of whole pages", f"a multiple of {PAGE_SIZE} bytes")
    if size > MOST_FRAMES * PAGE_SIZE:
        raise wrong(f"{shown(value)} is more than can be simulated", f"at most {MOST_FRAMES} pages (8 TiB)")
    return int(size)


def _nearest_unit(unit: str) -> str | None:
    """MiB for MB, M, mb or mib."""
    return next((known for known in _UNITS if known[0] == unit[0].upper()), None)


def read_memory(value: Any) -> int:
    """Page frames of a size, at least one."""
    frames = read_bytes(value) // PAGE_SIZE
    if frames == 0:
        raise wrong("a machine without memory", "at least one page: 4096 bytes")
    return frames


def read_swap(value: Any) -> int:
    """Swap slots of a size; 0 is no swap."""
    return read_bytes(value) // PAGE_SIZE


def read_duration(value: Any) -> int:
    """Simulated nanoseconds of a text such as ``100ms``; a whole number is nanoseconds already."""
    try:
        return duration_ns(value)
    except ValueError:
        allowed = f"a number and a unit ({', '.join(NANOSECONDS)}) such as 20ms, or whole nanoseconds"
        raise wrong(f"{shown(value)} is not a duration", allowed) from None


def read_interval(value: Any) -> int:
    """A duration that is not zero."""
    if (ns := read_duration(value)) == 0:
        raise wrong("an interval of zero", "at least 1ns")
    return ns


def read_pages(value: Any) -> list[int]:
    """First and last page of a page number or an inclusive range ``0..99``."""
    if is_whole(value) and 0 <= value <= MOST_FRAMES:
        return [value, value]
    match = _RANGE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise wrong(f"{shown(value)} is not a range of pages", _PAGES_ALLOWED)
    first, last = int(match[1]), int(match[2])
    if first > last:
        raise wrong(f"the range {value} is empty", _PAGES_ALLOWED, f"{last}..{first}")
    return [first, last]


def read_content(value: Any) -> dict[str, Any]:
    """What a page holds: zero, unique, a cycle, or named by any other text."""
    if isinstance(value, str) and value:
        return {"kind": value} if value in ("zero", "unique") else {"kind": "named", "name": value}
    if not isinstance(value, dict):
        hint = f"; write '{value}' in quotes" if is_whole(value) else ""
        raise wrong(f"{shown(value)} is not a content", "zero, unique, {cycle: n, from: k} or a text" + hint)
    for key in value:
        if key not in ("cycle", "from"):
            raise wrong(f"unknown key {key!a}", "allowed: cycle, from", did_you_mean(key, ("cycle", "from")))
    cycle, family = value.get("cycle"), value.get("from", 0)
    if not is_whole(cycle) or not 1 <= cycle < 2**63:
        raise wrong(f"the cycle of {shown(cycle)} pages", "a whole number, at least 1")
    if not is_whole(family) or not 0 <= family < 2**63:
        raise wrong(f"the family {shown(family)}", "a whole number, at least 0")
    return {"kind": "cycle", "n": cycle, "from": family}


def read_costs(value: Any) -> str | dict[str, int]:
    """A preset's name, or nanoseconds by the name of the event."""
    presets = ", ".join(PRESETS)
    if isinstance(value, str):
        if value not in PRESETS:
            raise wrong(f"there is no cost table {shown(value)}", f"allowed: {presets}", did_you_mean(value, PRESETS))
        return value
    if not isinstance(value, dict):
        raise wrong(f"{shown(value)} is not a cost table", f"{presets}, or a mapping of events to durations")
    for event in value:
        if event not in COSTS:
            allowed = f"allowed: {', '.join(sorted(COSTS))}"
            raise wrong(f"there is no event {event!a}", allowed, did_you_mean(event, COSTS))
    return {event: read_duration(cost) for event, cost in value.items()}


def read_want(value: Any) -> int | float | dict[str, int | float]:
    """What a metric has to be: a number, or bounds."""
    if _is_number(value):
        return value  # type: ignore[no-any-return]
    allowed = "a number, or {min: a, max: b}"
    if not isinstance(value, dict) or not value:
        raise wrong(f"{shown(value)} is not something a metric can be", allowed)
    for key, bound in value.items():
        if key not in ("min", "max"):
            raise wrong(f"unknown key {key!a}", "allowed: max, min", did_you_mean(key, ("min", "max")))
        if not _is_number(bound):
            raise wrong(f"{key} is {shown(bound)}", allowed)
    if value.get("min", float("-inf")) > value.get("max", float("inf")):
        raise wrong(f"nothing is at least {value['min']} and at most {value['max']}", allowed)
    return value


def _is_number(value: Any) -> bool:
    return is_whole(value) or isinstance(value, float)


_NAME_SCHEMA: Final = {"type": "string", "pattern": "^[A-Za-z0-9_-]+$", "maxLength": LONGEST_NAME}
_SIZE_SCHEMA: Final = {
    "anyOf": [
        {"type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)? ?(B|KiB|MiB|GiB|TiB)\s*$"},
        {"type": "integer", "minimum": 0, "multipleOf": PAGE_SIZE},
    ]
}
_DURATION_SCHEMA: Final = {
    "anyOf": [
        {"type": "string", "pattern": rf"^\s*[0-9]+(\.[0-9]+)?\s*({'|'.join(NANOSECONDS)})\s*$"},
        {"type": "integer", "minimum": 0},
    ]
}
_COST_TABLE_SCHEMA: Final = {
    "type": "object",
    "properties": {
        event: {**_DURATION_SCHEMA, "description": f"{about}; default {ns}ns"} for event, (ns, about) in COSTS.items()
    },
    "additionalProperties": False,
}

Name = Annotated[str, PlainValidator(read_name), WithJsonSchema(_NAME_SCHEMA)]
Names = Annotated[
    list[str],
    PlainValidator(read_names),
    WithJsonSchema({"anyOf": [_NAME_SCHEMA, {"type": "array", "items": _NAME_SCHEMA, "minItems": 1}]}),
]
Memory = Annotated[int, PlainValidator(read_memory), WithJsonSchema(_SIZE_SCHEMA)]
Swap = Annotated[int, PlainValidator(read_swap), WithJsonSchema(_SIZE_SCHEMA)]
Duration = Annotated[int, PlainValidator(read_duration), WithJsonSchema(_DURATION_SCHEMA)]
Interval = Annotated[int, PlainValidator(read_interval), WithJsonSchema(_DURATION_SCHEMA)]
Pages = Annotated[
    list[int],
    PlainValidator(read_pages),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^[0-9]+\.\.[0-9]+$"}]}
    ),
]
Content = Annotated[
    dict[str, Any],
    PlainValidator(read_content),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["zero", "unique"]},
                {
                    "type": "object",
                    "properties": {
                        "cycle": {
                            "type": "integer",
                            "minimum": 1,
                            "description": "how many contents there are",
                        },
                        "from": {"type": "integer", "minimum": 0, "description": "family of contents"},
                    },
                    "required": ["cycle"],
                    "additionalProperties": False,
                },
                {"type": "string", "minLength": 1},
            ]
        }
    ),
]
Costs = Annotated[
    str | dict[str, int],
    PlainValidator(read_costs),
    WithJsonSchema({"anyOf": [{"enum": sorted(PRESETS)}, _COST_TABLE_SCHEMA]}),
]
Want = Annotated[
    Any,
    PlainValidator(read_want),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number"},
                {
                    "type": "object",
                    "properties": {
                        "min": {"type": "number", "description": "at least this"},
                        "max": {"type": "number", "description": "at most this"},
                    },
                    "minProperties": 1,
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
Count = Annotated[int, Field(ge=1, lt=2**63)]
PageCount = Annotated[int, Field(ge=1, le=MOST_FRAMES)]
