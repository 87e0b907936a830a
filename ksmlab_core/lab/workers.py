"""What a worker does with a task, on this machine or another: check that it has the same to work with, and do the run.

Workers get plain run specifications and load the plugins themselves: classes loaded from a path cannot be sent.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ksmlab_core.errors import BadInput, KsmlabError, ResultsNotWritten
from ksmlab_core.lab.identity import Part, Parts, digest_of, parts_of
from ksmlab_core.lab.once import Done, Task, timed

if TYPE_CHECKING:
    from ksmlab_core.policy.registry import Registry


@dataclass(frozen=True)
class Refused:
    """An error that ends the whole plan, on its way from a worker; exceptions with fields do not pickle."""

    message: str
    folder: str | None = None

    def error(self) -> KsmlabError:
        """The exception again, for the parent to raise."""
        return ResultsNotWritten(self.folder, self.message) if self.folder is not None else BadInput(self.message)


def answer(task: Task) -> Done | Refused:
    """Do one task in a worker."""
    try:
        return timed(task, _same_registry(task))
    except ResultsNotWritten as error:
        return Refused(error.reason, error.folder)
    except BadInput as error:
        return Refused(str(error))


def _same_registry(task: Task) -> Registry:
    """The registry of a task's plugins.

    Raises:
        BadInput: the run would be made by something else here than where it was planned.
    """
    plugins, base = tuple(task.spec.plugins), task.spec.base_dir
    try:
        registry = _registry(
            plugins, base, tuple(digest_of(Path(base) / Path(plugin).expanduser()) for plugin in plugins)
        )
        here = parts_of(task.spec, registry, task.simulate)
    except BadInput as error:
        raise BadInput(f"on worker {socket.gethostname()}: {error}") from None
    differing = first_difference(task.parts, here)
    if differing:
        raise BadInput(differing)
    return registry


def first_difference(planned: Parts, here: Parts) -> str | None:
    """The first thing that a run would be made by here and was not planned with, as one line; None: all the same."""
    host = socket.gethostname()
    for name, part in planned.items():
        there = here.get(name, Part("", ""))
        if there.digest != part.digest:
            file = there.file or part.file
            found = _short(there.digest) if there.digest else "none"
            where = f"{file}: " if file else ""
            return f"{where}{name} differs: {_short(part.digest)} where the runs were planned, {found} on worker {host}"
    return None


def _short(digest: str) -> str:
    """A version and the beginning of a SHA-256, enough of it to tell two apart."""
    *version, last = digest.split(" ")
    if len(last) < 64:
        return digest
    return " ".join([*(one for one in version if not one.startswith("sha256:")), f"sha256 {last[:12]}"])


@lru_cache(maxsize=8)
def _registry(plugins: tuple[str, ...], base_dir: str, _digests: tuple[str | None, ...]) -> Registry:
    """The registry of a run's plugins, loaded once per worker and state of their files."""
    from ksmlab_core.policy.registry import load_registry

    return load_registry(plugins, base_dir=Path(base_dir))
