"""The machine against its invariants INV-1 to INV-20, and a dump that a person can read.

Checks are numpy over whole tables; only the lists and trees are walked one by one. INV-15, the master property, is kept
by a shadow memory: what was last written to every address, noted by whoever writes, compared with what is there now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm.machine import READ, TOUCH, Machine

_KSM = t.PAGE_MAPPING_FLAGS


@dataclass(frozen=True)
class Violation:
    """One contradiction: which invariant, where, what."""

    invariant: str
    entity: str
    reason: str
    page: int = t.NONE
    pte: int = t.NONE


class Checker:
    """All invariants of one machine.

    Attributes:
        shadow: int64 per pte: the content last written at that address.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.shadow = np.zeros(0, np.int64)
        self._last_seqnr = 0
        self._last_unmerge = 0
        self._ksm_contents: dict[tuple[int, int], int] = {}

    # -- the shadow memory --------------------------------------------------------------------------------------

    def _fit(self) -> None:
        missing = self.machine.nr_ptes - len(self.shadow)
        if missing > 0:
            self.shadow = np.concatenate([self.shadow, np.zeros(missing, np.int64)])

    def written(self, ptes: Any, contents: Any) -> None:
        """Note accesses that were carried out, in order."""
        self._fit()
        writes = (contents != READ) & (contents != TOUCH) & (ptes >= 0)
        self.shadow[ptes[writes]] = contents[writes]

    def zeroed(self, ptes: Any) -> None:
        """Note that addresses are new, or were given back: they read as zero."""
        self._fit()
        self.shadow[ptes[ptes >= 0]] = 0

    def copied(self, source: Any, target: Any) -> None:
        """Note that a fork let `target` hold what `source` holds."""
        self._fit()
        both = (source >= 0) & (target >= 0)
        self.shadow[target[both]] = self.shadow[source[both]]

    # -- everything at once -------------------------------------------------------------------------------------

    def violations(self) -> Iterator[Violation]:
        """All contradictions of the present state, in the order of the invariants."""
        self._fit()
        view = _View(self.machine)
        for check in _CHECKS:
            yield from check(self, view)

    def dump(self, violation: Violation) -> str:
        """The frames, ptes and slots around a violation, in words."""
        machine, m = self.machine, self.machine.state.m
        lines = [f"  counters: {dict(machine.ksm_counters())}", f"  now: {int(machine.sc[t.NOW])} ns"]
        pages = {violation.page} if violation.page != t.NONE else set()
        if violation.pte != t.NONE and m.pte_flags[violation.pte] & t.PTE_PRESENT:
            pages.add(int(m.pte_target[violation.pte]))
        for page in sorted(pages):
            lines.append(f"  frame {page}: {_record(m.frame, page)}")
            mapping = np.flatnonzero(
                ((m.pte_flags[: machine.nr_ptes] & t.PTE_PRESENT) != 0) & (m.pte_target[: machine.nr_ptes] == page)
            )
            lines += [f"    mapped by pte {p}: {self._pte(int(p))}" for p in mapping[:8]]
        if violation.pte != t.NONE:
            lines.append(f"  pte {violation.pte}: {self._pte(violation.pte)}")
        return "\n".join(lines)

    def _pte(self, p: int) -> str:
        m = self.machine.state.m
        vma = int(m.pte.vma[p])
        where = "no area"
        if vma != t.NONE:
            address = int(m.vma.vm_start[vma]) + p - int(m.vma.pte_base[vma])
            where = f"mm {int(m.vma.mm[vma])} vpn {address} (vma {vma})"
        flags = int(m.pte_flags[p])
        names = [name for name in ("PRESENT", "YOUNG", "DIRTY", "WRITE", "SWAP") if flags & getattr(t, "PTE_" + name)]
        return f"{where}, {'|'.join(names) or 'none'} -> {int(m.pte_target[p])}"


