"""ksmd: the scan, the trees, merging and breaking (``mm/ksm.c``)."""

from __future__ import annotations

from ksmlab_core.mm._jit import inlined, jit
from ksmlab_core.mm._memory import FETCH_AHEAD, prefetch
from ksmlab_core.mm.advisor import advisor_start_scan, advisor_stop_scan
from ksmlab_core.mm.lru import lru_add_drain, lru_cache_add_lru, mark_page_accessed
from ksmlab_core.mm.memory import (
    VM_FAULT_OOM,
    VM_FAULT_SIGBUS,
    VM_FAULT_WRITE,
    handle_mm_fault,
    install_pte,
    unshare_page,
)
from ksmlab_core.mm.mlock import munlock_vma_page
from ksmlab_core.mm.mm_types import (
    ALLOC_NODE,
    COST_CHECKSUM,
    COST_COPY,
    COST_MERGE,
    COST_SCAN_KSM,
    COST_SCAN_PAGE,
    ITEM_ANON_VMAS,
    ITEM_STABLE,
    ITEM_UNSTABLE,
    KSM_CHECKSUMS,
    KSM_FAILED_MERGES,
    KSM_FORKED,
    KSM_KPAGES,
    KSM_MAX_KERNEL_PAGES,
    KSM_MAX_PAGE_SHARING,
    KSM_MERGES,
    KSM_ONE_TREE_PER_NODE,
    KSM_PAGES_SCANNED,
    KSM_PAGES_SHARED,
    KSM_PAGES_UNSHARED,
    KSM_QUEUE,
    KSM_QUEUE_HEAD,
    KSM_RUN,
    KSM_USE_ZERO_PAGES,
    LRU_ACTIVE_ANON,
    MM_HEAD,
    MMF_VM_MERGE_ANY,
    MMF_VM_MERGEABLE,
    NONE,
    NR_NODES,
    PG_ANON_EXCLUSIVE,
    PG_DIRTY,
    PG_MLOCKED,
    PG_SWAPBACKED,
    PG_SWAPCACHE,
    PG_UPTODATE,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_WRITE,
    QUEUE_SIZE,
    ROOT_STABLE,
    ROOT_UNSTABLE,
    SCAN_ADDRESS,
    SCAN_PREV,
    SCAN_SEQNR,
    SCAN_SLOT,
    SCRATCH_SIZE,
    SW_ALLOC_ON_FIRST_MERGE,
    SW_BREAK_ORPHAN,
    SW_CHECK_READONLY,
    SW_CHECKSUM_BEFORE_STABLE,
    SW_DRAIN_AT_PASS,
    SW_FREE_NODE_ON_LAST_ITEM,
    SW_FREE_SWAP_ON_MERGE,
    SW_MAX_KERNEL_PAGES,
    SW_MLOCK_BY_MAPPING,
    SW_MLOCK_TRANSFER,
    SW_RUN_2_LASTS,
    SW_UNSHARE,
    SW_UPGRADE_DIRTIES,
    TICK,
    VM_LOCKED,
    VM_MERGEABLE,
    ZERO_PAGE,
)
from ksmlab_core.mm.numa import page_to_nid, tree_of
from ksmlab_core.mm.page_alloc import (
    alloc_page,
    get_page,
    page_anon,
    page_anon_vma,
    page_ksm,
    page_stable_node,
    put_page,
    trylock_page,
)
from ksmlab_core.mm.rbtree import rb_link
from ksmlab_core.mm.rmap import (
    find_vma,
    mlock_vma_page,
    page_add_anon_rmap,
    page_check_address,
    page_remove_rmap,
    vma_pte,
)
from ksmlab_core.mm.smart_scan import should_skip_rmap_item
from ksmlab_core.mm.stable_tree import (
    compare,
    free_rmap_item,
    item_of_pte,
    new_rmap_item,
    remove_rmap_item_from_tree,
    set_page_stable_node,
    stable_tree_append,
    stable_tree_insert,
    stable_tree_search,
)
from ksmlab_core.mm.swap import try_to_free_swap
from ksmlab_core.mm.zero_page import is_ksm_zero_pte, ksm_map_zero_page

# --------------------------------------------------------------------------------------------------------------
# Registration (R-SCAN-8, R-EXIT-1)


