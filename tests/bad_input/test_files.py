"""Experiment files that cannot be carried out: a line per problem, status 2, and nothing is begun."""

from __future__ import annotations

import pytest

HEAD = "experiment: bad\nkernel: seed\nmachine: {memory: 256KiB, swap: 1MiB}\n"
SCRIPT = (
    HEAD
    + """\
workload:
  script:
    - spawn: [a, b]
    - mmap: {process: [a, b], area: heap, pages: 8, advise: mergeable}
"""
)

ITEMS = {
    "key": (HEAD + "machin: 1\nworkload: {use: zipf}\n", "4:1: machin: unknown key; allowed: "),
    "key deep inside": (
        HEAD.replace("swap:", "swop:") + "workload: {use: zipf}\n",
        "3:27: machine.swop: unknown key; allowed: costs, file_pages, invariants, memory, nodes, pagevecs, swap, swap_start; "
        "did you mean 'swap'?",
    ),
    "policy": (
        HEAD + "policies: {swapin: remurge}\nworkload: {use: zipf}\n",
        "4:20: policies.swapin: there is no swapin policy 'remurge'; allowed: copy, defer, kernel, remerge; "
        "did you mean 'remerge'?",
    ),
    "parameter": (
        HEAD + "policies: {swapin: {use: remerge, min_sharer: 2}}\nworkload: {use: zipf}\n",
        "4:35: policies.swapin.min_sharer: unknown key; allowed: min_sharers; did you mean 'min_sharers'?",
    ),
    "hook": (
        HEAD + "policies: {swapout: kernel}\nworkload: {use: zipf}\n",
        "4:12: policies.swapout: there is no such hook; allowed: reclaim, scan, swapin",
    ),
    "workload": (HEAD + "workload: {use: zipfy}\n", "4:17: workload.use: there is no workload 'zipfy'; allowed: "),
    "kernel": (HEAD.replace("seed", "sed") + "workload: {use: zipf}\n", "2:9: kernel: there is no profile 'sed'"),
    "knob": (HEAD + "ksm: {runn: 1}\nworkload: {use: zipf}\n", "4:7: ksm.runn: profile seed has no such knob"),
    "metric": (
        SCRIPT + "    - expect: {vm.pswpinn: 0}\n",
        "8:16: workload.script.2.expect.vm.pswpinn: profile seed has no such metric; did you mean 'vm.pswpin'?",
    ),
    "step": (
        SCRIPT + "    - mmapp: {process: a}\n",
        "8:7: workload.script.2.mmapp: there is no such step; allowed: exit, ",
    ),
    "process": (
        SCRIPT + "    - read: {process: c, area: heap}\n",
        "8:23: workload.script.2.read.process: there is no process c yet; processes: a, b",
    ),
    "area": (
        SCRIPT + "    - read: {process: a, area: haep}\n",
        "8:32: workload.script.2.read.area: a has no area haep; a has: heap; did you mean 'heap'?",
    ),
    "range past the end": (
        SCRIPT + "    - read: {process: a, area: heap, pages: 0..8}\n",
        "8:45: workload.script.2.read.pages: page 8 is past the end of heap; it has 8 pages, 0..7",
    ),
    "page past the end": (
        SCRIPT + "    - write: {process: b, area: heap, pages: 8, content: x}\n",
        "8:46: workload.script.2.write.pages: page 8 is past the end of heap; it has 8 pages, 0..7",
    ),
    "write to a process that has exited": (
        SCRIPT + "    - exit: b\n    - write: {process: b, area: heap, content: x}\n",
        "9:24: workload.script.3.write.process: process b has exited in line 8",
    ),
    "duplicate key": (
        HEAD + "seed: 1\nworkload: {use: zipf}\nseed: 2\n",
        "6:1: seed: duplicate key; it was given in line 4 already",
    ),
    "memory of zero": (
        HEAD.replace("256KiB", "0") + "workload: {use: zipf}\n",
        "3:19: machine.memory: a machine without memory",
    ),
    "memory beyond what can be named": (
        HEAD.replace("256KiB", "9TiB") + "workload: {use: zipf}\n",
        "3:19: machine.memory: '9TiB' is more than can be simulated",
    ),
    "no YAML": ("experiment: [bad\n", "2:1: this is not YAML: "),
}


@pytest.mark.parametrize("form", [("run",), ("run", "--json"), ("plan",)], ids=["run", "json", "plan"])
@pytest.mark.parametrize("what", ITEMS)
def test_one_line_with_the_place(ksmlab, finished, write, what, form):
    text, line = ITEMS[what]
    outcome = ksmlab(form[0], write("bad.yaml", text), *form[1:])
    outcome.refused(f"bad.yaml:{line}")
    finished.is_whole()


def test_several_problems_are_several_lines(ksmlab, finished, write):
    text = HEAD + "seed: -1\nmachin: 1\npolicies: {scan: x}\nworkload: {use: zipf}\n"
    ksmlab("run", write("bad.yaml", text)).refused(
        "bad.yaml:4:7: seed: ", "bad.yaml:5:1: machin: ", "bad.yaml:6:18: policies.scan: "
    )
    finished.is_whole()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere.yaml", "nowhere.yaml: the file cannot be read: No such file or directory"),
        ("folder", "folder: this is not a file"),
    ],
)
def test_a_file_that_is_none(ksmlab, finished, here, name, said):
    (here / "folder").mkdir()
    ksmlab("run", name).refused(said)
    finished.is_whole()


@pytest.mark.parametrize("data", [b"", b"\xff\xfe\x00", b"\x00" * 50, b"experiment: a\n\x07"])
def test_a_file_that_is_no_text(ksmlab, finished, here, data):
    (here / "bad.yaml").write_bytes(data)
    ksmlab("run", "bad.yaml").refused("bad.yaml:")
    finished.is_whole()


def test_a_bad_point_of_a_sweep_is_found_before_the_first_run(ksmlab, finished, write):
    text = HEAD + "workload: {use: zipf}\nsweep:\n  matrix: {policies.swapin: [kernel, remurge]}\n"
    outcome = ksmlab("run", write("bad.yaml", text))
    outcome.refused("bad.yaml:6:")
    assert "'remurge'" in outcome.err
    finished.is_whole()
    assert not (finished.path / "bad").exists()


@pytest.mark.parametrize(
    "setting", ["machin.memory=1MiB", "machine.memory=0", "policies.swapin=remurge", "memory", "=1", ""]
)
def test_a_bad_setting_of_the_command_line(ksmlab, finished, write, setting):
    outcome = ksmlab("run", write("good.yaml", HEAD + "workload: {use: zipf}\n"), "--set", setting)
    assert (outcome.status, outcome.out, len(outcome.complaints)) == (2, "", 1)
    finished.is_whole()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nowhere_to_be_found\n", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("x = 1 +\n", "SyntaxError"),
        ("1 / 0\n", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)\n", "SystemExit"),
        ("", "no "),
    ],
    ids=["import", "syntax", "raises", "leaves", "empty"],
)
def test_a_plugin_that_cannot_be_loaded(ksmlab, finished, write, text, said):
    outcome = ksmlab("run", write("good.yaml", HEAD + "workload: {use: zipf}\n"), "-p", write("mine.py", text))
    outcome.refused("")
    assert "mine.py" in outcome.err
    assert said in outcome.err
    finished.is_whole()