def _record(columns: t.Columns, row: int) -> str:
    fields = {name: int(array[row]) for name, array in vars(columns).items()}
    if "pg" in fields:
        names = [name[3:] for name in vars(t) if name.startswith("PG_") and fields["pg"] & getattr(t, name)]
        kind = {0: "no mapping", t.PAGE_MAPPING_ANON: "anon", _KSM: "KSM"}.get(fields["pg"] & _KSM, "?")
        fields["pg"] = f"{'|'.join(names)} ({kind})"  # type: ignore[assignment]
    return ", ".join(f"{name} {value}" for name, value in fields.items())


class _View:
    """The tables of one check, with what several invariants need of them."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.m = machine.state.m
        self.sc = machine.sc
        n = machine.nr_ptes
        self.flags = self.m.pte_flags[:n]
        self.target = self.m.pte_target[:n]
        self.present = np.flatnonzero((self.flags & t.PTE_PRESENT) != 0)
        self.present = self.present[self.target[self.present] != t.ZERO_PAGE]
        self.swapped = np.flatnonzero((self.flags & t.PTE_SWAP) != 0)
        self.frames = self.target[self.present]
        self.nr_frames = len(self.m.frame.refcount)
        self.pg = self.m.frame.pg
        self.in_use = self.m.frame.refcount > 0
        self.in_use[t.ZERO_PAGE] = False
        self.cached = self.in_use & ((self.pg & t.PG_SWAPCACHE) != 0)
        self.ksm = self.in_use & ((self.pg & _KSM) == _KSM)

    def batched(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """How many references the page batches hold on each frame."""
        held = [
            int(self.sc[t.PVEC + batch * t.PAGEVEC_SIZE + i])
            for batch in range(t.NR_PVEC)
            for i in range(int(self.sc[t.PVEC_COUNT + batch]))
        ]
        held += self.sc[t.MLOCK_BATCH : t.MLOCK_BATCH + int(self.sc[t.MLOCK_BATCH_COUNT])].tolist()
        return np.bincount(held, minlength=self.nr_frames) if held else np.zeros(self.nr_frames, np.int64)

    def nodes(self) -> Any:
        """The stable nodes in use that have a page."""
        return np.flatnonzero((self.m.node.kpage != t.NONE) & (self.m.node.kind != t.NODE_CHAIN))

    def contents(self, nodes: Any) -> Any:
        """What is compared on the way down at each of these nodes: its page's content, or what it had."""
        if not self.sc[t.NODE_CONTENTS]:
            return self.m.frame.content[self.m.node.kpage[nodes]]
        named = self.named(nodes) & (self.m.node.kind[nodes] != t.NODE_CHAIN)
        return np.where(named, self.m.frame.content[self.m.node.kpage[nodes]], self.m.node.content[nodes])

    def chains(self) -> Any:
        """The chains of stable nodes of equal content."""
        return np.flatnonzero((self.m.node.kpage != t.NONE) & (self.m.node.kind == t.NODE_CHAIN))

    def dups(self, chain: int) -> list[int]:
        """The nodes of a chain, newest first."""
        out: list[int] = []
        dup = int(self.m.node.hlist[chain])
        while dup != t.NONE and len(out) <= len(self.m.node.kpage):
            out.append(dup)
            dup = int(self.m.node.rb_left[dup])
        return out

    def named(self, nodes: Any) -> Any:
        """Which of these nodes their frames name; the others are stale (R-B-OBJ-2)."""
        pages = self.m.node.kpage[nodes]
        return self.ksm[pages] & (self.m.frame.mapping[pages] == nodes)

    def items(self) -> Any:
        """The rmap_items in use."""
        return np.flatnonzero(self.m.item.mm != t.NONE)


def _pages(invariant: str, wrong: Any, reason: Callable[[int], str]) -> Iterator[Violation]:
    for page in np.flatnonzero(wrong)[:4]:
        yield Violation(invariant, f"frame {page}", reason(int(page)), page=int(page))


def _inv1(_checker: Checker, v: _View) -> Iterator[Violation]:
    ptes = np.bincount(v.frames, minlength=v.nr_frames)
    have = v.m.frame.mapcount
    yield from _pages("INV-1", ptes != have, lambda p: f"mapcount {have[p]}, mapped by {ptes[p]} ptes")


