"""The doors: the compiled entry points that Python calls.

Arrays come in one by one (passing them as a tuple costs five times as much) and are bundled into `Memory` inside. Each
door runs until its work is done or something has to be decided or provided by others, and says why it stopped.
"""

from __future__ import annotations

from ksmlab_core.mm._jit import door
from ksmlab_core.mm.fork import copy_pte_range
from ksmlab_core.mm.ksm import (
    SCAN_NO_ITEM,
    SCAN_NOTHING,
    SCAN_PASS_END,
    begin_ordered_pass,
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
    NR_FREE,
    NR_RESERVE,
    PG_DIRTY,
    PG_LRU,
    PG_MLOCKED,
    PG_SWAPCACHE,
    PG_UNEVICTABLE,
    PG_WRITEBACK,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_SWAP,
    PTE_WRITE,
    PTE_YOUNG,
    TICK,
    TIME_STALL,
    VM_MERGEABLE,
    Memory,
)
from ksmlab_core.mm.mmap import mlock_pte_range, munlock_pte_range, zap_pte_range
from ksmlab_core.mm.page_alloc import page_ksm, page_stable_node, put_page
from ksmlab_core.mm.rmap import address_of
from ksmlab_core.mm.stable_tree import stable_tree_search
from ksmlab_core.mm.swap import end_writeback
from ksmlab_core.mm.swapoff import try_to_unuse
from ksmlab_core.mm.vmscan import evict, shrink_active_list, shrink_inactive_list, try_to_free_pages

READ = -1  # contents of an access: a read ...
TOUCH = -2  # ... or a write of the value that is already there; numbers from 0 up are writes of that content

ACCESS_DONE = 0  # all accesses carried out
ACCESS_UNTIL = 1  # simulated time has come
ACCESS_LOW = 2  # too few free frames for the next fault
ACCESS_SWAPIN = 3  # the next access is a swap-in that a policy must decide
ACCESS_OOM = 4  # the fault found no frame
ACCESS_SIGBUS = 5  # the page could not be read from swap
ACCESS_WAKE_KSWAPD = 6  # free frames have fallen below the low watermark


@door
def access(
    pte_flags,
    pte_target,
    pte,
    frame,
    last_access,
    item,
    node,
    slot,
    mm,
    vma,
    anon,
    sc,
    scratch,
    queue,
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
    m = Memory(pte_flags, pte_target, pte, frame, last_access, item, node, slot, mm, vma, anon, sc, scratch, queue)
    now = sc[NOW]
    hit = sc[COST_HIT] + gap_ns
    n = ptes.size
    i = start
    reason = ACCESS_DONE
    while i < n:
        if now >= until_ns:
            reason = ACCESS_UNTIL
            break
        p = ptes[i]
        if p < 0:
            i += 1
            continue
        content = contents[i]
        flags = pte_flags[p]
        need = PTE_PRESENT if content == READ else PTE_PRESENT | PTE_WRITE
        if flags & need != need:
            if sc[NR_FREE] < sc[NR_RESERVE]:
                reason = ACCESS_LOW
                break
            if sc[ASK_SWAPIN] and flags & PTE_SWAP and sc[DECIDED_PTE] != p and swapin_is_a_question(m, p):
                reason = ACCESS_SWAPIN
                break
            sc[NOW] = now
            sc[TICK] = 0
            result = handle_mm_fault(m, p, content != READ)
            now += sc[TICK]
            sc[TIME_STALL] += sc[TICK]
            sc[TICK] = 0
            if result & VM_FAULT_OOM:
                reason = ACCESS_OOM
                break
            if result & VM_FAULT_SIGBUS:
                reason = ACCESS_SIGBUS
                break
            flags = pte_flags[p]
        page = pte_target[p]
        if content == READ:
            pte_flags[p] = flags | PTE_YOUNG
        else:
            pte_flags[p] = flags | PTE_YOUNG | PTE_DIRTY
            if content >= 0:
                frame.content[page] = content
        last_access[page] = now
        now += hit
        i += 1
        if sc[NR_FREE] < sc[LOW_WATERMARK]:
            reason = ACCESS_WAKE_KSWAPD
            break
    sc[NOW] = now
    return i, reason


KSMD_BUDGET = 10  # the budget is used up
KSMD_LOW = 11  # too few free frames to go on


@door
def ksmd(
    pte_flags,
    pte_target,
    pte,
    frame,
    last_access,
    item,
    node,
    slot,
    mm,
    vma,
    anon,
    sc,
    scratch,
    queue,
    budget,
    ptes,
    ordered,
    stop_when_low,
):
    """Let ksmd look at up to `budget` pages: those in its queue, then `ptes` (if `ordered`) or the cursor's.

    Returns (pages looked at, entries of `ptes` used, why it stopped: KSMD_* or SCAN_*).
    """
    m = Memory(pte_flags, pte_target, pte, frame, last_access, item, node, slot, mm, vma, anon, sc, scratch, queue)
    done = 0
    used = 0
    reason = KSMD_BUDGET
    while done < budget:
        if stop_when_low and sc[NR_FREE] < sc[NR_RESERVE]:
            reason = KSMD_LOW
            break
        if sc[KSM_QUEUE] > 0:
            if scan_pte(m, take_from_queue(m)):
                done += 1
            continue
        if ordered:
            if used == ptes.size:
                break
            if scan_pte(m, ptes[used]):
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
    pte_flags,
    pte_target,
    pte,
    frame,
    last_access,
    item,
    node,
    slot,
    mm,
    vma,
    anon,
    sc,
    scratch,
    queue,
    what,
    n,
):
    """One kernel step of reclaim over `n` pages (SHRINK_*), or try_to_free_pages up to `n` free frames; its result."""
    m = Memory(pte_flags, pte_target, pte, frame, last_access, item, node, slot, mm, vma, anon, sc, scratch, queue)
    if what == SHRINK_ACTIVE:
        return shrink_active_list(m, min(n, sc[LRU_COUNT + LRU_ACTIVE_ANON]))
    if what == SHRINK_INACTIVE:
        freed = shrink_inactive_list(m, min(n, sc[LRU_COUNT + LRU_INACTIVE_ANON]))
        end_writeback(m)
        return freed
    if what == FREE_PAGES:
        return try_to_free_pages(m, n)
    if what == DRAIN:
        lru_add_drain(m)
    return 0


