"""Plans without files, and a simulation that is not one."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from ksmlab_core.experiment.plan import Expectation, Plan, RunSpec
from ksmlab_core.policy.registry import load_registry

HERE = Path(__file__).parent
MakePlan = Callable[..., Plan]


@pytest.fixture(scope="module")
def fake() -> Iterator[ModuleType]:
    """The stand-in for the simulation, importable by name in workers too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HERE))
        yield importlib.import_module("fake_simulation")


@pytest.fixture(scope="module")
def make_plan(tmp_path_factory: pytest.TempPathFactory) -> MakePlan:
    """Makes plans that vary the swap-in policy and the seed."""
    registry = load_registry(autoload=False)
    base_dir = str(tmp_path_factory.mktemp("base"))

    def spec(swapin: str, seed: int, seeds: int, expect: list[Expectation], experiment: str) -> RunSpec:
        kernel = {"use": "kernel", "params": {}}
        return RunSpec(
            id=f"{swapin}-s{seed}" if seeds > 1 else swapin,
            experiment=experiment,
            file=f"{experiment}.yaml",
            seed=seed,
            kernel={"profile": "seed", "switches": {}},
            machine={
                "frames": 8192,
                "slots": 65536,
                "pagevecs": "drained",
                "costs": "default",
                "swap_start": 1,
                "invariants": "never",
            },
            ksm={"run": 1, "pages_to_scan": 1000},
            policies={"reclaim": kernel, "swapin": {"use": swapin, "params": {}}, "scan": kernel},
            plugins=[],
            workload={"use": "zipf", "params": {"processes": 8, "pages": 4096}},
            measure={"every_ns": 10_000_000, "warmup_ns": 0},
            expect=expect,
            point={"policies.swapin": swapin},
            base_dir=base_dir,
        )

    def make(
        swapins: tuple[str, ...] = ("kernel", "remerge", "defer"),
        seeds: tuple[int, ...] = (7,),
        expect: tuple[Expectation, ...] = (),
        experiment: str = "storm",
        about: str = "What swap-in copies cost when ten VMs wake at once.",
    ) -> Plan:
        points = [spec(swapin, seed, len(seeds), list(expect), experiment) for swapin in swapins for seed in seeds]
        return Plan(experiment, about, Path(f"{experiment}.yaml"), points, registry)

    return make