@jit
def _link_slot(m, mm, before):
    """Insert a process's slot into the ring just before another."""
    prev = m.mm.slot_prev[before]
    m.mm.slot_next[prev] = mm
    m.mm.slot_prev[mm] = prev
    m.mm.slot_next[mm] = before
    m.mm.slot_prev[before] = mm


@jit
def unlink_slot(m, mm):
    """Take a process's slot out of the ring."""
    prev = m.mm.slot_prev[mm]
    after = m.mm.slot_next[mm]
    m.mm.slot_next[prev] = after
    m.mm.slot_prev[after] = prev
    m.mm.slot_next[mm] = NONE
    m.mm.slot_prev[mm] = NONE


@jit
def ksm_enter(m, mm):
    """Register a process: its slot goes just behind the cursor, so it is first visited in the next pass.

    While run=2 unmerges or has unmerged, later kernels put it last, where an unmerging under way comes by (R-B-UNM-2).
    """
    last = m.sc[SW_RUN_2_LASTS] and m.sc[KSM_RUN] == 2
    _link_slot(m, mm, MM_HEAD if last else m.sc[SCAN_SLOT])
    m.mm.mm_flags[mm] |= MMF_VM_MERGEABLE


@jit
def free_slot(m, mm):
    """Unregister a process."""
    unlink_slot(m, mm)
    m.mm.mm_flags[mm] &= 0xFF ^ (MMF_VM_MERGEABLE | MMF_VM_MERGE_ANY)


@jit
def ksm_exit(m, mm):
    """The process is going: a slot without items goes at once, another one right behind the cursor (R-EXIT-1)."""
    if not m.mm.mm_flags[mm] & MMF_VM_MERGEABLE or m.sc[SCAN_SLOT] == mm:
        return
    if m.mm.rmap_list[mm] == NONE:
        free_slot(m, mm)
        return
    unlink_slot(m, mm)
    _link_slot(m, mm, m.mm.slot_next[m.sc[SCAN_SLOT]])


# --------------------------------------------------------------------------------------------------------------
# Pages at addresses


@inlined
def ksm_test_exit(m, mm):
    return m.mm.users[mm] == 0


@inlined
def _anon_page_at(m, p):
    """The PageAnon page that a pte maps, or NONE (not present, or the zero page)."""
    if p == NONE or not m.pte_flags[p] & PTE_PRESENT:
        return NONE
    page = m.pte_target[p]
    return page if page_anon(m, page) else NONE


@inlined
def _mergeable_pte(m, item):
    """The pte of an item whose area is still there and mergeable, or NONE."""
    mm = m.item.mm[item]
    if ksm_test_exit(m, mm):
        return NONE
    address = m.item.address[item]
    vma = find_vma(m, mm, address)
    if vma == NONE or m.vma.vm_start[vma] > address:
        return NONE
    if not m.vma.vm_flags[vma] & VM_MERGEABLE or m.vma.anon_vma[vma] == NONE:
        return NONE
    return m.vma.pte_base[vma] + address - m.vma.vm_start[vma]


# --------------------------------------------------------------------------------------------------------------
# Breaking (R-BRK, R-UNM)


@jit
def break_ksm(m, p):
    """Write-fault at a pte until it maps no KSM page; 0 or VM_FAULT_OOM (R-BRK-1)."""
    while m.pte_flags[p] & PTE_PRESENT and (page_ksm(m, m.pte_target[p]) or is_ksm_zero_pte(m, p)):
        result = unshare_page(m, p) if m.sc[SW_UNSHARE] else handle_mm_fault(m, p, True)
        if result & VM_FAULT_OOM:
            return VM_FAULT_OOM
        if result & (VM_FAULT_WRITE | VM_FAULT_SIGBUS):
            break
    return 0


@jit
def break_cow(m, item):
    """Undo a merge at an item, if its area is still mergeable; errors are ignored (R-BRK-2)."""
    p = _mergeable_pte(m, item)
    if p != NONE:
        break_ksm(m, p)


@jit
def unmerge_ksm_pages(m, first, last):
    """Break the present KSM pages of ptes `first` to `last`-1; the pte to go on at, after OOM or at `last`."""
    for p in range(first, last):
        if break_ksm(m, p) != 0:
            return p
    return last


@jit
def remove_trailing_rmap_items(m, mm, prev):
    """Free the items of a process behind `prev` (NONE: all)."""
    while True:
        item = m.mm.rmap_list[mm] if prev == NONE else m.item.rmap_next[prev]
        if item == NONE:
            return
        remove_rmap_item_from_tree(m, item)
        free_rmap_item(m, item, prev)


