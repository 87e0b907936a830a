"""What is wrong with a file: every problem at once, each in one line with its place."""

from __future__ import annotations

import pytest

GENERATED = "workload: {use: busy, processes: 2}\nplugins: [./mine.py]\n"
HEAD = "experiment: t\nkernel: seed\n" + GENERATED


def test_everything_at_once_in_the_order_of_the_lines(desk):
    lines = desk.says(
        """\
        experiment: My_Test
        kernel: sed
        seed: -1
        machine: {memory: 0, swap: 10MB, swapp: 3, pagevecs: per_cpu}
        policies: {swapin: choosey, reclaim: {use: kernel, foo: 3}, swap: x}
        plugins: [./mine.py]
        workload:
          use: busy
          proceses: 3
        measure: {every: 5 parsec, warmup: 0}
        expct: []
        """
    )
    assert [line.split(";")[0] for line in lines] == [
        "1:13: experiment: 'My_Test' is not a name for an experiment",
        "2:9: kernel: there is no profile 'sed'",
        "3:7: seed: -1 is out of range",
        "4:19: machine.memory: a machine without memory",
        "4:28: machine.swap: '10MB' has an unknown unit",
        "4:34: machine.swapp: unknown key",
        "4:54: machine.pagevecs: 'per_cpu' is not one of the choices",
        "5:20: policies.swapin: there is no swapin policy 'choosey'",
        "5:52: policies.reclaim.foo: unknown key",
        "5:61: policies.swap: there is no such hook",
        "7:1: workload.processes: missing",
        "9:3: workload.proceses: unknown key",
        "10:18: measure.every: '5 parsec' is not a duration",
        "11:1: expct: unknown key",
    ]
    assert lines[1].endswith("did you mean 'seed'?")
    assert lines[4].endswith("units: B, KiB, MiB, GiB, TiB; did you mean 'MiB'?")
    assert lines[5].endswith(
        "allowed: costs, file_pages, invariants, memory, nodes, pagevecs, swap, swap_start; did you mean 'swap'?"
    )
    assert lines[6].endswith("allowed: drained, per-cpu; did you mean 'per-cpu'?")
    assert lines[7].endswith("did you mean 'choosy'?")
    assert lines[9].endswith("allowed: reclaim, scan, swapin; did you mean 'swapin'?")
    assert lines[10].endswith("it has to be given")
    assert lines[11].endswith("allowed: processes, shares; did you mean 'processes'?")
    assert lines[13].endswith("did you mean 'expect'?")


def test_problems_of_yaml_and_of_meaning_come_together(desk):
    assert desk.says(HEAD + "seed: 010\nseed: 3\nksm: {run: 9}\n") == [
        "5:7: seed: 010 could be read to base 8, to base 10 or as a text; write 10, or '010' in quotes",
        "6:1: seed: duplicate key; it was given in line 5 already",
        "7:12: ksm.run: 9 is out of range; 0 to 2",
    ]


