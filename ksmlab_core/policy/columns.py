"""Columns over the machine's records, lent to a policy: computed when first read, and never writable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, NamedTuple, NoReturn, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ksmlab_core.errors import did_you_mean

Bools: TypeAlias = NDArray[np.bool_]
Int8s: TypeAlias = NDArray[np.int8]
Int32s: TypeAlias = NDArray[np.int32]
Int64s: TypeAlias = NDArray[np.int64]
Source: TypeAlias = "ArrayLike | Callable[[], ArrayLike | None] | None"


class Column(NamedTuple):
    """One column: its type, and what it says in one line."""

    dtype: type[np.generic]
    meaning: str


class Columns:
    """Equally long read-only arrays, one row per thing that may be chosen.

    Args:
        sources: for each column an array, or a function without arguments that makes it. A function is called
            once, when the column is first read.
        now_ns: simulated time of the question, ns.
        length: number of rows; without it, that of the key column.

    A subclass may override :meth:`_column` instead of giving `sources`.
    """

    COLUMNS: ClassVar[Mapping[str, Column]] = {}
    KEY: ClassVar[str] = ""  # the column that says how many rows there are
    OPTIONAL: ClassVar[frozenset[str]] = frozenset()  # columns that may be None

    now_ns: int

    def __init__(
        self, sources: Mapping[str, Source] | None = None, *, now_ns: int = 0, length: int | None = None
    ) -> None:
        state = vars(self)
        state["now_ns"] = now_ns
        state["_sources"] = {} if sources is None else sources
        state["_length"] = length

    def _column(self, name: str) -> ArrayLike | None:
        """The values of a known column; KeyError if this question does not come with it."""
        source: Any = vars(self)["_sources"][name]
        return source() if callable(source) else source  # type: ignore[no-any-return]

    def __len__(self) -> int:
        length: int | None = vars(self)["_length"]
        return len(getattr(self, self.KEY)) if length is None else length

    def __getattr__(self, name: str) -> Any:
        """Compute a column on its first use; later uses find it in the instance."""
        column = self.COLUMNS.get(name)
        if column is None:
            _unknown(self, name)
        value = self._lend(name, column)
        vars(self)[name] = value
        return value

    def _lend(self, name: str, column: Column) -> NDArray[Any] | None:
        """A read-only view of the column, of its declared type."""
        try:
            values = self._column(name)
        except KeyError:
            values = None
        if values is None:
            if name in self.OPTIONAL:
                return None
            raise AttributeError(f"{type(self).__name__} came without values for the column {name!r}")
        array = np.asarray(values, dtype=column.dtype).view()
        length: int | None = vars(self)["_length"]
        if array.ndim != 1 or (length is not None and len(array) != length):
            raise ValueError(f"column {name!r} has shape {array.shape}, not ({length},)")
        array.flags.writeable = False
        return array

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is read-only: {name!r} cannot be set")

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *self.COLUMNS]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} rows at {self.now_ns} ns>"


def _unknown(columns: Columns, name: str) -> NoReturn:
    """Refuse a column that does not exist, with the nearest that does."""
    known = list(columns.COLUMNS)
    message = f"{type(columns).__name__} has no column {name!r}; columns: {', '.join(known)}"
    if suggestion := did_you_mean(name, [*known, *vars(columns)]):
        message += f"; did you mean {suggestion!r}?"
    raise AttributeError(message, name=name, obj=None)  # no obj: Python would add a suggestion of its own


class FrameColumns(Columns):
    """The frames that may be reclaimed, one row each. The answer is made of values of `index`."""

    KEY = "index"
    OPTIONAL = frozenset({"next_access"})
    COLUMNS: ClassVar[Mapping[str, Column]] = {
        "index": Column(np.int32, "frame number"),
        "mapcount": Column(np.int32, "ptes that map the frame"),
        "referenced": Column(np.bool_, "touched since the policy was last asked"),
        "dirty": Column(np.bool_, "written since it was last equal to its swap slot"),
        "ksm": Column(np.bool_, "holds a KSM page"),
        "sharers": Column(np.int32, "ptes and swap ptes that refer to the page"),
        "age_ns": Column(np.int64, "ns since the page came into the frame"),
        "swapcache": Column(np.bool_, "the page is in the swap cache"),
        "mlocked": Column(np.bool_, "the page is marked as locked in memory"),
        "last_access_ns": Column(np.int64, "simulated time of the last access, ns"),
        "inserted": Column(np.int64, "order of arrival: higher came later; new whenever a frame is reused"),
        "next_access": Column(np.int64, "when the page is accessed next; None where the future is unknown"),
    }

    index: Int32s
    mapcount: Int32s
    referenced: Bools
    dirty: Bools
    ksm: Bools
    sharers: Int32s
    age_ns: Int64s
    swapcache: Bools
    mlocked: Bools
    last_access_ns: Int64s
    inserted: Int64s
    next_access: Int64s | None


class ScanColumns(Columns):
    """The pages that ksmd may look at, one row each. A row number is the answer.

    The scan that is under way has the number `full_scans`, so ``last_scanned < full_scans`` picks the pages
    that it has not come to yet.
    """

    KEY = "process"
    COLUMNS: ClassVar[Mapping[str, Column]] = {
        "process": Column(np.int32, "number of the process"),
        "address": Column(np.int64, "address, as a page number"),
        "last_scanned": Column(np.int64, "number of the scan that last looked at it; -1 for none"),
        "stable": Column(np.bool_, "its checksum had not changed at the last look"),
        "state": Column(np.int8, "an ItemState: in no tree, the unstable tree, the stable tree"),
        "changes": Column(np.int32, "looks at which its checksum had changed; stays at 255"),
        "age_ns": Column(np.int64, "ns since the page appeared at that address"),
        "last_access_ns": Column(np.int64, "simulated time of the last access, ns"),
    }

    process: Int32s
    address: Int64s
    last_scanned: Int64s
    stable: Bools
    state: Int8s
    changes: Int32s
    age_ns: Int64s
    last_access_ns: Int64s
    full_scans: int

    def __init__(
        self,
        sources: Mapping[str, Source] | None = None,
        *,
        now_ns: int = 0,
        full_scans: int = 0,
        length: int | None = None,
    ) -> None:
        super().__init__(sources, now_ns=now_ns, length=length)
        vars(self)["full_scans"] = full_scans
