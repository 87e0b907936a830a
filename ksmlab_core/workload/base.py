"""The base of every workload: parameters, a random stream of its own, and a stream of events."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from ksmlab_core.workload.events import Event


class Workload(ABC):
    """Where the accesses and the contents of a run come from.

    A workload depends on its parameters and its random stream alone, never on a policy or on how long the
    machine took, so that policies are compared on the same accesses.

    Attributes:
        name: What experiment files call it.
        version: Of its accesses and contents: raised when equal parameters and seeds give others, so that golden
            results may change.
        params: The parameters, an instance of the class's own `Params`.
        rng: The only source of random numbers it may use.
        base_dir: Folder that relative file names among the parameters start from.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1

    class Params(BaseModel):
        """Parameters; unknown ones are refused, and every field has a description."""

        model_config = ConfigDict(extra="forbid", frozen=True)

    def __init__(self, params: Any, rng: np.random.Generator, base_dir: Path | None = None) -> None:
        self.params: Any = params
        self.rng = rng
        self.base_dir = base_dir

    @abstractmethod
    def events(self) -> Iterator[Event]:
        """The whole run, from the first `Spawn` on. Asked for once."""

    def duration_hint(self) -> int | None:
        """How many accesses there will be, for progress bars; None when not known beforehand."""
        return None

    def path(self, name: str) -> Path:
        """A file named by a parameter, relative to the experiment file."""
        return (self.base_dir or Path()) / name
