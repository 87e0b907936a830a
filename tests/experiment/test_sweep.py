"""Sweeps: which points there are, in which order, under which names, and what is refused."""

from __future__ import annotations

import itertools
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmlab_core.experiment.complaints import Complaints
from ksmlab_core.experiment.document import Document
from ksmlab_core.experiment.ids import point_ids
from ksmlab_core.experiment.models import Sweep
from ksmlab_core.experiment.places import Places
from ksmlab_core.experiment.sweep import Setting, expand

HEAD = """\
experiment: t
seed: 7
kernel: seed
plugins: [./mine.py]
machine: {memory: 64MiB}
workload: {use: busy, processes: 2}
"""


def swept(desk, sweep, **options):
    return desk.read(HEAD + "sweep:\n" + sweep, **options).points


def test_without_a_sweep_there_is_one_run(desk):
    run = desk.only(HEAD)
    assert (run.id, run.seed, run.point) == ("s7", 7, {})


def test_a_matrix_is_every_combination_first_key_slowest(desk):
    runs = swept(desk, "  matrix: {policies.swapin: [kernel, choosy], machine.memory: [32MiB, 64MiB]}\n")
    assert [run.id for run in runs] == ["kernel-32mib", "kernel-64mib", "choosy-32mib", "choosy-64mib"]
    assert [(run.policies["swapin"]["use"], run.machine["frames"]) for run in runs] == [
        ("kernel", 8192),
        ("kernel", 16384),
        ("choosy", 8192),
        ("choosy", 16384),
    ]
    assert runs[1].point == {"policies.swapin": "kernel", "machine.memory": "64MiB"}
    assert {run.seed for run in runs} == {7}


def test_a_block_of_zip_is_one_dimension(desk):
    runs = swept(
        desk,
        "  matrix: {ksm.run: [0, 1]}\n  zip:\n  - {workload.processes: [2, 4], machine.memory: [8MiB, 16MiB]}\n",
    )
    assert [run.id for run in runs] == [
        "run0-processes2-8mib",
        "run0-processes4-16mib",
        "run1-processes2-8mib",
        "run1-processes4-16mib",
    ]
    assert [run.workload["params"]["processes"] for run in runs] == [2, 4, 2, 4]


def test_seeds_are_counted_up_or_listed_and_go_fastest(desk):
    runs = swept(desk, "  matrix: {ksm.run: [0, 1]}\n  seeds: 2\n")
    assert [(run.id, run.seed) for run in runs] == [
        ("run0-s7", 7),
        ("run0-s8", 8),
        ("run1-s7", 7),
        ("run1-s8", 8),
    ]
    assert [run.id for run in swept(desk, "  seeds: [3, 1]\n")] == ["s3", "s1"]
    assert [run.id for run in swept(desk, "  matrix: {ksm.run: [0]}\n  seeds: [3]\n")] == ["run0-s3"]
    assert all("seed" not in run.point for run in runs), "runs that differ in their seed are one point"


def test_exclude_takes_out_of_the_grid_what_has_all_its_values(desk):
    sweep = "  matrix: {policies.swapin: [kernel, {use: choosy, budget: 9}], ksm.run: [0, 1]}\n  exclude: [%s]\n"
    for pattern in ("policies.swapin.use: choosy, ksm.run: 1", "policies.swapin.budget: 9, ksm.run: 1"):
        runs = swept(desk, sweep % f"{{{pattern}}}")
        assert [run.id for run in runs] == ["kernel-run0", "kernel-run1", "choosy-budget9-run0"]
    runs = swept(desk, sweep % "{policies.swapin: {use: kernel}}, {ksm.run: 0}")
    assert [run.id for run in runs] == ["choosy-budget9-run1"]


def test_include_adds_whole_points_after_the_grid(desk):
    runs = swept(
        desk,
        "  matrix: {ksm.run: [0, 1]}\n  exclude: [{ksm.run: 1}]\n  include: [{ksm.run: 1, machine.swap: 1MiB}]\n",
    )
    assert [run.point for run in runs] == [{"ksm.run": 0}, {"ksm.run": 1, "machine.swap": "1MiB"}]
    runs = swept(desk, "  include: [{ksm.run: 1}, {ksm.run: 2}]\n")
    assert [run.id for run in runs] == ["run1", "run2"]


def test_shorthands_open_when_something_inside_is_swept(desk):
    base = HEAD.replace("kernel: seed", "kernel: seed\npolicies: {swapin: choosy}")
    runs = desk.read(
        base + "sweep:\n  matrix: {policies.swapin.budget: [1, 2], kernel.born_young: [true, false]}\n"
    ).points
    assert [run.id for run in runs] == [
        "budget1-born_young-true",
        "budget1-born_young-false",
        "budget2-born_young-true",
        "budget2-born_young-false",
    ]
    assert runs[3].policies["swapin"]["params"]["budget"] == 2
    assert runs[3].kernel == {"profile": "seed", "switches": {"born_young": False}}


