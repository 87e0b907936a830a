"""Results as files: ``OUT/<experiment>/<run id>/{manifest.json, counters.json, series.npz, log.jsonl}``.

A run's files are written in a hidden folder beside their place, in the same file system, and put there whole by one
rename. So a folder that can be seen is complete, whatever happened while it was written; results that were there
before stay until the new ones take their place in the same instant.

`manifest.json` says what was run, by what and when; it alone holds times of day. `counters.json` and `series.npz` hold
what came out, and are the same bytes for the same file, seed and version.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ksmlab_core.errors import BadInput, ResultsNotWritten

if TYPE_CHECKING:
    from ksmlab_core.simulation import RunResult

FORMAT = 1
MANIFEST, COUNTERS, SERIES = "manifest.json", "counters.json", "series.npz"

_RENAME_EXCHANGE = 2
_AT_FDCWD = -100


class Store:
    """The results of runs under one folder, `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def place(self, experiment: str, run: str) -> Path:
        """The folder that a run's results have, or will have."""
        return self.root / experiment / run

    def begin(self, experiment: str, run: str) -> Path:
        """Make the hidden folder in which a run's results are gathered.

        Raises:
            ResultsNotWritten: the folder cannot be made.
        """
        place = self.place(experiment, run)
        with _told(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.exists() and not place.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            aside = place.parent / f".{run}.{os.getpid()}-{secrets.token_hex(4)}.aside"
            aside.mkdir()
            return aside

    def finish(self, aside: Path, result: RunResult, manifest: dict[str, Any]) -> Path:
        """Write a result into its hidden folder and put that in place; return where it is now.

        Raises:
            ResultsNotWritten: something could not be written; the hidden folder is gone, older results are untouched.
        """
        place = self.place(manifest["experiment"], result.id)
        try:
            with _told(place):
                write_result(aside, result, manifest)
                _put_in_place(aside, place)
        except BaseException:
            self.abandon(aside)
            raise
        return place

    def abandon(self, aside: Path) -> None:
        """Remove a hidden folder that will not be finished."""
        shutil.rmtree(aside, ignore_errors=True)


def write_result(folder: Path, result: RunResult, manifest: dict[str, Any]) -> None:
    """Write the three files of a result into a folder."""
    import numpy as np

    counters = {
        "metrics": result.metrics,
        "samples": result.samples,
        "expect": result.expect,
        "pages": result.pages,
    }
    (folder / COUNTERS).write_text(_json(counters, sort_keys=True))
    with (folder / SERIES).open("wb") as stream:
        columns: dict[str, Any] = {name: result.series[name] for name in sorted(result.series)}
        np.savez_compressed(stream, **columns)
    outcome = {
        "format": FORMAT,
        "id": result.id,
        "seed": result.seed,
        "point": dict(result.point),
        "status": result.status,
        "error": result.error,
    }
    (folder / MANIFEST).write_text(_json(outcome | manifest))


@dataclass(frozen=True)
class Stored:
    """One run as it was found in a store."""

    result: RunResult
    manifest: dict[str, Any]
    folder: Path


def load(folder: Path) -> RunResult:
    """Read one run's results back.

    Raises:
        BadInput: the folder holds no whole result of a format known here.
    """
    return read(folder).result


def read(folder: Path) -> Stored:
    """Read one run's results and manifest back; errors as for `load`."""
    from ksmlab_core.simulation import RunResult

    manifest = _read(folder / MANIFEST, _load_json)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise BadInput(f"{folder / MANIFEST}: not a manifest of format {FORMAT}")
    counters = _read(folder / COUNTERS, _load_json)
    series = _read(folder / SERIES, _load_series)
    try:
        outcome = {name: manifest[name] for name in ("id", "seed", "point", "status", "error")}
        kept = {name: counters[name] for name in ("metrics", "samples", "expect", "pages")}
    except (KeyError, TypeError) as error:
        raise BadInput(f"{folder}: incomplete result: {error} is missing") from error
    return Stored(RunResult(**outcome, **kept, series=series), manifest, folder)


def find(root: Path) -> list[Path]:
    """The result folders in `root`: itself, its children or its grandchildren, by name; hidden ones are left out."""
    if (root / MANIFEST).is_file():
        return [root]
    found = [*root.glob(f"*/{MANIFEST}"), *root.glob(f"*/*/{MANIFEST}")]
    visible = [path.parent for path in found if not _hidden(path.parent, root)]
    return sorted(visible)


def _hidden(folder: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in folder.relative_to(root).parts)


def _load_json(path: Path) -> Any:
    return json.loads(path.read_text())


def _load_series(path: Path) -> dict[str, Any]:
    import numpy as np

    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _read(path: Path, reader: Callable[[Path], Any]) -> Any:
    from zipfile import BadZipFile

    try:
        return reader(path)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from error
    except (ValueError, BadZipFile, EOFError) as error:
        raise BadInput(f"{path}: torn or not a result file: {error}") from error


def _json(value: Any, *, sort_keys: bool = False) -> str:
    """Text of a result file; a manifest keeps its order, which is that of the experiment file."""
    return json.dumps(value, indent=1, sort_keys=sort_keys, default=_plain) + "\n"


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} does not go into a result file")


@contextmanager
def _told(place: Path) -> Iterator[None]:
    """Turn what the operating system refuses into one line naming the results' folder."""
    try:
        yield
    except OSError as error:
        raise ResultsNotWritten(str(place), f"results not written: {error.strerror or error}") from error


def _put_in_place(aside: Path, place: Path) -> None:
    """Rename a folder to its place; older results there leave in the same instant."""
    try:
        os.replace(aside, place)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        _exchange(aside, place)
        shutil.rmtree(aside, ignore_errors=True)


def _exchange(one: Path, other: Path) -> None:
    """Swap two folders' names: at once where the file system can, else by three renames that are undone on error."""
    if _renameat2(one, other):
        return
    spare = one.with_name(one.name + ".old")
    os.replace(other, spare)
    try:
        os.replace(one, other)
    except OSError:
        os.replace(spare, other)
        raise
    os.replace(spare, one)


def _renameat2(one: Path, other: Path) -> bool:
    """`renameat2(2)` with RENAME_EXCHANGE, which Python has no name for; False where it is not to be had."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    result: int = call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    return result == 0