@door
def evict_pages(
    pte_flags,
    pte_target,
    pte,
    frame,
    last_access,
    item,
    node,
    slot,
    mm,
    vma,
    anon,
    sc,
    scratch,
    queue,
    pages,
    outcomes,
):
    """Evict the frames that a policy chose; `outcomes` receives what became of each."""
    evict(
        Memory(
            pte_flags,
            pte_target,
            pte,
            frame,
            last_access,
            item,
            node,
            slot,
            mm,
            vma,
            anon,
            sc,
            scratch,
            queue,
        ),
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


@door
def syscall(
    pte_flags,
    pte_target,
    pte,
    frame,
    last_access,
    item,
    node,
    slot,
    mm,
    vma,
    anon,
    sc,
    scratch,
    queue,
    what,
    a,
    b,
    c,
    d,
    e,
):
    """One step of a system call; the result is that of the function behind it."""
    m = Memory(pte_flags, pte_target, pte, frame, last_access, item, node, slot, mm, vma, anon, sc, scratch, queue)
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
            if sc[NR_FREE] == 0 or break_ksm(m, p) != 0:
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
    return 0


@door
def swapoff(
    pte_flags,
    pte_target,
    pte,
    frame,
    last_access,
    item,
    node,
    slot,
    mm,
    vma,
    anon,
    sc,
    scratch,
    queue,
    first,
    start_mm,
    reserve,
):
    """Empty the slots; (done, slot to go on at, where to start among the processes)."""
    return try_to_unuse(
        Memory(
            pte_flags,
            pte_target,
            pte,
            frame,
            last_access,
            item,
            node,
            slot,
            mm,
            vma,
            anon,
            sc,
            scratch,
            queue,
        ),
        first,
        start_mm,
        reserve,
    )


@door
def swapin_facts(
    pte_flags,
    pte_target,
    pte,
    frame,
    last_access,
    item,
    node,
    slot,
    mm,
    vma,
    anon,
    sc,
    scratch,
    queue,
    p,
    facts,
):
    """What a swap-in policy is told about the fault at a pte, as 9 numbers in `facts`.

    cached, KSM, orphan, mapcount, references, twin's frame (NONE), twin's items, kernel would copy, may be shared.
    """
    m = Memory(pte_flags, pte_target, pte, frame, last_access, item, node, slot, mm, vma, anon, sc, scratch, queue)
    e = pte_target[p]
    facts[:] = 0
    facts[4] = slot.refs[e]
    facts[5] = NONE
    content = slot.content[e]
    facts[8] = (vma.vm_flags[m.pte.vma[p]] & VM_MERGEABLE) != 0
    if slot.frame[e] != NONE:
        page = slot.frame[e]
        content = frame.content[page]
        facts[0] = 1
        facts[1] = page_ksm(m, page)
        facts[2] = page_ksm(m, page) and page_stable_node(m, page) == NONE
        facts[3] = frame.mapcount[page]
        facts[7] = swapin_needs_copy(m, page, p)
        facts[8] = may_share(m, page, p)
    if vma.vm_flags[m.pte.vma[p]] & VM_MERGEABLE:
        twin = stable_tree_search(m, content)
        if twin != NONE:
            facts[5] = node.kpage[twin]
            facts[6] = node.nr_items[twin]
            facts[8] = 0
    return SWAPIN_COPY if facts[7] else 0


@door
def reclaim_candidates(
    pte_flags, pte_target, pte, frame, last_access, item, node, slot, mm, vma, anon, sc, scratch, queue, out
):
    """The frames that a reclaim policy may choose from, ascending, into `out`; how many.

    On an LRU list, evictable, not under writeback, and not a KSM page that is unmapped already and that its node keeps.
    """
    m = Memory(pte_flags, pte_target, pte, frame, last_access, item, node, slot, mm, vma, anon, sc, scratch, queue)
    n = 0
    for page in range(1, last_access.size):
        pg = frame.pg[page]
        if pg & (PG_LRU | PG_UNEVICTABLE | PG_MLOCKED | PG_WRITEBACK) != PG_LRU:
            continue
        if frame.mapcount[page] == 0 and page_ksm(m, page) and page_stable_node(m, page) != NONE:
            continue
        out[n] = page
        n += 1
    return n


@door
def frame_column(
    pte_flags,
    pte_target,
    pte,
    frame,
    last_access,
    item,
    node,
    slot,
    mm,
    vma,
    anon,
    sc,
    scratch,
    queue,
    index,
    which,
    out,
):
    """One column over the frames `index`: 0 sharers, 1 dirty (page or any pte is not asked), 2 in the swap cache, 3 KSM."""
    m = Memory(pte_flags, pte_target, pte, frame, last_access, item, node, slot, mm, vma, anon, sc, scratch, queue)
    for i in range(index.size):
        page = index[i]
        if which == 0:
            out[i] = frame.mapcount[page]
            if frame.pg[page] & PG_SWAPCACHE:
                out[i] += slot.refs[frame.private[page]]
        elif which == 1:
            out[i] = (frame.pg[page] & PG_DIRTY) != 0
        elif which == 2:
            out[i] = (frame.pg[page] & PG_SWAPCACHE) != 0
        else:
            out[i] = page_ksm(m, page)


@door
def scan_candidates(
    pte_flags, pte_target, pte, frame, last_access, item, node, slot, mm, vma, anon, sc, scratch, queue, out
):
    """The ptes that ksmd may look at, in (process, address) order of the pte table, into `out`; how many."""
    m = Memory(pte_flags, pte_target, pte, frame, last_access, item, node, slot, mm, vma, anon, sc, scratch, queue)
    n = 0
    for p in range(pte_flags.size):
        if pte_flags[p] & PTE_PRESENT and scannable(m, p):
            out[n] = p
            n += 1
    return n


@door
def scan_columns(
    pte_flags,
    pte_target,
    pte,
    frame,
    last_access,
    item,
    node,
    slot,
    mm,
    vma,
    anon,
    sc,
    scratch,
    queue,
    ptes,
    process,
    address,
    last_scanned,
    state,
    changes,
    stable,
):
    """The columns of a scan order over `ptes`."""
    m = Memory(pte_flags, pte_target, pte, frame, last_access, item, node, slot, mm, vma, anon, sc, scratch, queue)
    for i in range(ptes.size):
        p = ptes[i]
        process[i] = vma.mm[m.pte.vma[p]]
        address[i] = address_of(m, p)
        t = m.pte.rmap_item[p]
        if t == NONE:
            last_scanned[i] = -1
            state[i] = ITEM_NONE
            changes[i] = 0
            stable[i] = False
            continue
        last_scanned[i] = item.last_look[t] >> 1
        state[i] = item.state[t]
        changes[i] = item.changes[t]
        stable[i] = item.last_look[t] > 0 and (item.last_look[t] & 1) != 0
