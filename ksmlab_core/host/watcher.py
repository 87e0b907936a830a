"""The process that puts the host back: it waits for the run to end, in whatever way, and undoes its journal.

It is a program of its own (``python -m ksmlab_core.host.watcher PIPE``) in a session of its own, so that neither an
interrupt from the terminal nor a kill of the run reaches it. It holds the reading end of a pipe of which the run alone
holds the other: the pipe closes when the run lets it go, and when it dies. It also holds the lock, so that nobody else
begins before everything is back.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress

from ksmlab_core.host.journal import Journal

_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)


def main(pipe: int) -> int:
    """Wait, undo, and say what could not be undone as a JSON list."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    _say("ready")
    while os.read(pipe, 1):
        pass
    failed = Journal.left_behind().undo()
    _say(json.dumps(failed))
    return 1 if failed else 0


def _say(line: str) -> None:
    """Tell the run, if it is still there; written at once, so that nothing is left to fail at the end."""
    with suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), f"{line}\n".encode())


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
