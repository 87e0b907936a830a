"""The setting that both sides get: 100,000 pages, memory for a quarter of them, reads by the zipf law."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ksmlab_core.workload.sampling import AliasTable, zipf_weights

PAGES = 100_000
FRAMES = PAGES // 4
SKEW = 1.0
_ORACLE_GENERAL = np.dtype([("seconds", "<u4"), ("id", "<u8"), ("size", "<u4"), ("next", "<i8")])


@dataclass(frozen=True)
class Trace:
    """The pages accessed, in order, and the same as a file of libCacheSim's oracleGeneral records."""

    pages: Any  # int32
    path: Path


@contextmanager
def zipf_trace(accesses: int) -> Iterator[Trace]:
    """A trace and its file, which goes with it."""
    rng = np.random.default_rng(1)
    ranks = AliasTable(zipf_weights(PAGES, SKEW)).draw(rng, accesses)
    pages = rng.permutation(PAGES).astype(np.int32)[ranks]
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        path = Path(folder, "zipf.oracleGeneral.bin")
        records = np.zeros(accesses, _ORACLE_GENERAL)
        records["seconds"] = np.arange(accesses) // 1_000_000
        records["id"] = pages + 1
        records["size"] = 1
        records["next"] = -1
        records.tofile(path)
        yield Trace(pages, path)
