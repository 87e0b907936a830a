"""The ksmd of the kernel that this machine runs, measured by the processor time of its thread.

It needs root and takes KSM for itself for some seconds: it refuses where KSM is in use, holds a lock against others of
its kind, and puts every knob back however it ends. The knobs are also kept in the lock file, so that after a kill that
nothing can catch the next run puts them back first.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from .measure import Skipped

_KSM = Path("/sys/kernel/mm/ksm")
_LOCK = Path("/run/lock/ksmlab-benchmark-ksmd")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PAGE = 4096
_TIMEOUT_S = 120.0
_SETTINGS = {"pages_to_scan": "10000000", "sleep_millisecs": "0", "smart_scan": "0", "advisor_mode": "none"}


def _read(knob: str) -> str:
    text = (_KSM / knob).read_text().strip()
    return text.partition("[")[2].partition("]")[0] or text  # of a choice: the one that is chosen


def _write(knob: str, value: str) -> None:
    (_KSM / knob).write_text(value)


def _knobs() -> dict[str, str]:
    """All knobs that can be written."""
    return {path.name: _read(path.name) for path in sorted(_KSM.iterdir()) if path.stat().st_mode & 0o200}


def _restore(saved: Mapping[str, str]) -> None:
    """Break all sharing, then give every knob its value back; `run` last."""
    _write("run", "2")
    for knob, value in saved.items():
        if knob != "run" and _read(knob) != value:
            _write(knob, value)
    if saved["run"] != "2":
        _write("run", saved["run"])


def _in_use() -> str | None:
    """Why KSM cannot be had, or None."""
    if _read("run") == "1":
        return "ksmd is running"
    busy = [name for name in ("pages_shared", "pages_unshared", "pages_volatile") if _read(name) != "0"]
    return f"KSM holds pages of others ({', '.join(busy)})" if busy else None


def _interrupted(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


@contextmanager
def ksm_for_us() -> Iterator[None]:
    """KSM with our settings, stopped; as it was before when left.

    Raises:
        Skipped: no KSM, no root, or somebody uses it.
    """
    if not (_KSM / "run").exists():
        raise Skipped("this kernel has no KSM")
    if os.geteuid() != 0:
        raise Skipped("the knobs of KSM can be written by root only")
    with open(_LOCK, "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Skipped("another benchmark has taken KSM") from None
        lock.seek(0)
        if left_behind := lock.read():
            _restore(json.loads(left_behind))
        if reason := _in_use():
            raise Skipped(f"KSM is in use: {reason}")
        saved = _knobs()
        handlers = {number: signal.signal(number, _interrupted) for number in _SIGNALS}
        try:
            _keep(lock, json.dumps(saved))
            for knob, value in _SETTINGS.items():
                if knob in saved:
                    _write(knob, value)
            yield
        finally:
            _restore(saved)
            _keep(lock, "")
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _keep(file: Any, text: str) -> None:
    file.truncate(0)
    file.write(text)
    file.flush()
    os.fsync(file.fileno())


def _thread() -> Path:
    """The folder of ksmd's thread in /proc."""
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and (path / "comm").read_text() == "ksmd\n":
            return path
    raise Skipped("no thread of the name ksmd")


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
        scanned, began = int(_read("full_scans")), time.monotonic()
        _write("run", "1")
        try:
            while (passes := int(_read("full_scans")) - scanned) < 2 + steady_passes:
                now = int(_read("pages_scanned")), int((thread / "schedstat").read_text().split()[0])
                first.setdefault(min(passes, 2), now)
                last[min(passes, 2)] = now
                if time.monotonic() - began > _TIMEOUT_S:
                    raise Skipped("ksmd did not get through its passes in time")
                time.sleep(0.001)
        finally:
            _write("run", "2")
    return [(last[phase][0] - first[phase][0]) / (last[phase][1] - first[phase][1]) * 1e3 for phase in range(3)]
