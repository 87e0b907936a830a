"""The doors: the compiled entry points that Python calls.

The first argument is the memory as `State.doors` holds it. Each door runs until its work is done or something has to be
decided or provided by others, and says why it stopped.
"""

from __future__ import annotations

from ksmlab_core.mm._jit import door, inlined
from ksmlab_core.mm._memory import FETCH_AHEAD, as_memory, prefetch
from ksmlab_core.mm.forget_nodes import remove_all_stable_nodes
from ksmlab_core.mm.fork import copy_pte_range
from ksmlab_core.mm.ksm import (
    SCAN_NO_ITEM,
    SCAN_NOTHING,
    SCAN_PASS_END,
    begin_ordered_pass,
    begin_pass,
    break_ksm,
    end_ordered_pass,
    free_slot,
    ksm_enter,
    ksm_exit,
    remove_trailing_rmap_items,
    scan_next_page,
    scan_pte,
    scannable,
    take_from_queue,
)
from ksmlab_core.mm.lru import lru_add_drain
from ksmlab_core.mm.memory import (
    SWAPIN_COPY,
    VM_FAULT_OOM,
    VM_FAULT_SIGBUS,
    handle_mm_fault,
    may_share,
    swapin_is_a_question,
    swapin_needs_copy,
)
from ksmlab_core.mm.mm_types import (
    ASK_SWAPIN,
    COST_HIT,
    DECIDED_PTE,
    ITEM_NONE,
    KSM_QUEUE,
    LOW_WATERMARK,
    LRU_ACTIVE_ANON,
    LRU_COUNT,
    LRU_INACTIVE_ANON,
    NONE,
    NOW,
    NR_FRAMES,
    NR_FREE,
    NR_FREE_ITEMS,
    NR_FREE_NODES,
    NR_RESERVE,
    PG_LRU,
    PG_MLOCKED,
    PG_UNEVICTABLE,
    PG_WRITEBACK,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_SWAP,
    PTE_WRITE,
    PTE_YOUNG,
    SW_NODE_HOLDS_REF,
    SW_SWAPOFF_BY_MM,
    TICK,
    TIME_STALL,
    VM_MERGEABLE,
)
from ksmlab_core.mm.mmap import mlock_pte_range, munlock_pte_range, zap_pte_range
from ksmlab_core.mm.numa import tree_of
from ksmlab_core.mm.page_alloc import page_ksm, page_stable_node, put_page
from ksmlab_core.mm.rmap import address_of
from ksmlab_core.mm.stable_tree import is_ksmds, stable_tree_twin
from ksmlab_core.mm.swap import end_writeback, swap_before
from ksmlab_core.mm.swap_slots import drain_swap_slots_cache
from ksmlab_core.mm.swapoff import try_to_unuse
from ksmlab_core.mm.swapoff_by_mm import unuse_by_mm
from ksmlab_core.mm.vmscan import evict, shrink_active_list, shrink_inactive_list, try_to_free_pages

READ = -1  # contents of an access: a read ...
TOUCH = -2  # ... or a write of the value that is already there; numbers from 0 up are writes of that content

AHEAD = 8  # accesses
ACCESS_DONE = 0  # all accesses carried out
ACCESS_UNTIL = 1  # simulated time has come
ACCESS_LOW = 2  # too few free frames for the next fault
ACCESS_SWAPIN = 3  # the next access is a swap-in that a policy must decide
ACCESS_OOM = 4  # the fault found no frame
ACCESS_SIGBUS = 5  # the page could not be read from swap
ACCESS_WAKE_KSWAPD = 6  # free frames have fallen below the low watermark


@inlined
def _fetch_access_ahead(m, soon, later):
    """Let the processor fetch what accesses to these ptes will need: ptes first, then the slots that they name."""
    prefetch(m.pte_flags, later)
    prefetch(m.pte_target, later)
    prefetch(m.pte.vma, later)
    soon = max(soon, 0)
    swapped = (m.pte_flags[soon] & PTE_SWAP) != 0
    prefetch(m.slot.refs, m.pte_target[soon] * swapped)


