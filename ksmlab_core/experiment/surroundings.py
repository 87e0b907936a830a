"""What all runs of a file have in common: its place, its plugins, what can be chosen by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ksmlab_core.errors import PluginRejected
from ksmlab_core.experiment.complaints import Complaints
from ksmlab_core.policy.registry import Registry, load_registry


@dataclass(frozen=True)
class Surroundings:
    """What all runs of a file have in common.

    Attributes:
        file: The experiment file, as the user named it.
        base_dir: Folder that relative file names start from.
        plugins: Plugin files and modules that were loaded.
        registry: What can be chosen by name; None when a plugin could not be loaded, so that nobody knows.
    """

    file: str
    base_dir: Path
    plugins: list[str]
    registry: Registry | None


def load_plugins(
    complaints: Complaints, settings: dict[str, Any], file: str, base_dir: Path, plugins: Sequence[str]
) -> tuple[Surroundings, Registry]:
    """Load the plugins of the command line and of the file.

    Raises:
        PluginRejected: One of the command line cannot be used.
    """
    asked = [_absolute(plugin) for plugin in plugins]
    registry = load_registry(asked, base_dir)
    given = settings.get("plugins")
    named = [plugin for plugin in given if isinstance(plugin, str)] if isinstance(given, list) else []
    if given and named != given:  # reported by the model of the file
        return Surroundings(file, base_dir, asked, None), registry
    try:
        registry = load_registry([*asked, *named], base_dir) if named else registry
    except PluginRejected as error:
        _complain_of_plugin(complaints, named, base_dir, error)
        return Surroundings(file, base_dir, [*asked, *named], None), registry
    return Surroundings(file, base_dir, [*asked, *named], registry), registry


def _complain_of_plugin(complaints: Complaints, named: Sequence[str], base_dir: Path, error: PluginRejected) -> None:
    """Find which of the plugins it was; a conflict of two is a problem of the last."""
    for place in range(len(named)):
        try:
            load_registry(named[: place + 1], base_dir)
        except PluginRejected:
            complaints.add(("plugins", place), str(error))
            return
    complaints.add(("plugins",), str(error))


def _absolute(plugin: str) -> str:
    """A plugin file relative to the working directory; the name of a module as it is."""
    is_file = plugin.endswith(".py") or "/" in plugin
    return str(Path(plugin).expanduser().absolute()) if is_file else plugin