@pytest.mark.parametrize("key", ["experiment", "kernel", "workload"])
def test_what_has_to_be_given(desk, key):
    text = "".join(line for line in HEAD.splitlines(keepends=True) if not line.startswith(key))
    assert desk.says(text) == [f"1:1: {key}: missing; it has to be given"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("about: 5", "5:8: about: 5 is not a text"),
        ("about:", "5:7: about: nothing is not a text"),
        ("seed: x", "5:7: seed: 'x' is not a whole number"),
        ("seed: 1.5", "5:7: seed: 1.5 is not a whole number"),
        ("seed: 9223372036854775808", "5:7: seed: 9223372036854775808 is out of range; at most 9223372036854775807"),
        ("machine: big", "5:10: machine: 'big' is not a mapping"),
        (
            "machine: {memory: 1000}",
            "5:19: machine.memory: 1000 is not a number of whole pages; a multiple of 4096 bytes",
        ),
        (
            "machine: {memory: 0.5KiB}",
            "5:19: machine.memory: '0.5KiB' is not a number of whole pages; a multiple of 4096 bytes",
        ),
        (
            "machine: {memory: -4096}",
            "5:19: machine.memory: -4096 is not a number of whole pages; a multiple of 4096 bytes",
        ),
        ("machine: {memory: 64}", "5:19: machine.memory: 64 is not a number of whole pages; a multiple of 4096 bytes"),
        (
            "machine: {memory: 1e6}",
            "5:19: machine.memory: 1000000.0 is not a size; a number and a unit such as 64MiB, or bytes",
        ),
        (
            "machine: {memory: true}",
            "5:19: machine.memory: true is not a size; a number and a unit such as 64MiB, or bytes",
        ),
        (
            "machine: {memory: 64 gb}",
            "5:19: machine.memory: '64 gb' has an unknown unit; units: B, KiB, MiB, GiB, TiB; did you mean 'GiB'?",
        ),
        (
            "machine: {memory: 8TiB}",
            "5:19: machine.memory: '8TiB' is more than can be simulated; at most 2147483647 pages (8 TiB)",
        ),
        (
            "machine: {swap: 1MiB, swap_start: 257}",
            "5:35: machine.swap_start: there is no slot 257; at most 256, the number of slots",
        ),
        ("machine: {swap_start: 0}", "5:23: machine.swap_start: 0 is out of range; at least 1"),
        (
            "machine: {costs: defaul}",
            "5:18: machine.costs: there is no cost table 'defaul'; allowed: default, free; did you mean 'default'?",
        ),
        (
            "machine: {costs: {copi: 3}}",
            "5:18: machine.costs: there is no event 'copi'; allowed: …; did you mean 'copy'?",
        ),
        (
            "machine: {costs: {copy: -3}}",
            "5:18: machine.costs: -3 is not a duration; a number and a unit (…) such as 20ms, or whole nanoseconds",
        ),
        (
            "machine: {costs: 3}",
            "5:18: machine.costs: 3 is not a cost table; default, free, or a mapping of events to durations",
        ),
        (
            "machine: {invariants: on}",
            "5:23: machine.invariants: 'on' is not one of the choices; allowed: never, samples, steps",
        ),
        ("ksm: [run]", "5:6: ksm: a list is not a mapping; knob: value"),
        (
            "ksm: {pages_to_scam: 1}",
            "5:7: ksm.pages_to_scam: profile seed has no such knob; allowed: …; did you mean 'pages_to_scan'?",
        ),
        ("ksm: {run: true}", "5:12: ksm.run: true is not a whole number; 0 to 2"),
        ("ksm: {run: '1'}", "5:12: ksm.run: '1' is not a whole number; 0 to 2"),
        ("ksm: {run: 3}", "5:12: ksm.run: 3 is out of range; 0 to 2"),
        ("ksm: {pages_to_scan: 4294967296}", "5:22: ksm.pages_to_scan: 4294967296 is out of range; 0 to 4294967295"),
        ("policies: kernel", "5:11: policies: 'kernel' is not a mapping; allowed: reclaim, scan, swapin"),
        ("policies: {scan: 5}", "5:18: policies.scan: 5 is not a name; allowed: …"),
        ("policies: {scan: {budget: 3}}", "5:12: policies.scan.use: missing; allowed: …"),
        ("policies: {scan: {use: choosy, budget: 0}}", "5:40: policies.scan.budget: 0 is out of range; at least 1"),
        (
            "policies: {scan: {use: choosy, budget: 101}}",
            "5:40: policies.scan.budget: 101 is out of range; at most 100",
        ),
        ("policies: {scan: {use: choosy, budget: '8'}}", "5:40: policies.scan.budget: should be a number, not '8'"),
        ("policies: {scan: {use: choosy, budget: yes}}", "5:40: policies.scan.budget: should be a number, not 'yes'"),
        (
            "policies: {scan: {use: choosy, eager: yes}}",
            "5:39: policies.scan.eager: 'yes' is not true or false; write true or false",
        ),
        ("policies: {scan: {use: choosy, eager: 1}}", "5:39: policies.scan.eager: 1 is not true or false"),
        (
            "policies: {scan: {use: choosy, mode: loud}}",
            "5:38: policies.scan.mode: 'loud' has not the right form; it has to match ^(soft|hard)$",
        ),
        (
            "policies: {scan: {use: choosy, budgte: 3}}",
            "5:32: policies.scan.budgte: unknown key; allowed: budget, eager, mode; did you mean 'budget'?",
        ),
        (
            "policies: {scan: {use: choosy, budget: 3}, swapin: {use: choosy, budget: 4}}",
            "5:40: policies.scan.budget: 3 here, 4 at another hook; one choosy fills both hooks, …parameters",
        ),
        ("measure: {every: 0}", "5:18: measure.every: an interval of zero; at least 1ns"),
        (
            "measure: {every: 1:30}",
            "5:18: measure.every: '1:30' is not a duration; a number and a unit (…) such as 20ms, or whole nanoseconds",
        ),
        (
            "measure: {warmup: 0.5ns}",
            "5:19: measure.warmup: '0.5ns' is not a duration; …",
        ),
        ("expect: {ksm.pages_shared: 1}", "5:9: expect: a mapping is not a list"),
        (
            "expect: [{ksm.pages_shard: 1}]",
            "5:11: expect.0.ksm.pages_shard: profile seed has no such metric; did you mean 'ksm.pages_shared'?",
        ),
        (
            "expect: [{ksm.pages_shared: lots}]",
            "5:29: expect.0.ksm.pages_shared: 'lots' is not something a metric can be; a number, or {min: a, max: b}",
        ),
        (
            "expect: [{ksm.pages_shared: {mn: 1}}]",
            "5:29: expect.0.ksm.pages_shared: unknown key 'mn'; allowed: max, min; did you mean 'min'?",
        ),
        (
            "expect: [{ksm.pages_shared: {min: true}}]",
            "5:29: expect.0.ksm.pages_shared: min is true; a number, or {min: a, max: b}",
        ),
        (
            "expect: [{ksm.pages_shared: {min: 2, max: 1}}]",
            "5:29: expect.0.ksm.pages_shared: nothing is at least 2 and at most 1; a number, or {min: a, max: b}",
        ),
        (
            "expect: [{process.a.resident_page: 1}]",
            "5:11: expect.0.process.a.resident_page: profile …; did you mean 'process.a.resident_pages'?",
        ),
        ("expect: [{}]", "5:10: expect.0: 0 items; at least 1"),
        ('"bad\\nkey": 1', "5:1: 'bad\\nkey': unknown key; allowed: about, …, workload"),
    ],
)
def test_one_wrong_value(desk, line, message):
    (said,) = desk.says(HEAD + line + "\n")
    beginning, _, end = message.partition("…")
    assert said.startswith(beginning)
    assert said.endswith(end)
    assert "…" in message or said == message


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        ("", "2:8: kernel: missing; allowed: seed, v2.6.33"),
        ("v9.9", "2:9: kernel: there is no profile 'v9.9'; allowed: seed, v2.6.33"),
        ("[seed]", "2:9: kernel: there is no profile a list; allowed: seed, v2.6.33"),
        ("{born_young: false}", "2:1: kernel.profile: missing; it has to be given"),
        (
            "{profile: sead}",
            "2:19: kernel.profile: there is no profile 'sead'; allowed: seed, v2.6.33, v6.1, v6.18, v6.8; did you mean 'seed'?",
        ),
        (
            "{profile: seed, born_young: 1}",
            "2:37: kernel.born_young: 1 is not known in this version; allowed: false, true",
        ),
        ("{profile: seed, born_yung: true}", "2:25: kernel.born_yung: unknown switch; …did you mean 'born_young'?"),
        (
            "{profile: seed, rmap_mode: items}",
            "2:36: kernel.rmap_mode: 'items' is not known …; did you mean 'items-only'?",
        ),
        (
            "{profile: seed, free_node_on_last_item: false}",
            "2:49: kernel.free_node_on_last_item: a node that holds a reference on its page and stays without items would "
            "keep the page for ever; free_node_on_last_item: true, or node_holds_ref: false",
        ),
        (
            "{profile: v2.6.33, node_holds_ref: true}",
            "2:9: kernel: a node that holds a reference …; free_node_on_last_item: true, or node_holds_ref: false",
        ),
    ],
)
def test_wrong_kernels(desk, kernel, message):
    (said,) = desk.says(f"experiment: t\nkernel: {kernel}\n{GENERATED}")
    beginning, _, end = message.partition("…")
    assert said.startswith(beginning)
    assert said.endswith(end)


