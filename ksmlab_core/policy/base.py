"""The classes that policies derive from. The core asks them directly: no dispatch stands between."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from ksmlab_core.policy.columns import FrameColumns, ScanColumns
from ksmlab_core.policy.terms import Swapin, SwapinFault

COUNT_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
TIMES_ASKED = "times_asked"
"""The engine's own count among those of a policy: how often it was asked."""


@dataclass(frozen=True)
class RunInfo:
    """What a run tells its policies and observers about itself before it starts."""

    id: str  # unique within the experiment
    experiment: str = ""
    seed: int = 0
    profile: str = "seed"  # which kernel is simulated
    frames: int = 0  # page frames of the machine
    slots: int = 0  # swap slots of the machine
    policies: Mapping[str, str] = field(default_factory=dict)  # hook -> name of the policy chosen
    point: Mapping[str, Any] = field(default_factory=dict)  # what the sweep set for this run


class Policy:
    """What all policies have: a name, parameters, random numbers, counts.

    Attributes:
        name: what an experiment file calls it; ``[a-z0-9][a-z0-9-]*``.
        version: of what it answers: raised when equal questions get other answers, so that golden results may change.
        params: an instance of the class's `Params`.
        rng: random numbers of this policy in this run; the only source it may use.
        counts: what :meth:`count` has counted.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    compiled: ClassVar[bool] = False  # the machine itself does it: the methods are never called

    class Params(BaseModel):
        """Parameters, declared once: validated, listed by ``ksmlab plugins``, part of the schema."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        @field_validator("*", mode="before")
        @classmethod
        def _numbers_are_numbers(cls, value: Any, info: ValidationInfo) -> Any:
            """A YAML ``yes`` or ``"3"`` where a number belongs is a slip of the reader, not a number."""
            wanted = cls.model_fields[info.field_name or ""].annotation
            if wanted in (int, float) and isinstance(value, (bool, str)):
                raise ValueError(f"should be a number, not {value!r}")
            return value

    def __init__(self, params: BaseModel | None = None, rng: np.random.Generator | None = None) -> None:
        self.params: Any = self.Params() if params is None else params
        self.rng = np.random.default_rng(0) if rng is None else rng
        self.counts: dict[str, int] = {}

    def started(self, run: RunInfo) -> None:
        """Called once before the run's first event, also when the policy answers several questions."""

    def count(self, name: str, n: int = 1) -> None:
        """Add `n` to what comes out as the metric ``policy.<hook>.<name>``."""
        if name not in self.counts and not COUNT_NAME.fullmatch(name):
            raise ValueError(f"a count is called [a-z0-9][a-z0-9_.-]*, not {name!r}")
        if name == TIMES_ASKED:
            raise ValueError(f"{TIMES_ASKED!r} is counted by the engine: how often the policy was asked")
        self.counts[name] = self.counts.get(name, 0) + operator.index(n)


class ReclaimPolicy(Policy):
    """Which frames go?"""

    batch: ClassVar[int] = 32  # victims that it wants to be asked for at a time

    def victims(self, frames: FrameColumns, n: int) -> NDArray[Any] | Sequence[int]:
        """Frame numbers out of ``frames.index``, best victim first: at most `n`, none twice.

        Naming fewer than `n` is allowed, naming none only when there is nothing to choose from.
        """
        raise NotImplementedError

    def reclaimed(self, index: NDArray[np.int32], outcome: NDArray[np.int8]) -> None:
        """Told what became of the frames `index` that it named: an :class:`Outcome` each."""


class SwapinPolicy(Policy):
    """Copy or remerge?"""

    def decide(self, fault: SwapinFault) -> Swapin:
        """What to do with this swap-in. The fault is lent: do not keep it, its values change."""
        raise NotImplementedError


class ScanOrder(Policy):
    """What does ksmd look at next?"""

    batch: ClassVar[int] = 128  # pages that it wants to be asked for at a time

    def order(self, pages: ScanColumns, n: int) -> NDArray[Any] | Sequence[int]:
        """Row numbers of `pages`, first to be looked at first: at most `n`, none twice.

        An empty answer ends the scan: ``full_scans`` rises by one. Rows are numbered anew at every question.
        """
        raise NotImplementedError