# --------------------------------------------------------------------------------------------------------------
# Merging (R-MERGE)


@jit
def _check_readonly(m, page, p):
    """Might somebody else write the page past its read-only pte (R-B-SCAN-6)?"""
    return (m.pte_flags[p] & PTE_DIRTY) != 0 or (m.frame.pg[page] & PG_ANON_EXCLUSIVE) != 0


@jit
def _take_over_dirty(m, page, p):
    """The page is dirty, and no longer one process's alone; its pte is clean."""
    m.frame.pg[page] &= ~PG_ANON_EXCLUSIVE
    if m.pte_flags[p] & PTE_DIRTY:
        m.frame.pg[page] |= PG_DIRTY
        m.pte_flags[p] &= 0xFF ^ PTE_DIRTY


@jit
def _write_protect_page(m, vma, page):
    """Make the page's pte in this vma read-only; that pte, or NONE when it cannot be done (R-MERGE-3, R-MERGE-4)."""
    if m.vma.anon_vma[vma] != page_anon_vma(m, page):
        return NONE
    p = vma_pte(m, page, vma)
    if not page_check_address(m, page, p):
        return NONE
    if m.pte_flags[p] & PTE_WRITE or (m.sc[SW_CHECK_READONLY] and _check_readonly(m, page, p)):
        swapped = 1 if m.frame.pg[page] & PG_SWAPCACHE else 0
        if m.frame.mapcount[page] + 1 + swapped != m.frame.refcount[page]:
            return NONE
        m.pte_flags[p] &= 0xFF ^ PTE_WRITE
        if m.sc[SW_CHECK_READONLY]:
            _take_over_dirty(m, page, p)
    return p


@jit
def _replace_page(m, p, page, kpage):
    """Let a pte map the KSM page instead (R-MERGE-5)."""
    get_page(m, kpage)
    page_add_anon_rmap(m, kpage, p)
    install_pte(m, p, kpage, 0)
    _put_replaced_page(m, page)
    m.sc[KSM_MERGES] += 1


@jit
def _put_replaced_page(m, page):
    """A pte maps another page instead of this one; its slot, if nobody is left to read it, is of no use (R-MERGE-6)."""
    m.sc[TICK] += m.sc[COST_MERGE]
    page_remove_rmap(m, page)
    if m.sc[SW_FREE_SWAP_ON_MERGE] and m.frame.mapcount[page] == 0:
        try_to_free_swap(m, page)
    put_page(m, page)


@jit
def _upgrade_page(m, page):
    """Make a write-protected page a KSM page where it is: flags, slot and charge stay (X-6, X-13)."""
    set_page_stable_node(m, page, NONE)
    mark_page_accessed(m, page)
    if m.sc[SW_UPGRADE_DIRTIES]:
        m.frame.pg[page] |= PG_DIRTY
    m.sc[TICK] += m.sc[COST_MERGE]


@jit
def _transfer_mlock(m, page, kpage):
    """The lock of a VM_LOCKED area moves from the page that left to the KSM page (R-MERGE-7, R-B-MLOCK-1)."""
    if m.sc[SW_MLOCK_BY_MAPPING]:
        mlock_vma_page(m, kpage)
        munlock_vma_page(m, page)
        return
    munlock_vma_page(m, page)
    if not m.frame.pg[kpage] & PG_MLOCKED:
        if m.sc[SW_ALLOC_ON_FIRST_MERGE]:
            lru_add_drain(m)  # kpage was only just queued; it must be on a list to be isolated
        mlock_vma_page(m, kpage)


@jit
def _try_to_merge_one_page(m, vma, page, kpage):
    """Replace `page` by `kpage` in a vma, or make it a KSM page itself (`kpage` NONE); True on success (R-MERGE-2)."""
    if page == kpage:
        return True
    if not m.vma.vm_flags[vma] & VM_MERGEABLE or not page_anon(m, page) or not trylock_page(m, page):
        return False
    p = _write_protect_page(m, vma, page)
    if p != NONE and kpage == NONE:
        _upgrade_page(m, page)
        return True
    if p == NONE or compare(m, m.frame.content[page], kpage) != 0:
        return False
    _replace_page(m, p, page, kpage)
    if m.vma.vm_flags[vma] & VM_LOCKED and (m.sc[SW_MLOCK_TRANSFER] or m.sc[SW_MLOCK_BY_MAPPING]):
        _transfer_mlock(m, page, kpage)
    return True


