"""What depends on the kernel and the computer: profile and switches, knobs, metrics, size of the machine."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection
from typing import Any, Final

from ksmlab_core.errors import did_you_mean
from ksmlab_core.experiment.complaints import Complaints, one_of, shown
from ksmlab_core.experiment.document import KeyPath
from ksmlab_core.experiment.models import Machine
from ksmlab_core.experiment.quantities import PAGE_SIZE, is_whole
from ksmlab_core.mm.counters import FIXED_METRICS, PROCESS
from ksmlab_core.mm.profile import PROFILES, Profile
from ksmlab_core.mm.switches import SWITCHES, contradiction
from ksmlab_core.policy.kinds import HOOKS

BYTES_PER_PAGE: Final = 128
"""The most memory that the simulator needs for a page frame or a swap slot."""
_GROUPS: Final = ("policy.HOOK.",)
_PROCESS_METRIC = re.compile(r"process\.([A-Za-z0-9_-]+)\.([a-z_]+)")
_POLICY_METRIC = re.compile(rf"policy\.(?:{'|'.join(HOOKS)})\.[a-z0-9_.-]+")


def check_kernel(complaints: Complaints, value: Any, path: KeyPath = ("kernel",)) -> dict[str, Any] | None:
    """``{"profile": name, "switches": {...}}`` of a profile's name, or of a mapping that switches it."""
    if not isinstance(value, dict):
        return _named_profile(complaints, value, path)
    if "profile" not in value:
        complaints.add((*path, "profile"), "missing", "it has to be given")
        return None
    kernel = _named_profile(complaints, value["profile"], (*path, "profile"))
    if kernel is None:
        return None
    before = len(complaints.found)
    for name, setting in value.items():
        if name != "profile":
            _check_switch(complaints, name, setting, (*path, name))
            kernel["switches"][name] = setting
    if len(complaints.found) > before:
        return None
    wrong = contradiction({**PROFILES[kernel["profile"]].switches, **kernel["switches"]})
    if wrong is not None:
        name, why, right = wrong
        complaints.add((*path, name) if name in value else path, why, f"{name}: {right}")
        return None
    return kernel


def _named_profile(complaints: Complaints, name: Any, path: KeyPath) -> dict[str, Any] | None:
    if isinstance(name, str) and name in PROFILES:
        return {"profile": name, "switches": {}}
    if name is None:
        complaints.add(path, "missing", one_of(PROFILES))
        return None
    nearest = did_you_mean(name, PROFILES) if isinstance(name, str) else None
    complaints.add(path, f"there is no profile {shown(name)}", one_of(PROFILES), nearest)
    return None


def _check_switch(complaints: Complaints, name: str, setting: Any, path: KeyPath) -> None:
    switch = SWITCHES.get(name)
    if switch is None:
        complaints.unknown(path, ("profile", *SWITCHES), "unknown switch")
    elif not any(type(value) is type(setting) and value == setting for value in switch.values):
        values = [json.dumps(value).strip('"') for value in switch.values]
        nearest = did_you_mean(setting, values) if isinstance(setting, str) else None
        complaints.add(path, f"{shown(setting)} is not known in this version", one_of(values), nearest)


def check_knobs(complaints: Complaints, value: Any, profile: Profile, path: KeyPath = ("ksm",)) -> dict[str, int | str]:
    """The knobs that a file sets, in the ranges that the profile's kernel allows; words as they are written."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        complaints.add(path, f"{shown(value)} is not a mapping", "knob: value")
        return {}
    for name, setting in value.items():
        check_knob(complaints, profile, name, setting, (*path, name))
    return dict(value)


def check_knob(complaints: Complaints, profile: Profile, name: str, setting: Any, path: KeyPath) -> None:
    """One knob: that the kernel has it, and would take the value."""
    knob = profile.knobs.get(name)
    if knob is None:
        complaints.unknown(path, profile.knobs, f"profile {profile.name} has no such knob")
    elif knob.words:
        if setting not in knob.words:
            nearest = did_you_mean(setting, knob.words) if isinstance(setting, str) else None
            complaints.add(path, f"{shown(setting)} is not known", one_of(knob.words), nearest)
    elif not is_whole(setting):
        complaints.add(path, f"{shown(setting)} is not a whole number", f"{knob.low} to {knob.high}")
    elif not knob.low <= setting <= knob.high:
        complaints.add(path, f"{shown(setting)} is out of range", f"{knob.low} to {knob.high}")


def check_metric(
    complaints: Complaints, profile: Profile, name: str, path: KeyPath, processes: Collection[str] | None
) -> None:
    """That a metric is one which runs of the profile have.

    Args:
        processes: The processes of the run; None when they are not known beforehand.
    """
    own = [*profile.metrics, *sorted(FIXED_METRICS)]
    if name in own or _POLICY_METRIC.fullmatch(name):
        return
    match = _PROCESS_METRIC.fullmatch(name)
    of_process = (*PROCESS, *profile.process_counters)
    if match and match[2] in of_process and (processes is None or match[1] in processes):
        return
    known = [*own, *_GROUPS]
    for process in processes or ([match[1]] if match else ()):
        known += [f"process.{process}.{metric}" for metric in of_process]
    what = f"profile {profile.name} has no such metric"
    complaints.add(path, what, None, did_you_mean(name, known), key=True)


def check_size(complaints: Complaints, machine: Machine) -> None:
    """That this computer can simulate the machine, and that the swap area has the slot it begins at."""
    largest = "memory" if machine.memory >= machine.swap else "swap"
    check_fits(complaints, ("machine", largest), machine.memory + machine.swap, "memory and swap")
    if machine.nodes > machine.memory:
        complaints.add(("machine", "nodes"), f"{machine.nodes} NUMA nodes cannot share {machine.memory} pages")
    if machine.swap_start > max(machine.swap, 1):
        allowed = f"at most {machine.swap}, the number of slots"
        complaints.add(("machine", "swap_start"), f"there is no slot {machine.swap_start}", allowed)


def check_fits(complaints: Complaints, path: KeyPath, pages: int, what: str) -> bool:
    """That this computer has memory to simulate so many pages."""
    needed, there = pages * BYTES_PER_PAGE, physical_memory()
    if needed <= there:
        return True
    complaints.add(
        path,
        f"{what} of {_gib(pages * PAGE_SIZE)} need {_gib(needed)} to simulate ({BYTES_PER_PAGE} B a page),"
        f" this computer has {_gib(there)}",
        f"at most {_gib(there // BYTES_PER_PAGE * PAGE_SIZE)} in all",
    )
    return False


def physical_memory() -> int:
    """Bytes of memory that this computer has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
