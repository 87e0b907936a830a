"""`ksmlab schema`: what an experiment file may say, for editors and programs."""

from __future__ import annotations

import json

import click

from ksmlab_core.cli.options import plugin_option


@click.command("schema", short_help="Print the JSON Schema of experiment files.")
@plugin_option
def command(plugins: tuple[str, ...]) -> None:
    """Print the JSON Schema of experiment files, the parameters of all plugins included.

    An editor that knows YAML schemas reads it from a file's first line:
    "# yaml-language-server: $schema=experiment.schema.json".
    """
    from ksmlab_core.experiment import experiment_schema
    from ksmlab_core.policy.registry import load_registry

    click.echo(json.dumps(experiment_schema(load_registry(plugins)), indent=2))
