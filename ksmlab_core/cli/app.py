"""The group of all commands. Each is a module that is imported when it is asked for, and imports what it needs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

_MODULES = (
    *("run", "verify", "plan", "plugins", "new", "schema", "capture"),
    *("report", "compare", "sql", "reindex", "kernels", "conformance", "fuzz"),
)


class _Commands(click.Group):
    """Commands in the order in which someone meets them, loaded one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _MODULES:
            return None
        command = import_module(f"ksmlab_core.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """As click does, but a broken pipe reaches `main`: click would turn it into a failed run's status."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _PipeClosedError from error


class _PipeClosedError(BrokenPipeError):
    """A broken pipe without an errno, which click therefore lets through."""


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ksmlab", prog_name="ksmlab")
def app() -> None:
    """A laboratory for kernel samepage merging, swap and reclaim policies.

    An experiment file says what machine, kernel, policies and workload to simulate; `ksmlab run FILE` does it.
    """
