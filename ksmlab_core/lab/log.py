"""The log of one run: one JSON object per line, stamped with simulated time only.

structlog is imported when the first log is opened, not before: `ksmlab --help` has no use for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ksmlab_core.errors import ResultsNotWritten

LOG_FILE = "log.jsonl"
OnEvent = Callable[..., None]

_ERRORS = frozenset({"run failed", "policy fault", "expectation failed", "invariant violated"})


class Lines:
    """What structlog writes to: every open stream gets each line whole."""

    def __init__(self, streams: list[BinaryIO], place: Path) -> None:
        self._streams, self._place = streams, place

    def msg(self, message: str) -> None:
        """Write one line; a full disk becomes `ResultsNotWritten`."""
        line = message.encode() + b"\n"
        try:
            for stream in self._streams:
                stream.write(line)
        except OSError as error:
            raise _not_written(self._place, error) from error

    info = error = msg


@contextmanager
def run_log(run: str, folder: Path | None, to_stderr: bool) -> Iterator[OnEvent | None]:
    """Give the function that takes a run's events, or None if nobody wants them.

    Args:
        run: id of the run, bound to every line.
        folder: where `log.jsonl` is written; None keeps no file.
        to_stderr: also write every line to standard error.
    """
    # The folder is a hidden one until the run is over: what a person hears of is the place it will have.
    place = folder.with_name(run) if folder is not None else Path(run)
    with ExitStack() as stack:
        streams: list[BinaryIO] = []
        if folder is not None:
            streams.append(stack.enter_context(_log_file(folder, place)))
        if to_stderr:
            # Unbuffered: a line is one write, so that lines of several workers do not mix.
            streams.append(stack.enter_context(open(2, "wb", buffering=0, closefd=False)))
        yield _on_event(run, Lines(streams, place)) if streams else None


@contextmanager
def _log_file(folder: Path, place: Path) -> Iterator[BinaryIO]:
    """`log.jsonl` of a folder; what fails in opening, filling or closing it is `ResultsNotWritten`."""
    try:
        stream = (folder / LOG_FILE).open("wb")
    except OSError as error:
        raise _not_written(place, error) from error
    try:
        yield stream
    finally:
        try:
            stream.close()
        except OSError as error:
            raise _not_written(place, error) from error


def keep_log(folder: Path, run: str, log: bytes) -> None:
    """Write a log that was gathered elsewhere into a run's hidden folder; a full disk becomes `ResultsNotWritten`."""
    with _log_file(folder, place := folder.with_name(run)) as stream:
        Lines([stream], place).msg(log.decode().removesuffix("\n"))


def _not_written(place: Path, error: OSError) -> ResultsNotWritten:
    return ResultsNotWritten(str(place), f"results not written: {error.strerror or error}")


def _on_event(run: str, lines: Lines) -> OnEvent:
    """A structlog logger over `lines`, as the plain function that the simulation calls."""
    import structlog

    logger = structlog.wrap_logger(
        lines,
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer(_dumps)],
        wrapper_class=structlog.BoundLogger,
        cache_logger_on_first_use=True,
        run=run,
    ).bind()

    def on_event(name: str, **fields: Any) -> None:
        (logger.error if name in _ERRORS else logger.info)(name, **fields)

    return on_event


def _dumps(event: Any, **_: Any) -> str:
    return json.dumps(event, default=_plain, separators=(",", ":"))


def _plain(value: Any) -> Any:
    """numpy's numbers and arrays as JSON has them; anything else by its name."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
