"""The experiment file as pydantic models.

The parts that depend on a kernel profile or on plugins (`kernel`, `ksm`, `policies`, `workload`) are open
here and checked by `settings`, `choices` and `script`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import Field, PlainValidator, WithJsonSchema

from ksmlab_core.experiment.complaints import shown, wrong
from ksmlab_core.experiment.conformance import Conformance
from ksmlab_core.experiment.quantities import Costs, Duration, Interval, Memory, Swap, Want, is_whole
from ksmlab_core.experiment.strict import Strict

LARGEST_SEED: Final = 2**63 - 1
MOST_RUNS: Final = 100_000
"""The most that max_runs may ask for."""

Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
_SEED_SCHEMA: Final = {"type": "integer", "minimum": 0, "maximum": LARGEST_SEED}


def read_experiment_name(value: Any) -> str:
    """The name of an experiment."""
    if isinstance(value, str) and re.fullmatch(r"[a-z0-9-]{1,100}", value):
        return value
    raise wrong(f"{shown(value)} is not a name for an experiment", "1 to 100 characters of a-z, 0-9 and -")


ExperimentName = Annotated[
    str,
    PlainValidator(read_experiment_name),
    WithJsonSchema({"type": "string", "pattern": "^[a-z0-9-]+$", "maxLength": 100}),
]


class Machine(Strict):
    """The simulated machine."""

    memory: Memory = Field(65536, description="memory for the processes, such as 64MiB; pages of 4096 bytes")
    swap: Swap = Field(65536, description="swap space, such as 256MiB; 0 is no swap")
    pagevecs: Literal["drained", "per-cpu"] = Field(
        "drained",
        description="per-CPU page batches: drained before each pass and reclaim step, or as the kernel does",
    )
    costs: Costs = Field("default", description="cost table: a preset's name, or ns by the name of the event")
    file_pages: int = Field(
        0, ge=0, lt=2**31, description="pages of files in memory besides, against which a refault is judged"
    )
    nodes: int = Field(1, ge=1, le=8, description="NUMA nodes, among which the memory is shared out evenly")
    swap_start: int = Field(1, ge=1, lt=2**31, description="swap slot at which allocation begins")
    invariants: Literal["never", "samples", "steps"] = Field(
        "never", description="when the machine's invariants are checked: never, at samples, after every step"
    )


class Measure(Strict):
    """When metrics are recorded."""

    every: Interval | None = Field(None, description="simulated time between samples, such as 100ms")
    warmup: Duration = Field(0, description="simulated time before the first of these samples")


def read_seeds(value: Any) -> int | list[int]:
    """How many seeds, or which."""
    if is_whole(value):
        if not 1 <= value <= MOST_RUNS:
            raise wrong(f"{shown(value)} seeds", f"1 to {MOST_RUNS}, or a list of seeds")
        return int(value)
    if not isinstance(value, list) or not value:
        raise wrong(f"{shown(value)} is not a number of seeds", "a number of seeds, or a list of seeds")
    for seed in value:
        if not is_whole(seed) or not 0 <= seed <= LARGEST_SEED:
            raise wrong(f"{shown(seed)} is not a seed", f"whole numbers from 0 to {LARGEST_SEED}")
        if value.count(seed) > 1:
            raise wrong(f"the seed {seed} is given twice")
    return value


Seeds = Annotated[
    Any,
    PlainValidator(read_seeds),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": MOST_RUNS},
                {"type": "array", "items": _SEED_SCHEMA, "minItems": 1, "uniqueItems": True},
            ]
        }
    ),
]
Values = Annotated[list[Any], Field(min_length=1)]
Settings = Annotated[dict[str, Any], Field(min_length=1)]


class Sweep(Strict):
    """Many runs from one file. Keys are dotted: policies.swapin, machine.memory."""

    matrix: dict[str, Values] = Field({}, description="every combination of these values, first key slowest")
    zip: list[Annotated[dict[str, Values], Field(min_length=1)]] = Field(
        [], description="blocks whose keys change together: one dimension each"
    )
    include: list[Settings] = Field([], description="points added to those of matrix and zip")
    exclude: list[Settings] = Field([], description="removes the points that have all of these values")
    seeds: Seeds = Field(1, description="so many seeds, counted up from `seed`, or a list of seeds")
    max_runs: int = Field(500, ge=1, le=MOST_RUNS, description="refuse to expand to more runs than this")


class ExperimentFile(Strict):
    """An experiment of ksmlab: a simulated machine with KSM, its policies, and what is done on it."""

    experiment: ExperimentName = Field(description="name of the experiment, and of the folder of its results")
    about: str = Field("", description="what the experiment is to find out")
    conformance: Conformance | None = Field(None, description="what real kernels the experiment holds to")
    seed: Seed = Field(0, description="every random choice of the run comes from it")
    kernel: Any = Field(description="kernel whose behaviour is simulated")
    machine: Machine | None = Field(None, description="the simulated machine")
    ksm: Any = Field(None, description="knobs of ksmd, by their sysfs names")
    policies: Any = Field(None, description="who decides, one policy per hook")
    plugins: list[str] | None = Field(None, description="plugin files or modules, relative to this file")
    workload: Any = Field(description="what the processes do")
    measure: Measure | None = Field(None, description="when metrics are recorded")
    expect: list[Annotated[dict[str, Want], Field(min_length=1)]] | None = Field(
        None, description="checked at the end of each run"
    )
    sweep: Sweep | None = Field(None, description="many runs from this file")


OPEN: Final = ("kernel", "ksm", "policies", "workload")
"""Keys of the file that depend on a profile or on plugins."""
