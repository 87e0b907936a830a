"""What is wrong with an experiment, with the place and the words that a person can act on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from ksmlab_core.errors import Problem, did_you_mean
from ksmlab_core.experiment.document import KeyPath, format_path, shortened
from ksmlab_core.experiment.places import Places

M = TypeVar("M", bound=BaseModel)


class Complaints:
    """Collects the problems of one tree of settings.

    Attributes:
        places: Where the settings were written.
        found: The problems.
        set_apart: Those of them that concern a value set by a sweep or an override, which their place shows.
    """

    def __init__(self, places: Places) -> None:
        self.places = places
        self.found: list[Problem] = []
        self.set_apart: set[Problem] = set()

    def add(
        self,
        path: KeyPath,
        what: str,
        allowed: str | None = None,
        suggestion: str | None = None,
        *,
        key: bool = False,
    ) -> None:
        """One problem of the value at `path`, or of its key."""
        place = self.places.of(path, key=key)
        what = " ".join(what.split())
        problem = Problem(*place, format_path(path), what, allowed, suggestion)
        self.found.append(problem)
        if self.places.origin(path) is not None:
            self.set_apart.add(problem)

    def unknown(self, path: KeyPath, known: Iterable[str], what: str = "unknown key") -> None:
        """The key at the end of `path` is none of the known ones."""
        names = list(known)
        self.add(path, what, one_of(names), did_you_mean(str(path[-1]), names), key=True)

    def validated(
        self,
        model: type[M],
        data: Any,
        path: KeyPath,
        *,
        context: Mapping[str, Any] | None = None,
        homes: Mapping[str, KeyPath] = MappingProxyType({}),
    ) -> M | None:
        """An instance of `model`, or None and the problems of `data`, which stand at `path`.

        The data are validated as JSON is, strictly: 1 is no truth value and "1" is no number.

        Args:
            model: What the data have to be.
            data: As read from the file.
            path: Where they stand.
            context: For the validators of the model.
            homes: Where entries of the data stand that do not stand at `path`.
        """
        try:
            return model.model_validate_json(json.dumps(data), strict=True, context=context)
        except ValidationError as error:
            for one in error.errors(include_url=False):
                inner = document_path(data, one["loc"], absent=one["type"] == "missing")
                home = homes.get(str(inner[0]), path) if inner else path
                self._pydantic(model, home, inner, one)
            return None

    def _pydantic(self, model: type[BaseModel], path: KeyPath, inner: KeyPath, error: Mapping[str, Any]) -> None:
        kind, loc = error["type"], error["loc"]
        if kind == "extra_forbidden":
            self.unknown((*path, *inner), field_names(model, loc[:-1]) or ())
            return
        what, allowed, suggestion = _words(error)
        self.add((*path, *inner), what, allowed, suggestion)


def one_of(names: Iterable[str]) -> str | None:
    """``allowed: a, b, c``, or None for no names."""
    joined = ", ".join(sorted(names))
    return f"allowed: {joined}" if joined else None


def wrong(what: str, allowed: str = "", suggestion: str | None = None) -> PydanticCustomError:
    """The error that a validator of ours raises."""
    context = {"what": what, "allowed": allowed, "suggestion": suggestion or ""}
    return PydanticCustomError("ksmlab", "{what}", context)


def shown(value: Any) -> str:
    """A value of an experiment file as a message shows it, in at most 40 characters."""
    if value is None:
        return "nothing"
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    return ascii(shortened(value)) if isinstance(value, str) else shortened(json.dumps(value))


def document_path(data: Any, loc: Iterable[str | int], *, absent: bool = False) -> KeyPath:
    """The part of a validation error's location that the document has.

    Locations also name members of unions and steps inside validators, which nobody wrote.

    Args:
        data: What was validated.
        loc: Where pydantic says that the error is.
        absent: Keep the last part though the data do not have it.
    """
    path: list[str | int] = []
    parts = list(loc)
    for place, part in enumerate(parts):
        if _has(data, part):
            data = data[part]
        elif not (absent and place == len(parts) - 1):
            continue
        path.append(part)
    return tuple(path)


def _has(data: Any, part: str | int) -> bool:
    if isinstance(data, list):
        return isinstance(part, int) and part < len(data)
    return isinstance(data, Mapping) and part in data


def field_names(model: type[BaseModel], loc: Iterable[str | int]) -> list[str] | None:
    """The keys allowed at a location below `model`; None where they cannot be told."""
    here: Any = model
    for part in loc:
        owner = _model_in(here)
        if owner is not None and part in owner.model_fields:
            here = owner.model_fields[str(part)].annotation
    owner = _model_in(here)
    return None if owner is None else [field.alias or name for name, field in owner.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The only model that an annotation such as ``list[Model] | None`` speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = {model for part in get_args(annotation) if (model := _model_in(part)) is not None}
    return found.pop() if len(found) == 1 else None


_KINDS = {
    "int": "a whole number", "float": "a number", "string": "a text", "bool": "true or false",
    "list": "a list", "dict": "a mapping", "model": "a mapping", "tuple": "a list", "set": "a list",
}  # fmt: skip
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}
_LENGTHS = {"too_short": ("min_length", "at least"), "too_long": ("max_length", "at most")}


def _words(error: Mapping[str, Any]) -> tuple[str, str | None, str | None]:
    """What is wrong, what is allowed, and a suggestion, for one of pydantic's errors."""
    kind, context, got = str(error["type"]), error.get("ctx", {}), error["input"]
    if kind == "ksmlab":
        return context["what"], context["allowed"] or None, context["suggestion"] or None
    if kind == "missing":
        return "missing", "it has to be given", None
    if kind in _BOUNDS:
        name, bound = _BOUNDS[kind]
        return f"{shown(got)} is out of range", f"{bound} {context[name]}", None
    if kind in _LENGTHS:
        name, bound = _LENGTHS[kind]
        return f"{context.get('actual_length')} items", f"{bound} {context[name]}", None
    if kind in ("literal_error", "enum"):
        return _not_a_choice(got, str(context["expected"]))
    if kind == "string_pattern_mismatch":
        return f"{shown(got)} has not the right form", f"it has to match {context['pattern']}", None
    if kind == "value_error":
        said = str(context["error"])
        return said if shown(got) in said else f"{shown(got)}: {said}", None, None
    stem = kind.split("_")[0]
    if stem in _KINDS and kind.endswith(("_type", "_parsing", "_from_float")):
        return f"{shown(got)} is not {_KINDS[stem]}", _boolean_hint(kind, got), None
    return f"{shown(got)}: {error['msg']}", None, None


def _boolean_hint(kind: str, got: Any) -> str | None:
    if kind == "bool_type" and got in ("on", "off", "yes", "no", "y", "n"):
        return "write true or false"
    return None


def _not_a_choice(got: Any, expected: str) -> tuple[str, str, str | None]:
    choices = expected.replace(" or ", ", ").replace("'", "").replace("True", "true").split(", ")
    nearest = did_you_mean(got, choices) if isinstance(got, str) else None
    return f"{shown(got)} is not one of the choices", f"allowed: {', '.join(choices)}", nearest