@jit
def _vma_of(m, item):
    """The vma that covers an item's address in a live process, or NONE."""
    mm = m.item.mm[item]
    if ksm_test_exit(m, mm):
        return NONE
    vma = find_vma(m, mm, m.item.address[item])
    if vma != NONE and m.vma.vm_start[vma] > m.item.address[item]:
        return NONE
    return vma


@jit
def _try_to_merge_with_zero_page(m, item, page):
    """Let the zero page take the place of a page of zeros; True when there is no more to do (R-B-ZERO-1)."""
    if not m.sc[KSM_USE_ZERO_PAGES] or m.item.oldchecksum[item] != calc_checksum(0):
        return False
    vma = _vma_of(m, item)
    if vma == NONE or not m.vma.vm_flags[vma] & VM_MERGEABLE:
        return True
    if not page_anon(m, page) or not trylock_page(m, page):
        return False
    p = _write_protect_page(m, vma, page)
    if p == NONE or compare(m, m.frame.content[page], ZERO_PAGE) != 0:
        return False
    install_pte(m, p, ZERO_PAGE, 0)
    ksm_map_zero_page(m, p)
    m.mm.rss[m.vma.mm[vma]] -= 1
    _put_replaced_page(m, page)
    if m.vma.vm_flags[vma] & VM_LOCKED and m.sc[SW_MLOCK_BY_MAPPING]:
        munlock_vma_page(m, page)
    return True


@jit
def _try_to_merge_with_ksm_page(m, item, page, kpage):
    vma = _vma_of(m, item)
    merged = vma != NONE and _try_to_merge_one_page(m, vma, page, kpage)
    if merged and m.sc[ITEM_ANON_VMAS]:
        m.item.anon_vma[item] = m.vma.own_anon_vma[vma]
    return merged


@jit
def _copy_to_ksm_page(m, item, page):
    """(a new KSM page that replaces `page` at the item, with a reference for the caller, or NONE; did it?)."""
    m.sc[ALLOC_NODE] = page_to_nid(m, page)
    kpage = alloc_page(m)
    if kpage == NONE:
        return NONE, False
    m.sc[KSM_KPAGES] += 1
    if _vma_of(m, item) == NONE:
        return kpage, False
    m.frame.content[kpage] = m.frame.content[page]
    m.sc[TICK] += m.sc[COST_COPY]
    m.frame.pg[kpage] |= PG_DIRTY | PG_UPTODATE | PG_SWAPBACKED
    set_page_stable_node(m, kpage, NONE)
    lru_cache_add_lru(m, kpage, LRU_ACTIVE_ANON)
    return kpage, _try_to_merge_with_ksm_page(m, item, page, kpage)


@jit
def _make_ksm_page(m, item, page):
    """(the KSM page of the item's page, with a reference for the caller, or NONE; does the item's pte map it?)."""
    if m.sc[SW_ALLOC_ON_FIRST_MERGE]:
        return _copy_to_ksm_page(m, item, page)
    upgraded = _try_to_merge_with_ksm_page(m, item, page, NONE)
    get_page(m, page)  # not before: a reference more would have kept it from being write-protected
    return page, upgraded


@jit
def _try_to_merge_two_pages(m, item, page, tree_item, tree_page):
    """A KSM page in place of both, with a reference for the caller, or NONE (R-MERGE-1, R-KNOB-2)."""
    limit = m.sc[KSM_MAX_KERNEL_PAGES]
    if m.sc[SW_MAX_KERNEL_PAGES] and limit != 0 and limit <= m.sc[KSM_PAGES_SHARED]:
        return NONE
    kpage, merged = _make_ksm_page(m, item, page)
    if kpage == NONE:
        return NONE
    if merged:
        merged = _try_to_merge_with_ksm_page(m, tree_item, tree_page, kpage)
        if not merged:
            break_cow(m, item)
    if not merged:
        m.sc[KSM_FAILED_MERGES] += 1
        put_page(m, kpage)
        return NONE
    return kpage


# --------------------------------------------------------------------------------------------------------------
# One page (R-CMP)


