"""Results as files: ``OUT/<experiment>/<run id>/{manifest.json, counters.json, series.parquet, log.jsonl}``.

A run's files are written in a hidden folder beside their place, in the same file system, and put there whole by one
rename. So a folder that can be seen is complete, whatever happened while it was written; results that were there
before stay until the new ones take their place in the same instant.

`manifest.json` says what was run, by what and when, and what is in the other files (their sha256); it alone holds times
of day. `counters.json` and `series.parquet` hold what came out, and are the same bytes for the same file, seed and
versions. A run that sampled nothing at intervals has no series.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ksmlab_core.errors import BadInput, ResultsNotWritten
from ksmlab_core.lab import series

if TYPE_CHECKING:
    from ksmlab_core.simulation import RunResult

FORMAT = 2
MANIFEST, COUNTERS = "manifest.json", "counters.json"

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
    """Write the files of a result into a folder, beside its log."""
    counters = {
        "metrics": result.metrics,
        "samples": result.samples,
        "expect": result.expect,
        "pages": result.pages,
    }
    (folder / COUNTERS).write_text(_json(counters, sort_keys=True))
    series.write(folder / series.FILE, result.series)
    outcome = {
        "format": FORMAT,
        "id": result.id,
        "seed": result.seed,
        "point": dict(result.point),
        "status": result.status,
        "error": result.error,
    }
    files = {file.name: _digest(file.read_bytes()) for file in sorted(folder.iterdir()) if file.name != MANIFEST}
    (folder / MANIFEST).write_text(_json(outcome | manifest | {"files": files}))


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
    return read_all([folder])[0]


def read_all(folders: Sequence[Path], columns: Sequence[str] | None = None) -> list[Stored]:
    """Read many runs back.

    Args:
        folders: one per run.
        columns: of the series read these only; None reads all. None of them at all spares reading the files.

    Raises:
        BadInput: as for `load`.
    """
    found = [read_outcome(folder) for folder in folders]
    if columns is None or columns:
        _add_series(found, columns)
    return found


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a run's manifest says.

    Raises:
        BadInput: it cannot be read, or is of a format unknown here.
    """
    path = folder / MANIFEST
    manifest = _parsed(path, _read(path))
    if not isinstance(manifest, dict) or "format" not in manifest:
        raise BadInput(f"{path}: not a manifest of format {FORMAT}")
    if manifest["format"] != FORMAT:
        raise BadInput(
            f"{path}: results of format {manifest['format']}, and this ksmlab reads format {FORMAT}: run it again"
        )
    return manifest


def read_outcome(folder: Path) -> Stored:
    """Read one run back but for its series; errors as for `load`."""
    from ksmlab_core.simulation.result import RunResult

    manifest = read_manifest(folder)
    try:
        outcome = {name: manifest[name] for name in ("id", "seed", "point", "status", "error")}
        counters = _parsed(folder / COUNTERS, _verified(folder / COUNTERS, manifest["files"]))
        kept = {name: counters[name] for name in ("metrics", "samples", "expect", "pages")}
        _refuse_odd(folder / COUNTERS, kept)
    except KeyError as error:
        raise BadInput(f"{folder}: incomplete result: {error} is missing") from error
    except (TypeError, AttributeError) as error:
        raise BadInput(f"{folder}: torn or not a result: {error}") from error
    return Stored(RunResult(**outcome, **kept), manifest, folder)


def _refuse_odd(path: Path, kept: dict[str, Any]) -> None:
    """Counters are 64-bit integers, at the end and in every sample."""
    for metrics in (kept["metrics"], *(sample["metrics"] for sample in kept["samples"])):
        for name, value in metrics.items():
            if type(value) is not int or not -(2**63) <= value < 2**63:
                raise BadInput(f"{path}: {name}: {str(value)[:40]} is no 64-bit integer")


def _add_series(found: Sequence[Stored], columns: Sequence[str] | None) -> None:
    """Read the series of all runs that have one."""
    having = [one for one in found if series.FILE in one.manifest["files"]]
    files = [one.folder / series.FILE for one in having]
    for one, file in zip(having, files, strict=True):
        _verified(file, one.manifest["files"])
    try:
        for one, columns_of_one in zip(having, series.read(files, columns), strict=True):
            one.result.series.update(columns_of_one)
    except (OSError, ValueError) as error:
        raise BadInput(f"{_common(files)}: torn or not a result file: {error}") from error


def find(root: Path) -> list[Path]:
    """The result folders in `root`: itself, its children or its grandchildren, by name; hidden ones are left out."""
    if (root / MANIFEST).is_file():
        return [root]
    below = _folders(root)
    return sorted(path for path in (*below, *(inner for one in below for inner in _folders(one))) if _is_run(path))


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder that are not hidden."""
    with os.scandir(folder) as entries:
        return [Path(entry) for entry in entries if not entry.name.startswith(".") and entry.is_dir()]


def _is_run(folder: Path) -> bool:
    return os.path.isfile(os.path.join(folder, MANIFEST))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from error


def _verified(path: Path, files: dict[str, str]) -> bytes:
    """The bytes of a result file, which must be those that its manifest tells of."""
    content = _read(path)
    if _digest(content) != files[path.name]:
        raise BadInput(f"{path}: torn or not a result file: it is not what the manifest beside it says was written")
    return content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _parsed(path: Path, content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: torn or not a result file: {error}") from error


def _common(files: Sequence[Path]) -> Path:
    """A file, or where there are several the folder that holds them all."""
    return Path(os.path.commonpath(files))


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
