"""Policies that raise or answer nonsense: their run fails by their name, file and line, with their own traceback."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from ksmlab_core.cli import main
from tests.conftest import ours_in

PRESSURE = """\
experiment: asked
kernel: seed
machine: {memory: 512KiB, swap: 2MiB, invariants: samples}
workload:
  script:
    - spawn: [a, b]
    - mmap: {process: a, area: held, pages: 2, flags: [locked]}
    - mmap: {process: [a, b], area: heap, pages: 48, advise: mergeable}
    - write: {process: [a, b], area: heap, content: {cycle: 40}}
    - scan: {passes: 2}
    - reclaim: all
    - scan: {passes: 2}
    - reclaim: all
    - mmap: {process: a, area: plain, pages: 8}
    - write: {process: a, area: plain, content: unique}
    - reclaim: all
    - read: {process: [a, b], area: heap}
    - read: {process: a, area: plain}
"""

CLASSES = {
    "reclaim": ("ReclaimPolicy", "victims(self, frames, n)", "ksmlab_reclaim_policies"),
    "swapin": ("SwapinPolicy", "decide(self, fault)", "ksmlab_swapin_policies"),
    "scan": ("ScanOrder", "order(self, pages, n)", "ksmlab_scan_orders"),
}

HEAD = """\
\"\"\"Bad policies.\"\"\"
import numpy as np
from ksmlab_core.policy import ReclaimPolicy, ScanOrder, Swapin, SwapinPolicy, hookimpl
"""

CLASS = """\
class Bad{number}({base}):
    name = "bad-{number}"
    {members}
    def {method}:
        {body}
"""

END = """\
@hookimpl
def {hook}():
    return [{classes}]
