"""Which areas an anonymous page may be mapped in: anon_vma, and from 2.6.34 the chains of them (``mm/rmap.c``)."""

from __future__ import annotations

from typing import Any

from ksmlab_core.mm._jit import jit, plain
from ksmlab_core.mm.mm_types import NONE, NR_ANON_VMAS, NR_ANON_VMAS_FREE, SW_ANON_VMA_CHAINS


@jit
def anon_vma_link(m, vma):
    """Append a vma to the list of its root."""
    av = m.vma.anon_vma[vma]
    last = m.anon.last[av]
    m.vma.anon_prev[vma] = last
    m.vma.anon_next[vma] = NONE
    if last == NONE:
        m.anon.first[av] = vma
    else:
        m.vma.anon_next[last] = vma
    m.anon.last[av] = vma


@jit
def new_anon_vma(m):
    """A root without areas yet; its number."""
    av = m.sc[NR_ANON_VMAS]
    m.sc[NR_ANON_VMAS] += 1
    m.sc[NR_ANON_VMAS_FREE] -= 1
    m.anon.first[av] = NONE
    m.anon.last[av] = NONE
    m.anon.root[av] = av
    m.anon.before[av] = NONE
    m.anon.parent[av] = av
    m.anon.nr_children[av] = 1
    return av


@jit
def _mergeable_neighbours(m, low, high):
    """May these two adjacent vmas share one anon_vma (``find_mergeable_anon_vma``)?"""
    v = m.vma
    if v.vm_end[low] != v.vm_start[high] or (v.vm_flags[low] ^ v.vm_flags[high]) & ~1:
        return False
    return v.vm_pgoff[high] == v.vm_pgoff[low] + v.vm_end[low] - v.vm_start[low]


@jit
def _reusable_anon_vma(m, vma):
    """Has it an anon_vma, and (2.6.34) is it linked to no other?"""
    return m.vma.anon_vma[vma] != NONE and m.anon.before[m.vma.last_anon_vma[vma]] == NONE


@jit
def anon_vma_prepare(m, vma):
    """Give a vma its anon_vma at the first anon fault: a compatible neighbour's, or a new one (R-OBJ-6)."""
    v = m.vma
    if v.anon_vma[vma] != NONE:
        return
    av = NONE
    near = v.vm_next[vma]
    if near != NONE and _reusable_anon_vma(m, near) and _mergeable_neighbours(m, vma, near):
        av = v.anon_vma[near]
    if av == NONE:
        near = m.mm.mmap[v.mm[vma]]
        while near != NONE and near != vma:
            if v.vm_next[near] == vma and _reusable_anon_vma(m, near) and _mergeable_neighbours(m, near, vma):
                av = v.anon_vma[near]
            near = v.vm_next[near]
    if av == NONE:
        av = new_anon_vma(m)
    v.anon_vma[vma] = av
    v.own_anon_vma[vma] = av
    v.last_anon_vma[vma] = av
    m.anon.nr_own[av] += 1
    m.anon.nr_vmas[av] += 1
    anon_vma_link(m, vma)


# --------------------------------------------------------------------------------------------------------------
# Areas that come and go as a whole: not compiled


def _count_vma(m: Any, vma: int, n: int) -> None:
    """An area is linked to its anon_vmas (`n` 1), or no longer (-1)."""
    m.anon.nr_own[m.vma.own_anon_vma[vma]] += n
    av = m.vma.last_anon_vma[vma]
    while av != NONE:
        m.anon.nr_vmas[av] += n
        if m.anon.nr_vmas[av] == 0:
            m.anon.nr_children[m.anon.parent[av]] -= 1
        av = m.anon.before[av]


def anon_vma_clone(m: Any, vma: int, source: int) -> None:
    """Link a part of an area, or where it was moved to, as the area is."""
    for field in ("anon_vma", "own_anon_vma", "last_anon_vma"):
        getattr(m.vma, field)[vma] = getattr(m.vma, field)[source]
    if m.vma.anon_vma[vma] != NONE:
        _count_vma(m, vma, 1)
        plain(anon_vma_link)(m, vma)


def anon_vma_fork(m: Any, vma: int, source: int) -> None:
    """Link a child's copy of an area; one row of the table must be unused.

    From 2.6.34 it is linked to all of the area's anon_vmas and to one of its own: the first of those whose own areas
    have gone and that has less than two children, else a new one.
    """
    v, anon = m.vma, m.anon
    v.anon_vma[vma], v.own_anon_vma[vma] = v.anon_vma[source], v.own_anon_vma[source]
    v.last_anon_vma[vma] = v.last_anon_vma[source]
    if m.sc[SW_ANON_VMA_CHAINS]:
        own = _left_alone(m, source)
        if own == NONE:
            own = int(plain(new_anon_vma)(m))
            anon.root[own], anon.before[own] = v.anon_vma[source], v.last_anon_vma[source]
            anon.parent[own] = v.own_anon_vma[source]
            anon.nr_children[own] = 0
            anon.nr_children[v.own_anon_vma[source]] += 1
            v.last_anon_vma[vma] = own
        v.own_anon_vma[vma] = own
    _count_vma(m, vma, 1)
    plain(anon_vma_link)(m, vma)


def _left_alone(m: Any, vma: int) -> int:
    """The first of an area's anon_vmas whose own areas have gone and that has less than two children, or NONE."""
    found, av = NONE, int(m.vma.last_anon_vma[vma])
    while av != NONE:
        if m.anon.nr_own[av] == 0 and m.anon.nr_children[av] < 2:
            found = av
        av = int(m.anon.before[av])
    return found


def mergeable_vmas(m: Any, low: int, high: int) -> bool:
    """May two neighbours become one area? Parts of one that was cut, alike again; kernels of 6.16 and later.

    Where only one of them has an anon_vma, the other gets it, unless a fork has made the area. (Between 2.6.34 and 6.16
    it also had to be the one that was not just changed.)
    """
    v = m.vma
    if v.vm_end[low] != v.vm_start[high] or v.vm_flags[low] != v.vm_flags[high] or v.node[low] != v.node[high]:
        return False
    pages = v.vm_end[low] - v.vm_start[low]
    if v.pte_base[high] != v.pte_base[low] + pages or v.vm_pgoff[high] != v.vm_pgoff[low] + pages:
        return False
    having = [vma for vma in (low, high) if v.anon_vma[vma] != NONE]
    if len(having) == 1:
        return bool(m.anon.before[v.last_anon_vma[having[0]]] == NONE)
    return not having or bool(v.own_anon_vma[low] == v.own_anon_vma[high])


def anon_vma_unlink(m: Any, vma: int) -> None:
    """Take an area off its root's list, and out of the counts."""
    _count_vma(m, vma, -1)
    av, before, after = m.vma.anon_vma[vma], m.vma.anon_prev[vma], m.vma.anon_next[vma]
    if before == NONE:
        m.anon.first[av] = after
    else:
        m.vma.anon_next[before] = after
    if after == NONE:
        m.anon.last[av] = before
    else:
        m.vma.anon_prev[after] = before
