"""The JSON Schema of experiment files. That it accepts whatever is read, `Desk.read` checks in every test."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from ksmlab_core.experiment import experiment_schema
from ksmlab_core.experiment.yaml_reader import parse
from ksmlab_core.policy.registry import load_registry

HEAD = "experiment: t\nkernel: seed\n"
BUSY = HEAD + "workload: {use: busy, processes: 2}\n"


@pytest.fixture
def schema(desk):
    return experiment_schema(load_registry(["./mine.py"], desk.folder))


def test_it_is_a_schema_and_plain_json(schema):
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(schema)) == schema


def test_every_key_of_a_file_is_described(schema):
    def undescribed(part, path):
        if isinstance(part, dict):
            for name, inner in part.get("properties", {}).items():
                target = schema["$defs"][inner["$ref"].rpartition("/")[2]] if "$ref" in inner else inner
                if not inner.get("description") and not target.get("description"):
                    yield f"{path}.{name}"
            for name, inner in part.items():
                if name in ("if", "then"):  # what has to be given of what is described elsewhere
                    continue
                yield from undescribed(inner, f"{path}/{name}")
        elif isinstance(part, list):
            for place, inner in enumerate(part):
                yield from undescribed(inner, f"{path}/{place}")

    assert list(undescribed(schema, "")) == []


def test_parameters_of_plugins_are_in_it(schema):
    (busy,) = [
        one
        for one in schema["properties"]["workload"]["anyOf"]
        if one["properties"].get("use", {}).get("const") == "busy"
    ]
    assert {"if": {"properties": {"use": {"const": "busy"}}}, "then": {"required": ["processes"]}} in (
        schema["then"]["properties"]["workload"]["then"]["then"]["allOf"]
    )
    assert busy["properties"]["processes"]["minimum"] == 1
    assert busy["properties"]["use"]["description"] == "Does nothing."


@pytest.mark.parametrize(
    "text",
    [
        "experiment: t\nkernel: seed\n",
        BUSY + "sed: 1\n",
        BUSY + "seed: -1\n",
        BUSY + "seed: yes\n",
        BUSY.replace("t\n", "T_T\n", 1),
        BUSY.replace("seed", "sead"),
        BUSY.replace("busy", "bussy"),
        BUSY.replace("processes: 2", "processes: 0"),
        BUSY.replace("processes: 2", "proceses: 2"),
        BUSY.replace("kernel: seed", "kernel: {profile: seed, born_young: maybe}"),
        BUSY.replace("kernel: seed", "kernel: {born_young: true}"),
        BUSY + "machine: {memory: 64MB}\n",
        BUSY + "machine: {memory: 1000}\n",
        BUSY + "machine: {costs: {copi: 3}}\n",
        BUSY + "ksm: {run: 3}\n",
        BUSY + "ksm: {runn: 1}\n",
        BUSY + "policies: {swapin: choosey}\n",
        BUSY + "policies: {swapin: {use: choosy, budget: 0}}\n",
        BUSY + "policies: {swap: kernel}\n",
        BUSY + "measure: {every: fast}\n",
        BUSY + "expect: {ksm.pages_shared: 1}\n",
        BUSY + "expect: [{ksm.pages_shared: lots}]\n",
        BUSY + "sweep: {matrix: {ksm.run: 1}}\n",
        BUSY + "sweep: {seeds: 0}\n",
        HEAD + "workload: {script: []}\n",
        HEAD + "workload: {script: [{spwan: a}]}\n",
        HEAD + "workload: {script: [{spawn: a, exit: a}]}\n",
        HEAD + "workload: {script: [{spawn: a b}]}\n",
        HEAD + "workload: {script: [{read: {process: a}}]}\n",
        HEAD + "workload: {script: [{read: {process: a, area: x, pages: 1-2}}]}\n",
        HEAD + "workload: {script: [{write: {process: a, area: x, content: {cycel: 2}}}]}\n",
        HEAD + "workload: {script: [{sleep: long}]}\n",
        HEAD + "workload: {script: [{lru: shrnk}]}\n",
        HEAD + "workload: {script: [{swapoff: false}]}\n",
        HEAD + "workload: {script: [{set: {run: 1}}]}\n",
        HEAD + "workload: {script: [{reclaim: some}]}\n",
        HEAD + "workload: {script: [{sample: 5}]}\n",
    ],
)
def test_what_it_refuses_the_reader_refuses_too(desk, schema, text):
    assert not Draft202012Validator(schema).is_valid(parse(text, "f").data)
    assert desk.says(text + "plugins: [./mine.py]\n")
