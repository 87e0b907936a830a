"""Red-black trees over int32 links, as ``lib/rbtree.c`` keeps them.

`t` is any record array with the fields ``rb_parent``, ``rb_left``, ``rb_right`` and ``rb_color``; the root of a tree is
the scalar ``sc[root]``. Where a new record goes is the caller's comparison; the shapes that come out are the kernel's,
which counts where a tree over changing contents goes stale.
"""

from __future__ import annotations

from ksmlab_core.mm._jit import inlined, jit
from ksmlab_core.mm.mm_types import NONE

RED = 0
BLACK = 1


@inlined
def rb_link(t, sc, root, n, parent, left):
    """Hang `n` under `parent` (NONE: it becomes the root) as left or right child, and rebalance."""
    t.rb_parent[n] = parent
    t.rb_left[n] = NONE
    t.rb_right[n] = NONE
    t.rb_color[n] = RED
    if parent == NONE:
        sc[root] = n
    elif left:
        t.rb_left[parent] = n
    else:
        t.rb_right[parent] = n
    _insert_color(t, sc, root, n)


@inlined
def _replace_child(t, sc, root, parent, old, new):
    if parent == NONE:
        sc[root] = new
    elif t.rb_left[parent] == old:
        t.rb_left[parent] = new
    else:
        t.rb_right[parent] = new


@jit
def rb_replace(t, sc, root, old, new):
    """Put `new`, which is in no tree, in the place of `old`, whose content is the same."""
    parent, left, right = t.rb_parent[old], t.rb_left[old], t.rb_right[old]
    t.rb_parent[new], t.rb_left[new], t.rb_right[new] = parent, left, right
    t.rb_color[new] = t.rb_color[old]
    _replace_child(t, sc, root, parent, old, new)
    if left != NONE:
        t.rb_parent[left] = new
    if right != NONE:
        t.rb_parent[right] = new


@inlined
def _rotate(t, sc, root, n, left):
    """Rotate `n` down to the left (or right); its other child takes its place."""
    parent = t.rb_parent[n]
    if left:
        child = t.rb_right[n]
        inner = t.rb_left[child]
        t.rb_right[n] = inner
        t.rb_left[child] = n
    else:
        child = t.rb_left[n]
        inner = t.rb_right[child]
        t.rb_left[n] = inner
        t.rb_right[child] = n
    if inner != NONE:
        t.rb_parent[inner] = n
    t.rb_parent[child] = parent
    _replace_child(t, sc, root, parent, n, child)
    t.rb_parent[n] = child


@inlined
def _insert_color(t, sc, root, n):
    while True:
        parent = t.rb_parent[n]
        if parent == NONE or t.rb_color[parent] == BLACK:
            break
        gparent = t.rb_parent[parent]
        parent_is_left = t.rb_left[gparent] == parent
        uncle = t.rb_right[gparent] if parent_is_left else t.rb_left[gparent]
        if uncle != NONE and t.rb_color[uncle] == RED:
            t.rb_color[uncle] = BLACK
            t.rb_color[parent] = BLACK
            t.rb_color[gparent] = RED
            n = gparent
            continue
        n_is_left = t.rb_left[parent] == n
        if n_is_left != parent_is_left:
            _rotate(t, sc, root, parent, parent_is_left)
            parent = n
        t.rb_color[parent] = BLACK
        t.rb_color[gparent] = RED
        _rotate(t, sc, root, gparent, not parent_is_left)
        break
    t.rb_color[sc[root]] = BLACK


@jit
def rb_erase(t, sc, root, n):
    """Take `n` out of the tree."""
    left = t.rb_left[n]
    right = t.rb_right[n]
    if left != NONE and right != NONE:
        # The next record in order takes n's place and colour; what has to be repaired is where it came from.
        heir = right
        while t.rb_left[heir] != NONE:
            heir = t.rb_left[heir]
        child = t.rb_right[heir]
        parent = t.rb_parent[heir]
        color = t.rb_color[heir]
        if parent == n:
            parent = heir
        else:
            if child != NONE:
                t.rb_parent[child] = parent
            t.rb_left[parent] = child
            t.rb_right[heir] = right
            t.rb_parent[right] = heir
        t.rb_parent[heir] = t.rb_parent[n]
        t.rb_color[heir] = t.rb_color[n]
        t.rb_left[heir] = left
        t.rb_parent[left] = heir
        _replace_child(t, sc, root, t.rb_parent[n], n, heir)
    else:
        child = left if left != NONE else right
        parent = t.rb_parent[n]
        color = t.rb_color[n]
        if child != NONE:
            t.rb_parent[child] = parent
        _replace_child(t, sc, root, parent, n, child)
    if color == BLACK:
        _erase_color(t, sc, root, child, parent)


@inlined
def _erase_color(t, sc, root, n, parent):
    while (n == NONE or t.rb_color[n] == BLACK) and n != sc[root]:
        left = t.rb_left[parent] == n
        other = t.rb_right[parent] if left else t.rb_left[parent]
        if t.rb_color[other] == RED:
            t.rb_color[other] = BLACK
            t.rb_color[parent] = RED
            _rotate(t, sc, root, parent, left)
            other = t.rb_right[parent] if left else t.rb_left[parent]
        near = t.rb_left[other] if left else t.rb_right[other]
        far = t.rb_right[other] if left else t.rb_left[other]
        near_black = near == NONE or t.rb_color[near] == BLACK
        far_black = far == NONE or t.rb_color[far] == BLACK
        if near_black and far_black:
            t.rb_color[other] = RED
            n = parent
            parent = t.rb_parent[n]
            continue
        if far_black:
            t.rb_color[near] = BLACK
            t.rb_color[other] = RED
            _rotate(t, sc, root, other, not left)
            other = t.rb_right[parent] if left else t.rb_left[parent]
            far = t.rb_right[other] if left else t.rb_left[other]
        t.rb_color[other] = t.rb_color[parent]
        t.rb_color[parent] = BLACK
        if far != NONE:
            t.rb_color[far] = BLACK
        _rotate(t, sc, root, parent, left)
        n = sc[root]
        break
    if n != NONE:
        t.rb_color[n] = BLACK
