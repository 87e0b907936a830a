"""What is checked of a plugin before anything of it is used: its hook functions, its classes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

from pydantic import BaseModel

from ksmlab_core.errors import PluginRejected, did_you_mean
from ksmlab_core.policy import hookspecs
from ksmlab_core.policy.kinds import Kind
from ksmlab_core.policy.loader import Provider, shown_path

NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
RESERVED = frozenset({"use", "params"})  # keys beside a policy's parameters in experiment files
MARK = f"{hookspecs.PROJECT}_impl"  # what the marker leaves on a function

SPECS: dict[str, tuple[str, ...]] = {
    name: tuple(inspect.signature(function).parameters)
    for name, function in vars(hookspecs).items()
    if name.startswith("ksmlab_")
}


def check_module(provider: Provider) -> None:
    """Refuse a plugin whose hook functions cannot work.

    Raises:
        PluginRejected: an unknown hook, a forgotten or useless marker, arguments that the hook does not have.
    """
    marked = dict(_hook_functions(provider.module))
    for attribute, function in vars(provider.module).items():
        if _forgot_marker(provider.module, attribute, function):
            raise _rejected(provider, function, f"function {attribute} is not marked @hookimpl")
    for attribute, function in marked.items():
        _check_function(provider, attribute, function)
    if not marked:
        raise PluginRejected(provider.name, f"registers nothing: {_what_is_missing(provider.module)}")


def _hook_functions(module: ModuleType) -> Iterator[tuple[str, Any]]:
    for attribute, value in vars(module).items():
        if MARK in getattr(value, "__dict__", ()):
            yield attribute, value


def _forgot_marker(module: ModuleType, attribute: str, value: Any) -> bool:
    """Is this a function that was meant to be a hook?"""
    own = isinstance(value, FunctionType) and value.__module__ == module.__name__
    return own and attribute.startswith("ksmlab_") and not hasattr(value, MARK)


def _check_function(provider: Provider, attribute: str, function: Any) -> None:
    options = getattr(function, MARK)
    hook = options.get("specname") or attribute
    if hook not in SPECS:
        raise _rejected(provider, function, f"there is no hook {hook!r}{_meant(hook, SPECS)}")
    if options.get("wrapper") or options.get("hookwrapper"):
        raise _rejected(provider, function, f"{hook} cannot be wrapped")
    if not isinstance(function, FunctionType):
        raise _rejected(provider, function, f"{attribute} is marked @hookimpl but is not a function")
    for parameter in inspect.signature(function).parameters.values():
        _check_parameter(provider, function, hook, parameter)


def _check_parameter(provider: Provider, function: Any, hook: str, parameter: inspect.Parameter) -> None:
    """An argument must be one of the hook's, and plain: pluggy passes no others."""
    if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD or parameter.default is not parameter.empty:
        raise _rejected(provider, function, f"{hook}: argument {parameter} must be plain, without a default")
    if parameter.name not in SPECS[hook]:
        takes = ", ".join(SPECS[hook]) or "no arguments"
        reason = f"{hook} has no argument {parameter.name!r}; it has: {takes}"
        raise _rejected(provider, function, reason + _meant(parameter.name, SPECS[hook]))


def _what_is_missing(module: ModuleType) -> str:
    """Say which class waits for which function, if one does."""
    from ksmlab_core.policy.kinds import KINDS

    for value in vars(module).values():
        if isinstance(value, type) and value.__module__ == module.__name__:
            for kind in KINDS.values():
                if kind.base.partition(":")[2] in {base.__name__ for base in value.__mro__[1:]}:
                    return f"no function {kind.hook} marked @hookimpl returns [{value.__name__}]"
    return "no function in it is marked @hookimpl"


