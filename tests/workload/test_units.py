"""Durations as experiment files write them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from ksmlab_core.workload.units import Duration, duration_ns


class Model(BaseModel):
    """A parameter with a duration."""

    wait: Duration


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("20ms", 20_000_000),
        ("1.5s", 1_500_000_000),
        ("3 us", 3000),
        ("7µs", 7000),
        ("2min", 120 * 10**9),
        ("0ns", 0),
        (5, 5),
    ],
)
def test_durations_are_nanoseconds(text: Any, ns: int) -> None:
    assert duration_ns(text) == ns
    assert Model(wait=text).wait == ns


@pytest.mark.parametrize("wrong", ["20", "ms", "-1s", "1e3s", "0.5ns", 1.5, True, None, -1, "99999999999min"])
def test_other_things_are_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError, match="duration"):
        Model(wait=wrong)


def test_the_schema_allows_both_forms() -> None:
    assert [form["type"] for form in Model.model_json_schema()["properties"]["wait"]["anyOf"]] == ["string", "integer"]
