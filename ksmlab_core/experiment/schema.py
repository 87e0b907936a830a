"""The JSON Schema of experiment files, with the parameters of everything that the registry knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, get_args

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ksmlab_core.experiment.memory_steps import Returns
from ksmlab_core.experiment.models import ExperimentFile
from ksmlab_core.experiment.steps import STEPS, Set
from ksmlab_core.mm.profile import PROFILES, Knob
from ksmlab_core.mm.switches import SWITCHES
from ksmlab_core.policy.kinds import HOOKS

if TYPE_CHECKING:
    from ksmlab_core.policy.registry import Entry, Registry

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]

_HOOK_QUESTIONS: Final = {
    "reclaim": "which frames go when memory is short",
    "swapin": "copy or remerge a page that is needed in more than one place",
    "scan": "what ksmd looks at next",
}


def experiment_schema(registry: Registry) -> Schema:
    """The JSON Schema (draft 2020-12) of experiment files.

    It accepts every file that `read_experiment` accepts with the same plugins. What needs more than one place
    of the file to tell (a process that does not live, a point of a sweep) it leaves to the reader.
    """
    entries = [entry for kind in registry.kinds for entry in registry.entries(kind)]
    models: list[type[BaseModel]] = [ExperimentFile, *STEPS.values(), *(entry.params for entry in entries)]
    wanted = [(model, "validation") for model in dict.fromkeys(models)]
    references, whole = models_json_schema(wanted, ref_template="#/$defs/{model}")  # type: ignore[arg-type]
    definitions: Schema = whole["$defs"]

    def definition(model: type[BaseModel]) -> Schema:
        name = references[model, "validation"]["$ref"].rpartition("/")[2]
        found: Schema = definitions[name]
        return found

    definition(Set).update(_knobs_written())
    schema = {"$schema": DIALECT, **definition(ExperimentFile)}
    schema["properties"] = {
        **schema["properties"],
        "kernel": _described(schema, "kernel", _kernel()),
        "ksm": _described(schema, "ksm", _or_nothing(_knobs())),
        "policies": _described(schema, "policies", _or_nothing(_policies(registry, definition))),
        "workload": _described(schema, "workload", _workload(registry, definition, references)),
    }
    schema["required"] = ["experiment"]
    schema["if"] = {"not": {"required": ["sweep"]}}
    schema["then"] = _demands(registry)
    schema["$defs"] = definitions
    return schema


def _demands(registry: Registry) -> Schema:
    """What has to be given in a file without a sweep; with one, the sweep may give it."""
    hooks = {hook: _demanded(registry.entries(hook), registry) for hook in HOOKS}
    workload = {"if": {"not": {"required": ["script"]}}, "then": _demanded(registry.entries("workload"), registry)}
    kernel = {"if": {"type": "object"}, "then": {"required": ["profile"]}}
    properties = {"kernel": kernel, "policies": {"properties": hooks}, "workload": workload}
    return {"required": ["kernel", "workload"], "properties": properties}


def _demanded(entries: Sequence[Entry], registry: Registry) -> Schema:
    """`use`, and the parameters without a default of what it names."""
    demands = []
    for entry in entries:
        fields = entry.params.model_fields.items()
        names = [field.alias or name for name, field in fields if field.is_required()]
        if names and not _fills_several(entry, registry):
            demands.append({"if": {"properties": {"use": {"const": entry.name}}}, "then": {"required": names}})
    then: Schema = {"required": ["use"], **({"allOf": demands} if demands else {})}
    return {"if": {"type": "object"}, "then": then}


def _described(schema: Schema, key: str, part: Schema) -> Schema:
    return {"description": schema["properties"][key]["description"], **part}


def _or_nothing(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _closed(properties: Schema, **more: Any) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False, **more}


def _kernel() -> Schema:
    profile = {"enum": sorted(PROFILES), "description": "kernel whose behaviour is simulated"}
    switches = {
        name: {"enum": list(switch.values), "description": f"{switch.effect} (since {switch.introduced_by})"}
        for name, switch in SWITCHES.items()
    }
    return {"anyOf": [profile, _closed({"profile": profile, **switches})]}


def _knobs() -> Schema:
    """The knobs of all profiles: which of them a profile has is for the reader to say."""
    return _closed(
        {
            name: {
                "type": "integer",
                "minimum": knob.low,
                "maximum": knob.high,
                "description": knob.about,
            }
            for name, knob in _all_knobs().items()
        }
    )


def _knobs_written() -> Schema:
    knobs: Schema = {f"ksm.{name}": {"description": knob.about} for name, knob in _all_knobs().items()}
    results = list(get_args(Returns))
    knobs["returns"] = {"enum": results, "description": "what the write has to return; success when left out"}
    return _closed(knobs, minProperties=1)


def _all_knobs() -> dict[str, Knob]:
    return {name: knob for profile in PROFILES.values() for name, knob in profile.knobs.items()}


def _policies(registry: Registry, definition: Any) -> Schema:
    hooks = {}
    for hook in HOOKS:
        entries = registry.entries(hook)
        names = {"enum": [entry.name for entry in entries]}
        mappings = [_choice(entry, definition(entry.params)) for entry in entries]
        hooks[hook] = {"description": _HOOK_QUESTIONS[hook], "anyOf": [names, *mappings]}
    return _closed(hooks)


def _choice(entry: Entry, parameters: Schema) -> Schema:
    """``{use: NAME, ...}`` of one entry."""
    return {
        "type": "object",
        "description": entry.summary,
        "properties": {"use": {"const": entry.name, "description": entry.summary}, **parameters.get("properties", {})},
        "additionalProperties": parameters.get("additionalProperties", True),
    }


def _fills_several(entry: Entry, registry: Registry) -> bool:
    """Whether the parameters may be given at another hook."""
    return sum(other.cls is entry.cls for hook in HOOKS for other in registry.entries(hook)) > 1


def _workload(registry: Registry, definition: Any, references: Any) -> Schema:
    steps = {
        name: {**references[model, "validation"], "description": definition(model).get("description", "")}
        for name, model in STEPS.items()
    }
    step = _closed(steps, minProperties=1, maxProperties=1)
    script = _closed(
        {"script": {"type": "array", "description": "steps in order", "items": step, "minItems": 1}},
        required=["script"],
    )
    generators = [_choice(entry, definition(entry.params)) for entry in registry.entries("workload")]
    return {"anyOf": [script, *generators]}
