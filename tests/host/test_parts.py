"""The parts of the host room that can be tried without touching a host."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ksmlab_core.errors import HostUnfit, NotSteady, StepFailed
from ksmlab_core.host import cgroup, journal, ksmd, pagemap, swap, worker
from ksmlab_core.host.comparable import NOT_COMPARED, comparable
from ksmlab_core.host.journal import Journal
from ksmlab_core.host.knobs import Knobs
from ksmlab_core.host.script import words


class Kernel(Knobs):
    """KSM's files with a ksmd behind them: `batch` pages a step of ours, `pages` in all.

    Attributes:
        overrun: passes that it does too many after the next.
        log: what was written, in order.
    """

    def __init__(self, pages: int, overrun: int = 0) -> None:
        super().__init__(Path("nowhere"))
        self.values = {"run": 0, "pages_to_scan": 100, "sleep_millisecs": 20, "full_scans": 0, "pages_scanned": 0}
        self.pages, self.overrun, self._cursor = pages, overrun, 0
        self.log: list[tuple[str, int]] = []

    def read(self, name: str) -> str:
        return str(self.values[name])

    def write(self, name: str, value: str | int) -> None:
        self.log.append((name, int(value)))
        wakes = (name == "run" and not self.values["run"]) or (
            name == "sleep_millisecs" and int(value) != self.values[name]
        )
        self.values[name] = int(value)
        if wakes and self.values["run"] == 1:
            self._batch()

    def _batch(self) -> None:
        """One batch; it ends where a pass ends, after the last page."""
        done = min(self.values["pages_to_scan"], self.pages - self._cursor)
        self._cursor += done
        self.values["pages_scanned"] += done
        if self.pages and done < self.values["pages_to_scan"]:
            self._cursor = 0
            self.values["full_scans"] += 1 + self.overrun
            self.overrun = 0


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ksmd, "_STANDSTILL_S", 0.05)


def test_ksmd_does_the_passes_that_are_asked_for_and_has_its_knobs_back() -> None:
    kernel = Kernel(250)
    ksmd.Ksmd(kernel).passes(3)
    assert kernel.values == {
        "run": 0, "pages_to_scan": 100, "sleep_millisecs": 20, "full_scans": 3, "pages_scanned": 750,
    }  # fmt: skip


def test_ksmd_does_the_pages_that_are_asked_for_over_the_ends_of_passes() -> None:
    kernel = Kernel(100)
    ksmd.Ksmd(kernel).pages(70)
    ksmd.Ksmd(kernel).pages(250)
    assert (kernel.values["pages_scanned"], kernel.values["full_scans"], kernel.values["run"]) == (320, 3, 0)


def test_an_overrun_is_noticed_and_the_knobs_are_back_all_the_same() -> None:
    kernel = Kernel(10, overrun=2)
    with pytest.raises(NotSteady, match="full_scans rose by 3 where 1 were asked for"):
        ksmd.Ksmd(kernel).passes(1)
    assert (kernel.values["run"], kernel.values["pages_to_scan"], kernel.values["sleep_millisecs"]) == (0, 100, 20)


def test_a_ksmd_that_does_nothing_has_nothing_to_do() -> None:
    kernel = Kernel(0)
    with pytest.raises(StepFailed, match="no process is registered with ksmd"):
        ksmd.Ksmd(kernel).passes(1)
    assert kernel.values["run"] == 0


def test_knobs_are_saved_and_restored_with_run_last(tmp_path: Path) -> None:
    for name, value in {"run": "1", "max_page_sharing": "256", "advisor_mode": "[none] scan-time"}.items():
        (tmp_path / name).write_text(f"{value}\n")
    (tmp_path / "pages_shared").write_text("0\n")
    (tmp_path / "pages_shared").chmod(0o444)
    knobs = Knobs(tmp_path)
    saved = knobs.writable()
    assert saved == {"run": "1", "max_page_sharing": "256", "advisor_mode": "none"}
    assert knobs.numbers() == {"run": 1, "max_page_sharing": 256, "pages_shared": 0}
    order: list[tuple[str, str]] = []
    knobs.write = lambda name, value: order.append((name, str(value)))  # type: ignore[method-assign]
    for name, value in {"max_page_sharing": "64", "advisor_mode": "none [scan-time]", "run": "2"}.items():
        (tmp_path / name).write_text(f"{value}\n")
    knobs.restore(saved)
    assert order == [
        ("run", "0"), ("run", "2"), ("max_page_sharing", "256"), ("advisor_mode", "none"), ("run", "1"),
    ]  # fmt: skip


def test_a_knob_that_is_refused_does_not_keep_the_others_from_coming_back(tmp_path: Path) -> None:
    for name in ("run", "pages_to_scan", "sleep_millisecs"):
        (tmp_path / name).write_text("0\n")
    (tmp_path / "pages_to_scan").unlink()
    with pytest.raises(OSError, match="pages_to_scan 100: No such file or directory"):
        Knobs(tmp_path).restore({"pages_to_scan": "100", "run": "1", "sleep_millisecs": "20"})
    assert [(tmp_path / name).read_text()[:2].strip() for name in ("run", "sleep_millisecs")] == ["1", "20"]


def test_the_journal_is_written_before_and_undone_backwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def undo(undo: str, **about: Any) -> None:
        done.append(about["name"])
        if about["name"] == "b":
            raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(journal, "_undo", undo)
    ours = Journal(tmp_path / "run")
    for name in "abc":
        ours.note({"undo": "x", "name": name})
    theirs = Journal.left_behind(tmp_path / "run")
    assert theirs.entries == ours.entries
    assert theirs.undo() == ["x: Device or resource busy"]
    assert done == ["c", "b", "a"]
    again = Journal.left_behind(tmp_path / "run")
    assert [entry["name"] for entry in again.entries] == ["b"]
    monkeypatch.setattr(journal, "_undo", lambda **_: None)
    assert again.undo() == []
    assert not (tmp_path / "run").exists()


def test_a_journal_of_an_earlier_boot_says_nothing(tmp_path: Path) -> None:
    (tmp_path / journal.FILE).write_text(json.dumps({"boot": "another", "entries": [{"undo": "kill", "folder": "/"}]}))
    assert Journal.left_behind(tmp_path).entries == []
    (tmp_path / journal.FILE).write_text('{"boot": "cut sh')
    assert Journal.left_behind(tmp_path).entries == []


def test_what_nobody_knows_how_to_undo_is_said(tmp_path: Path) -> None:
    ours = Journal(tmp_path / "run")
    ours.note({"undo": "time travel"})
    assert ours.undo() == ["time travel: nothing is known of undoing 'time travel'"]


MOUNTS_1 = "cgroup {top}/memory cgroup rw,relatime,memory 0 0\ncgroup2 {top}/unified cgroup2 rw 0 0\n"
MOUNTS_2 = "proc /proc proc rw 0 0\ncgroup2 {top}/two\\040words cgroup2 rw,nsdelegate 0 0\n"


def test_the_memory_hierarchy_is_found_in_either_version(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    (tmp_path / "unified").mkdir()
    (tmp_path / "unified" / "cgroup.controllers").write_text("hugetlb\n")
    (tmp_path / "two words").mkdir()
    (tmp_path / "two words" / "cgroup.controllers").write_text("cpu memory pids\n")
    mounts.write_text(MOUNTS_1.format(top=tmp_path))
    assert cgroup.find(mounts) == cgroup.Hierarchy(1, tmp_path / "memory")
    mounts.write_text(MOUNTS_2.format(top=tmp_path))
    assert cgroup.find(mounts) == cgroup.Hierarchy(2, tmp_path / "two words")
    mounts.write_text(f"cgroup2 {tmp_path}/unified cgroup2 rw 0 0\n")
    assert cgroup.find(mounts) is None


@pytest.mark.parametrize("reclaims", [True, False], ids=["memory.reclaim", "memory.high"])
def test_a_group_of_version_2(tmp_path: Path, reclaims: bool) -> None:
    """Memory is delegated if it was not; reclaim is asked for in the way that the kernel has."""
    (tmp_path / "cgroup.subtree_control").write_text("cpu\n")
    notes: list[dict[str, Any]] = []
    group = cgroup.Group(cgroup.Hierarchy(2, tmp_path), notes.append)
    assert [note["undo"] for note in notes] == ["subtree_control", "cgroup", "cgroup"]
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory"
    for name, text in {"memory.stat": "", "memory.current": "4096\n"}.items():
        (group.folder / name).write_text(text)
    if reclaims:
        (group.folder / "memory.reclaim").touch()
    group.reclaim()
    group.limit(8192)
    group.adopt(7)
    used = (group.folder / ("memory.reclaim" if reclaims else "memory.high")).read_text()
    assert used == (str(1 << 40) if reclaims else "max")
    assert (group.usage(), (group.folder / "memory.max").read_text()) == (4096, "8192")
    assert (group.folder / "cgroup.procs").read_text() == "7"


def test_a_group_that_cannot_be_made_is_a_host_that_is_not_fit(tmp_path: Path) -> None:
    with pytest.raises(HostUnfit, match=r"no memory cgroup can be made in .*nowhere: No such file or directory"):
        cgroup.Group(cgroup.Hierarchy(1, tmp_path / "nowhere"), lambda _: None)


def test_a_swap_header_is_as_mkswap_writes_it() -> None:
    page = swap.header(1000)
    assert len(page) == swap.PAGE
    assert struct.unpack_from("=III", page, 1024) == (1, 1000, 0)
    assert page[-10:] == b"SWAPSPACE2"
    assert page[:1024] == bytes(1024)


def test_entries_of_a_pagemap() -> None:
    entries = np.array([0, 1 << 63 | 1 << 55 | 77, 1 << 62 | 5 << 5 | 3, 1 << 63 | 77, 1 << 61], np.uint64)
    places = pagemap.places(entries)
    assert (places.frames.tolist(), places.slots.tolist()) == ([77, 77], [5 << 5 | 3])


def test_counts_are_of_distinct_frames_and_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    about = {7: pagemap.KSM, 8: pagemap.SWAPCACHE, 9: pagemap.ZERO_PAGE}
    look_up = lambda frames: np.array([about.get(int(one), 0) for one in frames], np.uint64)  # noqa: E731
    monkeypatch.setattr(pagemap, "flags", look_up)
    of = {
        "a": pagemap.Places(np.array([7, 7, 8], np.uint64), np.array([1], np.uint64)),
        "b": pagemap.Places(np.array([7, 9], np.uint64), np.array([1, 2], np.uint64)),
    }
    assert pagemap.count(of) == {
        "machine.frames_mapped": 3, "machine.slots_mapped": 2, "machine.ksm_frames_mapped": 1,
        "machine.swapcache_mapped": 1, "machine.pages_saved": 2,
        "process.a.resident_pages": 3, "process.a.swapped_pages": 1, "process.a.ksm_pages": 2,
        "process.b.resident_pages": 2, "process.b.swapped_pages": 2, "process.b.ksm_pages": 1,
    }  # fmt: skip
    assert pagemap.reclaimable(pagemap.frames(of.values())).tolist() == [7, 8]
    assert pagemap.count({})["machine.frames_mapped"] == 0


def test_what_reclaim_leaves_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A KSM page that reclaim could not unmap stays for good; one in a batch, or another page, has an outer cause."""
    about = {
        7: pagemap.KSM | pagemap.LRU | pagemap.SWAPCACHE, 8: pagemap.KSM | pagemap.LRU,
        9: pagemap.LRU | pagemap.SWAPCACHE, 10: pagemap.KSM | pagemap.SWAPCACHE,
        11: pagemap.UNEVICTABLE | pagemap.SWAPCACHE,
    }  # fmt: skip
    look_up = lambda frames: np.array([about[int(one)] for one in frames], np.uint64)  # noqa: E731
    monkeypatch.setattr(pagemap, "flags", look_up)
    frames = np.array([7, 8, 9, 10, 11], np.uint64)
    assert pagemap.reclaimable(frames).tolist() == [7, 8, 9, 10]
    assert pagemap.swapcached(frames).tolist() == [7, 9, 10]
    assert [pagemap.not_unmapped(frames[i : i + 1]) for i in range(4)] == [True, False, False, False]
    assert not pagemap.not_unmapped(frames)


