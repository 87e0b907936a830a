"""What a workload says: processes come and go, map areas, access pages, and rest.

A workload is one stream of these events. Areas are named by their *ordinal*: the first `Map` of the stream
makes area 0, the second area 1, whatever process it belongs to. An ordinal is never used again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

READ: Final = -1
"""`Access.content` of a read."""

TOUCH: Final = -2
"""`Access.content` of a write that stores the bytes that are already there."""

CHUNK: Final = 65_536
"""Most accesses that one `Access` may hold."""


@dataclass(frozen=True, slots=True)
class Spawn:
    """A new process with an empty address space; its name is its own as long as it lives."""

    process: str


@dataclass(frozen=True, slots=True)
class Map:
    """A new private anonymous area of a live process.

    Attributes:
        process: Name of the process.
        area: Name of the area, unique in its process.
        pages: Size in pages, >= 1.
        mergeable: Whether the process advises MADV_MERGEABLE on it.
    """

    process: str
    area: str
    pages: int
    mergeable: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Access:
    """Accesses in order, as three columns of equal length (at most `CHUNK`).

    Attributes:
        area: int32, ordinal of the area accessed.
        page: int32, page number within the area.
        content: int64, `READ`, `TOUCH`, or the content number (>= 0) that is written.
        gap_ns: Computing time before each access, in simulated ns.
    """

    area: npt.NDArray[np.int32]
    page: npt.NDArray[np.int32]
    content: npt.NDArray[np.int64]
    gap_ns: int = 0

    def __len__(self) -> int:
        return len(self.area)


@dataclass(frozen=True, slots=True, eq=False)
class Discard:
    """A process gives pages back, as with MADV_DONTNEED: they are zeros when they are touched again.

    Attributes:
        area: Ordinal of the area.
        page: int32, page numbers within the area, strictly ascending.
    """

    area: int
    page: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing is accessed for `ns` simulated nanoseconds; ksmd and reclaim go on."""

    ns: int


@dataclass(frozen=True, slots=True)
class Exit:
    """A process ends; its areas are gone."""

    process: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A phase begins; every metric is sampled here under `label`."""

    label: str


Event = Spawn | Map | Access | Discard | Idle | Exit | Mark


def chunked(
    area: npt.ArrayLike, page: npt.ArrayLike, content: npt.ArrayLike, gap_ns: int = 0, chunk: int = CHUNK
) -> Iterator[Access]:
    """Cut columns of any length into `Access` events of at most `chunk` accesses.

    Args:
        area: Ordinals; one number stands for all accesses.
        page: Page numbers; the longest column decides how many accesses there are.
        content: Contents, `READ` or `TOUCH`; one number stands for all accesses.
        gap_ns: Computing time before each access, in simulated ns.
        chunk: Most accesses in one event.
    """
    columns = np.broadcast_arrays(np.atleast_1d(area), np.atleast_1d(page), np.atleast_1d(content))
    areas = np.ascontiguousarray(columns[0], dtype=np.int32)
    pages = np.ascontiguousarray(columns[1], dtype=np.int32)
    contents = np.ascontiguousarray(columns[2], dtype=np.int64)
    for start in range(0, len(areas), chunk):
        part = slice(start, start + chunk)
        yield Access(areas[part], pages[part], contents[part], gap_ns)