@pytest.mark.parametrize(
    ("workload", "message"),
    [
        ("", "4:10: workload: nothing is not a workload; {use: NAME, ...} or {script: [...]}"),
        ("busy", "4:11: workload: 'busy' is not a workload; {use: NAME, ...} or {script: [...]}"),
        ("{processes: 2}", "4:1: workload.use: missing; {use: NAME, ...} or {script: [...]}"),
        ("{use: bussy, processes: 2}", "4:17: workload.use: there is no workload 'bussy'; …did you mean 'busy'?"),
        ("{use: busy}", "4:1: workload.processes: missing; it has to be given"),
        ("{use: busy, processes: 2, shares: [1, a]}", "4:49: workload.shares.1: 'a' is not a number"),
        ("{use: busy, processes: 2, shares: 1}", "4:45: workload.shares: 1 is not a list"),
        ("{script: 3}", "4:20: workload.script: 3 is not a list of steps; …"),
        ("{script: []}", "4:20: workload.script: nothing is not a list of steps; …"),
        ("{script: [{spawn: a}], use: x}", "4:34: workload.use: unknown key beside a script; allowed: script"),
    ],
)
def test_wrong_workloads(desk, workload, message):
    (said,) = desk.says(f"experiment: t\nkernel: seed\nplugins: [./mine.py]\nworkload: {workload}\n")
    beginning, _, end = message.partition("…")
    assert said.startswith(beginning)
    assert said.endswith(end)


