"""The notation of a measured kernel's table: one row of ten columns.

``sh/sg/un/vo | scans | in/out/maj | proc | pfns | swps | ksm | swcache | used | pages``, where the first
column is pages_shared, pages_sharing, pages_unshared and pages_volatile; `io` the increase of pswpin, pswpout
and pgmajfault since the row before; `proc` each process's present, swapped and KSM pages; `ksm` and `swcache`
mapped and unmapped pages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import AfterValidator

from ksmlab_core.errors import did_you_mean
from ksmlab_core.experiment.complaints import shown, wrong

_NUMBER: Final = "[0-9]+"
_PROCESS: Final = f"[A-Za-z0-9_-]+:{_NUMBER}/{_NUMBER}/{_NUMBER}"
COLUMNS: Final = {
    "counters": "/".join([_NUMBER] * 4),
    "scans": _NUMBER,
    "io": "/".join([_NUMBER] * 3),
    "proc": f"(?:{_PROCESS}(?: {_PROCESS})*)?",
    "pfns": _NUMBER,
    "swps": _NUMBER,
    "ksm": f"{_NUMBER}/{_NUMBER}",
    "swcache": f"{_NUMBER}/{_NUMBER}",
    "used": _NUMBER,
    "pages": ".*",
}
"""The columns in their order, each with the form of its cells."""
SKIPPED: Final = "~"
"""A cell that is not compared."""
_NOTATION: Final = "sh/sg/un/vo | scans | in/out/maj | proc | pfns | swps | ksm | swcache | used | pages"


def cells(row: str) -> dict[str, str]:
    """The cells of a row by the names of their columns.

    Raises:
        PydanticCustomError: Not ten columns, or a cell that has not the form of its column.
    """
    found = [cell.strip() for cell in row.split("|")]
    if len(found) != len(COLUMNS):
        raise wrong(f"{len(found)} columns", f"{len(COLUMNS)} columns: {_NOTATION}")
    named = dict(zip(COLUMNS, found, strict=True))
    for name, cell in named.items():
        if cell != SKIPPED and not re.fullmatch(COLUMNS[name], cell):
            raise wrong(f"the column {name} holds {shown(cell)}", f"columns: {_NOTATION}")
    return named


def read_row(row: str, excepted: Mapping[str, str]) -> dict[str, str]:
    """The cells of a row whose exceptions fit it.

    Raises:
        PydanticCustomError: A cell left out without a reason, or an exception for a column there is not.
    """
    named = cells(row)
    for name in excepted:
        column = name.split(".")[0]
        if column not in COLUMNS:
            raise wrong(
                f"there is no column {column!a} to except",
                f"columns: {', '.join(COLUMNS)}",
                did_you_mean(column, COLUMNS),
            )
        if not excepted[name].strip():
            raise wrong(f"the exception {name} has no reason", "column: the reason")
    for name, cell in named.items():
        if cell == SKIPPED and name not in excepted:
            raise wrong(f"the column {name} is {SKIPPED} without a reason", f"except: {{{name}: the reason}}")
    return named


def _checked(row: str) -> str:
    cells(row)
    return row


Row = Annotated[str, AfterValidator(_checked)]