def _inv2(_checker: Checker, v: _View) -> Iterator[Violation]:
    holders = np.bincount(v.frames, minlength=v.nr_frames) + v.cached + v.batched()
    if v.sc[t.SW_NODE_HOLDS_REF]:
        holders += np.bincount(v.m.node.kpage[v.nodes()], minlength=v.nr_frames)
    for page, pins in v.machine.pins.items():
        holders[page] += pins
    have = v.m.frame.refcount.copy()
    have[t.ZERO_PAGE] = holders[t.ZERO_PAGE]
    yield from _pages("INV-2", holders != have, lambda p: f"refcount {have[p]}, but {holders[p]} holders")
    free = (v.m.frame.refcount == 0) & ((v.pg != 0) | (v.m.frame.mapping != t.NONE))
    yield from _pages("INV-2", free, lambda p: f"free, but has flags {v.pg[p]:#x} or a mapping")
    free_count = int(np.count_nonzero(v.m.frame.refcount == 0))
    if free_count != int(v.sc[t.NR_FREE]):
        yield Violation("INV-2", "free list", f"{v.sc[t.NR_FREE]} counted, {free_count} frames are free")


def _inv3(_checker: Checker, v: _View) -> Iterator[Violation]:
    named = np.bincount(v.target[v.swapped], minlength=len(v.m.slot.refs))
    for e in np.flatnonzero(named != np.maximum(v.m.slot.refs, 0))[:4]:
        yield Violation("INV-3", f"slot {e}", f"count {v.m.slot.refs[e]}, named by {named[e]} swap ptes")
    slots = v.m.frame.private
    wrong = v.cached & ((slots < 0) | (v.m.slot.frame[np.maximum(slots, 0)] != np.arange(v.nr_frames)))
    yield from _pages("INV-3", wrong, lambda p: f"in the swap cache under slot {slots[p]}, which does not find it")
    found = np.flatnonzero(v.m.slot.frame != t.NONE)
    pages = v.m.slot.frame[found]
    for e in found[~v.cached[pages] | (slots[pages] != found)][:4]:
        yield Violation("INV-3", f"slot {e}", f"cache mark for frame {v.m.slot.frame[e]}, which is not cached there")


def _inv4(_checker: Checker, v: _View) -> Iterator[Violation]:
    dirty_pte = np.zeros(v.nr_frames, np.bool_)
    dirty_pte[v.frames[(v.flags[v.present] & t.PTE_DIRTY) != 0]] = True
    clean = v.cached & ~dirty_pte & ((v.pg & (t.PG_DIRTY | t.PG_WRITEBACK)) == 0) & ((v.pg & t.PG_UPTODATE) != 0)
    slots = np.maximum(v.m.frame.private, 0)
    if v.sc[t.SW_SWAPIN_EXCLUSIVE]:  # a page may be written in the swap cache, but nobody will read such a slot
        clean &= v.m.slot.refs[slots] > 0
    stored = v.m.slot.content[slots]
    wrong = clean & (stored != v.m.frame.content)
    yield from _pages(
        "INV-4", wrong, lambda p: f"clean in the swap cache with content {v.m.frame.content[p]}, slot has {stored[p]}"
    )


def _inv5(checker: Checker, v: _View) -> Iterator[Violation]:
    writable = v.present[(v.flags[v.present] & t.PTE_WRITE) != 0]
    for p in writable[v.ksm[v.target[writable]]][:4]:
        yield Violation("INV-5", f"pte {p}", "writable and maps a KSM page", pte=int(p))
    pages = np.flatnonzero(v.ksm & ((v.m.frame.mapcount > 0) | (v.m.frame.mapping != t.NONE)))
    now = {
        (int(page), int(stamp)): int(content)
        for page, stamp, content in zip(pages, v.m.frame.inserted[pages], v.m.frame.content[pages], strict=True)
    }
    for key, content in checker._ksm_contents.items():
        if now.get(key, content) != content:
            yield Violation("INV-5", f"frame {key[0]}", f"KSM page changed from {content} to {now[key]}", page=key[0])
    checker._ksm_contents = now


