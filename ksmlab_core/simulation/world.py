"""Names: which process is which, and where its areas are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ksmlab_core.errors import StepFailed, did_you_mean
from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm.machine import Machine
from ksmlab_core.simulation.spans import runs


@dataclass
class Area:
    """One named area: the address of each of its pages, NONE where it was unmapped.

    A page keeps its number when its part of the area is moved (mremap), so a number means the same page for ever.
    """

    name: str
    addresses: np.ndarray[Any, np.dtype[np.int64]]
    modelled: bool = True  # False for shared memory: it can be mapped and advised, not accessed
    measured: bool = True  # False: no measured row lists it


@dataclass
class Process:
    """One named process."""

    name: str
    mm: int
    areas: dict[str, Area] = field(default_factory=dict)
    exited: bool = False


class World:
    """The processes of a run by name, in the order in which they came."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.processes: dict[str, Process] = {}
        self._names: dict[int, str] = {}

    def spawn(self, name: str) -> Process:
        """A new process of this name."""
        old = self.processes.get(name)
        if old is not None and not old.exited:
            raise StepFailed(f"process {name!r} exists already")
        return self._add(name, self.machine.spawn())

    def _add(self, name: str, mm: int) -> Process:
        self.processes.pop(name, None)
        process = Process(name, mm)
        self.processes[name] = process
        self._names[mm] = name
        return process

    def name_of(self, mm: int) -> str:
        """The name of a process by its number."""
        return self._names.get(mm, f"process {mm}")

    def process(self, name: str) -> Process:
        """A live process."""
        process = self.processes.get(name)
        if process is None:
            hint = did_you_mean(name, self.processes)
            raise StepFailed(f"no process {name!r}" + (f"; did you mean {hint!r}?" if hint else ""))
        if process.exited:
            raise StepFailed(f"process {name!r} has exited")
        return process

    def area(self, process: Process, name: str) -> Area:
        """An area of a process."""
        area = process.areas.get(name)
        if area is None:
            hint = did_you_mean(name, process.areas)
            what = f"process {process.name!r} has no area {name!r}"
            raise StepFailed(what + (f"; did you mean {hint!r}?" if hint else ""))
        return area

    def mmap(self, name: str, area: str, pages: int, flags: int, node: int = t.NONE) -> Area:
        """A new area of a process, its pages on a NUMA node if one is given."""
        process = self.process(name)
        if area in process.areas:
            raise StepFailed(f"process {name!r} has an area {area!r} already")
        nodes = int(self.machine.sc[t.NR_NODES])
        if node >= nodes:
            raise StepFailed(f"there is no NUMA node {node}; machine.nodes is {nodes}, so they are 0..{nodes - 1}")
        start = self.machine.mmap(process.mm, pages, flags, node)
        shared = bool(flags & (t.VM_SHARED | t.VM_MAYSHARE))
        process.areas[area] = Area(area, np.arange(start, start + pages, dtype=np.int64), modelled=not shared)
        return process.areas[area]

    def fork(self, parent: str, child: str) -> None:
        """A child of this name; its areas are named as the parent's."""
        if child in self.processes and not self.processes[child].exited:
            raise StepFailed(f"process {child!r} exists already")
        process = self.process(parent)
        mm = self.machine.fork(process.mm)
        if mm < 0:
            raise StepFailed("fork failed: ENOMEM")
        copy = self._add(child, mm)
        for name, area in process.areas.items():
            copy.areas[name] = Area(name, area.addresses.copy(), area.modelled, area.measured)

    def exit(self, name: str) -> Process:
        """A process ends."""
        process = self.process(name)
        self.machine.exit(process.mm)
        process.exited = True
        return process

    def live(self) -> list[Process]:
        """The processes that have not exited, in order."""
        return [process for process in self.processes.values() if not process.exited]

    def pages(self, process: Process, area: Area, span: tuple[int, int] | None) -> range:
        """The page numbers that a step means: first and last of the area, both included."""
        last = len(area.addresses) - 1
        first, end = (0, last) if span is None else span
        if end > last:
            raise StepFailed(f"page {end} is past the end of area {area.name!r} of {process.name!r} (0..{last})")
        return range(first, end + 1)

    def ptes(self, process: Process, area: Area, pages: range) -> np.ndarray[Any, np.dtype[np.int32]]:
        """The pte of each page; NONE where it was unmapped."""
        out = np.full(len(pages), t.NONE, np.int32)
        for start, count, at in runs(area.addresses[pages.start : pages.stop]):
            out[at : at + count] = self.machine.ptes(process.mm, start, count)
        return out

    def all_ptes(self, process: Process) -> np.ndarray[Any, np.dtype[np.int32]]:
        """The ptes of all areas of a process, area after area."""
        return self._ptes_of(process, list(process.areas.values()))

    def measured_ptes(self, process: Process) -> np.ndarray[Any, np.dtype[np.int32]]:
        """The ptes of the areas of a process that measured rows list, area after area."""
        return self._ptes_of(process, [area for area in process.areas.values() if area.measured])

    def _ptes_of(self, process: Process, areas: list[Area]) -> np.ndarray[Any, np.dtype[np.int32]]:
        parts = [self.ptes(process, area, range(len(area.addresses))) for area in areas]
        return np.concatenate(parts) if parts else np.empty(0, np.int32)
