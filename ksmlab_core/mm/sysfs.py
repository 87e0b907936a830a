"""Writing the knobs of ``/sys/kernel/mm/ksm``: what is refused, and what else a write does (R-KNOB, R-B-ADV-1).

Nothing here is compiled. What compiled code reads of a knob lies in a scalar.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm.advisor import ADVISOR_NONE
from ksmlab_core.mm.errno import EBUSY, EINVAL, OK

if TYPE_CHECKING:
    from ksmlab_core.mm.machine import Machine

DEFAULT_PAGES_TO_SCAN = 100

SCALARS: Mapping[str, int] = MappingProxyType({
    "max_kernel_pages": t.KSM_MAX_KERNEL_PAGES,
    "smart_scan": t.KSM_SMART_SCAN,
    "use_zero_pages": t.KSM_USE_ZERO_PAGES,
    "max_page_sharing": t.KSM_MAX_PAGE_SHARING,
    "stable_node_chains_prune_millisecs": t.KSM_CHAINS_PRUNE_MILLISECS,
    "pages_to_scan": t.KSM_PAGES_TO_SCAN,
    "advisor_mode": t.ADVISOR_MODE,
    "advisor_max_cpu": t.ADVISOR_MAX_CPU,
    "advisor_max_pages_to_scan": t.ADVISOR_MAX_PAGES_TO_SCAN,
    "advisor_target_scan_time": t.ADVISOR_TARGET_SCAN_TIME,
})  # fmt: skip
"""The scalars that mirror knobs."""


def set_defaults(machine: Machine) -> None:
    """Give every knob of the machine's kernel its default."""
    for name, knob in machine.kernel.knobs.items():
        _put(machine, name, knob.default or 0)


def store(machine: Machine, name: str, value: int) -> int:
    """Write a number in the knob's range to it; 0, EINVAL, EBUSY or ENOMEM."""
    if name == "run":
        return machine.set_run(value)
    if value == machine.knobs[name] and name != "pages_to_scan":
        return OK
    refusal = _REFUSALS.get(name)
    if refusal is not None and (error := refusal(machine)) != OK:
        return error
    _put(machine, name, value)
    if name == "advisor_mode":
        _start_advisor(machine)
    return OK


def show_advised(machine: Machine) -> None:
    """Let the knob pages_to_scan read what the advisor has set it to."""
    if machine.sc[t.ADVISOR_MODE]:
        machine.knobs["pages_to_scan"] = int(machine.sc[t.KSM_PAGES_TO_SCAN])


def _put(machine: Machine, name: str, value: int) -> None:
    machine.knobs[name] = value
    if name == "merge_across_nodes":
        machine.sc[t.KSM_ONE_TREE_PER_NODE] = 1 - value
    elif name in SCALARS:
        machine.sc[SCALARS[name]] = value


def _advisor_decides(machine: Machine) -> int:
    """pages_to_scan belongs to the advisor while there is one (R-B-ADV-1)."""
    return EINVAL if machine.knobs.get("advisor_mode", ADVISOR_NONE) != ADVISOR_NONE else OK


def _while_shared(machine: Machine) -> int:
    """The trees are built by this knob, so it cannot change while they hold anything (R-B-MAX-1, R-B-NUMA-1)."""
    return EBUSY if machine.sc[t.KSM_PAGES_SHARED] or machine.remove_all_stable_nodes() else OK


_REFUSALS: Mapping[str, Callable[[Machine], int]] = MappingProxyType({
    "pages_to_scan": _advisor_decides,
    "max_page_sharing": _while_shared,
    "merge_across_nodes": _while_shared,
})  # fmt: skip


def _start_advisor(machine: Machine) -> None:
    """The advisor begins with its least rate and without memory; without it the rate is the default again."""
    advised = machine.knobs["advisor_mode"] != ADVISOR_NONE
    _put(machine, "pages_to_scan", machine.knobs["advisor_min_pages_to_scan"] if advised else DEFAULT_PAGES_TO_SCAN)
    for scalar in (t.ADVISOR_STARTED, t.ADVISOR_SCAN_TIME, t.ADVISOR_CHANGE, t.ADVISOR_CPU_TIME):
        machine.sc[scalar] = 0