@door
def access(
    memory,
    ptes,
    contents,
    start,
    until_ns,
    gap_ns,
):
    """Carry out accesses `start`.. of a chunk; (next access, why it stopped).

    Args:
        ptes: int32 per access: the pte; NONE for an area that is gone (skipped).
        contents: int64 per access: READ, TOUCH or the content to write.
        until_ns: stop when simulated time reaches this.
        gap_ns: time that passes before each access.
    """
    m = as_memory(memory)
    now = m.sc[NOW]
    hit = m.sc[COST_HIT] + gap_ns
    n = ptes.size
    i = start
    reason = ACCESS_DONE
    wake = False
    while i < n:
        if now >= until_ns:
            reason = ACCESS_UNTIL
            break
        if FETCH_AHEAD and i + 2 * AHEAD < n:
            _fetch_access_ahead(m, ptes[i + AHEAD], ptes[i + 2 * AHEAD])
        p = ptes[i]
        if p < 0:
            i += 1
            continue
        content = contents[i]
        flags = m.pte_flags[p]
        need = PTE_PRESENT if content == READ else PTE_PRESENT | PTE_WRITE
        if flags & need != need:
            if m.sc[NR_FREE] < m.sc[NR_RESERVE]:
                reason = ACCESS_LOW
                break
            if m.sc[ASK_SWAPIN] and flags & PTE_SWAP and m.sc[DECIDED_PTE] != p and swapin_is_a_question(m, p):
                reason = ACCESS_SWAPIN
                break
            m.sc[NOW] = now
            m.sc[TICK] = 0
            result = handle_mm_fault(m, p, content != READ)
            now += m.sc[TICK]
            m.sc[TIME_STALL] += m.sc[TICK]
            m.sc[TICK] = 0
            if result & VM_FAULT_OOM:
                reason = ACCESS_OOM
                break
            if result & VM_FAULT_SIGBUS:
                reason = ACCESS_SIGBUS
                break
            flags = m.pte_flags[p]
            wake = m.sc[NR_FREE] < m.sc[LOW_WATERMARK]
        page = m.pte_target[p]
        if content == READ:
            m.pte_flags[p] = flags | PTE_YOUNG
        else:
            m.pte_flags[p] = flags | PTE_YOUNG | PTE_DIRTY
            if content >= 0:
                m.frame.content[page] = content
        m.last_access[page] = now
        now += hit
        i += 1
        if wake:
            reason = ACCESS_WAKE_KSWAPD
            break
    m.sc[NOW] = now
    return i, reason


KSMD_BUDGET = 10  # the budget is used up
KSMD_LOW = 11  # too few free frames to go on
KSMD_NO_RECORD = 12  # no rmap_item or no stable node is left, and the next page may need one


@door
def ksmd(
    memory,
    budget,
    ptes,
    ordered,
    stop_when_low,
):
    """Let ksmd look at up to `budget` pages: those in its queue, then `ptes` (if `ordered`) or the cursor's.

    Returns (pages looked at, entries of `ptes` used, why it stopped: KSMD_* or SCAN_*).
    """
    m = as_memory(memory)
    done = 0
    used = 0
    reason = KSMD_BUDGET
    while done < budget:
        if stop_when_low and m.sc[NR_FREE] < m.sc[NR_RESERVE]:
            reason = KSMD_LOW
            break
        if m.sc[NR_FREE_ITEMS] == 0 or m.sc[NR_FREE_NODES] < 2:  # a page may need a node and a chain
            reason = KSMD_NO_RECORD
            break
        if m.sc[KSM_QUEUE] > 0:
            if not ordered:
                begin_pass(m)  # what is put into the tree now must not be of a pass that is over
            if scan_pte(m, take_from_queue(m), False):
                done += 1
            continue
        if ordered:
            if used == ptes.size:
                break
            if scan_pte(m, ptes[used], True):
                done += 1
            used += 1
            continue
        result = scan_next_page(m)
        if result == SCAN_NOTHING or result == SCAN_PASS_END or result == SCAN_NO_ITEM:
            reason = result
            break
        done += 1
    return done, used, reason


SHRINK_ACTIVE = 0
SHRINK_INACTIVE = 1
FREE_PAGES = 2
END_WRITEBACK = 3
DRAIN = 4


@door
def reclaim(
    memory,
    what,
    n,
):
    """One kernel step of reclaim over `n` pages (SHRINK_*), or try_to_free_pages up to `n` free frames; its result."""
    m = as_memory(memory)
    if what == SHRINK_ACTIVE:
        return shrink_active_list(m, min(n, m.sc[LRU_COUNT + LRU_ACTIVE_ANON]))
    if what == SHRINK_INACTIVE:
        freed = shrink_inactive_list(m, min(n, m.sc[LRU_COUNT + LRU_INACTIVE_ANON]))
        end_writeback(m)
        return freed
    if what == FREE_PAGES:
        return try_to_free_pages(m, n)
    if what == DRAIN:
        lru_add_drain(m)
    return 0


@door
def evict_pages(
    memory,
    pages,
    outcomes,
):
    """Evict the frames that a policy chose; `outcomes` receives what became of each."""
    evict(
        as_memory(memory),
        pages,
        outcomes,
    )


FAULT = 0
ZAP = 1
MUNLOCK = 2
MLOCK = 3
COPY_PTES = 4
KSM_ENTER = 5
KSM_EXIT = 6
UNMERGE = 7
REMOVE_ITEMS = 8
FREE_SLOT = 9
BEGIN_PASS = 10
END_PASS = 11
PUT_PAGE = 12
REMOVE_NODES = 13
SWAP_BEFORE = 14


