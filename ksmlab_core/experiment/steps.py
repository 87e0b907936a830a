"""The steps of a scripted workload, by name; the models of those that concern the machine as a whole.

A step is a mapping of one key, the name of the step, to its arguments. `arguments()` gives them as the
simulation takes them: lists of process names, pages as first and last (None: all of the area), durations
in ns.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal

from pydantic import ConfigDict, Field, RootModel, model_validator

from ksmlab_core.experiment.complaints import shown, wrong
from ksmlab_core.experiment.measured import Row, cells, read_row
from ksmlab_core.experiment.memory_steps import (
    NOT_GIVEN,
    Arguments,
    Exit,
    Fork,
    Lock,
    Madvise,
    Mlock,
    Mmap,
    Mprotect,
    Mremap,
    Munlock,
    Munmap,
    Pin,
    Prctl,
    Read,
    Spawn,
    Touch,
    Unlock,
    Unpin,
    Write,
)
from ksmlab_core.experiment.quantities import Count, Duration, Names, Want


class Scan(Arguments):
    """ksmd runs, whatever `ksm.run` says."""

    step = "scan"
    passes: Count = Field(NOT_GIVEN, description="until full_scans has risen by this much")
    pages: Count = Field(NOT_GIVEN, description="for this many pages")

    @model_validator(mode="after")
    def _one_of_both(self) -> Scan:
        if (self.passes is None) == (self.pages is None):
            raise wrong("how far to scan is not clear", "either passes or pages")
        return self


class Reclaim(Arguments):
    """Evicts pages until nothing more can be evicted, or so many were freed."""

    model_config = ConfigDict(json_schema_extra=lambda schema: _or(schema, {"const": "all"}))
    step = "reclaim"
    pages: Count = Field(NOT_GIVEN, description="pages to free")

    @model_validator(mode="before")
    @classmethod
    def _all(cls, value: Any) -> Any:
        if value == "all":
            return {}
        if not isinstance(value, dict) or not value:
            raise wrong(f"{shown(value)} is not an amount to reclaim", "all, or {pages: n}")
        return value


class Memcg(Arguments):
    """Reclaim from here on is on behalf of a memory cgroup with these processes only, or of nobody again."""

    step = "memcg"
    process: Names = Field(NOT_GIVEN, description="processes of the cgroup; all when left out")


class Lru(RootModel[Literal["deactivate", "shrink", "drain"]]):
    """One kernel step of reclaim: shrink_active_list over all active anonymous pages (deactivate),
    shrink_inactive_list once over the whole inactive list (shrink), or emptying the page batches (drain)."""

    step: ClassVar[str] = "lru"

    def arguments(self) -> dict[str, Any]:
        return {"action": self.root}


class Swapoff(RootModel[Literal[True]]):
    """Reads all swapped pages back and turns the swap area off, as swapoff(2)."""

    step: ClassVar[str] = "swapoff"

    def arguments(self) -> dict[str, Any]:
        return {}


class Swapon(Swapoff):
    """Turns the swap area on again, as swapon(2)."""

    step = "swapon"


class Set(RootModel[dict[str, Any]]):
    """Writes knobs, by names such as ksm.run; with `returns` what the write has to return."""

    step: ClassVar[str] = "set"

    def arguments(self) -> dict[str, Any]:
        knobs = {name: value for name, value in self.root.items() if name != "returns"}
        return {"knobs": knobs, "returns": self.root.get("returns")}


class Sleep(RootModel[Duration]):
    """Lets simulated time pass, with ksmd and reclaim running if they are on."""

    step: ClassVar[str] = "sleep"

    def arguments(self) -> dict[str, Any]:
        return {"ns": self.root}


class Fail(Arguments):
    """Lets the n-th next allocation of a kind fail."""

    step = "fail"
    alloc_page: Count = Field(NOT_GIVEN, description="page frame")
    fallback_vma: Count = Field(NOT_GIVEN, description="fallback vma of the reverse map")
    rmap_item: Count = Field(NOT_GIVEN, description="rmap_item")
    node: Count = Field(NOT_GIVEN, description="stable tree node")
    mm_slot: Count = Field(NOT_GIVEN, description="mm_slot")
    swap_continuation: Count = Field(NOT_GIVEN, description="continuation of a swap count above 0x3e")
    swap_read: Count = Field(NOT_GIVEN, description="read of a page from swap (an I/O error)")

    @model_validator(mode="after")
    def _something(self) -> Fail:
        if not self.model_fields_set:
            raise wrong("nothing to let fail", f"allowed: {', '.join(sorted(type(self).model_fields))}")
        return self

    def arguments(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)


class Sample(Arguments):
    """Records every metric under a label."""

    model_config = ConfigDict(json_schema_extra=lambda schema: _or(schema, {"type": "string", "minLength": 1}))
    step = "sample"
    label: str = Field(description="name of the sample", min_length=1)
    pages: bool = Field(False, description="also the state of every page")

    @model_validator(mode="before")
    @classmethod
    def _label(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return value
        if not isinstance(value, str):
            raise wrong(f"{shown(value)} is not a label", "a text, or {label: TEXT, pages: true}")
        return {"label": value}


class Expect(RootModel[dict[str, Want]]):
    """Compares metrics now."""

    step: ClassVar[str] = "expect"

    @model_validator(mode="after")
    def _something(self) -> Expect:
        if not self.root:
            raise wrong("nothing is expected", "metric: value, or metric: {min: a, max: b}")
        return self

    def arguments(self) -> dict[str, Any]:
        return {"metrics": self.root}


class Measured(Arguments):
    """One row of what a real kernel answered, compared column by column."""

    step = "measured"
    label: str = Field(description="name of the row", min_length=1)
    row: Row = Field(
        description="counters | scans | io | proc | pfns | swps | ksm | swcache | used | pages, separated"
        " by ' | '; ~ for a column that is not compared"
    )
    excepted: dict[str, str] = Field(
        {},
        alias="except",
        description="columns, or elements such as io.maj, not compared, each with the reason",
    )
    note: str = Field("", description="what is to be known of the row; nothing is compared with it")

    @model_validator(mode="after")
    def _consistent(self) -> Measured:
        read_row(self.row, self.excepted)
        return self

    def arguments(self) -> dict[str, Any]:
        return {"label": self.label, "row": self.row, "columns": cells(self.row), "except": self.excepted}


def _or(schema: dict[str, Any], shorthand: dict[str, Any]) -> None:
    """Make a mapping's schema accept a shorthand too."""
    title, description = schema.pop("title", ""), schema.pop("description", "")
    mapping = dict(schema)
    schema.clear()
    schema.update(title=title, description=description, anyOf=[shorthand, mapping])


STEPS: Final[dict[str, type[Any]]] = {
    model.step: model
    for model in (
        Spawn, Mmap, Munmap, Madvise, Mprotect, Mlock, Munlock, Fork, Exit, Prctl, Write, Touch, Read, Scan, Reclaim,
        Memcg, Lru, Swapoff, Swapon, Mremap, Set, Sleep, Pin, Unpin, Lock, Unlock, Fail, Sample, Expect, Measured,
    )
}  # fmt: skip
"""Every kind of step, by the key that files give it."""
