"""Where plugins come from: the shipped ones, installed packages, and files or modules that a user names."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from ksmlab_core.errors import PluginRejected, did_you_mean

ENTRY_POINTS = "ksmlab"  # the group that packages announce their plugin modules under
AUTOLOAD = "KSMLAB_PLUGIN_AUTOLOAD"  # environment: 0 leaves installed packages out
LOCAL = "ksmlab_local"  # plugin files become modules of this imaginary package
CORE_MODULES = ("ksmlab_core.policy.kernel",)


@dataclass(frozen=True)
class Provider:
    """Who brought something in."""

    name: str  # "ksmlab", a distribution, a module, or a file as the user knows it
    version: str
    file: str  # absolute path of the module
    sha256: str  # of that file
    module: ModuleType = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.name} {self.version}".rstrip()


def providers(plugins: Sequence[str], base_dir: Path | None, autoload: bool) -> Iterator[Provider]:
    """All plugin modules: shipped, installed, then those named; each module once."""
    yield from shipped()
    if autoload and os.environ.get(AUTOLOAD, "1") != "0":
        yield from installed()
    for spec in plugins:
        yield named(spec, base_dir or Path.cwd())


def shipped() -> Iterator[Provider]:
    """The core's own policies and those of ``plugins/``: an explicit list, no discovery."""
    version = _version_of("ksmlab")
    shipped_modules: tuple[str, ...] = importlib.import_module("ksmlab_plugins").MODULES
    for name in (*CORE_MODULES, *shipped_modules):
        yield _provider("ksmlab", version, importlib.import_module(name))


def installed() -> Iterator[Provider]:
    """Plugins of installed packages, in the order of their names."""
    found = importlib.metadata.entry_points(group=ENTRY_POINTS)
    for point in sorted(found, key=lambda p: (p.dist.name if p.dist else "", p.name)):
        name = point.dist.name if point.dist else point.name
        version = point.dist.version if point.dist else ""
        source = f"installed plugin {name} {version}".rstrip()
        module = _importing(source, point.load, hint=f"; {AUTOLOAD}=0 leaves installed plugins out")
        if not isinstance(module, ModuleType):
            raise PluginRejected(source, f"its entry point {point.value!r} is not a module")
        yield _provider(name, version, module)


def named(spec: str, base_dir: Path) -> Provider:
    """A plugin that the user named: a file (``./x.py``, relative to `base_dir`) or an importable module."""
    if spec.endswith(".py") or "/" in spec or os.sep in spec:
        return _file_provider(base_dir / Path(spec).expanduser())
    if not all(part.isidentifier() for part in spec.split(".")):
        raise PluginRejected(spec or "''", "is neither a .py file nor the name of a module")
    module = _importing(spec, lambda: _import_module(spec, base_dir))
    return _provider(spec, _module_version(module, ""), module)


def _import_module(name: str, base_dir: Path) -> ModuleType:
    """Import a module; if there is none, tell whether a file was meant."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module is there: something that it imports is not
        hint = f"; did you mean './{name}.py'?" if (base_dir / f"{name}.py").is_file() else ""
        raise PluginRejected(name, f"no module of this name is installed{hint}") from None


def _file_provider(path: Path) -> Provider:
    """Load a plugin file. The same file with the same text is one module, however often it is named."""
    text = _read(path)
    path = path.resolve()
    digest = hashlib.sha256(text).hexdigest()
    key = hashlib.sha256(f"{path}\0{digest}".encode()).hexdigest()[:8]
    stem = re.sub(r"\W", "_", path.stem)
    name = f"{LOCAL}.{stem}_{key}"
    shown = shown_path(path)
    module = sys.modules.get(name) or _importing(shown, lambda: _execute(name, path, text), path=path)
    return Provider(shown, _module_version(module, digest), str(path), digest, module)


def _read(path: Path) -> bytes:
    """The bytes of a plugin file, or one line that says why not."""
    try:
        return path.read_bytes()
    except IsADirectoryError:
        raise PluginRejected(shown_path(path), "is a folder; name the .py file in it") from None
    except (FileNotFoundError, NotADirectoryError):
        siblings = [entry.name for entry in path.parent.glob("*.py")]
        suggestion = did_you_mean(path.name, siblings)
        hint = f"; did you mean {suggestion!r}?" if suggestion else ""
        raise PluginRejected(shown_path(path), f"no such file{hint}") from None
    except OSError as error:
        raise PluginRejected(shown_path(path), f"cannot be read: {error.strerror or error}") from None


def _execute(name: str, path: Path, text: bytes) -> ModuleType:
    """Run the text of a plugin file as the module `name`.

    The text is compiled here: Python's bytecode cache goes by size and whole seconds, and would run an older
    version of a file that was edited a moment ago.
    """
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:  # a file that does not end in .py
        raise PluginRejected(shown_path(path), "is not a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses, pydantic and numba look their module up
    try:
        exec(compile(text, str(path), "exec"), vars(module))
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _importing(source: str, load: Callable[[], ModuleType], *, path: Path | None = None, hint: str = "") -> ModuleType:
    """Call `load`, and turn whatever a plugin does wrong into one line that names its place."""
    try:
        return load()
    except PluginRejected:
        raise
    except (Exception, SystemExit) as error:
        line = _line_of(error, path)
        place = f"{source}:{line}" if line is not None else source
        what = str(error.msg) if isinstance(error, SyntaxError) else (str(error).splitlines() or [""])[0]
        reason = f"{type(error).__name__}: {what}" if what else type(error).__name__
        raise PluginRejected(place, f"cannot be imported: {reason}{hint}") from error


def _line_of(error: BaseException, path: Path | None) -> int | None:
    """The deepest line of the file `path` that the error came through."""
    if path is None:
        return None
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return lines[-1] if lines else None


def _provider(name: str, version: str, module: ModuleType) -> Provider:
    """Provenance of an imported module."""
    file = getattr(module, "__file__", None) or ""
    return Provider(name, version, file, file_sha256(file), module)


def file_sha256(file: str) -> str:
    """SHA-256 of a file, "" if there is none to read."""
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError:
        return ""


def _module_version(module: ModuleType, digest: str) -> str:
    """What a module says its version is, else that of its distribution, else the beginning of its digest."""
    stated = getattr(module, "__version__", None)
    if isinstance(stated, str):
        return stated
    return f"sha256:{digest[:8]}" if digest else _version_of(module.__name__.partition(".")[0])


def _version_of(distribution: str) -> str:
    """Version of an installed distribution, "" if it is not one."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def shown_path(path: Path | str) -> str:
    """A path as messages show it: relative if it lies below the working directory."""
    full = os.path.abspath(path)
    short = os.path.relpath(full)
    return full if short.startswith(os.pardir) else short