@inlined
def calc_checksum(content):
    """A 32-bit hash of the page's bytes (R-CMP-4). The zero page's is not 0, which is what a new item holds."""
    # Multipliers of 31 bits keep every product below 2**63, so that compiled and plain Python agree.
    low = (content & 0xFFFFFFFF) ^ 0x9E3779B9
    high = ((content >> 32) & 0x7FFFFFFF) ^ 0x243F6A88
    x = (low * 0x5BD1E995) ^ (high * 0x3C6EF372)
    x = (x ^ (x >> 29)) & 0xFFFFFFFF
    x = (x * 0x2C1B3C6D) & 0x7FFFFFFFFFFFFFFF
    return ((x >> 16) ^ x) & 0xFFFFFFFF


@inlined
def _checksum_changed(m, item, page):
    """Compare with ksmd's last look; a new value is kept and the page is left for this pass (R-CMP-4)."""
    m.sc[KSM_CHECKSUMS] += 1
    m.sc[TICK] += m.sc[COST_CHECKSUM]
    checksum = calc_checksum(m.frame.content[page])
    if m.item.oldchecksum[item] == checksum:
        m.item.last_look[item] |= 1
        return False
    if m.item.oldchecksum[item] != 0 and m.item.changes[item] < 255:
        m.item.changes[item] += 1
    m.item.oldchecksum[item] = checksum
    return True


@inlined
def _unstable_tree_search_insert(m, item, page):
    """The item of an equal page in the unstable tree; else NONE, with `item` inserted or not (R-UNST-1, R-UNST-2)."""
    content = m.frame.content[page]
    tree = tree_of(m, page)
    parent = NONE
    left = False
    t = m.sc[ROOT_UNSTABLE + tree]
    while t != NONE:
        prefetch(m.item.mm, m.item.rb_left[t])  # whichever it will be, it is on its way
        prefetch(m.item.mm, m.item.rb_right[t])
        tree_page = _anon_page_at(m, _mergeable_pte(m, t))
        if tree_page == NONE or tree_page == page:
            return NONE
        order = compare(m, content, tree_page)
        if order == 0:
            if m.sc[KSM_ONE_TREE_PER_NODE] and tree_of(m, tree_page) != tree:
                return NONE  # the page at that address is on another node by now
            return t
        parent = t
        left = order < 0
        t = m.item.rb_left[t] if left else m.item.rb_right[t]
    m.item.state[item] = ITEM_UNSTABLE
    m.item.seqnr[item] = m.sc[SCAN_SEQNR] & 0xFF
    if m.sc[NR_NODES] > 1:
        m.item.nid[item] = tree
    rb_link(m.item, m.sc, ROOT_UNSTABLE + tree, item, parent, left)
    m.sc[KSM_PAGES_UNSHARED] += 1
    return NONE


# A walk down a tree waits for memory at every step, but the walks of different pages need not wait for each other. So
# the trees are walked for a group of pages at once before ksmd looks at them one by one; nothing is changed or counted.
GROUP = 16  # pages; three numbers of each lie at the end of scratch: its frame, its place in the tree, the frame there
_WORTH_WHILE = 512  # records in a tree below which it is in the processor's cache anyway


@inlined
def _next_step(m, page, other, left, right):
    """Left if the page's content is less, right if it is greater, NONE if they are equal or there is nothing there.

    Without a branch, because half of all guesses would be wrong.
    """
    here, there = m.frame.content[page], m.frame.content[max(other, 0)]
    less = here < there
    greater = here > there
    on = (less | greater) & (other != NONE)
    return on * (less * left + greater * right + 1) - 1


@inlined
def _walk_stable_tree_ahead(m, n, base):
    """Walk the stable tree for the `n` frames in scratch from `base` on."""
    place, there = base + GROUP, base + 2 * GROUP
    for i in range(n):
        m.scratch[place + i] = m.sc[ROOT_STABLE]
    walking = n
    while walking > 0:
        walking = 0
        for i in range(n):
            node = m.scratch[place + i]
            if node != NONE:
                m.scratch[there + i] = m.node.kpage[node]
                prefetch(m.frame.content, m.node.kpage[node])
                walking += 1
        for i in range(n):
            node = m.scratch[place + i]
            if node != NONE:
                left, right = m.node.rb_left[node], m.node.rb_right[node]
                node = _next_step(m, m.scratch[base + i], m.scratch[there + i], left, right)
                prefetch(m.node.kpage, node)
                m.scratch[place + i] = node


