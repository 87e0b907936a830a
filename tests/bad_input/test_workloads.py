"""Workload plugins that raise or break the rules of the stream: their run fails by their name, and alone."""

from __future__ import annotations

import contextlib
import io
import json

import pytest

from ksmlab_core.cli import main
from tests.conftest import ours_in

HEAD = '''\
"""Bad workloads."""
import numpy as np
from ksmlab_core.policy import Workload, hookimpl
from ksmlab_core.workload.events import Access, Discard, Exit, Idle, Map, Mark, Spawn

def access(area=0, page=0, content=5, gap_ns=0):
    return Access(np.array([area], np.int32), np.array([page], np.int32), np.array([content], np.int64), gap_ns)

class Good(Workload):
    name = "good"
    def events(self):
        yield Spawn("a")
        yield Map("a", "heap", 4)
        yield access()
        yield from self.more()
    def more(self):
        yield Mark("end")
'''

CLASS = """
class Bad{number}(Good):
    name = "bad-{number}"
    def {method}:
        {body}
"""

END = """
@hookimpl
def ksmlab_workloads():
    return [Good, {classes}]
"""

RAISES = {
    "at once": ("events(self)", "1 / 0", "ZeroDivisionError: "),
    "in the middle": ("more(self)", "yield Mark('x'); 1 / 0", "ZeroDivisionError: "),
    "at its making": ("__init__(self, *given)", "1 / 0", "ZeroDivisionError: "),
    "by leaving": ("more(self)", "raise SystemExit(0)", "SystemExit: 0"),
    "in its hint": ("duration_hint(self)", "return 1 / 0", "ZeroDivisionError: "),
    "no end of calls": ("more(self)", "return self.more()", "RecursionError: "),
    "no iterator": ("events(self)", "return None", "TypeError: "),
    "a number for an iterator": ("events(self)", "return 7", "TypeError: "),
}
SAYS = {
    "a word": ("yield 'read'", "gave str, which is not an event"),
    "None": ("yield None", "gave NoneType, which is not an event"),
    "a class of event": ("yield Spawn", "gave type, which is not an event"),
    "a process twice": ("yield Spawn('a')", "spawns 'a', which is alive"),
    "the end of nobody": ("yield Exit('b')", "ends 'b', which is not alive"),
    "an end twice": ("yield Exit('a'); yield Exit('a')", "ends 'a', which is not alive"),
    "an area of nobody": ("yield Map('b', 'heap', 4)", "maps into 'b', which is not alive"),
    "an area twice": ("yield Map('a', 'heap', 4)", "maps 'heap' twice in 'a'"),
    "an area without pages": ("yield Map('a', 'x', 0)", "maps 0 pages"),
    "a rest into the past": ("yield Idle(-1)", "rests for -1 ns"),
    "an area never mapped": ("yield access(area=1)", "accesses area 1, never mapped"),
    "an area below all": ("yield access(area=-1)", "accesses area -1, never mapped"),
    "a page past the end": ("yield access(page=4)", "accesses page 4 of area 0, which has 4 pages"),
    "a page below all": ("yield access(page=-1)", "accesses page -1 of area 0, which has 4 pages"),
    "a page of the dead": (
        "yield Exit('a'); yield access()",
        "accesses page 0 of area 0, whose process has exited",
    ),
    "a content below all": ("yield access(content=-3)", "writes content -3"),
    "a gap into the past": ("yield access(gap_ns=-1)", "gave a gap of -1 ns"),
    "columns of the wrong type": (
        "yield Access(*np.zeros((3, 1)))",
        "gave columns of types float64, float64, float64",
    ),
    "columns of unequal length": (
        "yield Access(np.zeros(2, np.int32), np.zeros(1, np.int32), np.zeros(2, np.int64))",
        "gave columns of unequal length",
    ),
    "too many at once": (
        "n = 65_537; yield Access(np.zeros(n, np.int32), np.zeros(n, np.int32), np.zeros(n, np.int64))",
        "gave 65537 accesses at once, at most 65536 are allowed",
    ),
    "lists for columns": ("yield Access([0], [0], [5])", "gave columns of types list, list, list"),
    "a table for a column": (
        "yield Access(np.zeros((1, 1), np.int32), np.zeros((1, 1), np.int32), np.zeros((1, 1), np.int64))",
        "gave columns of types int32 of shape (1, 1), int32 of shape (1, 1), int64 of shape (1, 1)",
    ),
    "a process without a name": ("yield Spawn(None)", "names a process None, which is no text"),
    "a process named by a number": ("yield Spawn(3)", "names a process 3, which is no text"),
    "an area that is half a page": ("yield Map('a', 'x', 0.5)", "maps 0.5 pages"),
    "an area of one page and a half": ("yield Map('a', 'x', 1.5)", "maps 1.5 pages"),
    "an area of very many pages": (
        "yield Map('a', 'x', 2**40)",
        "has 1099511627780 pages mapped, more than this computer can simulate (",
    ),
    "a word for a number of pages": ("yield Map('a', 'x', 'many')", "maps 'many' pages"),
    "a rest that is no number": ("yield Idle('long')", "rests for 'long' ns"),
    "half a nanosecond": ("yield Idle(0.5)", "rests for 0.5 ns"),
    "a rest beyond all time": ("yield Idle(2**63)", "rests and computes for more than 4611686018427387904 ns"),
    "two rests beyond all time": (
        "yield Idle(2**62); yield Idle(2**62)",
        "rests and computes for more than 4611686018427387904 ns",
    ),
    "a gap beyond all time": ("yield access(gap_ns=2**63)", "rests and computes for more than 4611686018427387904 ns"),
    "a gap that is no number": ("yield access(gap_ns=0.5)", "gave a gap of 0.5 ns"),
    "pages given back as a list": ("yield Discard(0, [1])", "gave back pages as list, not int32"),
    "pages given back of no area": (
        "yield Discard(0.5, np.zeros(1, np.int32))",
        "gives back pages of area 0.5, never mapped",
    ),
    "pages given back twice": (
        "yield Discard(0, np.zeros(2, np.int32))",
        "gave back pages that are not strictly ascending",
    ),
    "pages given back past the end": (
        "yield Discard(0, np.array([4], np.int32))",
        "gives back page 4 of area 0, which has 4 pages",
    ),
    "a mark without a label": ("yield Mark(None)", "names a phase None, which is no text"),
}
WORKLOADS = [
    *((what, method, body, "raised " + said) for what, (method, body, said) in RAISES.items()),
    *((what, "more(self)", body, said) for what, (body, said) in SAYS.items()),
]
EXPERIMENT = """\
experiment: stream
kernel: seed
machine: {{memory: 256KiB, swap: 1MiB, invariants: samples}}
plugins: [./mine.py]
workload: {{use: good}}
sweep:
  matrix: {{workload.use: [{names}]}}
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Runs all bad workloads, and the good one before and after them, in one sweep; (status, lines, results)."""
    folder = tmp_path_factory.mktemp("stream")
    classes = [CLASS.format(number=n, method=method, body=body) for n, (_, method, body, _) in enumerate(WORKLOADS)]
    names = [f"bad-{number}" for number in range(len(WORKLOADS))]
    end = END.format(classes=", ".join(f"Bad{number}" for number in range(len(WORKLOADS))))
    (folder / "mine.py").write_text(HEAD + "".join(classes) + end)
    (folder / "stream.yaml").write_text(EXPERIMENT.format(names=", ".join([*names, "good"])))
    errors = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        status = main(["run", "stream.yaml"])
    kept = {
        file.parent.name: json.loads(file.read_text()) for file in (folder / "runs" / "stream").glob("*/manifest.json")
    }
    return status, errors.getvalue().splitlines(), kept


@pytest.mark.parametrize("number", range(len(WORKLOADS)), ids=[what for what, *_ in WORKLOADS])
def test_a_run_fails_by_its_workload_and_alone(told, number):
    status, lines, kept = told
    _, _, _, said = WORKLOADS[number]
    first = next(n for n, line in enumerate(lines) if f" run bad-{number} failed: " in line)
    last = next((n for n, line in enumerate(lines) if n > first and line.startswith("stream.yaml: ")), len(lines))
    trace = lines[first + 1 : last]
    assert status == 1
    assert kept[f"bad-{number}"]["error"]["type"] == "PolicyFault"
    assert lines[first].startswith(f"stream.yaml: run bad-{number} failed: policy 'bad-{number}' (workload)")
    assert said in lines[first]
    assert "ksmlab itself" not in lines[first]
    assert ours_in("\n".join(trace)) == []


def test_the_others_succeed(told):
    _, _, kept = told
    assert len(kept) == len(WORKLOADS) + 1
    assert [name for name, run in kept.items() if run["status"] == "succeeded"] == ["good"]
