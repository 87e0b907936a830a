"""How floor 0 is compiled.

`jit` marks what is compiled into others, `inlined` what is put into each of them; `door` marks what Python calls. Only
doors are cached on disk: a door's machine code holds everything under it. numba's own cache looks at one file at a time
and would miss a change in another room, so the cache lives in a folder named after the sources of the whole floor.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

from ksmlab_core.mm._compiler import DOOR, INNER

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


def _one_integer_type(dispatcher: Any) -> None:
    """Let compiled callers see one form of a function, for 64-bit integers, whatever integers they pass.

    Without this every mix of 32-bit, 64-bit, literal and truth values that is passed somewhere is compiled apart, which
    doubles the time that the first start takes. Results do not depend on it.
    """
    typed_call = dispatcher.get_call_template

    def get_call_template(args: Any, kws: Any) -> Any:
        whole = numba.types.Integer, numba.types.Boolean
        return typed_call(tuple(numba.types.int64 if isinstance(arg, whole) else arg for arg in args), kws)

    dispatcher.get_call_template = get_call_template


def _inner(function: Function, **options: Any) -> Function:
    options |= {"error_model": "numpy", "no_cfunc_wrapper": True, "no_cpython_wrapper": True}
    compiled: Function = numba.njit(**options, **INNER)(function)
    if not numba.config.DISABLE_JIT:
        _one_integer_type(compiled)
    return compiled


def jit(function: Function) -> Function:
    """Compile `function` into whatever compiled code calls it."""
    # Said, because numba would hand `inlined` down to what an inlined function calls, if that is compiled first then.
    return _inner(function, forceinline=False)


def inlined(function: Function) -> Function:
    """As `jit`, but without calls: `function` becomes part of its callers.

    For what accesses, reclaim and ksmd's walks are made of: after a call everything has to be loaded anew, and such a
    path without calls is half as fast again. Large functions with many callers are better left as `jit`.
    """
    return _inner(function, forceinline=True)


def door(function: Function) -> Function:
    """Compile `function` as an entry from Python, kept on disk."""
    compiled: Function = numba.njit(error_model="numpy", cache=True, **DOOR)(function)
    return compiled


def plain(function: Any) -> Any:
    """The uncompiled form of a function that itself calls nothing compiled."""
    return getattr(function, "py_func", function)
