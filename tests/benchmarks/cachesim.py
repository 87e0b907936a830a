"""libCacheSim's side: its LRU in C, and the same LRU as a Python plugin of it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from .measure import Skipped, Stopwatch
from .setting import FRAMES, Trace

DEFAULT_HASHPOWER = 24  # log2 of the hash table's entries, as the library has it when it is not told


def _library() -> Any:
    try:
        import libcachesim
    except ImportError:
        raise Skipped("libcachesim is not installed: pip install 'ksmlab[bench]'") from None
    return libcachesim


def _process(cache: Any, trace: Trace, accesses: int) -> float:
    """Million accesses per second of `process_trace`: reading 24-byte records from the file's mapping is in it."""
    library = _library()
    parameters = library.ReaderInitParam(ignore_obj_size=True)
    reader = library.TraceReader(str(trace.path), library.TraceType.ORACLE_GENERAL_TRACE, parameters)
    watch = Stopwatch()
    with watch.running():
        cache.process_trace(reader, 0, accesses)
    return accesses / watch.seconds / 1e6


def lru(trace: Trace, accesses: int, hashpower: int = DEFAULT_HASHPOWER) -> float:
    """The LRU in C."""
    return _process(_library().LRU(FRAMES, hashpower=hashpower), trace, accesses)


def plugin_lru(trace: Trace, accesses: int, hashpower: int = DEFAULT_HASHPOWER) -> float:
    """The LRU as hooks in Python over an OrderedDict, as the library's own example has it."""
    cache = _library().PluginCache(
        FRAMES,
        cache_init_hook=lambda _parameters: OrderedDict(),
        cache_hit_hook=lambda data, request: data.move_to_end(request.obj_id),
        cache_miss_hook=lambda data, request: data.__setitem__(request.obj_id, None),
        cache_eviction_hook=lambda data, _request: data.popitem(last=False)[0],
        cache_remove_hook=lambda data, obj_id: data.pop(obj_id, None),
        cache_free_hook=lambda data: data.clear(),
        cache_name="PythonLRU",
        hashpower=hashpower,
    )
    return _process(cache, trace, accesses)
