"""Every metric that the running kernel answers for, under the names that the simulated machine uses."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from ksmlab_core.errors import StepFailed
from ksmlab_core.host import pagemap
from ksmlab_core.host.knobs import Knobs
from ksmlab_core.host.ksmd import thread
from ksmlab_core.host.processes import Processes
from ksmlab_core.mm.counters import PROCESS, VMSTAT
from ksmlab_core.mm.profile import PROCESS_COUNTERS

SINCE_BOOT: Final = ("pages_scanned", "pages_skipped", "ksm_zero_pages")
"""Files of KSM that count since the machine booted; as metrics they count from the start of the run."""
MACHINE: Final = ("frames_mapped", "slots_mapped", "ksm_frames_mapped", "swapcache_mapped", "pages_saved")
KSM_STAT: Final = Path("/proc/self/ksm_stat")
_VMSTAT_FILE: Final = Path("/proc/vmstat")


def names(processes: frozenset[str]) -> set[str]:
    """The names of all metrics that a run with these processes can have on this kernel."""
    return {
        *(f"ksm.{name}" for name in Knobs().numbers()),
        *(f"vm.{name}" for name in _vmstat()),
        *(f"machine.{name}" for name in MACHINE),
        *(f"process.{process}.{name}" for process in processes for name in (*PROCESS, *_process_counters("self"))),
        "time.elapsed",
        "time.ksmd",
    }


def _vmstat() -> dict[str, int]:
    """The counters of /proc/vmstat that the simulated machine has too."""
    lines = (line.split() for line in _VMSTAT_FILE.read_text().splitlines())
    return {name: int(value) for name, value in lines if name in VMSTAT}


def _process_counters(pid: int | str) -> dict[str, int]:
    """What the kernel counts of one process: /proc/PID/ksm_stat; nothing before 6.1 had it.

    Raises:
        OSError: the process has ended.
    """
    file = Path(f"/proc/{pid}/ksm_stat")
    if not KSM_STAT.exists():
        return {}
    lines = (line.replace(":", " ").split() for line in file.read_text().splitlines())
    return {name: int(value) for name, value in lines if name in PROCESS_COUNTERS}


class Metrics:
    """Readings from a start on.

    Args:
        knobs: KSM's files.
        processes: whose pages are counted.
    """

    def __init__(self, knobs: Knobs, processes: Processes) -> None:
        self._knobs, self._processes = knobs, processes
        self._thread = thread()
        self._ksm, self._vm = knobs.numbers(), _vmstat()
        self._began, self._ksmd = time.monotonic_ns(), self._ksmd_ns()

    def elapsed(self) -> int:
        """ns since the start, on the clock of the host."""
        return time.monotonic_ns() - self._began

    def _ksmd_ns(self) -> int:
        """Processor time of ksmd."""
        return int((self._thread / "schedstat").read_text().split()[0]) if self._thread else 0

    def places(self) -> dict[str, pagemap.Places]:
        """Where the pages of each process are; StepFailed if one of them has died."""
        found = {}
        for name, process in self._processes.live.items():
            try:
                found[name] = pagemap.places(pagemap.read_entries(process.pid, process.mapped()))
            except OSError:
                raise StepFailed(process.died()) from None
        return found

    def _of_processes(self) -> dict[str, int]:
        found = {}
        for name, process in self._processes.live.items():
            try:
                counters = _process_counters(process.pid)
            except OSError:
                raise StepFailed(process.died()) from None
            found.update({f"process.{name}.{counter}": value for counter, value in counters.items()})
        return found

    def read(self) -> dict[str, int]:
        """Every metric now."""
        ksm = {
            name: value - self._ksm[name] if name in SINCE_BOOT else value
            for name, value in self._knobs.numbers().items()
        }
        return {
            **{f"ksm.{name}": value for name, value in ksm.items()},
            **{f"vm.{name}": value - self._vm[name] for name, value in _vmstat().items()},
            **pagemap.count(self.places()),
            **self._of_processes(),
            "time.elapsed": self.elapsed(),
            "time.ksmd": self._ksmd_ns() - self._ksmd,
        }