def _inv6(_checker: Checker, v: _View) -> Iterator[Violation]:
    nodes = v.nodes()
    stale = nodes[~v.named(nodes)] if v.sc[t.SW_NODE_HOLDS_REF] else nodes[:0]
    for node in stale[:4]:
        yield Violation("INV-6", f"node {node}", f"its frame {v.m.node.kpage[node]} does not name it")
    named = nodes[v.named(nodes)] if v.sc[t.NODE_CONTENTS] else nodes[:0]
    for node in named[v.m.node.content[named] != v.m.frame.content[v.m.node.kpage[named]]][:4]:
        yield Violation("INV-6", f"node {node}", f"notes content {v.m.node.content[node]}, its page has another")
    owned = np.flatnonzero(v.ksm & (v.m.frame.mapping != t.NONE))
    for page in owned[v.m.node.kpage[v.m.frame.mapping[owned]] != owned][:4]:
        yield Violation("INV-6", f"frame {page}", f"names node {v.m.frame.mapping[page]}, not so back", page=int(page))


def _in_order(columns: Any, root: int) -> list[int]:
    """The records of a tree from left to right."""
    out: list[int] = []
    stack: list[int] = []
    n = root
    while stack or n != t.NONE:
        while n != t.NONE:
            stack.append(n)
            n = int(columns.rb_left[n])
        n = stack.pop()
        out.append(n)
        n = int(columns.rb_right[n])
    return out


def _inv7(_checker: Checker, v: _View) -> Iterator[Violation]:
    nodes, linked = v.m.node, []
    for tree in range(int(v.sc[t.NR_NODES])):
        in_tree = _in_order(nodes, int(v.sc[t.ROOT_STABLE + tree]))
        contents = v.contents(np.array(in_tree, np.int64))
        for i in np.flatnonzero(contents[1:] <= contents[:-1])[:4]:
            yield Violation("INV-7", f"nodes {in_tree[i]} and {in_tree[i + 1]}", "not in memcmp order, or equal")
        for node in np.array(in_tree, np.int64)[nodes.nid[in_tree] != tree][:4]:
            yield Violation("INV-7", f"node {node}", f"in tree {tree}, marked as of tree {nodes.nid[node]}")
        linked += [node for node in in_tree if nodes.kind[node] == t.NODE_PLAIN]
        linked += [dup for node in in_tree if nodes.kind[node] == t.NODE_CHAIN for dup in v.dups(node)]
    if sorted(linked) != v.nodes().tolist():
        yield Violation("INV-7", "stable tree", f"{len(linked)} nodes in the tree, {len(v.nodes())} exist")
        return
    for node in linked:
        if nodes.hlist[node] == t.NONE and v.sc[t.SW_FREE_NODE_ON_LAST_ITEM]:
            yield Violation("INV-7", f"node {node}", "in the tree without items")
    yield from _chains(v)


def _chains(v: _View) -> Iterator[Violation]:
    """R-B-MAX-2: a chain holds the nodes of one content, linked both ways; chains and dups are counted."""
    nodes, dups = v.m.node, 0
    for chain in v.chains():
        before = t.NONE
        for dup in v.dups(int(chain)):
            content = v.contents(np.array([dup]))[0]
            same = content == nodes.content[chain] and nodes.nid[dup] == nodes.nid[chain]
            if nodes.kind[dup] != t.NODE_DUP or nodes.rb_parent[dup] != chain or not same:
                yield Violation("INV-7", f"node {dup}", f"listed in chain {chain}, of which it is no dup")
            if nodes.rb_right[dup] != before:
                yield Violation("INV-7", f"chain {chain}", f"broken link at node {dup}")
            before, dups = dup, dups + 1
    for name, scalar, have in (
        ("stable_node_chains", t.KSM_STABLE_NODE_CHAINS, len(v.chains())),
        ("stable_node_dups", t.KSM_STABLE_NODE_DUPS, dups),
    ):
        if have != int(v.sc[scalar]):
            yield Violation("INV-8", name, f"counts {v.sc[scalar]}, {have} exist")


