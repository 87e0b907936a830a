"""`ksmlab new`: a plugin to begin with."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("new", short_help="Write a plugin to begin with, and its test.")
@click.argument("kind", type=click.Choice(["reclaim", "swapin", "scan", "workload"]))
@click.argument("name")
@click.option("--to", "folder", default=".", show_default=True, metavar="DIR", help="Folder to write into.")
def command(kind: str, name: str, folder: str) -> None:
    """Write a working plugin called NAME and its test."""
    from ksmlab_core.policy.scaffold import new_plugin

    plugin, test = new_plugin(kind, name, Path(folder))
    click.echo(f"plugin  {plugin}\ntest    {test}")
    click.echo(f"try it: python -m pytest {test}, or ksmlab run FILE -p {plugin} with {_choice(kind, name)}")


def _choice(kind: str, name: str) -> str:
    """The setting of an experiment file that picks the new plugin."""
    return f"workload: {{use: {name}}}" if kind == "workload" else f"policies: {{{kind}: {name}}}"
