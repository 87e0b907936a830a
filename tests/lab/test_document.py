"""The `--json` document: its shape is a promise."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import numpy as np

from ksmlab_core.experiment.plan import Expectation
from ksmlab_core.lab.document import as_text, document

RUN = {"id", "seed", "point", "status", "error", "samples", "metrics", "expect"}


def results(fake: ModuleType, plan: Any) -> list[Any]:
    return [fake.run(spec, plan.registry) for spec in plan.points]


def test_one_experiment(fake: ModuleType, make_plan: Any) -> None:
    plan = make_plan(("kernel", "defer"), expect=(Expectation("vm.pswpin", {"min": 10**9}, 9),))
    told = json.loads(as_text([document("storm", results(fake, plan))]))
    assert set(told) == {"experiment", "runs"}
    assert [set(run) for run in told["runs"]] == [RUN, RUN]
    first = told["runs"][0]
    assert (first["id"], first["seed"], first["status"], first["error"]) == ("kernel", 7, "succeeded", None)
    assert first["point"] == {"policies.swapin": "kernel"}
    assert first["samples"] == [{"at": "wake-up", "metrics": {"ksm.merges": 7}, "pages": "a0=P1"}]
    assert first["expect"] == [
        {
            "at": "end",
            "metric": "vm.pswpin",
            "want": {"min": 10**9},
            "got": first["metrics"]["vm.pswpin"],
            "ok": False,
        }
    ]


def test_several_experiments_are_still_one_document(fake: ModuleType, make_plan: Any) -> None:
    one = document("storm", results(fake, make_plan(("kernel",))))
    told = json.loads(as_text([one, one]))
    assert [each["experiment"] for each in told["experiments"]] == ["storm", "storm"]


def test_numbers_of_numpy_are_numbers(fake: ModuleType, make_plan: Any) -> None:
    (result,) = results(fake, make_plan(("kernel",)))
    result.metrics["odd"] = np.int64(3)
    assert json.loads(as_text([document("storm", [result])]))["runs"][0]["metrics"]["odd"] == 3