@inlined
def _walk_unstable_tree_ahead(m, n, base):
    place, there = base + GROUP, base + 2 * GROUP
    for i in range(n):
        m.scratch[place + i] = m.sc[ROOT_UNSTABLE]
    walking = n
    while walking > 0:
        walking = 0
        for i in range(n):
            t = m.scratch[place + i]
            if t != NONE:
                p = _mergeable_pte(m, t)
                page = NONE
                if p != NONE and m.pte_flags[p] & PTE_PRESENT:
                    page = m.pte_target[p]
                    prefetch(m.frame.content, page)
                m.scratch[there + i] = page
                walking += 1
        for i in range(n):
            t = m.scratch[place + i]
            if t != NONE:
                left, right = m.item.rb_left[t], m.item.rb_right[t]
                t = _next_step(m, m.scratch[base + i], m.scratch[there + i], left, right)
                prefetch(m.item.mm, t)
                m.scratch[place + i] = t


@jit
def _walk_trees_ahead(m, p, vma):
    """Walk both trees for those of the next GROUP ptes of an area that ksmd will search for."""
    base = m.sc[SCRATCH_SIZE] - 3 * GROUP
    last = min(p + GROUP, m.vma.pte_base[vma] + m.vma.vm_end[vma] - m.vma.vm_start[vma])
    n = 0
    for q in range(p, last):
        page = _anon_page_at(m, q)
        item = m.pte.rmap_item[q]
        if page != NONE and item != NONE and m.item.oldchecksum[item] != 0 and not page_ksm(m, page):
            m.scratch[base + n] = page
            n += 1
    if n > 0 and m.sc[KSM_PAGES_SHARED] > _WORTH_WHILE:
        _walk_stable_tree_ahead(m, n, base)
    if n > 0 and m.sc[KSM_PAGES_UNSHARED] > _WORTH_WHILE:
        _walk_unstable_tree_ahead(m, n, base)


@inlined
def _found_node(m, page):
    """The node to join: the page's own if it is a KSM page already, else one of equal content (R-STAB-1)."""
    node = page_stable_node(m, page)
    if node != NONE:
        m.sc[KSM_FORKED] += 1
        return node
    return stable_tree_search(m, m.frame.content[page], tree_of(m, page))


@jit
def _join_stable(m, item, page, node):
    """Merge a page into an existing KSM page; the item joins its node on success (R-CMP-2)."""
    kpage = m.node.kpage[node]
    get_page(m, kpage)
    if _try_to_merge_with_ksm_page(m, item, page, kpage):
        stable_tree_append(m, item, node)
    else:
        m.sc[KSM_FAILED_MERGES] += 1
    put_page(m, kpage)


@jit
def _merge_pair(m, item, page, tree_item):
    """Merge a page with its equal from the unstable tree under a new node (R-CMP-5, R-CMP-6)."""
    tree_page = _anon_page_at(m, _mergeable_pte(m, tree_item))
    get_page(m, tree_page)
    kpage = _try_to_merge_two_pages(m, item, page, tree_item, tree_page)
    put_page(m, tree_page)
    if kpage == NONE:
        return
    remove_rmap_item_from_tree(m, tree_item)
    node = stable_tree_insert(m, kpage)
    if node != NONE:
        stable_tree_append(m, tree_item, node)
        stable_tree_append(m, item, node)
    put_page(m, kpage)
    if node == NONE:
        break_cow(m, tree_item)
        break_cow(m, item)


@inlined
def cmp_and_merge_page(m, page, item):
    """What ksmd does with one page: R-CMP steps 1 to 6.

    Kernels with max_page_sharing that search before the checksum leave the tree behind the search: the item itself then
    makes its node one that can be joined. (Not where leaving it may take that node away.)
    """
    early = m.sc[SW_CHECKSUM_BEFORE_STABLE] and page_stable_node(m, page) == NONE
    leave_late = m.sc[KSM_MAX_PAGE_SHARING] and not early and not m.sc[SW_FREE_NODE_ON_LAST_ITEM]
    if not leave_late:
        remove_rmap_item_from_tree(m, item)
    if early and (_checksum_changed(m, item, page) or _try_to_merge_with_zero_page(m, item, page)):
        return
    node = _found_node(m, page)
    if leave_late:
        remove_rmap_item_from_tree(m, item)
    if node != NONE:
        _join_stable(m, item, page, node)
        return
    if m.sc[SW_BREAK_ORPHAN] and page_ksm(m, page):
        break_cow(m, item)
    if not early and (_checksum_changed(m, item, page) or _try_to_merge_with_zero_page(m, item, page)):
        return
    tree_item = _unstable_tree_search_insert(m, item, page)
    if tree_item != NONE:
        _merge_pair(m, item, page, tree_item)