def _list_of_node(v: _View, node: int) -> list[int]:
    out: list[int] = []
    item = int(v.m.node.hlist[node])
    while item != t.NONE and len(out) <= len(v.m.item.mm):
        out.append(item)
        item = int(v.m.item.hlist_next[item])
    return out


def _inv8(_checker: Checker, v: _View) -> Iterator[Violation]:
    lengths = {int(node): len(_list_of_node(v, int(node))) for node in v.nodes()}
    items = v.items()
    state = v.m.item.state[items]
    expected = {
        "pages_shared": sum(1 for n in lengths.values() if n),
        "pages_sharing": sum(n - 1 for n in lengths.values() if n),
        "pages_unshared": int(np.count_nonzero(state == t.ITEM_UNSTABLE)),
    }
    expected["pages_volatile"] = max(0, len(items) - sum(expected.values()))
    for name, value in v.machine.ksm_counters().items():
        if expected.get(name, value) != value:
            yield Violation("INV-8", name, f"counts {value}, the records say {expected[name]}")
    if len(items) != int(v.sc[t.KSM_RMAP_ITEMS]):
        yield Violation("INV-8", "rmap_items", f"counts {v.sc[t.KSM_RMAP_ITEMS]}, {len(items)} exist")
    for node, length in lengths.items():
        if length != v.m.node.nr_items[node]:
            yield Violation("INV-8", f"node {node}", f"counts {v.m.node.nr_items[node]} items, lists {length}")
    stable = items[state == t.ITEM_STABLE]
    if sum(lengths.values()) != len(stable):
        yield Violation("INV-8", "nodes", "list another number of items than are in the stable state")
    yield from _inv8_anon_vmas(v)


def _inv8_anon_vmas(v: _View) -> Iterator[Violation]:
    """The items of the ptes that map their node's page hold the anon_vma of the area: it is how reclaim finds them."""
    if not v.sc[t.ITEM_ANON_VMAS]:
        return
    ptes = v.present[v.ksm[v.frames] & (v.m.pte.rmap_item[v.present] != t.NONE)]
    items = v.m.pte.rmap_item[ptes]
    listed = (v.m.item.state[items] == t.ITEM_STABLE) & (v.m.item.head[items] == v.m.frame.mapping[v.target[ptes]])
    held, wanted = v.m.item.anon_vma[items], v.m.vma.own_anon_vma[v.m.pte.vma[ptes]]
    for item in items[listed & (held != wanted)][:4]:
        yield Violation("INV-8", f"item {item}", f"holds anon_vma {v.m.item.anon_vma[item]}, its area has another")


def _inv9(_checker: Checker, v: _View) -> Iterator[Violation]:
    listed: list[int] = []
    for mm in range(1, v.machine.nr_mms):
        item, last = int(v.m.mm.rmap_list[mm]), -1
        while item != t.NONE:
            address = int(v.m.item.address[item])
            if address <= last or v.m.item.mm[item] != mm:
                yield Violation("INV-9", f"item {item}", f"address {address} behind {last} in the list of mm {mm}")
                return
            listed.append(item)
            last, item = address, int(v.m.item.rmap_next[item])
    if sorted(listed) != v.items().tolist():
        yield Violation("INV-9", "rmap_items", f"{len(listed)} are in the processes' lists, {len(v.items())} exist")
    seqnr = int(v.sc[t.SCAN_SEQNR])
    unstable = [item for item in listed if v.m.item.state[item] == t.ITEM_UNSTABLE]
    ages = {item: (seqnr - int(v.m.item.seqnr[item])) & 0xFF for item in unstable}
    for item, age in ages.items():
        if age > 1:
            yield Violation("INV-9", f"item {item}", f"in the unstable state since {age} passes")
    if v.sc[t.SCAN_SLOT] != t.MM_HEAD:  # between passes the tree is the last one's, and about to be emptied
        reachable = [
            (item, tree)
            for tree in range(int(v.sc[t.NR_NODES]))
            for item in _in_order(v.m.item, int(v.sc[t.ROOT_UNSTABLE + tree]))
        ]
        trees = v.m.item.nid if v.sc[t.ITEM_AGES] else np.zeros_like(v.m.item.mm)
        if sorted(reachable) != sorted((item, int(trees[item])) for item, age in ages.items() if age == 0):
            yield Violation("INV-9", "unstable tree", f"holds {reachable}, of this pass are {ages}")


