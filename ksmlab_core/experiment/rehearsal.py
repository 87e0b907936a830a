"""Going through a script before it is run: who lives, what is mapped, which range there is.

Whatever a script does to processes and areas is decided by its text, so a step that cannot be carried out is
found here, with its line, before any run begins. What the machine decides (whether a page is present,
whether a call returns EAGAIN) is not rehearsed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from ksmlab_core.errors import did_you_mean
from ksmlab_core.experiment.complaints import Complaints, one_of
from ksmlab_core.experiment.document import KeyPath
from ksmlab_core.experiment.measured import cells
from ksmlab_core.experiment.plan import Step
from ksmlab_core.experiment.ranges import Ranges
from ksmlab_core.experiment.settings import check_fits, check_knob, check_metric
from ksmlab_core.experiment.steps import STEPS
from ksmlab_core.mm.profile import Profile

ON_PAGES: Final = frozenset({
    "munmap", "madvise", "mprotect", "mlock", "munlock", "write", "touch", "read", "mremap",
    "pin", "unpin", "lock", "unlock",
})  # fmt: skip
"""Steps with a process, an area and pages of it."""
ACROSS_HOLES: Final = frozenset(("munmap", "madvise", "mlock"))
"""Steps that say something about pages that are not mapped too: nothing to do, or ENOMEM."""
RELEASING: Final = frozenset(("unpin", "unlock"))
"""Steps that let go of frames, which outlive their process while they are held."""
CREATING: Final = frozenset(("spawn", "fork", "mmap"))
WRITING: Final = frozenset(("write", "touch"))


@dataclass
class Area:
    """One area of one process."""

    pages: int
    line: int
    holes: Ranges = field(default_factory=Ranges)
    readonly: Ranges = field(default_factory=Ranges)

    def copy(self) -> Area:
        return Area(self.pages, self.line, self.holes.copy(), self.readonly.copy())


@dataclass
class Process:
    """One process: its areas, those unmapped whole with the line that did it, and the line of its end."""

    line: int
    areas: dict[str, Area] = field(default_factory=dict)
    unmapped: dict[str, int] = field(default_factory=dict)
    exited: int | None = None


class Rehearsal:
    """The processes and areas of a script, step by step."""

    def __init__(self, complaints: Complaints, profile: Profile | None) -> None:
        self._complaints, self._profile = complaints, profile
        self._processes: dict[str, Process] = {}
        self._too_large = False
        self._sure = True

    def missed(self, item: Any) -> None:
        """A step that could not be read: what it may have created is not missed any more."""
        kind = next(iter(item)) if isinstance(item, dict) and len(item) == 1 else ""
        self._sure = self._sure and kind in STEPS and kind not in CREATING

    def names(self) -> frozenset[str]:
        """Every process there was so far."""
        return frozenset(self._processes)

    def all_known(self) -> bool:
        """Whether `names` are all there are: no step that may create one was missed."""
        return self._sure

    def step(self, step: Step, path: KeyPath) -> None:
        """Carry out one step; what cannot be done is complained of."""
        if step.kind in ON_PAGES:
            self._on_pages(step, path)
        elif (method := getattr(self, f"_{step.kind}", None)) is not None:
            method(step, path)

    def _spawn(self, step: Step, path: KeyPath) -> None:
        for name in step.args["process"]:
            self._new(name, Process(step.line), path)

    def _new(self, name: str, process: Process, path: KeyPath) -> None:
        earlier = self._processes.get(name)
        if earlier is None:
            self._processes[name] = process
        else:
            self._complaints.add(path, f"there was a process {name} already, from line {earlier.line}", "a new name")

    def _fork(self, step: Step, path: KeyPath) -> None:
        parent = self._living(step.args["process"], (*path, "process"))
        if parent is None:
            self._sure = False
        else:
            areas = {name: area.copy() for name, area in parent.areas.items()}
            child = Process(step.line, areas, dict(parent.unmapped))
            self._new(step.args["child"], child, (*path, "child"))
            self._check_size(path)

    def _exit(self, step: Step, path: KeyPath) -> None:
        for name in step.args["process"]:
            process = self._living(name, path)
            if process is not None:
                process.exited = step.line

    def _memcg(self, step: Step, path: KeyPath) -> None:
        for name in step.args["process"] or ():
            self._living(name, (*path, "process"))

    def _prctl(self, step: Step, path: KeyPath) -> None:
        for name in step.args["process"]:
            self._living(name, (*path, "process"))

    def _mmap(self, step: Step, path: KeyPath) -> None:
        name, pages = step.args["area"], step.args["pages"]
        for process_name in step.args["process"]:
            process = self._living(process_name, (*path, "process"))
            if process is None:
                self._sure = False
                continue
            if name in process.areas:
                said = f"{process_name} has an area {name} already, from line {process.areas[name].line}"
                self._complaints.add((*path, "area"), said, "a new name")
                continue
            readonly = Ranges([(0, pages - 1)] if "readonly" in step.args["flags"] else [])
            process.areas[name] = Area(pages, step.line, readonly=readonly)
        self._check_size((*path, "pages"))

    def _check_size(self, path: KeyPath) -> None:
        living = [process for process in self._processes.values() if process.exited is None]
        pages = sum(area.pages - len(area.holes) for process in living for area in process.areas.values())
        if not self._too_large:
            self._too_large = not check_fits(self._complaints, path, pages, "areas")

    def _set(self, step: Step, path: KeyPath) -> None:
        knobs, returns = step.args["knobs"], step.args["returns"]
        if not knobs:
            self._complaints.add(path, "no knob is written", "ksm.KNOB: value")
        if returns not in (None, 0, "EINVAL", "ENOMEM", "EAGAIN", "EBUSY"):
            self._complaints.add((*path, "returns"), "no such result", "allowed: 0, EAGAIN, EBUSY, EINVAL, ENOMEM")
        for name, value in knobs.items():
            self._knob(name, value, (*path, name), refused=returns not in (None, 0))

    def _knob(self, name: str, value: Any, path: KeyPath, *, refused: bool) -> None:
        """A knob that is written; a value that the kernel is to refuse may be anything."""
        profile = self._profile
        if profile is None:
            return
        knob = name.removeprefix("ksm.")
        if not name.startswith("ksm.") or knob not in profile.knobs:
            known = [*(f"ksm.{known}" for known in profile.knobs), "returns"]
            nearest = did_you_mean(f"ksm.{knob}", known) or did_you_mean(name, known)
            what = f"profile {profile.name} has no such knob"
            self._complaints.add(path, what, one_of(known), nearest, key=True)
        elif not refused:
            check_knob(self._complaints, profile, knob, value, path)

    def _expect(self, step: Step, path: KeyPath) -> None:
        if self._profile is None:
            return
        processes = self.names() if self._sure else None
        for metric in step.args["metrics"]:
            check_metric(self._complaints, self._profile, metric, (*path, metric), processes)

    def _measured(self, step: Step, path: KeyPath) -> None:
        for entry in cells(step.args["row"])["proc"].split():
            name = entry.partition(":")[0]
            if name != "~" and name not in self._processes and self._sure:
                self._complaints.add((*path, "row"), self._no_process(name), self._known())

    def _on_pages(self, step: Step, path: KeyPath) -> None:
        for name in step.args["process"]:
            if step.kind in RELEASING and name in self._processes and self._processes[name].exited is not None:
                continue
            process = self._living(name, (*path, "process"))
            area = self._area(name, process, step, path) if process is not None else None
            if process is not None and area is not None:
                self._on_area(step, path, process, area)

    def _area(self, name: str, process: Process, step: Step, path: KeyPath) -> Area | None:
        wanted = step.args["area"]
        if wanted in process.areas:
            return process.areas[wanted]
        if not self._sure:
            return None
        what = f"{name} has no area {wanted}"
        if wanted in process.unmapped:
            what += f", it was unmapped in line {process.unmapped[wanted]}"
        known = ", ".join(process.areas)
        where = f"{name} has: {known}" if known else f"{name} has no areas"
        self._complaints.add((*path, "area"), what, where, did_you_mean(wanted, process.areas))
        return None

    def _on_area(self, step: Step, path: KeyPath, process: Process, area: Area) -> None:
        first, last = step.args["pages"] or (0, area.pages - 1)
        if last >= area.pages:
            what = f"page {last} is past the end of {step.args['area']}"
            allowed = f"it has {area.pages} pages, 0..{area.pages - 1}"
            self._complaints.add((*path, "pages"), what, allowed)
            return
        self._check_pages(step, path, area, first, last)
        if step.kind == "mprotect":
            (area.readonly.remove if step.args["writable"] else area.readonly.add)(first, last)
        elif step.kind == "munmap":
            area.holes.add(first, last)
            if len(area.holes) == area.pages:
                del process.areas[step.args["area"]]
                process.unmapped[step.args["area"]] = step.line

    def _check_pages(self, step: Step, path: KeyPath, area: Area, first: int, last: int) -> None:
        hole = area.holes.first_in(first, last) if step.args["pages"] else None
        if hole is not None and step.kind not in ACROSS_HOLES:
            self._complaints.add((*path, "pages"), f"page {hole} of {step.args['area']} is not mapped any more")
        locked = area.readonly.first_in(first, last)
        if locked is not None and step.kind in WRITING:
            what = f"page {locked} of {step.args['area']} is read-only"
            self._complaints.add((*path, "pages"), what, "mprotect: {..., writable: true} before")

    def _living(self, name: str, path: KeyPath) -> Process | None:
        process = self._processes.get(name)
        if process is None:
            if self._sure:
                nearest = did_you_mean(name, self._processes)
                self._complaints.add(path, self._no_process(name), self._known(), nearest)
            return None
        if process.exited is not None:
            self._complaints.add(path, f"process {name} has exited in line {process.exited}")
            return None
        return process

    def _no_process(self, name: str) -> str:
        return f"there is no process {name} yet"

    def _known(self) -> str:
        return f"processes: {', '.join(self._processes)}" if self._processes else "spawn: NAME before"
