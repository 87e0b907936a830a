"""The files that ``ksmlab new`` writes: a plugin that works as it stands, and its test."""

from __future__ import annotations

from string import Template

HEAD = '''"""What $name does, and where the idea comes from.

Use it:  ksmlab run FILE.yaml -p ./$file --set $setting=$name
Test it: python -m pytest $test
"""

from __future__ import annotations

'''

RECLAIM = (
    HEAD
    + '''import numpy as np
from ksmlab_core.policy import Field, FrameNotes, Outcome, ReclaimPolicy, hookimpl, smallest


class $cls(ReclaimPolicy):
    """Evict what was used longest ago, frames with many sharers later."""

    name = "$name"
    batch = 256  # how many victims it wants to be asked for at a time

    class Params(ReclaimPolicy.Params):
        grace_ns: int = Field(1_000_000, ge=0, description="how much longer each sharer keeps a frame, ns")

    def started(self, run):
        """Called once before the run: the place for what the policy remembers."""
        self.put_back = FrameNotes(default=-1)  # when a page was named and yet stayed, ns
        self.asked_ns = 0

    def victims(self, frames, n):
        """At most n numbers out of frames.index, none twice, best victim first."""
        self.asked_ns = frames.now_ns
        self.count("questions")  # comes out as the metric policy.reclaim.questions
        used_ns = np.maximum(frames.last_access_ns, self.put_back.read(frames))
        worth = used_ns + self.params.grace_ns * frames.sharers.astype(np.int64)
        return frames.index[smallest(worth, n)]

    def reclaimed(self, index, outcome):
        """Told what became of each; a page that stayed must not be named for ever."""
        self.put_back.write(index[outcome != Outcome.FREED], self.asked_ns)


@hookimpl
def ksmlab_reclaim_policies():
    return [$cls]
'''
)

SWAPIN = (
    HEAD
    + '''from ksmlab_core.policy import Field, Swapin, SwapinPolicy, hookimpl


class $cls(SwapinPolicy):
    """Rejoin the KSM page of equal content on reads, if enough processes share it."""

    name = "$name"

    class Params(SwapinPolicy.Params):
        min_sharers: int = Field(2, ge=1, description="processes that must already map the KSM page")

    def decide(self, fault):
        """One of Swapin.KERNEL, COPY, REMERGE, SHARE, DEFER."""
        twin = fault.ksm_twin  # the KSM page that holds this content now, or None
        if twin and twin.mapcount >= self.params.min_sharers and not fault.write:
            self.count("rejoined")  # comes out as the metric policy.swapin.rejoined
            return Swapin.REMERGE
        return Swapin.KERNEL


@hookimpl
def ksmlab_swapin_policies():
    return [$cls]
'''
)

SCAN = (
    HEAD
    + '''import numpy as np
from ksmlab_core.policy import Field, ScanOrder, hookimpl, smallest


class $cls(ScanOrder):
    """Every page once per scan, those idle for longest first; young pages wait for the next scan."""

    name = "$name"
    batch = 1024  # how many pages it wants to be asked for at a time

    class Params(ScanOrder.Params):
        min_age_ns: int = Field(0, ge=0, description="leave out pages younger than this, ns")

    def order(self, pages, n):
        """At most n row numbers, none twice; an empty answer ends the scan."""
        due = np.flatnonzero(
            (pages.last_scanned < pages.full_scans) & (pages.age_ns >= self.params.min_age_ns)
        )
        self.count("questions")  # comes out as the metric policy.scan.questions
        return due[smallest(pages.last_access_ns[due], n)]


@hookimpl
def ksmlab_scan_orders():
    return [$cls]
'''
)

WORKLOAD = (
    HEAD
    + '''import numpy as np
from ksmlab_core.policy import Field, Workload, hookimpl
from ksmlab_core.workload.content import content_ids
from ksmlab_core.workload.events import CHUNK, READ, Access, Map, Spawn


class $cls(Workload):
    """Processes fill memory with equal contents, then read it at random."""

    name = "$name"

    class Params(Workload.Params):
        processes: int = Field(2, ge=1, description="number of processes")
        pages: int = Field(256, ge=1, description="pages of each process")
        accesses: int = Field(10_000, ge=0, description="reads after the fill, all processes together")

    def events(self):
        """The whole run. Random numbers come from self.rng only."""
        p = self.params
        page = np.arange(p.pages, dtype=np.int32)
        for number in range(p.processes):
            yield Spawn(f"p{number}")
            yield Map(f"p{number}", "heap", p.pages)
            for part in np.split(page, range(CHUNK, p.pages, CHUNK)):
                yield Access(np.full_like(part, number), part, content_ids("$name", part))
        for done in range(0, p.accesses, CHUNK):
            size = min(CHUNK, p.accesses - done)
            who, where = self.rng.integers(p.processes, size=size), self.rng.integers(p.pages, size=size)
            yield Access(who.astype(np.int32), where.astype(np.int32), np.full(size, READ, dtype=np.int64))


@hookimpl
def ksmlab_workloads():
    return [$cls]
'''
)