@inlined
def _scan_page(m, page, item):
    """R-SCAN-9: a KSM page whose item is listed is left alone; all others are compared. Costs one of the budget."""
    m.sc[KSM_PAGES_SCANNED] += 1
    m.item.last_look[item] = m.sc[SCAN_SEQNR] << 1
    if page_ksm(m, page) and m.item.state[item] == ITEM_STABLE:
        m.sc[TICK] += m.sc[COST_SCAN_KSM]
        return
    m.sc[TICK] += m.sc[COST_SCAN_PAGE]
    get_page(m, page)
    cmp_and_merge_page(m, page, item)
    put_page(m, page)


# --------------------------------------------------------------------------------------------------------------
# The cursor (R-SCAN)


@inlined
def _get_next_rmap_item(m, mm, address):
    """The item of an address; those in front of it are freed; NONE when a new one cannot be had (R-SCAN-4)."""
    prev = m.sc[SCAN_PREV]
    while True:
        item = m.mm.rmap_list[mm] if prev == NONE else m.item.rmap_next[prev]
        if item == NONE or m.item.address[item] > address:
            return new_rmap_item(m, mm, address, prev)
        if m.item.address[item] == address:
            return item
        remove_rmap_item_from_tree(m, item)
        free_rmap_item(m, item, prev)


@inlined
def _next_in_vma(m, vma):
    """Move the cursor to the next present anon page of a vma; its pte, or NONE at the end of the vma."""
    if m.sc[SCAN_ADDRESS] < m.vma.vm_start[vma]:
        m.sc[SCAN_ADDRESS] = m.vma.vm_start[vma]
    end = m.vma.vm_end[vma]
    if m.vma.anon_vma[vma] == NONE:
        m.sc[SCAN_ADDRESS] = end
    base = m.vma.pte_base[vma] - m.vma.vm_start[vma]
    address = m.sc[SCAN_ADDRESS]
    while address < end:
        if _anon_page_at(m, base + address) != NONE:
            m.sc[SCAN_ADDRESS] = address
            return base + address
        address += 1
    m.sc[SCAN_ADDRESS] = max(address, m.sc[SCAN_ADDRESS])
    return NONE


@jit
def _leave_mm(m, mm):
    """End of a process: free the items behind the cursor, and the slot if nothing is mergeable (R-SCAN-6)."""
    if ksm_test_exit(m, mm):
        m.sc[SCAN_ADDRESS] = 0
        m.sc[SCAN_PREV] = NONE
    remove_trailing_rmap_items(m, mm, m.sc[SCAN_PREV])
    m.sc[SCAN_SLOT] = m.mm.slot_next[mm]
    if m.sc[SCAN_ADDRESS] == 0:
        free_slot(m, mm)


@jit
def _begin_mm(m, mm):
    m.sc[SCAN_SLOT] = mm
    m.sc[SCAN_ADDRESS] = 0
    m.sc[SCAN_PREV] = NONE


SCAN_NOTHING = 0  # no slot is registered: nothing happened
SCAN_PAGE = 1  # one page was looked at
SCAN_PASS_END = 2  # the cursor is back at the head: a pass has ended
SCAN_NO_ITEM = 3  # no rmap_item could be had: the batch ends


@jit
def empty_unstable_trees(m):
    """What every pass begins with (R-SCAN-3, R-B-SCAN-1)."""
    if m.sc[SW_DRAIN_AT_PASS]:
        lru_add_drain(m)
    for tree in range(m.sc[NR_NODES]):
        m.sc[ROOT_UNSTABLE + tree] = NONE


@jit
def begin_pass(m):
    """Between passes: empty the unstable tree and go to the first process (R-SCAN-3)."""
    if m.sc[SCAN_SLOT] == MM_HEAD:
        advisor_start_scan(m)
        empty_unstable_trees(m)
        _begin_mm(m, m.mm.slot_next[MM_HEAD])


