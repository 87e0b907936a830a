"""Scripts: what each step becomes, and what is found out before any run begins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmlab_core.experiment.ranges import Ranges
from ksmlab_core.experiment.steps import STEPS

AREA = ["spawn: [a, b]", "mmap: {process: [a, b], area: heap, pages: 100}"]
ROW = "0/0/0/2 | 1 | 0/0/0 | a:1/0/0 b:1/0/0 | 2 | 0 | 0/0 | 0/0 | ~ | a0=P1[aA,mc1,rc1]"


def last_args(desk, *steps):
    return desk.only(desk.script(*AREA, *steps)).workload["script"][-1].args


@pytest.mark.parametrize(
    ("step", "args"),
    [
        ("spawn: c", {"process": ["c"]}),
        ("spawn: [c, on, no]", {"process": ["c", "on", "no"]}),
        (
            "mmap: {process: a, area: x, pages: 9}",
            {"process": ["a"], "area": "x", "pages": 9, "advise": None, "flags": []},
        ),
        (
            "mmap: {process: a, area: x, pages: 9, advise: mergeable, flags: [locked, readonly]}",
            {"process": ["a"], "area": "x", "pages": 9, "advise": "mergeable", "flags": ["locked", "readonly"]},
        ),
        ("munmap: {process: a, area: heap}", {"process": ["a"], "area": "heap", "pages": None}),
        ("munmap: {process: a, area: heap, pages: 7}", {"process": ["a"], "area": "heap", "pages": [7, 7]}),
        (
            "madvise: {process: a, area: heap, advice: unmergeable}",
            {"process": ["a"], "area": "heap", "pages": None, "advice": "unmergeable", "returns": None},
        ),
        (
            "madvise: {process: a, area: heap, advice: mergeable, returns: EAGAIN}",
            {"process": ["a"], "area": "heap", "pages": None, "advice": "mergeable", "returns": "EAGAIN"},
        ),
        (
            "mlock: {process: a, area: heap, pages: 0..99, returns: 0}",
            {"process": ["a"], "area": "heap", "pages": [0, 99], "returns": 0},
        ),
        ("munlock: {process: a, area: heap}", {"process": ["a"], "area": "heap", "pages": None}),
        (
            "mprotect: {process: a, area: heap, writable: false}",
            {"process": ["a"], "area": "heap", "pages": None, "writable": False},
        ),
        ("fork: {process: a, child: c}", {"process": "a", "child": "c"}),
        ("exit: a", {"process": ["a"]}),
        ("prctl: {process: a, merge: 1}", {"process": ["a"], "merge": 1, "returns": None}),
        (
            "prctl: {process: [a, b], merge: 0, returns: EINVAL}",
            {"process": ["a", "b"], "merge": 0, "returns": "EINVAL"},
        ),
        ("exit: [a, b]", {"process": ["a", "b"]}),
        (
            "write: {process: a, area: heap, content: zero}",
            {"process": ["a"], "area": "heap", "pages": None, "content": {"kind": "zero"}},
        ),
        (
            "write: {process: a, area: heap, content: unique}",
            {"process": ["a"], "area": "heap", "pages": None, "content": {"kind": "unique"}},
        ),
        (
            "write: {process: a, area: heap, content: {cycle: 7}}",
            {"process": ["a"], "area": "heap", "pages": None, "content": {"kind": "cycle", "n": 7, "from": 0}},
        ),
        (
            "write: {process: a, area: heap, content: {cycle: 7, from: 3}}",
            {"process": ["a"], "area": "heap", "pages": None, "content": {"kind": "cycle", "n": 7, "from": 3}},
        ),
        (
            "write: {process: a, area: heap, content: hello}",
            {"process": ["a"], "area": "heap", "pages": None, "content": {"kind": "named", "name": "hello"}},
        ),
        (
            "write: {process: a, area: heap, content: on}",
            {"process": ["a"], "area": "heap", "pages": None, "content": {"kind": "named", "name": "on"}},
        ),
        ("touch: {process: [a, b], area: heap, pages: 3..4}", {"process": ["a", "b"], "area": "heap", "pages": [3, 4]}),
        ("read: {process: a, area: heap}", {"process": ["a"], "area": "heap", "pages": None}),
        ("scan: {passes: 2}", {"passes": 2, "pages": None}),
        ("scan: {pages: 10}", {"passes": None, "pages": 10}),
        ("reclaim: all", {"pages": None}),
        ("reclaim: {pages: 10}", {"pages": 10}),
        ("memcg: {process: a}", {"process": ["a"]}),
        ("memcg: {}", {"process": None}),
        ("lru: deactivate", {"action": "deactivate"}),
        ("lru: drain", {"action": "drain"}),
        ("swapoff: true", {}),
        ("swapon: true", {}),
        ("mremap: {process: a, area: heap, pages: 3}", {"process": ["a"], "area": "heap", "pages": [3, 3]}),
        ("set: {ksm.run: 2, ksm.pages_to_scan: 7}", {"knobs": {"ksm.run": 2, "ksm.pages_to_scan": 7}, "returns": None}),
        ("set: {ksm.run: 3, returns: EINVAL}", {"knobs": {"ksm.run": 3}, "returns": "EINVAL"}),
        ("set: {ksm.run: abc, returns: EINVAL}", {"knobs": {"ksm.run": "abc"}, "returns": "EINVAL"}),
        ("sleep: 50ms", {"ns": 50_000_000}),
        ("sleep: 7", {"ns": 7}),
        ("sleep: 1.5us", {"ns": 1500}),
        ("pin: {process: a, area: heap, pages: 3}", {"process": ["a"], "area": "heap", "pages": [3, 3]}),
        ("unpin: {process: a, area: heap, pages: 3}", {"process": ["a"], "area": "heap", "pages": [3, 3]}),
        ("lock: {process: a, area: heap, pages: 3}", {"process": ["a"], "area": "heap", "pages": [3, 3]}),
        ("unlock: {process: a, area: heap, pages: 3}", {"process": ["a"], "area": "heap", "pages": [3, 3]}),
        ("fail: {alloc_page: 3}", {"alloc_page": 3}),
        (
            "fail: {fallback_vma: 1, rmap_item: 2, node: 3, mm_slot: 4}",
            {"fallback_vma": 1, "rmap_item": 2, "node": 3, "mm_slot": 4},
        ),
        ("sample: x", {"label": "x", "pages": False}),
        ("sample: {label: x y, pages: true}", {"label": "x y", "pages": True}),
        (
            "expect: {ksm.pages_shared: 1, vm.pswpin: {max: 3}}",
            {"metrics": {"ksm.pages_shared": 1, "vm.pswpin": {"max": 3}}},
        ),
        (
            "expect: {process.a.ksm_pages: {min: 1, max: 2.5}}",
            {"metrics": {"process.a.ksm_pages": {"min": 1, "max": 2.5}}},
        ),
    ],
)
def test_what_a_step_becomes(desk, step, args):
    assert last_args(desk, step) == args


def test_a_measured_row(desk):
    args = last_args(desk, f'measured: {{label: r, row: "{ROW}", except: {{used: hogs, io.maj: stack}}}}')
    assert args["label"] == "r"
    assert args["row"] == ROW
    assert args["except"] == {"used": "hogs", "io.maj": "stack"}
    assert args["columns"]["counters"] == "0/0/0/2"
    assert args["columns"]["proc"] == "a:1/0/0 b:1/0/0"
    assert args["columns"]["used"] == "~"
    assert args["columns"]["pages"] == "a0=P1[aA,mc1,rc1]"


def test_every_step_has_a_place_and_is_tested_here(desk):
    steps = desk.only(desk.script(*AREA, "scan: {passes: 1}")).workload["script"]
    assert [(step.kind, step.line, step.column) for step in steps] == [
        ("spawn", 4, 3),
        ("mmap", 5, 3),
        ("scan", 6, 3),
    ]
    mark = next(m for m in test_what_a_step_becomes.pytestmark if m.name == "parametrize")
    assert {step.partition(":")[0] for step, _ in mark.args[1]} | {"measured"} == set(STEPS)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("»wrte: {process: a}", "wrte: there is no such step; …did you mean 'write'?"),
        ("scan: {passes: »0}", "scan.passes: 0 is out of range; at least 1"),
        ("scan: »{}", "scan: how far to scan is not clear; either passes or pages"),
        ("scan: »{passes: 1, pages: 1}", "scan: how far to scan is not clear; either passes or pages"),
        ("scan: »3", "scan: 3 is not a mapping"),
        ("reclaim: »some", "reclaim: 'some' is not an amount to reclaim; all, or {pages: n}"),
        ("reclaim: »{}", "reclaim: a mapping is not an amount to reclaim; all, or {pages: n}"),
        ("memcg: {process: »nobody}", "memcg.process: there is no process nobody yet; processes: a, b"),
        ("reclaim: {»page: 3}", "reclaim.page: unknown key; allowed: pages; did you mean 'pages'?"),
        (
            "lru: »shrnk",
            "lru: 'shrnk' is not one of the choices; allowed: deactivate, shrink, drain; did you mean 'shrink'?",
        ),
        ("swapoff: »yes", "swapoff: 'yes' is not one of the choices; allowed: true"),
        ("swapoff: »false", "swapoff: false is not one of the choices; allowed: true"),
        ("sleep: »50parsec", "sleep: '50parsec' is not a duration; …"),
        ("sleep: »-1", "sleep: -1 is not a duration; …"),
        (
            "fail: »{}",
            "fail: nothing to let fail; allowed: alloc_page, fallback_vma, mm_slot, node, rmap_item, swap_continuation, swap_read",
        ),
        ("fail: {»alloc_pages: 1}", "fail.alloc_pages: unknown key; …did you mean 'alloc_page'?"),
        ("sample: »5", "sample: 5 is not a label; a text, or {label: TEXT, pages: true}"),
        ("sample: {label: x, pages: »on}", "sample.pages: 'on' is not true or false; write true or false"),
        ("expect: »{}", "expect: nothing is expected; metric: value, or metric: {min: a, max: b}"),
        (
            "expect: {»ksm.pages_sharin: 3}",
            "expect.ksm.pages_sharin: profile seed has no such metric; did you mean 'ksm.pages_sharing'?",
        ),
        (
            "expect: {»process.c.ksm_pages: 3}",
            "expect.process.c.ksm_pages: profile seed has no such metric; did you mean 'process…ksm_pages'?",
        ),
        ("set: {»run: 1}", "set.run: profile seed has no such knob; …did you mean 'ksm.run'?"),
        ("set: {»ksm.smart_scan: 1}", "set.ksm.smart_scan: profile seed has no such knob; allowed: …"),
        ("set: {ksm.run: »3}", "set.ksm.run: 3 is out of range; 0 to 2"),
        ("set: {ksm.run: »3, returns: 0}", "set.ksm.run: 3 is out of range; 0 to 2"),
        ("set: »{returns: 0}", "set: no knob is written; ksm.KNOB: value"),
        (
            "set: {ksm.run: 3, returns: »EPERM}",
            "set.returns: no such result; allowed: 0, EAGAIN, EBUSY, EINVAL, ENOMEM",
        ),
        ("spawn: »a", "spawn: there was a process a already, from line 4; a new name"),
        ("spawn: »5", "spawn: 5 is not a name; 1 to 64 letters, digits, - and _; write '5' in quotes"),
        ("spawn: »a.b", "spawn: 'a.b' cannot be a name; 1 to 64 letters, digits, - and _"),
        ("spawn: »[]", "spawn: an empty list of names; a name or a list of names"),
        ("spawn: »[c, c]", "spawn: 'c' is named twice"),
        ("fork: {process: a, child: »b}", "fork.child: there was a process b already, from line 4; a new name"),
        ("fork: {process: »[a, b], child: c}", "fork.process: a list is not a name; 1 to 64 letters, digits, - and _"),
        ("fork: {process: »x, child: c}", "fork.process: there is no process x yet; processes: a, b"),
        ("exit: »bb", "exit: there is no process bb yet; processes: a, b; did you mean 'b'?"),
        ("mmap: {process: a, area: »heap, pages: 1}", "mmap.area: a has an area heap already, from line 5; a new name"),
        ("mmap: {process: a, area: h, pages: »0}", "mmap.pages: 0 is out of range; at least 1"),
        (
            "mmap: {process: a, area: h, pages: »0x80000000}",
            "mmap.pages: 2147483648 is out of range; at most 2147483647",
        ),
        (
            "mmap: {process: a, area: h, pages: 1, flags: [»share]}",
            "mmap.flags.0: 'share' is not one of the choices; …did you mean 'shared'?",
        ),
        ("»mmap: {process: a, area: h}", "mmap.pages: missing; it has to be given"),
        ("read: {process: »c, area: heap}", "read.process: there is no process c yet; processes: a, b"),
        ("read: {process: a, area: »haep}", "read.area: a has no area haep; a has: heap; did you mean 'heap'?"),
        (
            "read: {process: a, area: heap, pages: »100}",
            "read.pages: page 100 is past the end of heap; it has 100 pages, 0..99",
        ),
        (
            "read: {process: a, area: heap, pages: »50..100}",
            "read.pages: page 100 is past the end of heap; it has 100 pages, 0..99",
        ),
        (
            "read: {process: a, area: heap, pages: »9..5}",
            "read.pages: the range 9..5 is empty; a page number such as 7, or an inclusive range …did you mean '5..9'?",
        ),
        (
            "read: {process: a, area: heap, pages: »-1}",
            "read.pages: -1 is not a range of pages; a page number such as 7, or an inclusive range …",
        ),
        (
            "read: {process: a, area: heap, pages: »0-9}",
            "read.pages: '0-9' is not a range of pages; a page number such as 7, or an inclusive range …",
        ),
        (
            "read: {process: a, area: heap, pages: »}",
            "read.pages: nothing is not a range of pages; a page number such as 7, or an inclusive range …",
        ),
        ("»pin: {process: a, area: heap}", "pin.pages: missing; it has to be given"),
        ("»write: {process: a, area: heap}", "write.content: missing; it has to be given"),
        (
            "write: {process: a, area: heap, content: »5}",
            "write.content: 5 is not a content; zero, unique, {cycle: n, from: k} or a text; write '5' in quotes",
        ),
        (
            "write: {process: a, area: heap, content: »{cycle: 0}}",
            "write.content: the cycle of 0 pages; a whole number, at least 1",
        ),
        (
            "write: {process: a, area: heap, content: »{cycle: 1, form: 2}}",
            "write.content: unknown key 'form'; allowed: cycle, from; did you mean 'from'?",
        ),
        (
            "write: {process: a, area: heap, content: »{cycle: 1, from: -2}}",
            "write.content: the family -2; a whole number, at least 0",
        ),
        (
            "madvise: {process: a, area: heap, advice: »mergable}",
            "madvise.advice: 'mergable' is not one of the choices; …; did you mean 'mergeable'?",
        ),
        (
            "madvise: {process: a, area: heap, advice: mergeable, returns: »EPERM}",
            "madvise.returns: 'EPERM' is not one of the choices; allowed: 0, EINVAL, ENOMEM, EAGAIN",
        ),
        (
            f"measured: »{{label: r, row: '{ROW}'}}",
            "measured: the column used is ~ without a reason; except: {used: the reason}",
        ),
        (
            f"measured: »{{label: r, row: '{ROW}', except: {{usd: x, used: y}}}}",
            "measured: there is no column 'usd' to except; …did you mean 'used'?",
        ),
        (
            f"measured: »{{label: r, row: '{ROW}', except: {{used: ''}}}}",
            "measured: the exception used has no reason; column: the reason",
        ),
        (
            f"measured: {{label: r, row: »'{ROW.replace('a:1', 'z:1')}', except: {{used: x}}}}",
            "measured.row: there is no process z yet; processes: a, b",
        ),
        ("measured: {label: r, row: »1 | 2}", "measured.row: 2 columns; 10 columns: …"),
        (
            f"measured: {{label: r, row: »'{ROW.replace('0/0/0/2', '0/0/0')}'}}",
            "measured.row: the column counters holds '0/0/0'; columns: …",
        ),
    ],
)
def test_steps_that_cannot_be_carried_out(desk, step, message):
    """The mark » stands before the place that the message has to name; … for what may change."""
    (said,) = desk.says(desk.script(*AREA, step.replace("»", "")))
    beginning, _, end = message.partition("…")
    assert said.startswith(f"6:{step.index('»') + 4}: workload.script.2.{beginning}")
    assert said.endswith(end)
    assert "…" in message or said.endswith(f".2.{message}")


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (["exit: a", "read: {process: a, area: heap}"], "read.process: process a has exited in line 6"),
        (["exit: a", "exit: a"], "exit: process a has exited in line 6"),
        (["exit: a", "spawn: a"], "spawn: there was a process a already, from line 4; a new name"),
        (
            ["exit: a", "write: {process: [a, b], area: heap, content: x}"],
            "write.process: process a has exited in line 6",
        ),
        (
            ["munmap: {process: a, area: heap}", "read: {process: a, area: heap}"],
            "read.area: a has no area heap, it was unmapped in line 6; a has no areas",
        ),
        (
            ["munmap: {process: a, area: heap, pages: 3..5}", "read: {process: a, area: heap, pages: 0..9}"],
            "read.pages: page 3 of heap is not mapped any more",
        ),
        (
            ["mprotect: {process: a, area: heap, pages: 3..5, writable: false}", "touch: {process: a, area: heap}"],
            "touch.pages: page 3 of heap is read-only; mprotect: {..., writable: true} before",
        ),
        (
            ["fork: {process: a, child: c}", "read: {process: c, area: heap, pages: 100}"],
            "read.pages: page 100 is past the end of heap; it has 100 pages, 0..99",
        ),
    ],
)
def test_what_earlier_steps_make_impossible(desk, steps, message):
    (said,) = desk.says(desk.script(*AREA, *steps))
    assert said.startswith("7:")
    assert said.partition("workload.script.3.")[2] == message


@pytest.mark.parametrize(
    "steps",
    [
        [
            "munmap: {process: a, area: heap}",
            "mmap: {process: a, area: heap, pages: 9}",
            "read: {process: a, area: heap}",
        ],
        ["munmap: {process: a, area: heap, pages: 3..5}", "read: {process: a, area: heap}"],
        ["munmap: {process: a, area: heap, pages: 3..5}", "read: {process: a, area: heap, pages: 6}"],
        ["munmap: {process: a, area: heap, pages: 3..5}", "munmap: {process: a, area: heap, pages: 0..9}"],
        [
            "munmap: {process: a, area: heap, pages: 3..5}",
            "madvise: {process: a, area: heap, pages: 0..9, advice: mergeable, returns: ENOMEM}",
        ],
        ["munmap: {process: a, area: heap}", "read: {process: b, area: heap}"],
        [
            "mprotect: {process: a, area: heap, writable: false}",
            "read: {process: a, area: heap}",
            "mprotect: {process: a, area: heap, pages: 3, writable: true}",
            "touch: {process: a, area: heap, pages: 3}",
        ],
        ["fork: {process: a, child: c}", "munmap: {process: a, area: heap}", "touch: {process: c, area: heap}"],
        ["exit: a", "expect: {process.a.resident_pages: 0}"],
    ],
)
def test_what_earlier_steps_leave_possible(desk, steps):
    assert desk.only(desk.script(*AREA, *steps)).workload["script"]


def test_one_mistake_is_reported_once(desk):
    """A step that creates something and cannot be read does not make its later users wrong."""
    use = ["touch: {process: c, area: heap}", "expect: {process.c.ksm_pages: 0}", "exit: c"]
    for mistake in (
        "spwan: c",
        "spawn: {c: 1}",
        "fork: {process: aa, child: c}",
        "mmap: {process: a, area: 5, pages: 1}",
    ):
        assert len(desk.says(desk.script(*AREA, mistake, *use))) == 1


def test_areas_beyond_this_computer(desk, monkeypatch):
    monkeypatch.setattr("ksmlab_core.experiment.settings.physical_memory", lambda: 2**30)
    steps = ["spawn: a", "mmap: {process: a, area: x, pages: 5000000}"]
    head = "machine: {memory: 1MiB, swap: 0}"
    desk.read(desk.script(*steps, head=head))
    (line,) = desk.says(desk.script(*steps, "fork: {process: a, child: b}", "fork: {process: a, child: c}", head=head))
    assert line.startswith("7:10: workload.script.2.fork: areas of 38.1 GiB need 1.2 GiB to simulate (128 B a page)")


def test_steps_that_are_no_steps(desk):
    head = "experiment: t\nkernel: seed\nworkload:\n  script:\n"
    form = "one key, the name of the step, such as `spawn: a`"
    assert desk.says(head + "  - spawn: a\n  - swapoff\n  - [x]\n  - {}\n  -\n  - {lru: drain, sample: x}\n") == [
        f"6:5: workload.script.1: 'swapoff' is not a step; {form}; did you mean 'swapoff: ...'?",
        f"7:5: workload.script.2: a list is not a step; {form}",
        f"8:5: workload.script.3: a step of 0 keys: 'no key'; {form}",
        f"9:4: workload.script.4: nothing is not a step; {form}",
        f"10:5: workload.script.5: a step of 2 keys: 'lru, sample'; {form}",
    ]


def test_metrics_at_the_end_know_the_processes(desk):
    text = desk.script(*AREA, head="expect: [{process.a.ksm_pages: 0}, {process.z.ksm_pages: 0}]")
    (line,) = desk.says(text)
    assert line.startswith("3:37: expect.1.process.z.ksm_pages: profile seed has no such metric")


spans = st.tuples(st.booleans(), st.integers(0, 30), st.integers(0, 10))


@given(st.lists(spans, max_size=20), st.integers(0, 40), st.integers(0, 10))
def test_ranges_are_sets(changes, first, length):
    ranges, model = Ranges(), set()
    for put, low, more in changes:
        (ranges.add if put else ranges.remove)(low, low + more)
        (model.update if put else model.difference_update)(range(low, low + more + 1))
    assert len(ranges) == len(model)
    expected = min((page for page in model if first <= page <= first + length), default=None)
    assert ranges.first_in(first, first + length) == expected


@pytest.mark.parametrize(
    "name", ["ksm.merges", "ksm.run", "vm.pswpin", "time.ksmd", "policy.scan.asked", "process.b.ksm_pages"]
)
def test_metrics_of_every_group_are_known(desk, name):
    assert last_args(desk, f"expect: {{{name}: 0}}") == {"metrics": {name: 0}}


@pytest.mark.parametrize(
    "name", ["vm", "vm.", "vmm.pswpin", "policy.workload.x", "process.b.pages", "ksm.pages", "time.A"]
)
def test_metrics_of_no_group_are_not(desk, name):
    (said,) = desk.says(desk.script(*AREA, f"expect: {{{name}: 0}}"))
    assert f"expect.{name}: profile seed has no such metric" in said
