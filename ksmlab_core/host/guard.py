"""Taking KSM of the host for oneself, and giving it back as it was, whatever happens.

One holder at a time (a lock file). Before anything is changed a watcher is started (`watcher`), a process that undoes
the journal when the holder lets go or dies; it is the only one that does in the ordinary case too, so that there is one
way back and it is the one that is tried all the time. If the watcher was killed, the holder undoes; if both were, the
next holder does.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import ksmlab_core
from ksmlab_core.errors import HostInUse, HostNotRestored, HostUnfit
from ksmlab_core.host.journal import Journal
from ksmlab_core.host.knobs import Knobs, mergeable_process
from ksmlab_core.host.swap import remove_stale

LOCK: Final = Path("/run/lock/ksmlab-ksm")
STATUS: Final = Path("/proc/self/status")
_CAP_SYS_ADMIN: Final = 21
PATIENCE_S: Final = 60.0
"""How long to wait for another holder."""
_POLL_S: Final = 0.05
_TERMINATING: Final = (signal.SIGTERM, signal.SIGHUP)
_ASKING: Final = (signal.SIGINT, *_TERMINATING)


def missing() -> list[str]:
    """What KSM cannot be had without, and is not there."""
    if not sys.platform.startswith("linux"):
        return [f"Linux (this is {sys.platform})"]
    lacks = []
    if os.geteuid() != 0:
        lacks.append(f"root (this is user {os.geteuid()})")
    elif not _administers():
        lacks.append("CAP_SYS_ADMIN (root in a container often does without)")
    if "run" not in (knobs := Knobs()):
        lacks.append(f"a kernel with CONFIG_KSM (there is no {knobs.folder})")
    elif os.geteuid() == 0 and not os.access(knobs.folder / "run", os.W_OK):
        lacks.append(f"a {knobs.folder} that can be written")
    return lacks


def _administers() -> bool:
    """Has this process CAP_SYS_ADMIN? Swap space and the numbers of page frames are not to be had without."""
    lines = STATUS.read_text().splitlines()
    held = next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)
    return bool(held >> _CAP_SYS_ADMIN & 1)


def in_use() -> str | None:
    """Who uses KSM of this host now; None if nobody does."""
    return Knobs().in_use() or mergeable_process()


def in_use_by_strangers() -> str | None:
    """Who uses KSM of this host now and is no ksmlab, running or killed; None if nobody does."""
    return None if held_by_another() or Journal.left_behind().entries else in_use()


def held_by_another() -> bool:
    """Whether another holder has KSM now, so that its use is no use by strangers."""
    try:
        lock = os.open(LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _taken(lock)
    finally:
        os.close(lock)


@contextmanager
def held(*, in_use_too: bool = False, patience_s: float | None = None) -> Iterator[Journal]:
    """KSM for us alone; everything that is noted in the journal is undone when left.

    Args:
        in_use_too: take it even if others use it; what they share is broken up.
        patience_s: how long to wait for another holder; `PATIENCE_S` if not given.

    Raises:
        HostUnfit: no root, no KSM.
        HostInUse: somebody else has it.
        HostNotRestored: something could not be put back.
    """
    if lacks := missing():
        raise HostUnfit(f"KSM of this host cannot be taken: that needs {', and '.join(lacks)}")
    with ExitStack() as stack:
        lock = stack.enter_context(_locked(PATIENCE_S if patience_s is None else patience_s))
        repair()
        if not in_use_too and (user := in_use()):
            raise HostInUse(f"KSM is in use on this host: {user}")
        stack.enter_context(_termination_unwinds())
        journal = Journal()
        with _watched(journal, lock):
            journal.note({"undo": "knobs", "saved": Knobs().writable()})
            Knobs().unmerge()
            yield journal


@contextmanager
def _locked(patience_s: float) -> Iterator[int]:
    try:
        lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise HostUnfit(f"{LOCK}: {error.strerror}") from None
    try:
        deadline = time.monotonic() + patience_s
        while not _taken(lock):
            if time.monotonic() > deadline:
                waited = f"waited {patience_s:.0f} s for {LOCK}"
                raise HostInUse(f"another ksmlab has KSM of this host and keeps it ({waited})")
            time.sleep(_POLL_S)
        yield lock
    finally:
        os.close(lock)


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def repair() -> None:
    """Undo what a holder left behind that was killed together with its watcher, or with the whole machine."""
    if failed := Journal.left_behind().undo():
        raise HostNotRestored(f"an earlier run left the host changed, and it cannot be put back: {'; '.join(failed)}")
    remove_stale()


@contextmanager
def _termination_unwinds() -> Iterator[None]:
    """SIGTERM and SIGHUP raise SystemExit, so that the holder waits for the host to be put back."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread; if it ends, the watcher acts
        return
    handlers = {number: signal.signal(number, _terminated) for number in _TERMINATING}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _terminated(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


@contextmanager
def _watched(journal: Journal, lock: int) -> Iterator[None]:
    """A watcher as long as this lasts, and the host put back after it."""
    reading, writing = os.pipe()
    try:
        watcher = _start_watcher(reading, lock)
    except BaseException:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    try:
        yield
    finally:
        with _unaskable():
            os.close(writing)
            failed = _outcome(watcher, journal)
        if failed:
            raise HostNotRestored(f"the host could not be put back as it was: {'; '.join(failed)}")


def _start_watcher(pipe: int, lock: int) -> subprocess.Popen[str]:
    watcher = subprocess.Popen(
        [sys.executable, "-P", "-m", "ksmlab_core.host.watcher", str(pipe)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=(pipe, lock),
        start_new_session=True,
        env=environment(),
    )
    assert watcher.stdout is not None
    if watcher.stdout.readline() != "ready\n":
        raise HostUnfit("the process that is to put the host back does not start")
    return watcher


def environment() -> dict[str, str]:
    """The environment in which a child finds this very ksmlab."""
    here = str(Path(ksmlab_core.__file__).parent.parent)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))}


def _outcome(watcher: subprocess.Popen[str], journal: Journal) -> list[str]:
    """Wait for the watcher; what could not be put back. If it was killed, undo here."""
    said, _ = watcher.communicate()
    if watcher.returncode >= 0 and said:
        answer: list[str] = json.loads(said)
        return answer
    return journal.undo()


@contextmanager
def _unaskable() -> Iterator[None]:
    """Nobody can interrupt the way back; it takes a moment only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers: dict[int, Any] = {number: signal.signal(number, signal.SIG_IGN) for number in _ASKING}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
