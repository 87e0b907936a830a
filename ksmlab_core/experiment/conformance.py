"""The `conformance` block of an experiment file: which kernels answer so, and by which rules.

A scenario holds for ranges of kernel releases, ``since`` inclusive and ``before`` exclusive, as the kernel's own
history is told: since v6.7 there is smart_scan, before v6.11 joining a node needs no checksum. A kernel profile that
comes later is in or out of a range without the file being touched. What a range needs that others do not have (a knob,
mostly) it sets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, TypeGuard

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, WithJsonSchema

from ksmlab_core.errors import Problems
from ksmlab_core.experiment.complaints import Complaints, one_of, shown, wrong
from ksmlab_core.experiment.document import Document
from ksmlab_core.experiment.places import Places
from ksmlab_core.experiment.strict import Strict
from ksmlab_core.mm.profile import PROFILES

SEED: Final = "seed"
ALL: Final = "all"
_MERGE_WINDOW: Final = (2, 6, 32, 1)
"""Where the seed commit stands among the releases: after 2.6.32, before 2.6.33."""
_RELEASE: Final = r"v\d{1,3}(\.\d{1,3}){1,3}"
_RULE: Final = r"(R|INV|T|X)-[A-Za-z0-9]+(-[A-Za-z0-9]+)*"
SETTABLE: Final = ("expect", "ksm", "machine", "policies", "workload")
"""Top-level keys that a range of kernels may set."""


def _read_release(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(_RELEASE, value):
        return value
    raise wrong(f"{shown(value)} is not a release of the kernel", "such as v2.6.33 or v6.7")


def _read_rule(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(_RULE, value):
        return value
    raise wrong(f"{shown(value)} is not the number of a rule", "such as R-CMP-5, INV-15, T-DRV-1 or X-5")


def _read_keys(settings: dict[str, Any]) -> dict[str, Any]:
    for key in settings:
        root, *rest = key.split(".")
        if root not in SETTABLE or not all(rest):
            raise wrong(f"{shown(key)} cannot be set for some kernels", one_of(SETTABLE) or "")
    return settings


Release = Annotated[str, PlainValidator(_read_release), WithJsonSchema({"type": "string", "pattern": f"^{_RELEASE}$"})]
Rule = Annotated[str, PlainValidator(_read_rule), WithJsonSchema({"type": "string", "pattern": f"^{_RULE}$"})]


class Kernels(Strict):
    """A range of kernel releases, and what the scenario needs there."""

    since: Release | None = Field(None, description="first release it holds for; the seed commit is before v2.6.33")
    before: Release | None = Field(None, description="first release it holds for no longer")
    set: Annotated[dict[str, Any], AfterValidator(_read_keys)] = Field(
        {}, description="settings under these kernels, by dotted key, such as ksm.smart_scan"
    )

    def has(self, profile: str) -> bool:
        """Is the kernel of a profile in the range?"""
        here = place_of(profile)
        return (self.since is None or place_of(self.since) <= here) and (
            self.before is None or here < place_of(self.before)
        )


def _read_all(value: Any) -> Any:
    """``all`` as the one range that it stands for."""
    if isinstance(value, str):
        if value != ALL:
            raise wrong(f"{shown(value)} is no range of kernels", "all, or a list of {since, before, set}")
        return [{}]
    return value


def _or_all(schema: dict[str, Any]) -> None:
    described: dict[str, Any] = {key: schema.pop(key) for key in ("title", "description", "default") if key in schema}
    ranges = dict(schema)
    schema.clear()
    schema.update(described, default=ALL, anyOf=[{"const": ALL}, ranges])


class Conformance(Strict):
    """The experiment is a scenario of a conformance suite: `ksmlab conformance` holds kernels to it."""

    suite: str = Field(description="whose scenario it is, such as ltp", pattern="^[a-z0-9_.-]+$")
    scenario: str = Field(description="its name there", min_length=1)
    rules: list[Rule] = Field(description="rules that the expected figures follow from", min_length=1)
    kernels: Annotated[list[Kernels], BeforeValidator(_read_all)] = Field(
        default=[Kernels()],
        description="kernels it holds for: all, or ranges of releases that do not overlap",
        min_length=1,
        json_schema_extra=_or_all,
    )

    def holds_for(self, profile: str) -> bool:
        """Does the scenario hold for the kernel of a profile?"""
        return self.place_under(profile) is not None

    def place_under(self, profile: str) -> int | None:
        """Which of the ranges the kernel of a profile is in; None: in none of them."""
        return next((place for place, one in enumerate(self.kernels) if one.has(profile)), None)


def place_of(kernel: str) -> tuple[int, ...]:
    """Where a profile or release stands in the kernel's history."""
    if kernel == SEED:
        return _MERGE_WINDOW
    return tuple(int(part) for part in kernel.removeprefix("v").split("."))


def in_order(profiles: Iterable[str]) -> list[str]:
    """Profiles, oldest kernel first."""
    return sorted(profiles, key=place_of)


def is_release(name: Any) -> TypeGuard[str]:
    """Is it the name of the seed commit or of a release, whether there is a profile of it or not?"""
    return isinstance(name, str) and (name == SEED or re.fullmatch(_RELEASE, name) is not None)


def rules_in(text: str) -> tuple[str, ...]:
    """The rules that a text cites, each once."""
    return tuple(dict.fromkeys(found[0] for found in re.finditer(rf"\b{_RULE}\b", text)))


def block_of(document: Document) -> Conformance:
    """The conformance block of a file.

    Raises:
        Problems: There is none, or what is wrong with it.
    """
    complaints = Complaints(Places(document))
    block = check_conformance(complaints, document.data)
    if block is None and not complaints.found:
        complaints.add(("conformance",), "missing", "{suite, scenario, rules}")
    if block is None or complaints.found:
        raise Problems(complaints.found)
    return block


def check_conformance(complaints: Complaints, settings: Mapping[str, Any]) -> Conformance | None:
    """The conformance block of a file, if it has one that is right."""
    given = settings.get("conformance")
    if given is None:
        return None
    block = complaints.validated(Conformance, given, ("conformance",))
    ranges = block.kernels if block is not None else []
    for place, one in enumerate(ranges):
        _check_range(complaints, ranges[:place], one, ("conformance", "kernels", place))
    return block


def _check_range(complaints: Complaints, earlier: list[Kernels], one: Kernels, path: tuple[str | int, ...]) -> None:
    if one.since and one.before and place_of(one.since) >= place_of(one.before):
        complaints.add(path, f"no kernel is since {one.since} and before {one.before}", "since the earlier of both")
    for profile in in_order(PROFILES):
        if one.has(profile) and any(other.has(profile) for other in earlier):
            complaints.add(path, f"{profile} is in an earlier range too", "ranges that do not overlap")
            return