"""

RECLAIM = {
    "twice": ("return [frames.index[0], frames.index[0]]", "named frame 35 twice in one answer"),
    "a free frame": ("return [128]", "named frame 128, which is free"),
    "a frame not offered": ("return [1]", "named frame 1, which is not among the candidates"),
    "a frame below all": ("return [-1]", "named frame -1, which is not among the candidates"),
    "the frame of zeros": ("return [0]", "named frame 0, which is not among the candidates"),
    "a frame beyond all": ("return [2**40]", f"named frame {2**40}, which is not among the candidates"),
    "a number beyond 64 bits": ("return [2**70]", "answered "),
    "a word": ("return 'frames'", "answered 'frames', not an array or list of frame numbers"),
    "words": ("return ['1']", "answered "),
    "a number": ("return 3", "answered 3, not an array or list of frame numbers"),
    "floats": ("return np.array([1.0, 2.0])", "answered "),
    "a float that is none": ("return [float('nan')]", "answered "),
    "truth values": ("return frames.index > 3", "answered "),
    "None": ("return None", "answered None, not an array or list of frame numbers; is there a return?"),
    "nothing returned": ("pass", "answered None, not an array or list of frame numbers; is there a return?"),
    "a mapping": ("return {1: 2}", "answered {1: 2}, not an array or list of frame numbers"),
    "a generator": ("yield 1", "answered <generator object"),
    "a table": ("return [[1, 2]]", "answered an array of shape (1, 2), not a flat one of frame numbers"),
    "ragged lists": ("return [[1], [2, 3]]", "answered [[1], [2, 3]], not an array or list of frame numbers"),
    "too many": ("return frames.index", "answered 48 frame numbers, but was asked for at most 32"),
    "nothing for ever": ("return []", "named no frame although there are candidates"),
}
SWAPIN = {
    "None": ("return None", "answered None; it must answer a Swapin"),
    "a word": ("return 'copy'", "answered 'copy'; it must answer a Swapin"),
    "a number": ("return 1", "answered 1; it must answer a Swapin"),
    "a float": ("return 0.5", "answered 0.5; it must answer a Swapin"),
    "the class": ("return Swapin", "answered <enum 'Swapin'>; it must answer a Swapin"),
    "several": ("return [Swapin.COPY]", "answered [<Swapin.COPY: "),
    "REMERGE without a twin": ("return Swapin.REMERGE", "answered REMERGE for page "),
    "SHARE where it cannot be": ("return Swapin.SHARE", "answered SHARE for page "),
}
SCAN = {
    "twice": ("return [0, 0]", "named row 0 twice in one answer"),
    "a row below all": ("return [-1]", "named row -1 of 96 rows"),
    "a row beyond all": ("return [len(pages)]", "named row 96 of 96 rows"),
    "floats": ("return [0.5]", "answered "),
    "None": ("return None", "answered None, not an array or list of row numbers; is there a return?"),
    "a word": ("return '0'", "answered '0', not an array or list of row numbers"),
    "a mask": ("return pages.stable", "answered "),
    "too many": ("return np.arange(len(pages))", "answered 96 row numbers, but was asked for at most 8"),
}
RAISES = {
    "an error": ("raise ValueError('no idea')", "ValueError: no idea"),
    "an error without a word": ("raise KeyError", "KeyError"),
    "a division by zero": ("return 1 // 0", "ZeroDivisionError: "),
    "an attribute that is not there": ("return {columns}.colour", "AttributeError: "),
    "leaving": ("raise SystemExit(0)", "SystemExit: 0"),
    "no end of calls": ("return self.{method}({columns}{more})", "RecursionError: "),
    "no memory": ("raise MemoryError", "MemoryError"),
    "an error of ksmlab": ("from ksmlab_core.errors import BadInput; raise BadInput('mine')", "BadInput: mine"),
}
CHANGES = {
    "a change of a column": ("frames.mapcount[0] = 3", "ValueError: "),
    "another column": ("frames.mapcount = None", "AttributeError: "),
    "another time": ("frames.now_ns = 0", "AttributeError: "),
}
MEMBERS = {
    "in started": "def started(self, run): 1 / 0",
    "in its making": "def __init__(self, params, rng): 1 / 0",
    "in reclaimed": "def reclaimed(self, index, outcome): 1 / 0",
}


@dataclass(frozen=True)
class Bad:
    """One bad policy, and what is said of it: where in its file, and what."""

    hook: str
    what: str
    body: str
    said: str
    members: str = "pass"
    line: int = 4  # of its own lines, which begin with the class

    def source(self, number: int) -> str:
        """Its class."""
        base, method, _ = CLASSES[self.hook]
        return CLASS.format(number=number, base=base, method=method, body=self.body, members=self.members)


def _raising(hook: str, what: str) -> Bad:
    body, said = RAISES[what]
    method, _, arguments = CLASSES[hook][1].partition("(self, ")
    columns, comma, rest = arguments.removesuffix(")").partition(", ")
    return Bad(hook, what, body.format(method=method, columns=columns, more=comma + rest), f"raised {said}", line=5)


POLICIES = [
    *(Bad("reclaim", what, body, f".victims {said}") for what, (body, said) in RECLAIM.items()),
    *(Bad("swapin", what, body, f".decide {said}") for what, (body, said) in SWAPIN.items()),
    *(Bad("scan", what, body, f".order {said}", "batch = 8") for what, (body, said) in SCAN.items()),
    *(_raising(hook, what) for hook in CLASSES for what in RAISES),
    *(Bad("reclaim", what, f"{body}; return [1]", f"raised {said}", line=5) for what, (body, said) in CHANGES.items()),
    *(
        Bad("reclaim", what, "return frames.index[:1]", "raised ZeroDivisionError: ", members, line=3)
        for what, members in MEMBERS.items()
    ),
]


@dataclass(frozen=True)
class Told:
    """What one command said of all bad policies of a hook."""

    status: int
    err: list[str]
    run: dict[Bad, int]  # the number of each policy, in its name

    def lines_of(self, bad: Bad) -> list[str]:
        """What is said of one policy: its line, and its traceback if it has one."""
        first = next(n for n, line in enumerate(self.err) if f" run bad-{self.run[bad]} failed: " in line)
        more = (n for n, line in enumerate(self.err[first + 1 :], first + 1) if line.startswith("asked.yaml: "))
        return self.err[first : next(more, len(self.err))]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Told]:
    """Runs all bad policies of a hook once, with the kernel's between them, in one sweep."""
    known: dict[str, Told] = {}

    def tell(hook: str) -> Told:
        if hook not in known:
            known[hook] = _sweep(hook, tmp_path_factory.mktemp(hook))
        return known[hook]

    return tell


def _sweep(hook: str, folder: Path) -> Told:
    policies = [bad for bad in POLICIES if bad.hook == hook]
    _write_plugin(folder / "mine.py", hook, policies)
    names = ["kernel", *(f"bad-{number}" for number in range(len(policies)))]
    sweep = f"plugins: [./mine.py]\nsweep:\n  matrix: {{policies.{hook}: [{', '.join(names)}]}}\n"
    (folder / "asked.yaml").write_text(PRESSURE + sweep)
    errors = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        status = main(["run", "asked.yaml"])
    kept = {name: json.loads((folder / "runs" / "asked" / name / "manifest.json").read_text()) for name in names}
    assert [name for name in names if kept[name]["status"] == "succeeded"] == ["kernel"]
    return Told(status, errors.getvalue().splitlines(), {bad: number for number, bad in enumerate(policies)})


def _write_plugin(file: Path, hook: str, policies: Sequence[Bad]) -> None:
    classes = ", ".join(f"Bad{number}" for number in range(len(policies)))
    sources = [bad.source(number) for number, bad in enumerate(policies)]
    file.write_text(HEAD + "".join(sources) + END.format(hook=CLASSES[hook][2], classes=classes))


