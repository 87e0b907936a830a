"""Making and growing the machine's arrays."""

from __future__ import annotations

import mmap
from collections.abc import Collection
from typing import Any

import numba
import numpy as np

from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm.layout import ARRAYS, HOME, OPTIONAL, RECORDS, parts_of

Array = np.ndarray[Any, Any]
SCRATCH_TAIL = 64  # entries of scratch behind those for every frame: pages or places that one step works on
_INITIAL = {"vma": 64, "mm": 64, "anon": 64, "pte": 1024, "item": 256, "node": 64, "queue": 64}


_HUGE = 1 << 21  # bytes of a huge page


def _zeros(length: int, kind: np.dtype[Any]) -> Array:
    """A zeroed array; large ones in huge pages, as far as they fill whole ones.

    The records are met in random order, and with small pages much of the time would go into translating addresses.
    """
    size = length * kind.itemsize
    if size < _HUGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return np.zeros(length, kind)
    area = mmap.mmap(-1, size + _HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    everything = np.frombuffer(area, np.uint8)
    start = -everything.ctypes.data % _HUGE
    try:
        area.madvise(mmap.MADV_HUGEPAGE, start, size // _HUGE * _HUGE)
    except OSError:
        return np.zeros(length, kind)  # a kernel without huge pages
    return everything[start : start + size].view(kind)


def _link(links: Array, first: int) -> None:
    """Chain the records from `first` on into a free list by one of their fields."""
    links[first:] = np.arange(first + 1, len(links) + 1)
    links[-1] = t.NONE


class State:
    """All arrays of one machine.

    Attributes:
        m: the arrays as objects with one plain array per field, for code that is not compiled.
        doors: what a door takes first: the addresses of the arrays, or `m` itself without the compiler.
    """

    m: t.Memory
    doors: tuple[Any, ...]

    def __init__(self, frames: int, slots: int, nodes: int = 1, without: Collection[tuple[str, str]] = ()) -> None:
        """Frames, swap slots, NUMA nodes, and the fields of layout.OPTIONAL that need not be kept."""
        missing = {HOME[field] for field in without}
        sizes = {
            "frame": frames + 1,
            "last_access": frames + 1,
            "slot": slots + 1,
            "sc": t.NR_SCALARS,
            "scratch": frames + 1 + SCRATCH_TAIL,
            "pte_flags": _INITIAL["pte"],
            "pte_target": _INITIAL["pte"],
            **_INITIAL,
        }
        self.arrays: dict[str, Array] = {
            name: _zeros(0 if name in missing else sizes[name.partition(".")[0]], kind) for name, kind in ARRAYS.items()
        }
        self._publish()
        self._prepare()
        self._divide(nodes)
        for field, scalar in OPTIONAL.items():
            self.arrays["sc"][scalar] = field not in without
        self._publish()

    def _prepare(self) -> None:
        m, sc = self.m, self.arrays["sc"]
        m.pte_target[:] = t.NONE
        m.pte.vma[:] = t.NONE
        m.pte.rmap_item[:] = t.NONE
        frame = m.frame
        _link(frame.lru_next, 1)
        frame.mapping[:] = t.NONE
        frame.private[:] = t.NONE
        frame.refcount[t.ZERO_PAGE] = 1
        frame.pg[t.ZERO_PAGE] = t.PG_UPTODATE
        sc[t.NR_FRAMES] = sc[t.NR_FREE] = len(frame.pg) - 1
        sc[t.FREE_FRAME] = 1
        sc[t.QUEUE_SIZE] = len(m.queue)
        sc[t.SCRATCH_SIZE] = len(m.scratch)
        m.slot.frame[:] = t.NONE
        m.slot.content[:] = t.SLOT_NEVER_WRITTEN
        m.slot.shadow[:] = t.NONE
        m.vma.mm[:] = t.NONE
        m.node.kpage[:] = t.NONE
        m.item.mm[:] = t.NONE
        for links, head, count in (
            (m.item.rmap_next, t.FREE_ITEM, t.NR_FREE_ITEMS),
            (m.node.hlist, t.FREE_NODE, t.NR_FREE_NODES),
        ):
            _link(links, 0)
            sc[head], sc[count] = 0, len(links)
        for scalar in (t.SCAN_PREV, t.DECIDED_PTE):
            sc[scalar] = t.NONE
        for first in (t.ROOT_STABLE, t.ROOT_UNSTABLE):
            sc[first : first + t.MAX_NUMNODES] = t.NONE
        sc[t.LRU_HEAD : t.LRU_HEAD + t.NR_LRU] = t.NONE
        sc[t.LRU_TAIL : t.LRU_TAIL + t.NR_LRU] = t.NONE
        sc[t.NR_ANON_VMAS_FREE] = len(self.arrays["anon"])
        mm = self.arrays["mm"]
        for field in ("mmap", "rmap_list", "slot_next", "slot_prev", "list_next", "list_prev"):
            mm[field] = t.NONE
        for field in ("slot_next", "slot_prev", "list_next", "list_prev"):
            mm[field][t.MM_HEAD] = t.MM_HEAD

    def _divide(self, nodes: int) -> None:
        """Share the frames out among NUMA nodes: node k has a row of them behind those of node k-1 (numa.py)."""
        sc, frames = self.arrays["sc"], int(self.arrays["sc"][t.NR_FRAMES])
        sc[t.NR_NODES] = nodes
        for node in range(1, nodes):
            first = 1 - (-node * frames // nodes)
            self.m.frame.lru_next[first - 1] = t.NONE
            sc[t.FREE_FRAME + node] = first

    def _member(self, name: str) -> Any:
        """One member of `Memory`: a column, or an object with the fields of a record from all its parts."""
        if name not in RECORDS:
            return self.arrays[name]
        columns = t.Columns(self.arrays[name])
        for part in parts_of(name)[1:]:
            vars(columns).update(vars(t.Columns(self.arrays[part])))
        return columns

    def _publish(self) -> None:
        self.m = t.Memory(*(self._member(name) for name in t.Memory._fields))
        self.addresses = np.array([array.ctypes.data for array in self.arrays.values()], np.int64)
        self.doors = (self.m,) if numba.config.DISABLE_JIT else (self.addresses,)

    def _extend(self, name: str, size: int) -> int:
        """Make an array at least `size` long, all zero behind what it held; its former length."""
        old = self.arrays[name]
        if size <= len(old):
            return len(old)
        # Small arrays by half, so that they seldom move; large ones by little, so that memory is not wasted.
        new = _zeros(max(size, len(old) + max(min(len(old) // 2, 1024), len(old) // 32)), old.dtype)
        new[: len(old)] = old
        self.arrays[name] = new
        return len(old)

    def reserve_ptes(self, size: int) -> None:
        """Let the pte table hold at least `size` ptes."""
        if size <= len(self.arrays["pte_flags"]):
            return
        self._extend("pte_flags", size)
        first = self._extend("pte_target", size)
        self.arrays["pte_target"][first:] = t.NONE
        self._extend("pte", size)
        self.arrays["pte"]["vma"][first:] = t.NONE
        self.arrays["pte"]["rmap_item"][first:] = t.NONE
        self._publish()

    def _grow_free_list(self, name: str, field: str, mark: str, head: int, count: int, more: int) -> None:
        sc = self.arrays["sc"]
        missing = more - int(sc[count])
        if missing <= 0:
            return
        size = len(self.arrays[name]) + missing
        for part in parts_of(name):
            if len(self.arrays[part]):  # else it is not kept
                first = self._extend(part, size)
        self._publish()
        records = getattr(self.m, name)
        getattr(records, mark)[first:] = t.NONE
        links = getattr(records, field)
        _link(links, first)
        # New records go in front: their chain ends where the old free list begins.
        links[-1] = sc[head]
        sc[head] = first
        sc[count] += len(links) - first

    def reserve_items(self, more: int) -> None:
        """Let at least `more` rmap_items be free."""
        self._grow_free_list("item", "rmap_next", "mm", t.FREE_ITEM, t.NR_FREE_ITEMS, more)

    def reserve_nodes(self, more: int) -> None:
        """Let at least `more` stable nodes be free."""
        self._grow_free_list("node", "hlist", "kpage", t.FREE_NODE, t.NR_FREE_NODES, more)

    def reserve_queue(self) -> None:
        """Let one more pte wait at the head of ksmd's queue; an address that waits twice keeps its first place."""
        sc, old = self.arrays["sc"], self.arrays["queue"]
        n = int(sc[t.KSM_QUEUE])
        if n < len(old):
            return
        waiting = np.roll(old, -int(sc[t.KSM_QUEUE_HEAD]))
        waiting = waiting[np.sort(np.unique(waiting, return_index=True)[1])]
        queue = _zeros(max(len(old), 2 * len(waiting)), old.dtype)
        queue[: len(waiting)] = waiting
        self.arrays["queue"] = queue
        sc[t.KSM_QUEUE_HEAD], sc[t.KSM_QUEUE], sc[t.QUEUE_SIZE] = 0, len(waiting), len(queue)
        self._publish()

    def reserve_anon_vmas(self, more: int) -> None:
        """Let at least `more` anon_vmas be unused."""
        sc = self.arrays["sc"]
        missing = more - int(sc[t.NR_ANON_VMAS_FREE])
        if missing > 0:
            first = self._extend("anon", len(self.arrays["anon"]) + missing)
            sc[t.NR_ANON_VMAS_FREE] += len(self.arrays["anon"]) - first
            self._publish()

    def new_row(self, name: str, used: int) -> int:
        """A row behind the `used` ones of the areas or processes."""
        if used >= len(self.arrays[name]):
            first = self._extend(name, used + 1)
            new = self.arrays[name][first:]
            if name == "mm":
                for field in ("mmap", "rmap_list", "slot_next", "slot_prev", "list_next", "list_prev"):
                    new[field] = t.NONE
            else:
                new["mm"] = t.NONE
            self._publish()
        return used

    def bytes_used(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self.arrays.values())
