"""Whatever a file holds, reading it gives a plan or lines about bad input, and never anything else."""

from __future__ import annotations

import random
import re

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ksmlab_core.errors import BadInput
from ksmlab_core.experiment import Plan, read_experiment
from ksmlab_core.experiment.yaml_reader import parse
from ksmlab_core.policy.registry import load_registry

WHOLE = """\
experiment: t
about: a
seed: 7
kernel: {profile: seed, born_young: true}
machine: &m {memory: 64MiB, swap: 256MiB, pagevecs: per-cpu, costs: {hit: 60}, swap_start: 6}
ksm: {run: 1, pages_to_scan: 200}
policies: {reclaim: kernel, swapin: {use: kernel}}
plugins: []
workload:
  script:
  - spawn: [a, b]
  - mmap: {process: [a, b], area: x, pages: 9, advise: mergeable, flags: [locked]}
  - write: {process: a, area: x, pages: 0..3, content: {cycle: 3, from: 1}}
  - set: {ksm.run: 3, returns: EINVAL}
  - scan: {passes: 1}
  - munmap: {process: a, area: x, pages: 2}
  - fork: {process: a, child: c}
  - sample: {label: x, pages: true}
  - expect: {ksm.pages_shared: {min: 1}, process.a.ksm_pages: 1}
  - sleep: 5ms
  - measured: {label: r, row: "0/0/0/2 | 1 | 0/0/0 | a:1/0/0 | 2 | 0 | 0/0 | 0/0 | ~ | a0=-", except: {used: x}}
  - exit: b
measure: {every: 100ms, warmup: 1s}
expect: [{ksm.pages_sharing: {min: 1000}}]
sweep: {matrix: {machine.memory: [32MiB, 64MiB]}, zip: [{ksm.run: [0, 1]}], seeds: 2, max_runs: 50}
"""
ODD = [
    None, True, False, 0, -1, 1, 2**63, 2**200, 0.5, float("inf"), "", "x", "on", "010", "a.b", "..", "0..3", "64MiB",
    "-5ms", "\x00", "\ud800", "a" * 5000, [], {}, [[]], {"": 0}, {"use": 5}, {"script": [{}]}, [{"spawn": "a"}],
    {"profile": ["seed"]}, {"min": "x"}, {"a": {"b": {"c": [1, {"d": None}]}}},
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(autouse=True)
def one_registry(monkeypatch):
    """Plugins are not what is tested here."""
    registry = load_registry(autoload=False)
    monkeypatch.setattr("ksmlab_core.experiment.surroundings.load_registry", lambda *_: registry)


def look(folder, content, overrides=()):
    file = folder / "x.yaml"
    file.write_bytes(content)
    try:
        plan = read_experiment(file, overrides=overrides)
    except BadInput as error:
        lines = str(error).splitlines()
        assert lines
        assert all(line.startswith((str(file), "--set")) for line in lines), lines
        str(error).encode()
        return None
    assert isinstance(plan, Plan)
    assert plan.points
    assert all(re.fullmatch(r"[a-z0-9._-]+", run.id) for run in plan.points)
    assert len({run.id for run in plan.points}) == len(plan.points)
    return plan


fuzzing = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_the_text_that_is_mutated_is_good(folder):
    assert len(look(folder, WHOLE.encode()).points) == 8


@given(st.binary(max_size=200))
@fuzzing
def test_random_bytes(folder, content):
    look(folder, content)


@given(st.text(alphabet="ab:-{}[],&*!|>'\"#?% \n\t01.e<~", max_size=60))
@fuzzing
def test_random_punctuation(folder, text):
    look(folder, text.encode())


@given(st.randoms(use_true_random=False))
@settings(fuzzing, max_examples=150)
def test_mutated_text(folder, rng):
    text = bytearray(WHOLE.encode())
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(text))
        piece = bytes(rng.choice([b"", b"\n", b"  ", b": ", b"- ", b"{", b"]", b"*m", b"&m ", b"9", b"\xff", b"'"]))
        text[start : start + rng.randint(0, 3)] = piece
    look(folder, bytes(text))


def places(value, path=()):
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*path, key))


def changed(value, path, rng):
    """A copy with the value at a path replaced, removed, or given another key."""
    if not path:
        return rng.choice(ODD)
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(path) > 1 or rng.random() < 0.6:
        copy[path[0]] = changed(value[path[0]], path[1:], rng)
    elif isinstance(copy, dict) and rng.random() < 0.5:
        copy[rng.choice(["x", "", "a.b", "use", path[0] + "s"])] = copy.pop(path[0])
    else:
        del copy[path[0]]
    return copy


@given(st.randoms(use_true_random=False))
@settings(fuzzing, max_examples=150)
def test_mutated_values(folder, rng):
    value = yaml.safe_load(WHOLE)
    for _ in range(rng.randint(1, 3)):
        path = rng.choice(list(places(value))[1:] or [()])
        value = changed(value, path, rng)
    look(folder, yaml.safe_dump(value, allow_unicode=True, sort_keys=False).encode("utf-8", "replace"))


@given(st.randoms(use_true_random=False))
@settings(fuzzing, max_examples=100)
def test_random_overrides(folder, rng):
    keys = [".".join(map(str, path)) for path in places(yaml.safe_load(WHOLE)) if path]
    keys += ["x", "a.b", "sweep.matrix.ksm.run", "plugins.0", "workload.script.99", "kernel.x", "policies.scan.use"]
    overrides = []
    for _ in range(rng.randint(1, 3)):
        text = yaml.safe_dump(rng.choice(ODD), default_flow_style=True).strip().removesuffix("...").strip()
        overrides.append(f"{rng.choice(keys)}={text}")
    look(folder, WHOLE.encode(), overrides)


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
))  # fmt: skip
@fuzzing
def test_what_yaml_can_say_is_read_as_it_was_meant(value):
    text = yaml.safe_dump(value, allow_unicode=False)
    document = parse(text, "f")
    if not document.problems:
        assert document.data == value


def test_the_odd_values_are_various():
    assert len({repr(value) for value in ODD}) == len(ODD)
    assert random.Random(1).choice(ODD) in ODD
