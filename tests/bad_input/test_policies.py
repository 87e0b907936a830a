"""Policies that raise or answer nonsense: their run fails by their name, file and line, with their own traceback."""

from __future__ import annotations

import json

import pytest

from tests.bad_input.conftest import ours_in

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

PLUGIN = '''\
"""A bad policy."""
import numpy as np
from ksmlab_core.policy import {base}, Swapin, hookimpl
class Bad({base}):
    name = "bad"
    {members}
    def {method}:
        {body}
@hookimpl
def {hook}():
    return [Bad]
'''
LINE_OF_METHOD, LINE_OF_BODY = 7, 8

RECLAIM = {
    "twice": ("return [frames.index[0], frames.index[0]]", "named frame 3 twice in one answer"),
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
    "too many": ("return frames.index", "answered 104 frame numbers, but was asked for at most 32"),
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
    "too many": ("return np.arange(len(pages))", "answered 96 row numbers, but was asked for at most "),
}
ANSWERS = [
    pytest.param(hook, *answer, id=f"{hook}: {what}")
    for hook, answers in (("reclaim", RECLAIM), ("swapin", SWAPIN), ("scan", SCAN))
    for what, answer in answers.items()
]


@pytest.fixture
def plugin(write):
    """Writes a plugin with one bad policy; gives its name."""

    def put(hook, body="return []", members="pass"):
        base, method, function = CLASSES[hook]
        return write("mine.py", PLUGIN.format(base=base, method=method, hook=function, body=body, members=members))

    return put


@pytest.fixture
def run(ksmlab, write):
    """Runs the experiment under pressure with the policy `bad` of mine.py for a hook."""
    write("asked.yaml", PRESSURE)
    return lambda hook, *words: ksmlab("run", "asked.yaml", "-p", "mine.py", "--set", f"policies.{hook}=bad", *words)


@pytest.mark.parametrize(("hook", "body", "said"), ANSWERS)
def test_an_answer_that_cannot_be_carried_out(run, plugin, finished, hook, body, said):
    plugin(hook, body)
    method = CLASSES[hook][1].partition("(")[0]
    outcome = run(hook)
    outcome.failed(f"asked.yaml: run s0 failed: policy 'bad' ({hook}) (mine.py:{LINE_OF_METHOD}): Bad.{method} {said}")
    finished.is_whole()


RAISES = {
    "an error": ("raise ValueError('no idea')", "ValueError: no idea"),
    "an error without a word": ("raise KeyError", "KeyError"),
    "a division by zero": ("return 1 // 0", "ZeroDivisionError: "),
    "an attribute that is not there": ("return {columns}.colour", "AttributeError: "),
    "leaving": ("raise SystemExit(0)", "SystemExit: 0"),
    "no end of calls": ("return self.{method}({columns}{more})", "RecursionError: "),
    "no memory": ("raise MemoryError", "MemoryError"),
}


@pytest.mark.parametrize("hook", CLASSES)
@pytest.mark.parametrize("what", RAISES)
def test_a_policy_that_raises_shows_its_own_lines(run, plugin, finished, hook, what):
    body, said = RAISES[what]
    method, _, arguments = CLASSES[hook][1].partition("(self, ")
    columns, comma, rest = arguments.removesuffix(")").partition(", ")
    plugin(hook, body.format(method=method, columns=columns, more=comma + rest))
    outcome = run(hook)
    where = f"asked.yaml: run s0 failed: policy 'bad' ({hook}) (mine.py:{LINE_OF_BODY}): Bad raised {said}"
    outcome.failed(where)
    trace = outcome.err.splitlines()[1:]
    assert trace[0] == "Traceback (most recent call last):"
    assert f'mine.py", line {LINE_OF_BODY}, in {method}' in trace[1]
    finished.is_whole()


MEMBERS = {
    "in started": ("def started(self, run): 1 / 0", 6),
    "in its making": ("def __init__(self, params, rng): 1 / 0", 6),
    "in reclaimed": ("def reclaimed(self, index, outcome): 1 / 0", 6),
}


@pytest.mark.parametrize("when", MEMBERS)
def test_a_policy_that_raises_elsewhere(run, plugin, finished, when):
    members, line = MEMBERS[when]
    plugin("reclaim", "return frames.index[:1]", members)
    run("reclaim").failed(
        f"asked.yaml: run s0 failed: policy 'bad' (reclaim) (mine.py:{line}): Bad raised ZeroDivisionError: "
    )
    finished.is_whole()


@pytest.mark.parametrize("change", ["frames.mapcount[0] = 3", "frames.mapcount = None", "frames.now_ns = 0"])
def test_what_a_policy_is_shown_cannot_be_changed(run, plugin, change):
    plugin("reclaim", f"{change}; return frames.index[:1]")
    run("reclaim").failed(f"asked.yaml: run s0 failed: policy 'bad' (reclaim) (mine.py:{LINE_OF_BODY}): Bad raised ")


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
    words = ("-p", "mine.py", "--set", "policies.scan=bad", "--json")
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
    text = PRESSURE + "plugins: [./mine.py]\nsweep:\n  matrix: {policies.swapin: [kernel, bad, copy]}\n"
    outcome = ksmlab("run", write("asked.yaml", text), "-j", "2")
    outcome.failed(
        f"asked.yaml: run bad failed: policy 'bad' (swapin) (mine.py:{LINE_OF_BODY}): Bad raised ValueError: no idea"
    )
    assert "mine.py" in outcome.err.partition("Traceback")[2]
    assert ours_in(outcome.err) == []
    statuses = {
        name: json.loads((finished.path / "asked" / name / "manifest.json").read_text())["status"]
        for name in ("kernel", "bad", "copy")
    }
    assert statuses == {"kernel": "succeeded", "bad": "failed", "copy": "succeeded"}
    finished.is_whole()
