"""The ksmd of the kernel that this machine runs, measured by the processor time of its thread.

It needs root and takes KSM for itself for some seconds, as `ksmlab run --on kernel` does and with the same guard: one at
a time, refused where KSM is in use, everything as it was before however it ends.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ksmlab_core.errors import HostInUse, HostUnfit
from ksmlab_core.host.guard import held
from ksmlab_core.host.knobs import Knobs
from ksmlab_core.host.ksmd import thread as ksmd_thread

from .measure import Skipped

_KSM = Knobs()
_PAGE = 4096
_TIMEOUT_S = 120.0
_SETTINGS = {"pages_to_scan": "10000000", "sleep_millisecs": "0", "smart_scan": "0", "advisor_mode": "none"}


@contextmanager
def ksm_for_us() -> Iterator[None]:
    """KSM with our settings, stopped; as it was before when left.

    Raises:
        Skipped: no KSM, no root, or somebody uses it.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(held(patience_s=0.0))
        except (HostUnfit, HostInUse) as reason:
            raise Skipped(str(reason)) from None
        for knob, value in _SETTINGS.items():
            if knob in _KSM:
                _KSM.write(knob, value)
        yield


def _thread() -> Path:
    """The folder of ksmd's thread in /proc."""
    folder = ksmd_thread()
    if folder is None:
        raise Skipped("no thread of the name ksmd")
    return folder


@contextmanager
def _memory(contents: Any) -> Iterator[None]:
    """Mergeable memory of this process, one page per content number, filled with it."""
    area = mmap.mmap(-1, len(contents) * _PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        area.madvise(mmap.MADV_NOHUGEPAGE)
        words = np.frombuffer(area, np.uint64).reshape(len(contents), _PAGE // 8)
        words[:] = (contents.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))[:, None]
        del words
        area.madvise(mmap.MADV_MERGEABLE)
        yield
    finally:
        area.close()


def pass_rates(contents: Any, steady_passes: int = 4) -> list[float]:
    """Million pages per second of ksmd's processor time: in the first pass, the second, and `steady_passes` after it.

    Args:
        contents: int64 per page; equal numbers are equal pages.
    """
    with _memory(contents):
        thread = _thread()
        first: dict[int, tuple[int, int]] = {}  # phase -> (pages scanned, ns) when it was first seen
        last: dict[int, tuple[int, int]] = {}
        scanned, began = _KSM.number("full_scans"), time.monotonic()
        _KSM.write("run", "1")
        try:
            while (passes := _KSM.number("full_scans") - scanned) < 2 + steady_passes:
                now = _KSM.number("pages_scanned"), int((thread / "schedstat").read_text().split()[0])
                first.setdefault(min(passes, 2), now)
                last[min(passes, 2)] = now
                if time.monotonic() - began > _TIMEOUT_S:
                    raise Skipped("ksmd did not get through its passes in time")
                time.sleep(0.001)
        finally:
            _KSM.write("run", "2")
    return [(last[phase][0] - first[phase][0]) / (last[phase][1] - first[phase][1]) * 1e3 for phase in range(3)]
