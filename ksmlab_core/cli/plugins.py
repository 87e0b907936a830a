"""`ksmlab plugins`: everything that an experiment file can name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from ksmlab_core.cli.options import json_option, plugin_option
from ksmlab_core.cli.text import aligned

if TYPE_CHECKING:
    from ksmlab_core.policy.registry import Entry, Registry

_TITLES = {
    "reclaim": "reclaim: which frames go",
    "swapin": "swapin: copy or remerge",
    "scan": "scan: what ksmd looks at next",
    "workload": "workload: where accesses come from",
}


@click.command("plugins", short_help="List every policy, workload and metric.")
@json_option
@plugin_option
def command(as_json: bool, plugins: tuple[str, ...]) -> None:
    """List every policy, workload and metric: its name, who provides it, its parameters, and what it does."""
    from ksmlab_core.policy.registry import load_registry

    registry = load_registry(plugins)
    if as_json:
        click.echo(json.dumps({"plugins": _entries(registry), "metrics": _metrics()}, indent=1, default=str))
        return
    for kind in registry.kinds:
        _print_kind(registry, kind)
    for profile, metrics in _metrics().items():
        click.echo(f"metrics of kernel profile {profile}")
        for line in aligned(list(metrics.items()), indent="  "):
            click.echo(line)


def _entries(registry: Registry) -> list[dict[str, Any]]:
    return [
        entry.provenance() | {"summary": entry.summary, "parameters": _parameters(entry)}
        for kind in registry.kinds
        for entry in registry.entries(kind)
    ]


def _parameters(entry: Entry) -> dict[str, Any]:
    """The JSON Schema of each parameter."""
    properties = entry.params.model_json_schema().get("properties", {})
    assert isinstance(properties, dict)
    return properties


def _metrics() -> dict[str, dict[str, str]]:
    """Per kernel profile its metrics and what each is."""
    from ksmlab_core.lab.metric_words import metrics_of
    from ksmlab_core.mm.profile import PROFILES

    return {name: dict(metrics_of(profile)) for name, profile in PROFILES.items()}


def _print_kind(registry: Registry, kind: str) -> None:
    click.echo(_TITLES.get(kind, kind))
    entries = registry.entries(kind)
    heads = list(
        aligned([[entry.name, f"{entry.provider} {entry.version}".rstrip(), entry.summary] for entry in entries])
    )
    for entry, head in zip(entries, heads, strict=True):
        click.echo(f"  {head}")
        rows = [_parameter(name, schema) for name, schema in _parameters(entry).items()]
        for line in aligned(rows, indent="      "):
            click.echo(line)
    click.echo()


def _parameter(name: str, schema: dict[str, Any]) -> list[str]:
    """A parameter as name, what it may be, and what it is for."""
    return [name, _default(schema), str(schema.get("description", "")).replace("\n", " ")]


def _default(schema: dict[str, Any]) -> str:
    return f"= {json.dumps(schema['default'])}" if "default" in schema else "(required)"
