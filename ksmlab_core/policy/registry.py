"""The registry: everything that experiment files can name, with who brought it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pluggy
from pydantic import BaseModel

from ksmlab_core.errors import PluginRejected, UnknownName
from ksmlab_core.policy import hookspecs, loader
from ksmlab_core.policy.building import build_policies, resolve_policies
from ksmlab_core.policy.inspection import check_class, check_module, classes_of, source_of
from ksmlab_core.policy.kinds import KINDS, Kind
from ksmlab_core.policy.loader import Provider, file_sha256, shown_path

__all__ = ["Entry", "Registry", "build_policies", "load_registry", "resolve_policies"]


@dataclass(frozen=True)
class Entry:
    """One thing that can be chosen by name, and where it comes from."""

    kind: str  # "reclaim", "swapin", "scan" or "workload"
    name: str
    cls: type[Any] = field(repr=False)
    params: type[BaseModel] = field(repr=False)  # pydantic model of its parameters
    provider: str  # "ksmlab", a distribution, a module, or a file
    version: str
    file: str  # absolute path of the class's source
    line: int | None  # where the class begins
    sha256: str  # of that file
    summary: str  # one line of what it does

    def provenance(self) -> dict[str, Any]:
        """Where it comes from, as plain data for a manifest."""
        kept = ("kind", "name", "provider", "version", "file", "line", "sha256")
        return {key: getattr(self, key) for key in kept}

    def __str__(self) -> str:
        where = f"{shown_path(self.file)}:{self.line}" if self.file else "no file"
        return f"{f'{self.provider} {self.version}'.rstrip()} ({where})"


class Registry:
    """All policies and workloads by kind and name, and the observers.

    Attributes:
        kinds: "reclaim", "swapin", "scan", "workload".
        hook: pluggy's relay; the four observing hooks are called on it with keywords.
        providers: every plugin that was loaded, observers included.
    """

    kinds: tuple[str, ...] = tuple(KINDS)

    def __init__(self, found: Iterable[Provider]) -> None:
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self.hook = self._manager.hook
        self.providers: list[Provider] = []
        self._entries: dict[str, dict[str, Entry]] = {kind: {} for kind in KINDS}
        for provider in found:
            self._register(provider)

    def entries(self, kind: str) -> list[Entry]:
        """All entries of a kind, in the order of their names."""
        return [entry for _, entry in sorted(self._named(kind).items())]

    def get(self, kind: str, name: str) -> Entry:
        """The entry of that name.

        Raises:
            UnknownName: with the known names and the nearest of them.
        """
        known = self._named(kind)
        if name not in known:
            raise UnknownName(KINDS[kind].label, name, known)
        return known[name]

    def _named(self, kind: str) -> Mapping[str, Entry]:
        if kind not in self._entries:
            raise UnknownName("kind of plugin", kind, self.kinds)
        return self._entries[kind]

    def _register(self, provider: Provider) -> None:
        """Take a plugin in, unless the same module is in already."""
        if self._manager.is_registered(provider.module):
            return
        check_module(provider)
        self._manager.register(provider.module, name=provider.module.__name__)
        self.providers.append(provider)
        for kind in KINDS.values():
            self._register_kind(provider, kind)

    def _register_kind(self, provider: Provider, kind: Kind) -> None:
        """Enter what one plugin registers for one hook, called directly so that errors are its own."""
        caller = getattr(self.hook, kind.hook)
        for implementation in caller.get_hookimpls():
            if implementation.plugin is provider.module:
                for cls in classes_of(provider, kind.hook, _call(provider, kind, implementation.function)):
                    check_class(provider, kind, cls)
                    self._enter(_entry(provider, kind, cls))

    def _enter(self, entry: Entry) -> None:
        there = self._entries[entry.kind].setdefault(entry.name, entry)
        if there is not entry:
            label = KINDS[entry.kind].label
            reason = f"{label} {entry.name!r} is there already, from {there}; rename one: this is {entry}"
            raise PluginRejected(entry.provider, reason)


def load_registry(plugins: Sequence[str] = (), base_dir: Path | None = None, autoload: bool = True) -> Registry:
    """Load plugins and return what they register.

    Args:
        plugins: files (``./x.py``) or modules to load besides the shipped and the installed ones.
        base_dir: what the files are relative to; default the working directory.
        autoload: load what installed packages announce under the entry-point group ``ksmlab``; the
            environment variable ``KSMLAB_PLUGIN_AUTOLOAD=0`` forbids it too.

    Raises:
        PluginRejected: a plugin cannot be imported, is wrong, or claims a name that is taken.
    """
    if plugins:
        return Registry(loader.providers([str(plugin) for plugin in plugins], base_dir, autoload))
    return _installed(autoload, os.environ.get(loader.AUTOLOAD), tuple(sys.path))


@cache
def _installed(autoload: bool, _allowed: str | None, _path: tuple[str, ...]) -> Registry:
    """What there is without any plugin being named: loaded once for hundreds of files."""
    return Registry(loader.providers([], None, autoload))


def _call(provider: Provider, kind: Kind, function: Any) -> Any:
    """Ask a plugin for its classes; a generator is run to its end here too."""
    try:
        answer = function()
        return answer if isinstance(answer, (type, str, bytes, dict, type(None))) else _listed(answer)
    except (Exception, SystemExit) as error:
        reason = f"{kind.hook} raised {type(error).__name__}: {error}"
        raise PluginRejected(provider.name, reason) from error


def _listed(answer: Any) -> Any:
    return list(answer) if hasattr(answer, "__iter__") else answer


def _entry(provider: Provider, kind: Kind, cls: type[Any]) -> Entry:
    file, line = _place_of(cls)  # type: ignore[arg-type]  # mypy takes no type for hashable
    return Entry(
        kind=kind.name,
        name=cls.name,
        cls=cls,
        params=cls.Params,
        provider=provider.name,
        version=provider.version,
        file=file or provider.file,
        line=line,
        sha256=provider.sha256 if file in ("", provider.file) else file_sha256(file),
        summary=_summary(provider, cls),
    )


@cache
def _place_of(cls: type[Any]) -> tuple[str, int | None]:
    """Where a class is written: searched for once, though hundreds of experiments may each load the plugins."""
    return source_of(cls)


def _summary(provider: Provider, cls: type[Any]) -> str:
    """First line of the class's own docstring, else of its module's."""
    text = vars(cls).get("__doc__") or provider.module.__doc__ or ""
    return text.strip().partition("\n")[0].strip()
