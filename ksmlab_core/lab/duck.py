"""DuckDB, as every room of the lab uses it: imported when first needed, its text quoted, its errors in one line."""

from __future__ import annotations

import errno
import glob
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

_PARQUET = "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION snappy"
"""Version 2 keeps integers as differences: as small as with zstd, in half the time."""


def cursor() -> duckdb.DuckDBPyConnection:
    """A cursor of this process' own database in memory, which takes 20 ms to open and is opened once.

    It works on one thread, so that what it writes has one order.
    """
    return _database().cursor()


@cache
def _database() -> duckdb.DuckDBPyConnection:
    import duckdb

    return duckdb.connect(config={"threads": "1", "python_enable_replacements": "false"})


@contextmanager
def plain_errors() -> Iterator[None]:
    """DuckDB's errors as Python's own: OSError where the operating system refused, else ValueError; one line each."""
    import duckdb

    try:
        yield
    except duckdb.IOException as error:
        raise _refused(str(error)) from error
    except duckdb.Error as error:
        raise ValueError(first_line(str(error))) from error


def _refused(text: str) -> OSError:
    number = re.search(r'"errno":"(\d+)"', text)
    if number:
        return OSError(int(number[1]), os.strerror(int(number[1])))
    said = first_line(text)
    for code in (errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENOTDIR, errno.ENOSPC):
        if said.endswith(os.strerror(code)):
            return OSError(code, os.strerror(code))
    return OSError(None, said)


def first_line(text: str) -> str:
    """What DuckDB has to say, without the kind of error before it and the picture of the query after it."""
    said = text.split("\n", 1)[0]
    return said.partition(" Error: ")[2] or said


def literal(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def name(text: str) -> str:
    """A name as SQL writes it."""
    return '"' + text.replace('"', '""') + '"'


def parquet(files: Sequence[Path]) -> str:
    """Files as one table of SQL, columns by their names; its hidden column `file_index` counts the files from 0."""
    listed = ", ".join(literal(glob.escape(str(file))) for file in files)
    return f"read_parquet([{listed}], union_by_name = true)"


def write_parquet(source: str, file: Path) -> str:
    """The statement that writes a table or a query in parentheses to a file."""
    return f"COPY {source} TO {literal(str(file))} ({_PARQUET}, USE_TMP_FILE false)"