@door
def syscall(
    memory,
    what,
    a,
    b,
    c,
    d,
    e,
):
    """One step of a system call; the result is that of the function behind it."""
    m = as_memory(memory)
    if what == FAULT:
        return handle_mm_fault(m, a, b != 0)
    if what == ZAP:
        zap_pte_range(m, a, b, c)
    elif what == MUNLOCK:
        munlock_pte_range(m, a, b)
    elif what == MLOCK:
        return mlock_pte_range(m, a, b)
    elif what == COPY_PTES:
        return copy_pte_range(m, a, b, c, d, e)
    elif what == KSM_ENTER:
        ksm_enter(m, a)
    elif what == KSM_EXIT:
        ksm_exit(m, a)
    elif what == UNMERGE:
        for p in range(a, b):
            if m.sc[NR_FREE] == 0 or break_ksm(m, p) != 0:
                return p
        return b
    elif what == REMOVE_ITEMS:
        remove_trailing_rmap_items(m, a, NONE)
    elif what == FREE_SLOT:
        free_slot(m, a)
    elif what == BEGIN_PASS:
        begin_ordered_pass(m)
    elif what == END_PASS:
        end_ordered_pass(m)
    elif what == PUT_PAGE:
        put_page(m, a)
    elif what == SWAP_BEFORE:
        swap_before(m, a)
    elif what == REMOVE_NODES:
        return remove_all_stable_nodes(m, a)
    return 0


@door
def swapoff(
    memory,
    first,
    start_mm,
    reserve,
):
    """Empty the slots; (done, slot to go on at, where to start among the processes)."""
    m = as_memory(memory)
    drain_swap_slots_cache(m)
    if m.sc[SW_SWAPOFF_BY_MM]:
        return unuse_by_mm(m, reserve), 0, 0
    return try_to_unuse(m, first, start_mm, reserve)


@door
def swapin_facts(
    memory,
    p,
    facts,
):
    """What a swap-in policy is told about the fault at a pte, as 9 numbers in `facts`.

    cached, KSM, orphan, mapcount, references, twin's frame (NONE), twin's items, kernel would copy, may be shared.
    """
    m = as_memory(memory)
    e = m.pte_target[p]
    facts[:] = 0
    facts[4] = m.slot.refs[e]
    facts[5] = NONE
    content = m.slot.content[e]
    facts[8] = is_ksmds(m, p)
    if m.slot.frame[e] != NONE:
        page = m.slot.frame[e]
        content = m.frame.content[page]
        facts[0] = 1
        facts[1] = page_ksm(m, page)
        facts[2] = page_ksm(m, page) and page_stable_node(m, page) == NONE
        facts[3] = m.frame.mapcount[page]
        facts[7] = swapin_needs_copy(m, page, p)
        facts[8] = may_share(m, page, p)
    if m.vma.vm_flags[m.pte.vma[p]] & VM_MERGEABLE:
        twin = stable_tree_twin(m, content, tree_of(m, m.slot.frame[e]) if facts[0] else 0)
        if twin != NONE:
            facts[5] = m.node.kpage[twin]
            facts[6] = m.node.nr_items[twin]
            facts[8] = 0
    return SWAPIN_COPY if facts[7] else 0


@door
def reclaim_candidates(memory, tried, offered, out):
    """The frames that a reclaim policy may choose from, ascending, into `out`; how many.

    On an LRU list, evictable, not under writeback, not a KSM page that is unmapped already and that its node keeps, and
    not `tried` before. `offered` receives for every frame whether it is one of them.
    """
    m = as_memory(memory)
    nodes_keep = m.sc[SW_NODE_HOLDS_REF] != 0
    n = 0
    for page in range(1, m.sc[NR_FRAMES] + 1):
        pg = m.frame.pg[page]
        candidate = pg & (PG_LRU | PG_UNEVICTABLE | PG_MLOCKED | PG_WRITEBACK) == PG_LRU and not tried[page]
        if candidate and nodes_keep and m.frame.mapcount[page] == 0 and page_stable_node(m, page) != NONE:
            candidate = False
        offered[page] = candidate
        out[n] = page
        n += candidate
    return n


@door
def scan_candidates(memory, out):
    """The ptes that ksmd may look at, in (process, address) order of the pte table, into `out`; how many."""
    m = as_memory(memory)
    n = 0
    for p in range(out.size):
        if m.pte_flags[p] & PTE_PRESENT and scannable(m, p):
            out[n] = p
            n += 1
    return n


@door
def scan_columns(
    memory,
    ptes,
    process,
    address,
    last_scanned,
    state,
    changes,
    stable,
):
    """The columns of a scan order over `ptes`."""
    m = as_memory(memory)
    for i in range(ptes.size):
        p = ptes[i]
        process[i] = m.vma.mm[m.pte.vma[p]]
        address[i] = address_of(m, p)
        t = m.pte.rmap_item[p]
        if t == NONE:
            last_scanned[i] = -1
            state[i] = ITEM_NONE
            changes[i] = 0
            stable[i] = False
            continue
        last_scanned[i] = m.item.last_look[t] >> 1
        state[i] = m.item.state[t]
        changes[i] = m.item.changes[t]
        stable[i] = m.item.last_look[t] > 0 and (m.item.last_look[t] & 1) != 0