def _inv10(_checker: Checker, v: _View) -> Iterator[Violation]:
    listed = np.full(v.nr_frames, -1)
    for lru in range(t.NR_LRU):
        page, before, n = int(v.sc[t.LRU_HEAD + lru]), t.NONE, 0
        while page != t.NONE:
            if listed[page] != -1 or v.m.frame.lru_prev[page] != before:
                yield Violation("INV-10", f"frame {page}", f"broken link in LRU list {lru}", page=page)
                return
            listed[page] = lru
            before, page, n = page, int(v.m.frame.lru_next[page]), n + 1
        if n != int(v.sc[t.LRU_COUNT + lru]) or before != int(v.sc[t.LRU_TAIL + lru]):
            yield Violation("INV-10", f"LRU list {lru}", f"counts {v.sc[t.LRU_COUNT + lru]}, holds {n}")
    wanted = np.where(v.pg & t.PG_UNEVICTABLE, t.LRU_UNEVICTABLE, (v.pg & t.PG_ACTIVE) != 0)
    wanted = np.where(v.pg & t.PG_LRU, wanted, -1)
    yield from _pages("INV-10", wanted != listed, lambda p: f"on list {listed[p]}, its flags say {wanted[p]}")
    both = (v.pg & t.PG_ACTIVE != 0) & (v.pg & t.PG_UNEVICTABLE != 0)
    yield from _pages("INV-10", both, lambda p: "active and unevictable")


def _inv11(_checker: Checker, v: _View) -> Iterator[Violation]:
    anon = int(np.count_nonzero(v.in_use & ((v.pg & t.PAGE_MAPPING_ANON) != 0) & (v.m.frame.mapcount > 0)))
    if anon != int(v.sc[t.NR_ANON_PAGES]):
        yield Violation("INV-11", "NR_ANON_PAGES", f"counts {v.sc[t.NR_ANON_PAGES]}, {anon} are mapped")
    mlocked = int(np.count_nonzero(v.in_use & ((v.pg & t.PG_MLOCKED) != 0)))
    if mlocked != int(v.sc[t.NR_MLOCK]):
        yield Violation("INV-11", "NR_MLOCK", f"counts {v.sc[t.NR_MLOCK]}, {mlocked} are mlocked")
    if int(np.count_nonzero(v.cached)) != int(v.sc[t.NR_SWAPCACHE]):
        yield Violation("INV-11", "swap cache", f"counts {v.sc[t.NR_SWAPCACHE]}, holds {np.count_nonzero(v.cached)}")
    yield from _zero_pages(v)
    owners = v.m.vma.mm[v.m.pte.vma[v.present]]
    rss = np.bincount(owners, minlength=len(v.m.mm.rss))
    for mm in np.flatnonzero(rss != v.m.mm.rss)[:4]:
        yield Violation("INV-11", f"rss of mm {mm}", f"counts {v.m.mm.rss[mm]}, {rss[mm]} anon ptes are present")


