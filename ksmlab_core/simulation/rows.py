"""The notation of the measured tables: every page's state in words, and a row compared column by column.

A page reads ``a0=P3[KadI,mc2,rc3,node]``: page 0 of process a is frame P3, with its flags (K KSM, a anon, s in the
swap cache, d dirty, A active, I inactive or unevictable, U unevictable, m mlocked, r referenced), mapcount, refcount,
and for a KSM page whether it has a stable node or is an orphan. ``a0=S243`` is a swap pte, ``a0=-`` none. Frame and
slot numbers are names: two rows agree when one-to-one renaming makes them equal. A wanted page without refcount and
node (``[KadI,mc2]``, of a kernel that does not tell them) is compared in what it has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm.machine import Machine
from ksmlab_core.simulation.metrics import distinct, process_pages
from ksmlab_core.simulation.world import World

Ptes = np.ndarray[Any, np.dtype[np.int32]]
_FLAGS = (
    ("a", t.PAGE_MAPPING_ANON),
    ("s", t.PG_SWAPCACHE),
    ("d", t.PG_DIRTY),
    ("A", t.PG_ACTIVE),
    ("I", -1),
    ("U", t.PG_UNEVICTABLE),
    ("m", t.PG_MLOCKED),
    ("r", t.PG_REFERENCED),
)


def page_state(machine: Machine, page: int) -> str:
    """``[KadI,mc2,rc3,node]`` of one frame."""
    m = machine.state.m
    pg = int(m.frame.pg[page])
    ksm = (pg & t.PAGE_MAPPING_FLAGS) == t.PAGE_MAPPING_FLAGS
    letters = "K" if ksm else ""
    for letter, flag in _FLAGS:
        on_inactive = pg & t.PG_LRU and not pg & t.PG_ACTIVE
        if (flag == -1 and on_inactive) or (flag != -1 and pg & flag):
            letters += letter
    node = "" if not ksm else (",orph" if int(m.frame.mapping[page]) == t.NONE else ",node")
    return f"[{letters},mc{int(m.frame.mapcount[page])},rc{int(m.frame.refcount[page])}{node}]"


def describe_pages(machine: Machine, world: World) -> str:
    """Every measured page of every live process, then the KSM and swap-cache pages that nobody maps."""
    m = machine.state.m
    names: dict[int, str] = {}
    parts = []
    for process in world.live():
        for position, p in enumerate(world.measured_ptes(process)):
            parts.append(f"{process.name}{position}={_pte(machine, int(p), names)}")
    pg = m.frame.pg
    special = ((pg & t.PAGE_MAPPING_FLAGS) == t.PAGE_MAPPING_FLAGS) | ((pg & t.PG_SWAPCACHE) != 0)
    loose = [int(page) for page in ((m.frame.refcount > 0) & (m.frame.mapcount == 0) & special).nonzero()[0]]
    text = " ".join(parts)
    if loose:
        text += " ; unmapped: " + " ".join(f"{_name(page, names)}{page_state(machine, page)}" for page in loose)
    return text.strip()


def _name(page: int, names: dict[int, str]) -> str:
    return names.setdefault(page, f"P{len(names) + 1}")


def _pte(machine: Machine, p: int, names: dict[int, str]) -> str:
    m = machine.state.m
    if p < 0:
        return "-"
    flags, target = int(m.pte_flags[p]), int(m.pte_target[p])
    if flags & t.PTE_SWAP:
        return f"S{target}"
    if not flags & t.PTE_PRESENT:
        return "-"
    return _name(target, names) + page_state(machine, target)


# --------------------------------------------------------------------------------------------------------------
# Comparing


def row_now(
    machine: Machine, world: World, metrics: Mapping[str, int], since: Mapping[str, int], pages: str
) -> dict[str, str]:
    """The present state as the cells of a row; `since` holds the metrics at the row before."""
    ptes = {process.name: world.measured_ptes(process) for process in world.live()}
    frames, slots, _present = distinct(machine, np.concatenate([np.empty(0, np.int32), *ptes.values()]))

    def rise(name: str) -> int:
        return metrics[name] - since.get(name, 0)

    counters = (
        metrics[f"ksm.{name}"] for name in ("pages_shared", "pages_sharing", "pages_unshared", "pages_volatile")
    )
    mach = {name: metrics[f"machine.{name}"] for name in _MACHINE}
    return {
        "counters": "/".join(str(value) for value in counters),
        "scans": str(metrics["ksm.full_scans"]),
        "io": f"{rise('vm.pswpin')}/{rise('vm.pswpout')}/{rise('vm.pgmajfault')}",
        "proc": " ".join(_proc(machine, name, of) for name, of in ptes.items() if len(of)),
        "pfns": str(frames),
        "swps": str(slots),
        "ksm": f"{mach['ksm_frames_mapped']}/{mach['ksm_frames_unmapped']}",
        "swcache": f"{mach['swapcache_mapped']}/{mach['swapcache_unmapped']}",
        "used": str(mach["slots_used"] + mach["slots_in_hand"]),
        "pages": pages,
    }


_MACHINE = (
    "ksm_frames_mapped",
    "ksm_frames_unmapped",
    "swapcache_mapped",
    "swapcache_unmapped",
    "slots_used",
    "slots_in_hand",
)


def _proc(machine: Machine, name: str, ptes: Ptes) -> str:
    present, swapped, ksm = process_pages(machine, ptes)
    return f"{name}:{present}/{swapped}/{ksm}"


_NAMES = {
    "counters": ("pages_shared", "pages_sharing", "pages_unshared", "pages_volatile"),
    "io": ("in", "out", "maj"),
    "ksm": ("mapped", "unmapped"),
    "swcache": ("mapped", "unmapped"),
}


def compare_row(
    want: Mapping[str, str], got: Mapping[str, str], excepted: Mapping[str, str]
) -> Iterator[tuple[str, Any, Any]]:
    """(figure, wanted, got) of every single figure of a row that is compared.

    Figures are named ``io.maj``, ``proc.a.swapped``, ``pages.a0.rc``; what `excepted` names, whole columns or single
    figures, is left out.
    """
    for column, cell in want.items():
        if cell == "~" or column in excepted:
            continue
        for figure, wanted, found in _figures(column, cell, got[column]):
            if not _is_excepted(figure, excepted):
                yield figure, wanted, found


def _is_excepted(figure: str, excepted: Mapping[str, str]) -> bool:
    parts = figure.split(".")
    return any(".".join(parts[: i + 1]) in excepted for i in range(len(parts)))


def _figures(column: str, want: str, got: str) -> Iterator[tuple[str, Any, Any]]:
    if column == "proc":
        yield from _compare_processes(want, got)
    elif column == "pages":
        yield from _compare_pages(want, got)
    elif column in _NAMES:
        for name, wanted, found in zip(_NAMES[column], want.split("/"), got.split("/"), strict=True):
            yield f"{column}.{name}", int(wanted), int(found)
    else:
        yield column, int(want), int(got)


def _compare_processes(want: str, got: str) -> Iterator[tuple[str, Any, Any]]:
    wanted, found = (dict(part.split(":") for part in text.split()) for text in (want, got))
    for name in wanted | found:
        values = zip(
            ("present", "swapped", "ksm"),
            wanted.get(name, "0/0/0").split("/"),
            found.get(name, "0/0/0").split("/"),
            strict=True,
        )
        for what, one, other in values:
            yield f"proc.{name}.{what}", int(one), int(other)


_PAGE = re.compile(r"(?P<name>\S+?)=(?P<what>\S+)")
_STATE = re.compile(
    r"(?:(?P<frame>P\d+)?\[(?P<flags>\w*),mc(?P<mc>\d+)(?:,rc(?P<rc>\d+)(?:,(?P<node>\w+))?)?\])|(?P<slot>S\d+)|-"
)


def _compare_pages(want: str, got: str) -> Iterator[tuple[str, Any, Any]]:
    if not want or want.startswith("("):
        return  # the table omits them
    wanted, wanted_loose = _split(want)
    found, found_loose = _split(got)
    renamed: tuple[dict[str, str], dict[str, str]] = {}, {}
    for name in wanted | found:
        yield from _compare_page(f"pages.{name}", wanted.get(name, "missing"), found.get(name, "missing"), renamed)
    if wanted_loose and not any(",rc" in part for part in wanted_loose):
        found_loose = [re.sub(r",rc[^\]]*", "", part) for part in found_loose]
    yield "pages.unmapped", sorted(wanted_loose), sorted(found_loose)


def _split(text: str) -> tuple[dict[str, str], list[str]]:
    mapped, _, loose = text.partition("; unmapped:")
    pages = {match["name"]: match["what"] for match in _PAGE.finditer(mapped)}
    return pages, [re.sub(r"^P\d+", "", part) for part in loose.split()]


def _compare_page(
    figure: str, want: str, got: str, renamed: tuple[dict[str, str], dict[str, str]]
) -> Iterator[tuple[str, Any, Any]]:
    one, other = _STATE.fullmatch(want), _STATE.fullmatch(got)
    if one is None or other is None:
        yield figure, want, got
        return
    for what in ("frame", "slot"):
        if one[what] or other[what]:
            yield f"{figure}.{what}", one[what], _as_wanted(one[what], other[what], renamed)
    if one["flags"] is not None or other["flags"] is not None:
        # Not every kernel tells what refers to a page.
        for what in ("flags", "mc", "rc", "node") if one["rc"] is not None else ("flags", "mc"):
            yield f"{figure}.{what}", one[what], other[what]


def _as_wanted(want: str | None, got: str | None, renamed: tuple[dict[str, str], dict[str, str]]) -> str | None:
    """The wanted name if both names can stand for the same thing throughout this row, else what was got."""
    if want is None or got is None:
        return got
    forth, back = renamed
    if forth.setdefault(got, want) == want and back.setdefault(want, got) == got:
        return want
    return f"{got} (another one than {back.get(want, forth.get(got))})"