def test_what_is_set_inside_goes_over_what_is_set_around_it(desk):
    runs = swept(desk, "  matrix: {policies.swapin.budget: [3], policies.swapin: [choosy]}\n")
    assert runs[0].policies["swapin"] == {
        "use": "choosy",
        "params": {"budget": 3, "eager": False, "mode": "soft"},
    }


def test_a_place_in_a_script_can_be_swept(desk):
    text = desk.script("spawn: a", "scan: {passes: 1}") + "sweep: {matrix: {workload.script.1.scan.passes: [1, 2]}}\n"
    runs = desk.read(text).points
    assert [run.workload["script"][1].args["passes"] for run in runs] == [1, 2]
    assert [run.id for run in runs] == ["passes1", "passes2"]


def test_what_the_sweep_gives_need_not_be_in_the_file(desk):
    text = HEAD.replace(", processes: 2", "") + "sweep: {matrix: {workload.processes: [2, 3]}}\n"
    assert [run.workload["params"]["processes"] for run in desk.read(text).points] == [2, 3]


def test_provenance_names_the_line_that_counted(desk):
    runs = swept(desk, "  matrix:\n    machine.memory: [32MiB]\n  seeds: 2\n", overrides=["ksm.run=1"])
    assert runs[0].provenance == {
        "seed": 10,
        "kernel": 3,
        "machine.memory": 9,
        "workload.use": 6,
        "workload.processes": 6,
        "ksm.run": "--set ksm.run=1",
    }


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ("matrix: {machine.memroy: [1MiB, 2MiB]}", "8:12: machine.memroy: unknown key; …did you mean 'memory'?"),
        ("matrix: {machine.memory: [1MiB, 0]}", "8:35: machine.memory: a machine without memory; …"),
        ("matrix: {machine.memory: []}", "8:28: sweep.matrix.machine.memory: 0 items; at least 1"),
        ("matrix: {machine.memory: 1MiB}", "8:28: sweep.matrix.machine.memory: '1MiB' is not a list"),
        ("matrix: {machine.memory.x: [1]}", "8:12: sweep.matrix.machine.memory.x.0: machine.memory is '64MiB', …"),
        ("matrix: {machine..memory: [1]}", "8:12: sweep.matrix.machine..memory: a dotted key with an empty part; …"),
        ("matrix: {about: [x]}", "8:12: sweep.matrix.about: 'about' cannot be swept; allowed: kernel, …"),
        (
            "matrix: {mashine.memory: [x]}",
            "8:12: sweep.matrix.mashine.memory: 'mashine' cannot be swept; …did you mean 'machine'?",
        ),
        (
            "matrix: {seed: [1, 2]}",
            "8:12: sweep.matrix.seed: a seed cannot be swept like this; sweep.seeds: 5, or a list",
        ),
        ("matrix: {ksm.run: [1, 1]}", "8:25: sweep.matrix.ksm.run.1: the same point twice; each point once"),
        (
            "matrix: {policies.scan: [kernel, {use: kernel}]}",
            "8:36: sweep.matrix.policies.scan.1: the same point twice; …",
        ),
        ("matrix: {ksm.run: [1]}\n  zip: [{ksm.run: [2]}]", "9:10: sweep.zip.0.ksm.run: swept twice; …"),
        (
            "zip: [{ksm.run: [0, 1], machine.swap: [0]}]",
            "8:9: sweep.zip.0: lists of different lengths: ksm.run has 2, machine.swap has 1; equal lengths",
        ),
        ("zip: [{}]", "8:9: sweep.zip.0: 0 items; at least 1"),
        ("zip: {ksm.run: [0]}", "8:8: sweep.zip: a mapping is not a list"),
        ("matrix: {ksm.run: [0]}\n  exclude: [{ksm.run: 1}]", "9:13: sweep.exclude.0: excludes nothing; …"),
        (
            "matrix: {ksm.run: [0]}\n  exclude: [{ksm.rum: 0}]",
            "9:14: sweep.exclude.0.ksm.rum: the sweep does not set this; allowed: ksm.run; did you mean 'ksm.run'?",
        ),
        ("matrix: {ksm.run: [0]}\n  exclude: [{ksm.run: 0}]", "8:3: sweep.exclude: the sweep leaves no point"),
        ("matrix: {ksm.run: [0]}\n  include: [{ksm.run: 0}]", "9:23: sweep.include.0.ksm.run: the same point twice; …"),
        ("include: [{}]", "8:13: sweep.include.0: 0 items; at least 1"),
        ("seeds: 0", "8:10: sweep.seeds: 0 seeds; 1 to 100000, or a list of seeds"),
        ("seeds: []", "8:10: sweep.seeds: a list is not a number of seeds; a number of seeds, or a list of seeds"),
        ("seeds: [1, -1]", "8:10: sweep.seeds: -1 is not a seed; …"),
        ("seeds: [1, 1]", "8:10: sweep.seeds: the seed 1 is given twice"),
        ("seeds: 501", "7:1: sweep: the sweep expands to 501 runs; at most 500, or raise sweep.max_runs"),
        ("seeds: 5\n  max_runs: 4", "7:1: sweep: the sweep expands to 5 runs; at most 4, or raise sweep.max_runs"),
        ("max_runs: 0", "8:13: sweep.max_runs: 0 is out of range; at least 1"),
        ("matirx: {ksm.run: [1]}", "8:3: sweep.matirx: unknown key; …did you mean 'matrix'?"),
        (
            "matrix: {policies.swapin: [kernel, choosy], policies.swapin.budget: [3]}",
            "8:47: policies.swapin.budget: unknown key",
        ),
        ("matrix: {workload: [busy]}", "8:23: workload: 'busy' is not a workload; …"),
    ],
)
def test_wrong_sweeps(desk, sweep, message):
    (said,) = desk.says(HEAD + f"sweep:\n  {sweep}\n")
    beginning, _, end = message.partition("…")
    if message.startswith("8:3: sweep.exclude"):
        beginning = beginning.replace("8:3", "9:12")
    assert said.startswith(beginning)
    assert said.endswith(end)
    assert "…" in message or len(said) == len(beginning)


