"""What a run has changed on the host, written down before it is changed, and undone in reverse.

The journal is a file, so that whoever comes after a run that was killed can undo what it did: the run's own watcher,
and if that was killed too, the next run. A file of an earlier boot says nothing about this one: knobs, cgroups, swap
and processes ended with it.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ksmlab_core.host import cgroup, swap
from ksmlab_core.host.knobs import Knobs

FOLDER: Final = Path("/run/ksmlab")
FILE: Final = "journal.json"


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class Journal:
    """The entries of one hold on the host; each names an undo and its arguments.

    Args:
        folder: where the file lies, if not in `FOLDER`.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or FOLDER
        self._file = self.folder / FILE
        self.entries: list[dict[str, Any]] = []

    @classmethod
    def left_behind(cls, folder: Path | None = None) -> Journal:
        """The journal that lies in a folder; empty if none does, or only one of an earlier boot."""
        journal = cls(folder)
        folder = journal.folder
        if folder.is_dir() and not folder.is_symlink() and folder.lstat().st_uid == os.geteuid():
            journal._read()
        return journal

    def _read(self) -> None:
        try:
            document = json.loads(self._file.read_text())
        except (FileNotFoundError, ValueError):  # a file that was cut short was not yet acted upon
            return
        if document["boot"] == _boot():
            self.entries = document["entries"]

    def note(self, entry: dict[str, Any]) -> None:
        """Write an entry down; what it is to undo may be done after that."""
        self.entries.append(entry)
        self._write()

    def _write(self) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        new = self.folder / f"{FILE}.new"
        with new.open("w") as file:
            json.dump({"boot": _boot(), "entries": self.entries}, file)
            file.flush()
            os.fsync(file.fileno())
        new.rename(self._file)

    def undo(self) -> list[str]:
        """Undo everything, the last entry first; return what could not be undone, which stays written down."""
        failed, kept = [], []
        for entry in reversed(self.entries):
            try:
                _undo(**entry)
            except OSError as error:
                failed.append(f"{entry['undo']}: {error.strerror or error}")
                kept.append(entry)
        self.entries = kept[::-1]
        if kept:
            self._write()
        else:
            self._remove()
        return failed

    def _remove(self) -> None:
        self._file.unlink(missing_ok=True)
        (self.folder / f"{FILE}.new").unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            self.folder.rmdir()


def _undo(undo: str, **about: Any) -> None:
    if undo == "knobs":
        Knobs().restore(about["saved"])
    elif undo == "kill":
        cgroup.kill(about["folder"])
    elif undo == "cgroup":
        cgroup.remove(about["folder"])
    elif undo == "subtree_control":
        cgroup.undelegate(about["file"])
    elif undo == "swap_file":
        swap.remove_file(about["file"])
    elif undo == "zram":
        swap.remove_zram(about["number"])
    else:
        raise OSError(None, f"nothing is known of undoing {undo!r}")