def test_more_memory_than_this_computer_can_simulate(desk, monkeypatch):
    monkeypatch.setattr("ksmlab_core.experiment.settings.physical_memory", lambda: 2**30)
    assert desk.says(HEAD + "machine: {memory: 16GiB, swap: 17GiB}\n") == [
        "5:32: machine.swap: memory and swap of 33.0 GiB need 1.0 GiB to simulate (128 B a page),"
        " this computer has 1.0 GiB; at most 32.0 GiB in all"
    ]
    desk.read(HEAD + "machine: {memory: 16GiB, swap: 16GiB}\n")


def test_plugins_that_cannot_be_used(desk):
    head = "experiment: t\nkernel: seed\nworkload: {use: busy, processes: 2}\n"
    assert desk.says(head + "plugins: ./mine.py\n")[0] == "4:10: plugins: './mine.py' is not a list"
    (line,) = desk.says(head + "plugins: [./mine.py, ./absent.py]\n")
    assert line.startswith("4:22: plugins.1: ")
    assert "absent.py" in line
    (desk.folder / "broken.py").write_text("1 +\n", encoding="utf-8")
    lines = desk.says(head + "plugins:\n- ./broken.py\nksm: {run: 9}\n")
    assert lines[0].startswith("5:3: plugins.0: ")
    assert lines[1] == "6:12: ksm.run: 9 is out of range; 0 to 2"
    assert len(lines) == 2, "nobody knows what the plugin would have brought, so nothing is missed"
    (line,) = desk.says(head + "plugins: [3]\n")[:1]
    assert line == "4:11: plugins.0: 3 is not a text"


def test_a_plugin_of_the_command_line(desk, monkeypatch):
    head = "experiment: t\nkernel: seed\nworkload: {use: busy, processes: 2}\n"
    monkeypatch.chdir(desk.folder)
    run = desk.only(head, plugins=["mine.py"])
    assert run.plugins == [str(desk.folder / "mine.py")]
    (line,) = desk.says(head, plugins=["absent.py"])
    assert "absent.py" in line


def test_a_plugin_whose_validation_raises_is_named(desk):
    (desk.folder / "odd.py").write_text(
        '"""Odd."""\n'
        "from pydantic import field_validator\n"
        "from ksmlab_core.policy import Field, SwapinPolicy, hookimpl\n\n\n"
        "class Odd(SwapinPolicy):\n"
        '    name = "odd"\n\n'
        "    class Params(SwapinPolicy.Params):\n"
        '        level: int = Field(1, description="level")\n\n'
        '        @field_validator("level")\n'
        "        def look(cls, value):\n"
        "            return {}[value]\n\n"
        "    def decide(self, fault):\n"
        "        return None\n\n\n"
        "@hookimpl\n"
        "def ksmlab_swapin_policies():\n"
        "    return [Odd]\n",
        encoding="utf-8",
    )
    text = HEAD.replace("./mine.py", "./mine.py, ./odd.py") + "policies: {swapin: {use: odd, level: 7}}\n"
    (line,) = desk.says(text)
    assert line.endswith("odd.py: the parameters of 'odd' raised KeyError: 7")


def test_the_file_name_begins_each_line(desk):
    from ksmlab_core.errors import Problems

    with pytest.raises(Problems) as caught:
        desk.read(HEAD + "sed: 1\n")
    assert str(caught.value).startswith(f"{desk.file}:5:1: sed: unknown key")
