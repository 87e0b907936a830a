"""The plan: plain data that survives pickling and JSON, with everything resolved."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

from ksmlab_core.experiment import RunSpec

WHOLE = """\
experiment: whole
about: Everything at once.
seed: 7
kernel: {profile: seed, checksum_before_stable: true}
machine:
  memory: 64MiB
  swap: 256MiB
  pagevecs: per-cpu
  costs: {swap_read: 80us, hit: 60}
  swap_start: 64
  invariants: samples
ksm:
  run: 1
  pages_to_scan: 200
policies:
  reclaim: kernel
  swapin: {use: choosy, budget: 64}
  scan: choosy
plugins: [./mine.py]
workload: {use: busy, processes: 8}
measure: {every: 100ms, warmup: 1s}
expect:
  - ksm.pages_sharing: {min: 1000}
  - vm.pswpin: 0
    policy.swapin.joined: {max: 2.5}
sweep:
  matrix: {machine.memory: [32MiB, 64MiB]}
"""


def test_everything_resolved(desk):
    plan = desk.read(WHOLE)
    assert (plan.experiment, plan.about, plan.file) == ("whole", "Everything at once.", desk.file)
    assert plan.registry.get("workload", "busy").name == "busy"
    run = plan.points[1]
    assert run.file == str(desk.file)
    assert run.base_dir == str(desk.folder.resolve())
    assert run.kernel == {"profile": "seed", "switches": {"checksum_before_stable": True}}
    assert run.machine == {
        "frames": 16384,
        "slots": 65536,
        "pagevecs": "per-cpu",
        "costs": {"swap_read": 80_000, "hit": 60},
        "file_pages": 0,
        "nodes": 1,
        "swap_start": 64,
        "invariants": "samples",
    }
    assert run.ksm == {"run": 1, "pages_to_scan": 200}
    both = {"use": "choosy", "params": {"budget": 64, "eager": False, "mode": "soft"}}
    assert run.policies == {"reclaim": {"use": "kernel", "params": {}}, "swapin": both, "scan": both}
    assert run.plugins == ["./mine.py"]
    assert run.workload == {"use": "busy", "params": {"processes": 8, "shares": [1.0]}}
    assert run.measure == {"every_ns": 100_000_000, "warmup_ns": 1_000_000_000}
    assert [(e.metric, e.want, e.line) for e in run.expect] == [
        ("ksm.pages_sharing", {"min": 1000}, 23),
        ("vm.pswpin", 0, 24),
        ("policy.swapin.joined", {"max": 2.5}, 25),
    ]
    assert run.provenance["machine.memory"] == 27
    assert run.provenance["machine.costs.hit"] == 9
    assert run.provenance["policies.swapin.budget"] == 17


def test_defaults(desk):
    run = desk.only(
        "experiment: t\nkernel: seed\nworkload: {script: [{spawn: a}]}\nksm:\nmachine:\npolicies:\nmeasure:\n"
        "expect:\nplugins:\nsweep:\n"
    )
    assert run.seed == 0
    assert run.machine == {
        "frames": 65536,
        "slots": 65536,
        "pagevecs": "drained",
        "costs": "default",
        "file_pages": 0,
        "nodes": 1,
        "swap_start": 1,
        "invariants": "never",
    }
    assert run.ksm == {}
    assert run.policies == {hook: {"use": "kernel", "params": {}} for hook in ("reclaim", "swapin", "scan")}
    assert run.measure == {"every_ns": None, "warmup_ns": 0}
    assert run.expect == []


def test_the_policies_can_be_built_from_it(desk):
    import numpy as np

    from ksmlab_core.policy.registry import build_policies

    plan = desk.read(WHOLE)
    policies = build_policies(plan.registry, plan.points[0].policies, lambda role: np.random.default_rng(1))
    assert policies["swapin"] is policies["scan"]
    assert policies["swapin"].params.budget == 64


def test_round_trips(desk):
    script = desk.script(
        "spawn: [a, b]",
        "mmap: {process: a, area: x, pages: 9}",
        "write: {process: a, area: x, content: {cycle: 3}}",
        head="expect: [{ksm.pages_shared: 1}]",
    )
    for run in (*desk.read(WHOLE).points, *desk.read(script).points):
        assert pickle.loads(pickle.dumps(run)) == run
        data = run.as_dict()
        assert RunSpec.from_dict(data) == run
        assert RunSpec.from_dict(json.loads(json.dumps(data))) == run


def test_reading_is_the_same_twice(desk):
    assert desk.read(WHOLE).points == desk.read(WHOLE).points


def test_runs_of_one_file_share_no_list_that_one_could_change(desk):
    one, two = desk.read(WHOLE).points
    one.machine["frames"] = 1
    assert two.machine["frames"] == 16384


def test_reading_needs_neither_the_compiler_nor_the_log(desk):
    desk.file.write_text(WHOLE, encoding="utf-8")
    program = (
        "import sys; from pathlib import Path\n"
        "from ksmlab_core.experiment import experiment_schema, read_experiment\n"
        "plan = read_experiment(Path(sys.argv[1])); experiment_schema(plan.registry)\n"
        "heavy = {'numba', 'structlog', 'matplotlib', 'rich', 'click', 'jinja2'}\n"
        "print(len(plan.points), sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(desk.file)], capture_output=True, text=True, check=True)
    assert done.stdout == "2 []\n"
