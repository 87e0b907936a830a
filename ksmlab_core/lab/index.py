"""The index of a folder of results: every run's settings and counters in one file, `DIR/.index-*.parquet`.

It is derived, and never the truth. Whoever opens it looks at times, sizes and inodes of all runs' files first, reads
those runs that are new or changed, and writes it anew. Its name tells the digest of its content, so that a torn one is
noticed.

One table holds a row per run (`label` is null) and one per labelled sample, with a column for each metric of any run.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ksmlab_core.errors import BadInput
from ksmlab_core.lab import duck
from ksmlab_core.lab.store import COUNTERS, MANIFEST, Stored, find, read_outcome

TABLE = "stored"
KINDS = {
    "folder": "VARCHAR",
    "stamp": "VARCHAR",
    "label": "VARCHAR",
    "nth": "BIGINT",
    "ns": "BIGINT",
    "experiment": "VARCHAR",
    "id": "VARCHAR",
    "seed": "BIGINT",
    "position": "BIGINT",
    "status": "VARCHAR",
    "error": "VARCHAR",
    "kernel": "VARCHAR",
    "reclaim": "VARCHAR",
    "swapin": "VARCHAR",
    "scan": "VARCHAR",
    "workload": "VARCHAR",
    "frames": "BIGINT",
    "slots": "BIGINT",
    "point": "VARCHAR",
    "expect": "VARCHAR",
    "file": "VARCHAR",
    "command": "VARCHAR",
    "version": "VARCHAR",
    "host": "VARCHAR",
    "started": "VARCHAR",
    "finished": "VARCHAR",
    "seconds": "DOUBLE",
}
"""The columns that are no metrics; `stamp` to tell whether the run's files are still those that were read."""
_SHAPE = hashlib.sha256(json.dumps(KINDS).encode()).hexdigest()[:6]
"""Of the table; part of the file's name, so that an index of another ksmlab's shape is never read."""
_BATCH = 2000
"""Runs whose counters are held as Python's own integers at a time."""


class Index:
    """A folder's runs as a table in a database of their own, as of now.

    Args:
        root: the folder; an experiment's or a single run's will do.
        rebuild: read every run, whatever an index says.

    Raises:
        BadInput: there are no results in the folder, or one is torn.
    """

    def __init__(self, root: Path, *, rebuild: bool = False) -> None:
        self.root = root
        self.database = duck.database()
        stamps = {os.path.relpath(folder, root): _stamp(folder) for folder in _found(root)}
        known = {} if rebuild else self._load()
        self.kept = sum(known.get(folder) == stamp for folder, stamp in stamps.items())
        """Runs that the index on disk knew already."""
        self.read = len(stamps) - self.kept
        if known != stamps:
            self._renew(stamps, known)

    def metrics(self) -> list[str]:
        """Every metric that any of the runs has, by name."""
        rows = self.database.execute(f"SELECT name FROM pragma_table_info('{TABLE}')").fetchall()
        return sorted(name for (name,) in rows if name not in KINDS)

    def _load(self) -> dict[str, str]:
        """Load the index on disk; what it knows by folder and stamp, nothing where it is missing or torn."""
        for file in _files(self.root):
            try:
                if _digest(file) != file.stem.rpartition("-")[2]:
                    continue
                with duck.plain_errors():
                    self.database.execute(f"CREATE OR REPLACE TABLE {TABLE} AS FROM {duck.parquet([file])}")
                    return dict(
                        self.database.execute(f"SELECT folder, stamp FROM {TABLE} WHERE label IS NULL").fetchall()
                    )
            except (OSError, ValueError):
                # Torn, or taken away by somebody who wrote a newer one: the runs themselves are read instead.
                continue
        return {}

    def _renew(self, stamps: dict[str, str], known: dict[str, str]) -> None:
        """Take out the rows of runs that have gone or changed, add those of new ones, and write the index."""
        if not known:
            columns = ", ".join(f"{duck.name(name)} {kind}" for name, kind in KINDS.items())
            self.database.execute(f"CREATE OR REPLACE TABLE {TABLE} ({columns})")
        self._forget([folder for folder, stamp in known.items() if stamps.get(folder) != stamp])
        fresh = [folder for folder, stamp in stamps.items() if known.get(folder) != stamp]
        for start in range(0, len(fresh), _BATCH):
            some = fresh[start : start + _BATCH]
            self._add([_Read(folder, stamps[folder], read_outcome(self.root / folder)) for folder in some])
        self._write()

    def _forget(self, folders: Sequence[str]) -> None:
        if folders:
            self._with({"folder": _column(folders)}, f"DELETE FROM {TABLE} WHERE folder IN (SELECT folder FROM given)")

    def _add(self, runs: Sequence[_Read]) -> None:
        """Append the rows of some runs; a metric that is new becomes a column."""
        rows = [row for run in runs for row in run.rows()]
        metrics = dict.fromkeys(name for _, metrics in rows for name in metrics)
        for name in metrics.keys() - self.metrics():
            self.database.execute(f"ALTER TABLE {TABLE} ADD COLUMN {duck.name(name)} BIGINT")
        columns = {name: _column([about[name] for about, _ in rows]) for name in KINDS}
        columns |= {name: _column([metrics.get(name) for _, metrics in rows]) for name in metrics}
        self._with(columns, f"INSERT INTO {TABLE} BY NAME FROM given")

    def _with(self, columns: dict[str, Any], statement: str) -> None:
        """Execute a statement in which `given` is a table of these columns."""
        self.database.register("given", columns)
        self.database.execute(statement)
        self.database.unregister("given")

    def _write(self) -> None:
        """Put the index where it belongs, if that can be written: without it everything works, only slower."""
        if (self.root / MANIFEST).exists():
            return
        aside = self.root / f".index.{os.getpid()}-{secrets.token_hex(4)}.aside"
        old = _files(self.root)
        try:
            with duck.plain_errors():
                self.database.execute(duck.write_parquet(f"(FROM {TABLE} ORDER BY folder, nth NULLS FIRST)", aside))
            place = self.root / f".index-{_SHAPE}-{_digest(aside)}.parquet"
            aside.replace(place)
            for file in old:
                if file != place:
                    file.unlink(missing_ok=True)
        except OSError:
            aside.unlink(missing_ok=True)


