"""How floor 0 is compiled.

`jit` marks what is compiled into others; `door` marks what Python calls. Only doors are cached on disk: a door's
machine code holds everything under it. numba's own cache looks at one file at a time and would miss a change in
another room, so the cache lives in a folder named after the sources of the whole floor.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

FLOOR = Path(__file__).parent


def sources_hash() -> str:
    """A name for the present state of all sources of floor 0."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(FLOOR.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    digest.update(numba.__version__.encode())
    return digest.hexdigest()


def cache_folder() -> Path:
    """Where compiled doors are kept: ``$KSMLAB_CACHE``, else the user's cache folder."""
    root = os.environ.get("KSMLAB_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ksmlab"
    )
    return Path(root) / sources_hash()


numba.config.CACHE_DIR = str(cache_folder())

Function = Callable[..., Any]


def jit(function: Function) -> Function:
    """Compile `function` into whatever compiled code calls it."""
    compiled: Function = numba.njit(error_model="numpy", no_cfunc_wrapper=True)(function)
    return compiled


def door(function: Function) -> Function:
    """Compile `function` as an entry from Python, kept on disk."""
    compiled: Function = numba.njit(error_model="numpy", cache=True)(function)
    return compiled