TEST_HEAD = '''"""Tests of $file."""

from __future__ import annotations

from pathlib import Path

$imports

ENTRY = load_registry([str(Path(__file__).with_name("$file"))]).get("$kind", "$name")


'''

TEST_RECLAIM = (
    TEST_HEAD
    + """def asked(frames, n):
    policy = ENTRY.cls()
    policy.started(RunInfo("test"))
    frames = {"inserted": range(len(frames["index"])), **frames}
    return list(policy.victims(FrameColumns(frames), n))


def test_the_frame_idle_for_longest_goes_first():
    frames = {"index": [4, 7, 9], "last_access_ns": [30, 10, 20], "sharers": [1, 1, 1]}
    assert asked(frames, 2) == [7, 9]


def test_sharers_keep_a_frame():
    frames = {"index": [4, 7], "last_access_ns": [30, 10], "sharers": [1, 40]}
    assert asked(frames, 1) == [4]


def test_nothing_to_choose_from():
    assert asked({"index": [], "last_access_ns": [], "sharers": []}, 8) == []
"""
)

TEST_SWAPIN = (
    TEST_HEAD
    + """def asked(**fault):
    policy = ENTRY.cls()
    policy.started(RunInfo("test"))
    return policy.decide(SwapinFault("a", 0, **fault))


def test_a_read_rejoins_a_page_that_enough_processes_share():
    assert asked(ksm_twin=Twin(frame=3, mapcount=2, sharers=2)) is Swapin.REMERGE


def test_a_write_does_not():
    assert asked(write=True, ksm_twin=Twin(frame=3, mapcount=2, sharers=2)) is Swapin.KERNEL


def test_without_a_page_of_equal_content_the_kernel_decides():
    assert asked() is Swapin.KERNEL
"""
)

TEST_SCAN = (
    TEST_HEAD
    + """def asked(pages, n, full_scans=0):
    policy = ENTRY.cls()
    policy.started(RunInfo("test"))
    rows = len(pages["last_scanned"])
    pages = {"process": [0] * rows, "age_ns": [100] * rows, **pages}
    return list(policy.order(ScanColumns(pages, full_scans=full_scans), n))


def test_idle_pages_come_first():
    assert asked({"last_scanned": [-1, -1, -1], "last_access_ns": [30, 10, 20]}, 2) == [1, 2]


def test_a_page_comes_once_per_scan():
    assert asked({"last_scanned": [0, 1], "last_access_ns": [30, 10]}, 2, full_scans=1) == [0]


def test_the_scan_ends_when_all_have_come():
    assert asked({"last_scanned": [1, 1], "last_access_ns": [30, 10]}, 2, full_scans=1) == []
"""
)

TEST_WORKLOAD = (
    TEST_HEAD
    + """def events(**params):
    return list(ENTRY.cls(ENTRY.params(**params), np.random.default_rng(1)).events())


def test_processes_come_first_with_their_memory():
    kinds = [type(event) for event in events(processes=2, accesses=0)]
    assert kinds == [Spawn, Map, Access] * 2


def test_accesses_stay_inside_the_areas():
    for event in events(processes=3, pages=5):
        if isinstance(event, Access):
            assert event.area.max() < 3
            assert event.page.max() < 5


def test_the_same_random_numbers_give_the_same_accesses():
    one, two = (events(accesses=50)[-1], events(accesses=50)[-1])
    assert (one.page == two.page).all()
"""
)

PLUGINS: dict[str, Template] = {
    "reclaim": Template(RECLAIM),
    "swapin": Template(SWAPIN),
    "scan": Template(SCAN),
    "workload": Template(WORKLOAD),
}
TESTS: dict[str, Template] = {
    "reclaim": Template(TEST_RECLAIM),
    "swapin": Template(TEST_SWAPIN),
    "scan": Template(TEST_SCAN),
    "workload": Template(TEST_WORKLOAD),
}
TEST_IMPORTS: dict[str, str] = {
    "reclaim": "from ksmlab_core.policy import FrameColumns, RunInfo, load_registry",
    "swapin": "from ksmlab_core.policy import RunInfo, Swapin, SwapinFault, Twin, load_registry",
    "scan": "from ksmlab_core.policy import RunInfo, ScanColumns, load_registry",
    "workload": "import numpy as np\nfrom ksmlab_core.policy import load_registry\n"
    "from ksmlab_core.workload.events import Access, Map, Spawn",
}
SETTINGS: dict[str, str] = {
    "reclaim": "policies.reclaim",
    "swapin": "policies.swapin",
    "scan": "policies.scan",
    "workload": "workload",
}
