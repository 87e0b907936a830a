"""A process that asks for all its memory to be merged (``PR_SET_MEMORY_MERGE``, 6.4): R-B-PRCTL-1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm.errno import ENOMEM, OK

if TYPE_CHECKING:
    from ksmlab_core.mm.address_space import AddressSpaces

INCOMPATIBLE = (
    t.VM_SHARED
    | t.VM_MAYSHARE
    | t.VM_PFNMAP
    | t.VM_IO
    | t.VM_DONTEXPAND
    | t.VM_RESERVED
    | t.VM_HUGETLB
    | t.VM_INSERTPAGE
    | t.VM_NONLINEAR
    | t.VM_MIXEDMAP
    | t.VM_SAO
)
"""Areas of these kinds are never merged."""


def merges_any(spaces: AddressSpaces, mm: int) -> bool:
    """What ``PR_GET_MEMORY_MERGE`` says of a process."""
    return bool(spaces.state.m.mm.mm_flags[mm] & t.MMF_VM_MERGE_ANY)


def set_memory_merge(spaces: AddressSpaces, mm: int, merge: bool) -> int:
    """Mark all areas of a process, now and in future, or unmerge them all; 0 or ENOMEM, and nothing has changed."""
    if merge == merges_any(spaces, mm):
        return OK
    flags = spaces.state.m.mm.mm_flags
    if merge:
        if not flags[mm] & t.MMF_VM_MERGEABLE and not spaces.ksm_enter(mm):
            return ENOMEM
        flags[mm] |= t.MMF_VM_MERGE_ANY
        _add_vmas(spaces, mm)
        return OK
    for vma in list(spaces.vmas(mm)):
        if not spaces.state.m.vma.vm_flags[vma] & t.VM_MERGEABLE:
            continue
        if spaces.unmerge_vma(vma) != OK:
            _add_vmas(spaces, mm)
            return ENOMEM
        spaces.state.m.vma.vm_flags[vma] &= ~t.VM_MERGEABLE
    spaces.state.m.mm.mm_flags[mm] &= 0xFF ^ t.MMF_VM_MERGE_ANY
    return OK


def add_vma(spaces: AddressSpaces, mm: int, vma: int) -> None:
    """A new area of a process: mergeable at once if the process has asked for that and the area can be."""
    flags = spaces.state.m.vma.vm_flags
    if merges_any(spaces, mm) and not flags[vma] & INCOMPATIBLE:
        flags[vma] |= t.VM_MERGEABLE


def _add_vmas(spaces: AddressSpaces, mm: int) -> None:
    for vma in spaces.vmas(mm):
        add_vma(spaces, mm, vma)
