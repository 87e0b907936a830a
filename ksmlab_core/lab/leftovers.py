"""Hidden folders of runs under way: whose owner lives is locked by it, and what dead ones left is swept away.

A lock (`flock`) goes with its owner, however that ends. Process numbers would not do: the owner may be on another
machine, or in another container, that shares the folder.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from fnmatch import fnmatch
from pathlib import Path

HIDDEN = ".*.aside*"
"""Names of the folders that `Store.begin` makes, and of what is in the way of one being put in its place."""


def claimed(folder: Path) -> int | None:
    """Lock a hidden folder that was just made, until the number that is returned is closed or this process ends.

    None: somebody who sweeps came in between, and the folder is gone or will be. Where the file system knows no locks
    nothing is locked, and nothing can be swept either.
    """
    try:
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    if _lock(number) is False or not _is_there(folder, number):
        os.close(number)
        return None
    return number


def sweep(experiment: Path) -> int:
    """Remove the hidden folders of an experiment that nobody owns any more; how many there were."""
    try:
        names = os.listdir(experiment)
    except OSError:  # none yet, or in the way of one: whoever writes there will say so
        return 0
    return sum(_removed(experiment / name) for name in names if fnmatch(name, HIDDEN))


def _removed(folder: Path) -> bool:
    try:
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        if not _lock(number):
            return False
        shutil.rmtree(folder, ignore_errors=True)
        return True
    finally:
        os.close(number)


def _lock(number: int) -> bool | None:
    """True: locked. False: somebody else holds it. None: there are no locks here."""
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_there(folder: Path, number: int) -> bool:
    try:
        return os.path.samestat(folder.stat(), os.fstat(number))
    except FileNotFoundError:
        return False