@pytest.mark.parametrize("bad", [pytest.param(bad, id=f"{bad.hook}: {bad.what}") for bad in POLICIES])
def test_a_run_fails_by_its_policy_and_alone(told, bad):
    """Status 1; one line naming policy, hook, file, line and fault; a traceback only of what the policy raised."""
    heard = told(bad.hook)
    number = heard.run[bad]
    line, *trace = heard.lines_of(bad)
    place = 3 + 5 * number + bad.line
    answered = bad.said if bad.said.startswith(".") else f" {bad.said}"
    where = f"asked.yaml: run bad-{number} failed: policy 'bad-{number}' ({bad.hook}) (mine.py:{place}): "
    assert heard.status == 1
    assert line.startswith(f"{where}Bad{number}{answered}")
    assert ours_in("\n".join(trace)) == []
    assert bool(trace) == bad.said.startswith("raised")
    if trace:
        assert trace[0] == "Traceback (most recent call last):"
        assert f'mine.py", line {place}, in ' in trace[1]


@pytest.fixture
def plugin(write):
    """Writes a plugin with one policy of a hook, `bad-0`; gives its name."""

    def put(hook, body, members="pass"):
        bad = Bad(hook, "", body, "", members)
        classes = END.format(hook=CLASSES[hook][2], classes="Bad0")
        write("asked.yaml", PRESSURE)
        return write("mine.py", HEAD + bad.source(0) + classes)

    return put


@pytest.fixture
def run(ksmlab):
    """Runs the experiment under pressure with that policy."""
    return lambda hook, *words: ksmlab("run", "asked.yaml", "-p", "mine.py", "--set", f"policies.{hook}=bad-0", *words)


@pytest.mark.parametrize("batch", ["0", "-1", "1.5", "None", "'many'"])
def test_a_policy_that_wants_no_sensible_number_is_refused(run, plugin, finished, batch):
    plugin("reclaim", "return frames.index[:n]", f"batch = {batch}")
    outcome = run("reclaim")
    outcome.refused("")
    assert "batch" in outcome.err
    finished.is_whole()


def test_a_scan_order_that_names_nothing_ends_every_pass_and_the_run_goes_on(run, plugin):
    plugin("scan", "return []")
    outcome = run("scan", "--json")
    assert (outcome.status, outcome.err) == (0, "")
    metrics = json.loads(outcome.out)["runs"][0]["metrics"]
    assert (metrics["ksm.full_scans"], metrics["ksm.pages_scanned"]) == (4, 0)


def test_a_scan_order_that_names_nothing_while_time_passes(ksmlab, plugin, write):
    """ksmd wakes, ends an empty pass, naps: it neither hangs nor spins."""
    plugin("scan", "return []")
    text = PRESSURE + "    - set: {ksm.run: 1, ksm.sleep_millisecs: 0}\n    - sleep: 100ms\n"
    words = ("-p", "mine.py", "--set", "policies.scan=bad-0", "--json")
    outcome = ksmlab("run", write("asked.yaml", text), *words)
    assert outcome.status == 0
    assert json.loads(outcome.out)["runs"][0]["metrics"]["ksm.full_scans"] in range(5, 110)


def test_a_reclaim_policy_that_names_the_same_frame_for_ever_holds_nobody_up(run, plugin):
    """A frame that stayed is not offered twice, so that naming the first one always comes to an end."""
    plugin("reclaim", "return frames.index[:1]")
    outcome = run("reclaim")
    assert (outcome.status, outcome.err) == (0, "")


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["table", "json"])
def test_the_failed_run_is_kept_and_told_in_the_document(run, plugin, finished, form):
    plugin("reclaim", "return [frames.index[0], frames.index[0]]")
    outcome = run("reclaim", *form)
    assert outcome.status == 1
    kept = json.loads((finished.path / "asked" / "s0" / "manifest.json").read_text())
    assert kept["status"] == "failed"
    assert (kept["error"]["type"], kept["error"]["file"], kept["error"]["line"]) == ("PolicyFault", "mine.py", 7)
    if form:
        [document] = json.loads(outcome.out)["runs"]
        assert (document["status"], document["error"]) == ("failed", kept["error"])


def test_with_workers_too(ksmlab, plugin, write, finished):
    plugin("swapin", "raise ValueError('no idea')")
    text = PRESSURE + "plugins: [./mine.py]\nsweep:\n  matrix: {policies.swapin: [kernel, bad-0, copy]}\n"
    outcome = ksmlab("run", write("asked.yaml", text), "-j", "2")
    outcome.failed("asked.yaml: run bad-0 failed: policy 'bad-0' (swapin) (mine.py:8): Bad0 raised ValueError: no idea")
    assert "mine.py" in outcome.err.partition("Traceback")[2]
    assert ours_in(outcome.err) == []
    statuses = {
        name: json.loads((finished.path / "asked" / name / "manifest.json").read_text())["status"]
        for name in ("kernel", "bad-0", "copy")
    }
    assert statuses == {"kernel": "succeeded", "bad-0": "failed", "copy": "succeeded"}
    finished.is_whole()
