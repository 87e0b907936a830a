"""Where the fields of the records lie in memory.

mm_types says what a record holds. Here its fields are laid into parts, one array each, so that what is used together
shares a cache line and what is walked (the LRU links, the trees) is dense. The sum of the parts is the record's size.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ksmlab_core.mm import mm_types as t

RECORDS: dict[str, np.dtype[Any]] = {
    "pte": t.PTE,
    "frame": t.FRAME,
    "item": t.ITEM,
    "node": t.NODE,
    "slot": t.SLOT,
    "mm": t.MM,
    "vma": t.VMA,
    "anon": t.ANON_VMA,
}
COLUMNS: dict[str, Any] = {
    "pte_flags": np.uint8,
    "pte_target": np.int32,
    "last_access": np.int64,
    "sc": np.int64,
    "scratch": np.int32,
    "queue": np.int32,
}

# The first part of a record holds what is not named here.
_FURTHER_PARTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "frame": (("lru_next", "lru_prev"), ("inserted",)),
    "item": (("rmap_next", "oldchecksum", "last_look"), ("anon_vma",), ("age", "remaining_skips", "nid")),
    "node": (("content",),),
    "slot": (("shadow",),),
}

# Fields that not every kernel has. Where they are not kept, the scalar is 0, the array is empty and nobody looks there.
OPTIONAL: dict[tuple[str, str], int] = {
    ("item", "anon_vma"): t.ITEM_ANON_VMAS,
    ("item", "age"): t.ITEM_AGES,
    ("node", "content"): t.NODE_CONTENTS,
    ("slot", "shadow"): t.SLOT_SHADOWS,
}


def _part(records: np.dtype[Any], names: tuple[str, ...]) -> np.dtype[Any]:
    """These fields side by side, in the order of the record; fields that share a place there share one here."""
    fields = {name: (kind, int(offset)) for name, (kind, offset, *_) in (records.fields or {}).items()}
    places: dict[int, int] = {}
    size = 0
    for name in sorted(names, key=lambda name: fields[name][1]):
        kind, offset = fields[name]
        if offset not in places:
            places[offset] = size
            size += kind.itemsize
    widest = min(4, max(fields[name][0].itemsize for name in names))
    size += -size % widest
    return np.dtype(
        {
            "names": list(names),
            "formats": [fields[name][0] for name in names],
            "offsets": [places[fields[name][1]] for name in names],
            "itemsize": size,
        }
    )


def _parts(record: str) -> list[np.dtype[Any]]:
    """The parts of a record."""
    records = RECORDS[record]
    further = _FURTHER_PARTS.get(record)
    if further is None:
        return [records]
    elsewhere = {name for part in further for name in part}
    first = tuple(name for name in records.names or () if name not in elsewhere)
    return [_part(records, names) for names in (first, *further)]


# Every array that State keeps, by name, with the type of its elements: columns as they are, records part by part.
ARRAYS: dict[str, np.dtype[Any]] = {}
for _name in t.Memory._fields:
    if _name in RECORDS:
        for _i, _dtype in enumerate(_parts(_name)):
            ARRAYS[_name if _i == 0 else f"{_name}.{_i}"] = _dtype
    else:
        ARRAYS[_name] = np.dtype(COLUMNS[_name])

# (record, field) -> the array that holds it.
HOME: dict[tuple[str, str], str] = {
    (array.partition(".")[0], field): array for array, dtype in ARRAYS.items() for field in dtype.names or ()
}


def place_of(record: str, field: str) -> tuple[str, np.dtype[Any], int]:
    """(array, type, offset in bytes within an element of the array) of a field of a record."""
    array = HOME[record, field]
    fields = ARRAYS[array].fields
    assert fields is not None
    return array, fields[field][0], int(fields[field][1])


def parts_of(record: str) -> list[str]:
    """The names of the arrays that hold a record."""
    return [array for array in ARRAYS if array.partition(".")[0] == record]