@jit
def scan_next_page(m):
    """Advance the cursor by one page of budget and look at it; SCAN_* (R-SCAN-1 to R-SCAN-9)."""
    if m.mm.slot_next[MM_HEAD] == MM_HEAD:
        return SCAN_NOTHING
    begin_pass(m)
    mm = m.sc[SCAN_SLOT]
    while mm != MM_HEAD:
        vma = NONE if ksm_test_exit(m, mm) else find_vma(m, mm, m.sc[SCAN_ADDRESS])
        while vma != NONE:
            if m.vma.vm_flags[vma] & VM_MERGEABLE:
                p = _next_in_vma(m, vma)
                if p != NONE:
                    if FETCH_AHEAD and p % GROUP == 0:
                        _walk_trees_ahead(m, p, vma)
                    item = _get_next_rmap_item(m, mm, m.sc[SCAN_ADDRESS])
                    if item == NONE:
                        return SCAN_NO_ITEM
                    m.sc[SCAN_PREV] = item
                    m.sc[SCAN_ADDRESS] += 1
                    if should_skip_rmap_item(m, m.pte_target[p], item):
                        continue
                    _scan_page(m, m.pte_target[p], item)
                    return SCAN_PAGE
            vma = m.vma.vm_next[vma]
        _leave_mm(m, mm)
        mm = m.sc[SCAN_SLOT]
        if mm != MM_HEAD:
            _begin_mm(m, mm)
    advisor_stop_scan(m)
    m.sc[SCAN_SEQNR] += 1
    return SCAN_PASS_END


@jit
def take_from_queue(m):
    """The pte that has waited longest at the head of ksmd's queue, or NONE."""
    if m.sc[KSM_QUEUE] == 0:
        return NONE
    p = m.queue[m.sc[KSM_QUEUE_HEAD]]
    m.sc[KSM_QUEUE_HEAD] = (m.sc[KSM_QUEUE_HEAD] + 1) % m.sc[QUEUE_SIZE]
    m.sc[KSM_QUEUE] -= 1
    return p


@jit
def scannable(m, p):
    """Is there a page at this pte that ksmd may look at?"""
    vma = m.pte.vma[p]
    if vma == NONE or not m.vma.vm_flags[vma] & VM_MERGEABLE:
        return False
    mm = m.vma.mm[vma]
    registered = (m.mm.mm_flags[mm] & MMF_VM_MERGEABLE) != 0
    return registered and not ksm_test_exit(m, mm) and _anon_page_at(m, p) != NONE


@jit
def scan_pte(m, p, may_skip):
    """Look at one pte out of turn; False when there is nothing to look at, no item to be had, or it is skipped."""
    if not scannable(m, p):
        return False
    item = item_of_pte(m, p)
    if item == NONE or (may_skip and should_skip_rmap_item(m, m.pte_target[p], item)):
        return False
    _scan_page(m, m.pte_target[p], item)
    return True


@jit
def begin_ordered_pass(m):
    """A pass whose order a policy gives: the unstable tree starts empty (R-SCAN-3)."""
    advisor_start_scan(m)
    empty_unstable_trees(m)


@jit
def _sweep_items(m, mm):
    """Free the items of a process whose address has nothing to scan any more (R-SCAN-5).

    An item that this pass did not come to is in the unstable tree no longer: the cursor would have met it.
    """
    prev = NONE
    item = m.mm.rmap_list[mm]
    while item != NONE:
        after = m.item.rmap_next[item]
        if _anon_page_at(m, _mergeable_pte(m, item)) == NONE:
            remove_rmap_item_from_tree(m, item)
            free_rmap_item(m, item, prev)
        else:
            if m.item.state[item] == ITEM_UNSTABLE and (m.sc[SCAN_SEQNR] - m.item.seqnr[item]) & 0xFF != 0:
                remove_rmap_item_from_tree(m, item)
            prev = item
        item = after


@jit
def _has_mergeable_vma(m, mm):
    vma = m.mm.mmap[mm]
    while vma != NONE:
        if m.vma.vm_flags[vma] & VM_MERGEABLE:
            return True
        vma = m.vma.vm_next[vma]
    return False


@jit
def end_ordered_pass(m):
    """What the cursor does along its way, done at the end of a pass without a cursor (R-SCAN-5 to R-SCAN-7)."""
    mm = m.mm.slot_next[MM_HEAD]
    while mm != MM_HEAD:
        after = m.mm.slot_next[mm]
        if ksm_test_exit(m, mm):
            remove_trailing_rmap_items(m, mm, NONE)
            free_slot(m, mm)
        else:
            _sweep_items(m, mm)
            if not _has_mergeable_vma(m, mm):
                free_slot(m, mm)
        mm = after
    advisor_stop_scan(m)
    m.sc[SCAN_SEQNR] += 1