def _zero_pages(v: _View) -> Iterator[Violation]:
    """R-B-ZERO-1: the ptes that ksmd merged with the zero page are the marked ones, in all and of each process."""
    both = t.PTE_PRESENT | t.PTE_DIRTY
    marked = np.flatnonzero(((v.flags & both) == both) & (v.target == t.ZERO_PAGE))
    if len(marked) != int(v.sc[t.KSM_ZERO_PAGES]):
        yield Violation("INV-11", "ksm_zero_pages", f"counts {v.sc[t.KSM_ZERO_PAGES]}, {len(marked)} ptes are marked")
    of_mm = np.bincount(v.m.vma.mm[v.m.pte.vma[marked]], minlength=len(v.m.mm.ksm_zero_pages))
    for mm in np.flatnonzero(of_mm != v.m.mm.ksm_zero_pages)[:4]:
        have = v.m.mm.ksm_zero_pages[mm]
        yield Violation("INV-11", f"ksm_zero_pages of mm {mm}", f"counts {have}, {of_mm[mm]} ptes are marked")
    for p in marked[(v.flags[marked] & t.PTE_WRITE) != 0][:4]:
        yield Violation("INV-5", f"pte {p}", "writable and maps the zero page", pte=int(p))


def _inv12(_checker: Checker, v: _View) -> Iterator[Violation]:
    ordinary = v.present[~v.ksm[v.frames]]
    frames, vmas = v.target[ordinary], v.m.pte.vma[ordinary]
    index = v.m.vma.vm_pgoff[vmas] + ordinary - v.m.vma.pte_base[vmas]
    wrong = (v.m.vma.anon_vma[vmas] != v.m.frame.mapping[frames]) | (index != v.m.frame.index[frames])
    for p in ordinary[wrong][:4]:
        yield Violation("INV-12", f"pte {p}", "maps an anon page of another anon_vma or index", pte=int(p))


def _inv13(_checker: Checker, v: _View) -> Iterator[Violation]:
    writable = v.present[(v.flags[v.present] & t.PTE_WRITE) != 0]
    frames = v.target[writable]
    slots = np.maximum(v.m.frame.private[frames], 0)
    wrong = (v.m.frame.mapcount[frames] != 1) | (v.cached[frames] & (v.m.slot.refs[slots] != 0))
    for p in writable[wrong][:4]:
        yield Violation("INV-13", f"pte {p}", "writable, but the page has other users", pte=int(p))


def _inv14(_checker: Checker, v: _View) -> Iterator[Violation]:
    lost = v.in_use & ((v.pg & t.PG_LRU) == 0) & (v.batched() == 0)
    lost &= ~np.isin(np.arange(v.nr_frames), list(v.machine.pins))
    yield from _pages("INV-14", lost, lambda p: "neither on a list nor in a batch: still isolated")
    if v.sc[t.NR_WRITEBACK]:
        yield Violation("INV-14", "writeback", f"{v.sc[t.NR_WRITEBACK]} writes left unfinished")


def _inv15(checker: Checker, v: _View) -> Iterator[Violation]:
    ptes = np.flatnonzero(v.m.pte.vma[: v.machine.nr_ptes] != t.NONE).astype(np.int32)
    got = v.machine.contents_of(ptes)
    for i in np.flatnonzero(got != checker.shadow[ptes])[:4]:
        p = int(ptes[i])
        yield Violation("INV-15", f"pte {p}", f"reads {got[i]}, last written was {checker.shadow[p]}", pte=p)


def _inv16(_checker: Checker, v: _View) -> Iterator[Violation]:
    if not v.sc[t.SW_NODE_HOLDS_REF]:
        return
    pages = v.m.node.kpage[v.nodes()]
    for page in pages[(v.pg[pages] & t.PG_WRITEBACK) != 0][:4]:
        yield Violation("INV-16", f"frame {page}", "owned by a node and under writeback", page=int(page))
    for page in pages[~v.in_use[pages]][:4]:
        yield Violation("INV-16", f"frame {page}", "owned by a node and free", page=int(page))