def classes_of(provider: Provider, hook: str, answer: Any) -> list[type]:
    """What a registration hook returned, as a list of classes."""
    if isinstance(answer, type) or answer is None or isinstance(answer, (str, bytes, dict)):
        got = f"the class {answer.__name__}" if isinstance(answer, type) else f"{answer!r}"
        raise PluginRejected(provider.name, f"{hook} must return a list of classes, not {got}")
    try:
        found = list(answer)
    except TypeError:
        raise PluginRejected(provider.name, f"{hook} must return a list of classes, not {answer!r}") from None
    for item in found:
        if not isinstance(item, type):
            raise PluginRejected(provider.name, f"{hook} must return classes, not {item!r}")
    return found


def check_class(provider: Provider, kind: Kind, cls: type) -> None:
    """Refuse a class that could not be chosen, built or asked.

    Raises:
        PluginRejected: with the class's file and line.
    """
    base = kind.base_class()
    if not issubclass(cls, base):
        raise _rejected(provider, cls, f"class {cls.__name__} is not a {base.__name__}")
    _check_name(provider, cls)
    _check_whole(provider, cls, "version")
    _check_params(provider, cls)
    if getattr(cls, "compiled", False):
        if cls.__module__.partition(".")[0] != "ksmlab_core":
            raise _rejected(provider, cls, f"class {cls.__name__}: compiled is for the core's own policies")
        return
    _check_method(provider, kind, cls, base)
    if kind.batched:
        _check_whole(provider, cls, "batch")


def _check_name(provider: Provider, cls: type) -> None:
    name = getattr(cls, "name", None)
    if name is None:
        hint = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__).lower()
        raise _rejected(provider, cls, f"class {cls.__name__} has no name; give it one: name = {hint!r}")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        reason = f"class {cls.__name__}: name {name!r} is not made of a-z, 0-9 and '-', beginning with no '-'"
        raise _rejected(provider, cls, reason)


def _check_params(provider: Provider, cls: type) -> None:
    """Parameters must be strict, constant and described."""
    params = getattr(cls, "Params", None)
    where = f"class {cls.__name__}: Params"
    if not (isinstance(params, type) and issubclass(params, BaseModel)):
        raise _rejected(provider, cls, f"{where} must be a class derived from the base class's Params")
    config = params.model_config
    if config.get("extra") != "forbid" or not config.get("frozen"):
        raise _rejected(provider, cls, f"{where} must forbid extra keys and be frozen: derive it from the base's")
    for name, info in params.model_fields.items():
        if name in RESERVED:
            raise _rejected(provider, cls, f"{where}: {name!r} means something else in experiment files")
        if not info.description:
            raise _rejected(provider, cls, f"{where}: {name} has no description; use Field(..., description=...)")


def _check_method(provider: Provider, kind: Kind, cls: type, base: type) -> None:
    method = getattr(cls, kind.method)
    signature = f"{kind.method}({', '.join(('self', *kind.arguments))})"
    if method is getattr(base, kind.method):
        raise _rejected(provider, cls, f"class {cls.__name__} does not define {signature}")
    if not isinstance(inspect.getattr_static(cls, kind.method), FunctionType):
        return  # a decorated or built-in callable: its first question will tell
    try:
        inspect.signature(method).bind("self", *kind.arguments)
    except TypeError:
        raise _rejected(provider, method, f"class {cls.__name__} must define {signature}") from None


def _check_whole(provider: Provider, cls: type, attribute: str) -> None:
    value = getattr(cls, attribute, None)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        reason = f"class {cls.__name__}: {attribute} must be a whole number >= 1, not {value!r}"
        raise _rejected(provider, cls, reason)


def source_of(thing: Any) -> tuple[str, int | None]:
    """Absolute file and line where a class or function is written; ("", None) if that cannot be told."""
    try:
        file = inspect.getsourcefile(thing) or ""
        return file, inspect.findsource(thing)[1] + 1
    except (OSError, TypeError):
        return "", None


def _rejected(provider: Provider, thing: Any, reason: str) -> PluginRejected:
    file, line = source_of(thing)
    place = f"{shown_path(file)}:{line}" if file and line is not None else provider.name
    return PluginRejected(place, reason)


def _meant(word: str, known: Any) -> str:
    suggestion = did_you_mean(word, known)
    return f"; did you mean {suggestion!r}?" if suggestion else ""
