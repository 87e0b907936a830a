"""--set key=value."""

from __future__ import annotations

import pytest

HEAD = """\
experiment: t
kernel: seed
plugins: [./mine.py]
machine: {memory: 64MiB}
policies: {swapin: choosy}
workload: {use: busy, processes: 2}
sweep: {matrix: {ksm.run: [0, 1]}}
"""


def test_overrides_apply_in_order_over_the_file(desk):
    runs = desk.read(
        HEAD,
        overrides=[
            "machine.memory=16MiB",
            "machine.memory=32MiB",
            "measure.every = 10ms",
            "policies.swapin.budget=3",
            "kernel.born_young=false",
            "sweep.seeds=[4, 5]",
            "workload.shares=[1, 2.5]",
            "about=on a = b",
        ],
    ).points
    assert [run.id for run in runs] == ["run0-s4", "run0-s5", "run1-s4", "run1-s5"]
    assert runs[0].machine["frames"] == 8192
    assert runs[0].measure["every_ns"] == 10_000_000
    assert runs[0].policies["swapin"]["params"]["budget"] == 3
    assert runs[0].kernel["switches"] == {"born_young": False}
    assert runs[0].workload["params"]["shares"] == [1.0, 2.5]
    assert runs[0].provenance["machine.memory"] == "--set machine.memory=32MiB"


def test_the_keys_of_a_matrix_are_dotted_themselves(desk):
    runs = desk.read(HEAD, overrides=["sweep.matrix.machine.memory=[1MiB, 2MiB]"]).points
    assert [run.id for run in runs] == ["run0-1mib", "run0-2mib", "run1-1mib", "run1-2mib"]
    assert len(desk.read(HEAD, overrides=["sweep="]).points) == 1


def test_a_step_of_a_script_can_be_reached(desk):
    text = desk.script("spawn: a", "scan: {passes: 1}")
    run = desk.only(text, overrides=["workload.script.1.scan.passes=3"])
    assert run.workload["script"][1].args["passes"] == 3
    run = desk.only(text, overrides=["workload.script=[{spawn: z}]"])
    assert [(step.args, step.line) for step in run.workload["script"]] == [({"process": ["z"]}, 0)]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("machine.memory", "machine.memory: not a setting; key=value, as machine.memory=64MiB"),
        ("=3", "not a setting; key=value, as machine.memory=64MiB"),
        ("a..b=3", "a..b: not a setting; key=value, as machine.memory=64MiB"),
        ("machine.memory=0", "machine.memory: a machine without memory; at least one page: 4096 bytes"),
        ("machine.memroy=1", "machine.memroy: unknown key; …did you mean 'memory'?"),
        ("sed=1", "sed: unknown key; …did you mean 'seed'?"),
        ("seed=010", "seed: 010 could be read to base 8, to base 10 or as a text; write 10, or '010' in quotes"),
        ("seed={a: 1, a: 2}", "seed: duplicate key; it was given in line 1 already"),
        ("seed=[", "seed: this is not YAML: …"),
        ("seed=!!python/name:os.system x", "seed: the tag '!!python/name:os.system' is not allowed; plain values only"),
        ("machine.memory.x=1", "machine.memory.x: machine.memory is '64MiB', which has no keys; a key of a mapping"),
        ("plugins.1=x", "plugins.1: plugins has no item '1'; a position from 0 to 0"),
        ("plugins.x=x", "plugins.x: plugins has no item 'x'; a position from 0 to 0"),
        ("ksm.run=1", "ksm.run: the sweep sets ksm.run (line 7); set sweep.* instead"),
        ("policies.scan.use=hot", "policies.scan.use: there is no scan order 'hot'; …"),
        ("seed=\udcff", "seed: the character U+DCFF is not allowed in YAML"),
    ],
)
def test_wrong_overrides_name_themselves(desk, override, message):
    (said,) = desk.says(HEAD, overrides=[override])
    beginning, _, end = message.partition("…")
    source = override.replace("\udcff", "\\udcff")
    assert said.startswith(f"--set {source}: {beginning}")
    assert said.endswith(end)
    said.encode()


def test_problems_of_file_and_overrides_come_together(desk):
    lines = desk.says(HEAD + "measure: {evry: 3}\n", overrides=["machine.swap=-1", "nonsense"])
    assert sorted(line.partition(":")[0] for line in lines) == ["--set machine.swap=-1", "--set nonsense", "8"]


def test_a_long_override_is_shortened(desk):
    (said,) = desk.says(HEAD, overrides=["about=[" + "x" * 500 + "]"])
    assert len(said) < 200
