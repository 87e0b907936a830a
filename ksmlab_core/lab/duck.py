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

from ksmlab_core.errors import BadInput

if TYPE_CHECKING:
    import duckdb

_PARQUET = "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION snappy"
"""Version 2 keeps integers as differences: as small as with zstd, in half the time."""


def database() -> duckdb.DuckDBPyConnection:
    """A new database in memory, in 20 ms. It works on one thread, so that what it writes has one order."""
    import duckdb

    return duckdb.connect(config={"threads": "1", "python_enable_replacements": "false", "temp_directory": ""})


def cursor() -> duckdb.DuckDBPyConnection:
    """A cursor of the one database that this process keeps for reading and writing files."""
    return _kept().cursor()


@cache
def _kept() -> duckdb.DuckDBPyConnection:
    return database()


@contextmanager
def plain_errors() -> Iterator[None]:
    """DuckDB's errors as Python's own: OSError where the operating system refused, else ValueError; one line each."""
    import duckdb

    try:
        yield
    except duckdb.IOException as error:
        raise _refused(str(error)) from error
    except duckdb.Error as error:
        raise ValueError(one_line(str(error))) from error


def _refused(text: str) -> OSError:
    number = re.search(r'"errno":"(\d+)"', text)
    if number:
        return OSError(int(number[1]), os.strerror(int(number[1])))
    said = one_line(text)
    if said.startswith("No files found"):
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for code in (errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENOTDIR, errno.ENOSPC):
        if said.endswith(os.strerror(code)):
            return OSError(code, os.strerror(code))
    return OSError(None, said)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """What is wrong with a question as `BadInput`."""
    try:
        with plain_errors():
            yield
    except OSError as error:
        raise BadInput(str(error.strerror or error)) from error
    except ValueError as error:
        raise BadInput(str(error)) from error


def one_line(text: str) -> str:
    """What DuckDB has to say, without the kind of error before it and the picture of the query after it."""
    said = text.partition("\nLINE ")[0].partition("\n\nLINE ")[0]
    return "; ".join(line for line in (said.partition(" Error: ")[2] or said).splitlines() if line)


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