def _inv17(_checker: Checker, v: _View) -> Iterator[Violation]:
    ring, mm = set(), int(v.m.mm.slot_next[t.MM_HEAD])
    while mm != t.MM_HEAD and mm not in ring:
        ring.add(mm)
        mm = int(v.m.mm.slot_next[mm])
    flagged = set(np.flatnonzero(v.m.mm.mm_flags & t.MMF_VM_MERGEABLE).tolist())
    if ring != flagged:
        yield Violation("INV-17", "mm_slots", f"registered: {sorted(ring)}, flagged: {sorted(flagged)}")
    for mm in set(np.flatnonzero(v.m.mm.rmap_list != t.NONE).tolist()) - ring:
        yield Violation("INV-17", f"mm {mm}", "has items but no slot")


def _inv18(checker: Checker, v: _View) -> Iterator[Violation]:
    seqnr, (unmerges, faults, scanned) = int(v.sc[t.SCAN_SEQNR]), v.machine.unmerged_at
    if seqnr < checker._last_seqnr and unmerges == checker._last_unmerge:
        yield Violation("INV-18", "full_scans", f"fell from {checker._last_seqnr} to {seqnr} without run=2")
    checker._last_seqnr, checker._last_unmerge = seqnr, unmerges
    if (faults, scanned) == (v.sc[t.PGFAULT], v.sc[t.KSM_PAGES_SCANNED]) and v.sc[t.SCAN_SLOT] == t.MM_HEAD:
        # Neither a fault nor a look of ksmd since run=2; but passes over nothing may have ended.
        gone = ("pages_shared", "pages_sharing", "pages_unshared", "pages_volatile")
        left = {name: value for name, value in v.machine.ksm_counters().items() if value and name in gone}
        if left or v.sc[t.KSM_RMAP_ITEMS]:
            yield Violation("INV-18", "run=2", f"left {int(v.sc[t.KSM_RMAP_ITEMS])} items and {left}")


def _inv19(_checker: Checker, v: _View) -> Iterator[Violation]:
    sources = (t.ZERO_FILLS, t.COW_COPIES, t.SWAPIN_COPIES, t.PSWPIN, t.KSM_KPAGES)
    made = sum(int(v.sc[scalar]) for scalar in sources)
    if made != int(v.sc[t.PGALLOC]):
        yield Violation("INV-19", "page allocations", f"{v.sc[t.PGALLOC]} frames taken, {made} accounted for")
    used = int(v.sc[t.NR_FRAMES] - v.sc[t.NR_FREE])
    if int(v.sc[t.PGALLOC] - v.sc[t.PGFREE]) != used:
        yield Violation("INV-19", "frames", f"{used} in use, taken minus freed is {v.sc[t.PGALLOC] - v.sc[t.PGFREE]}")


def _inv20(_checker: Checker, v: _View) -> Iterator[Violation]:
    used = int(np.count_nonzero((v.m.slot.refs != 0) | (v.m.slot.frame != t.NONE)))
    if used != int(v.sc[t.SWAP_INUSE]):
        yield Violation("INV-20", "swap slots", f"{v.sc[t.SWAP_INUSE]} counted as used, {used} are")
    first = t.SLOT_CACHE + int(v.sc[t.SLOT_CACHE_NEXT])
    given = v.sc[first : first + int(v.sc[t.SLOT_CACHE_NR])]
    returned = v.sc[t.SLOT_CACHE_RETURNED : t.SLOT_CACHE_RETURNED + int(v.sc[t.SLOT_CACHE_NR_RETURNED])]
    kept = np.sort(np.concatenate([given, returned]))
    in_hand = np.flatnonzero((v.m.slot.refs == t.SLOT_IN_HAND) & (v.m.slot.frame == t.NONE))
    if not np.array_equal(kept, in_hand) or np.count_nonzero(v.m.slot.refs < 0) != len(in_hand):
        yield Violation("INV-20", "swap slots in hand", f"{len(kept)} are kept, {len(in_hand)} are marked")


_CHECKS = (
    _inv1, _inv2, _inv3, _inv4, _inv5, _inv6, _inv7, _inv8, _inv9, _inv10,
    _inv11, _inv12, _inv13, _inv14, _inv15, _inv16, _inv17, _inv18, _inv19, _inv20,
)  # fmt: skip