def test_pages_sort_as_bytes_in_the_order_of_their_contents() -> None:
    """Equal numbers are equal pages, 0 is the page of zeros, and memcmp() orders pages as the simulation does."""
    numbers = np.array([0, 1, 255, 256, 2**40, 2**62], np.int64)
    pages = [word.tobytes() for word in words(numbers)]
    assert pages == sorted(pages)
    assert pages[0] == bytes(8)
    assert len(set(pages)) == len(pages)


def test_messages_carry_payloads_of_any_size() -> None:
    import socket
    import threading

    ours, theirs = socket.socketpair()
    with ours, theirs:
        payload = np.arange(200_000, dtype=np.uint64).tobytes()
        sender = threading.Thread(target=worker.send, args=(ours, {"do": "fill", "start": 3}, payload))
        sender.start()
        header, data, descriptors = worker.receive(theirs)
        sender.join()
        assert (header["do"], header["start"], descriptors) == ("fill", 3, [])
        assert bytes(data) == payload
        ours.close()
        with pytest.raises(EOFError):
            worker.receive(theirs)


def test_what_is_compared_and_what_is_left_out_with_a_reason() -> None:
    both = [
        "ksm.pages_shared", "ksm.full_scans", "vm.cow_ksm", "vm.ksm_swpin_copy", "vm.pgfault", "time.elapsed",
        "machine.frames_mapped", "machine.swapcache_mapped", "process.a.ksm_pages", "policy.scan.asked",
    ]  # fmt: skip
    assert comparable([*both, "ksm.merges"], [*both, "ksm.general_profit"]) == [
        "ksm.full_scans", "ksm.pages_shared", "machine.frames_mapped", "process.a.ksm_pages", "vm.cow_ksm",
        "vm.ksm_swpin_copy",
    ]  # fmt: skip
    assert all(reason for _, reason in NOT_COMPARED)