def test_a_problem_that_only_some_points_have_names_one(desk):
    text = HEAD.replace("workload:", "machine: {swap_start: 300}\nworkload:").replace("machine: {memory: 64MiB}\n", "")
    assert desk.says(text + "sweep: {matrix: {machine.swap: [2MiB, 1MiB]}}\n") == [
        "5:23: machine.swap_start: there is no slot 300 (at the point 1mib); at most 256, the number of slots"
    ]
    (said,) = desk.says(text + "sweep: {matrix: {machine.swap: [0, 1MiB]}}\n")[:1]
    assert "(at the point" in said


def test_a_grid_beyond_all_bounds_is_refused_at_once(desk):
    keys = ", ".join(f"workload.k{n}: [1, 2, 3, 4, 5, 6, 7, 8, 9]" for n in range(12))
    (said, *_) = desk.says(HEAD + f"sweep: {{matrix: {{{keys}}}, max_runs: 100000}}\n")
    assert f"{9**12} points; at most 100000" in said


def test_problems_of_all_points_are_found_before_any_run(desk):
    assert desk.says(HEAD + "sweep: {matrix: {ksm.run: [0, 3, 1, 4]}}\n") == [
        "7:31: ksm.run: 3 is out of range; 0 to 2",
        "7:37: ksm.run: 4 is out of range; 0 to 2",
    ]


def test_equal_names_and_long_names_get_a_digest(desk):
    runs = swept(desk, "  matrix: {workload.shares: [[1.0], [2.0]]}\n")
    assert len({run.id for run in runs}) == 2
    assert all(re.fullmatch(r"shares1-[0-9a-f]{8}", run.id) for run in runs)
    point = tuple(Setting(f"ksm.{n}", "x" * 30, ()) for n in range(9))
    (name,) = point_ids([point])
    assert re.fullmatch(r"(x+-)+x*-[0-9a-f]{8}", name)
    assert len(name) <= 90


values = st.one_of(
    st.integers(-5, 5),
    st.booleans(),
    st.none(),
    st.floats(0, 1),
    st.text(max_size=8),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["use", "x"]), st.text(max_size=3), max_size=2),
)


def distinct(found):
    """The values without those that mean the same as an earlier one."""
    kept = {json.dumps(value, sort_keys=True): value for value in found}
    return list(kept.values())


@given(
    matrix=st.dictionaries(
        st.sampled_from(["ksm.a", "machine.b", "workload.c"]), st.lists(values, min_size=1, max_size=3), max_size=3
    ),
    zipped=st.lists(st.tuples(values, values), min_size=0, max_size=3),
)
def test_a_grid_is_the_product_and_every_name_is_different(matrix, zipped):
    matrix = {key: distinct(found) for key, found in matrix.items()}
    zipped = [(x, y) for x, y in zip(distinct([x for x, _ in zipped]), [y for _, y in zipped], strict=False)]
    block = {"workload.x": [x for x, _ in zipped], "workload.y": [y for _, y in zipped]}
    sweep = Sweep(matrix=matrix, zip=[block] if zipped else [])
    complaints = Complaints(Places(Document("f", {})))
    points = expand(complaints, sweep)
    assert complaints.found == []
    expected = list(itertools.product(*matrix.values(), *([zipped] if zipped else [])))
    assert len(points) == len(expected)
    for point, combination in zip(points, expected, strict=True):
        said = [setting.value for setting in point]
        assert said == [*combination[: len(matrix)], *(combination[-1] if zipped else ())]
    names = point_ids(points)
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9._-]*", name) for name in names)
    assert all(name and name[0] not in ".-" for name, point in zip(names, points, strict=True) if point)