def _found(root: Path) -> list[Path]:
    if not root.is_dir():
        raise BadInput(f"{root}: no such folder of results")
    folders = find(root)
    if not folders:
        raise BadInput(f"{root}: no results here; `ksmlab run FILE --out {root}` puts some there")
    return folders


def _files(root: Path) -> list[Path]:
    return sorted(root.glob(f".index-{_SHAPE}-*.parquet"))


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def _stamp(folder: Path) -> str:
    """What changes when a run's files do: a run is put in place by a rename, so that its files are other ones."""
    return " ".join(f"{found.st_mtime_ns:x}.{found.st_size:x}.{found.st_ino:x}" for found in _stats(folder))


def _stats(folder: Path) -> Iterator[os.stat_result]:
    for name in (MANIFEST, COUNTERS):
        try:
            yield os.stat(os.path.join(folder, name))
        except OSError as error:
            raise BadInput(f"{folder / name}: {error.strerror or error}") from error


@dataclass(frozen=True)
class _Read:
    """A run that was read for the index."""

    folder: str
    stamp: str
    run: Stored

    def rows(self) -> Iterator[tuple[dict[str, Any], dict[str, int]]]:
        """Its rows: what is not a metric, and the metrics; first the end, then the labelled samples."""
        result, about = self.run.result, self._about()
        yield about, result.metrics
        whose = dict.fromkeys(KINDS) | {name: about[name] for name in ("folder", "experiment", "position")}
        for nth, sample in enumerate(result.samples):
            yield whose | {"label": sample["at"], "nth": nth, "ns": sample["ns"]}, sample["metrics"]

    def _about(self) -> dict[str, Any]:
        try:
            return self._told()
        except (KeyError, TypeError) as error:
            raise BadInput(f"{self.run.folder}: incomplete result: its manifest lacks {error}") from error

    def _told(self) -> dict[str, Any]:
        result, manifest = self.run.result, self.run.manifest
        spec = manifest["spec"]
        return dict.fromkeys(KINDS) | {
            "folder": self.folder,
            "stamp": self.stamp,
            "id": result.id,
            "seed": result.seed,
            "status": result.status,
            "error": result.error and result.error["message"],
            "kernel": spec["kernel"]["profile"],
            **{hook: choice["use"] for hook, choice in spec["policies"].items()},
            "workload": spec["workload"].get("use", "script"),
            "frames": spec["machine"]["frames"],
            "slots": spec["machine"]["slots"],
            "point": json.dumps(result.point),
            "expect": json.dumps(result.expect),
            **{name: manifest[name] for name in ("experiment", "position", "file", "command", "started", "finished")},
            "version": manifest["versions"]["ksmlab"],
            "host": manifest["host"]["name"],
            "seconds": manifest.get("seconds"),
        }


def _column(values: Sequence[Any]) -> Any:
    """Values of one type, or None, as DuckDB takes them whatever its version."""
    import numpy as np

    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
