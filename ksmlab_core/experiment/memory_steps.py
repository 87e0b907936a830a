"""The steps of a scripted workload that concern processes and their memory, one model each."""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from ksmlab_core.experiment.quantities import Content, Name, Names, PageCount, Pages

Returns = Literal[0, "EINVAL", "ENOMEM", "EAGAIN"]
"""What a system call can be expected to return."""
Flag = Literal["shared", "io", "nonlinear", "locked", "readonly"]

NOT_GIVEN: Final[Any] = None
"""Default of what need not be given, where null is not a way to write it."""


class Arguments(BaseModel):
    """Arguments given as a mapping."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    step: ClassVar[str]

    def arguments(self) -> dict[str, Any]:
        """The arguments as the simulation takes them."""
        return self.model_dump()


class Spawn(RootModel[Names]):
    """New processes."""

    step: ClassVar[str] = "spawn"

    def arguments(self) -> dict[str, Any]:
        return {"process": self.root}


class Exit(Spawn):
    """Processes end and their memory is freed."""

    step = "exit"


class OnArea(Arguments):
    """A step in one or more processes that concerns an area of each."""

    process: Names = Field(description="process, or list of processes, that the step is done in")
    area: Name = Field(description="area, by the name that mmap gave it")


class Mmap(OnArea):
    """A private anonymous area."""

    step = "mmap"
    pages: PageCount = Field(description="length in pages")
    advise: Literal["mergeable"] | None = Field(None, description="madvise given at once")
    flags: list[Flag] = Field([], description="vma flags beside the usual ones")
    node: int = Field(NOT_GIVEN, ge=0, lt=8, description="NUMA node that its pages are to come from, from 0")
    measured: bool = Field(True, description="false: no measured row lists it, as what a real process has besides")

    def arguments(self) -> dict[str, Any]:
        usual = {"node": None, "measured": True}
        return self.model_dump(exclude={name for name, value in usual.items() if getattr(self, name) == value})


class OnPages(OnArea):
    """A step on pages of an area, all of them if none are named."""

    pages: Pages = Field(NOT_GIVEN, description="page number, or inclusive range 0..99; all when left out")


class Munmap(OnPages):
    """Unmaps pages of an area, as munmap(2)."""

    step = "munmap"


class Madvise(OnPages):
    """Advises the kernel on pages of an area, as madvise(2)."""

    step = "madvise"
    advice: Literal["mergeable", "unmergeable", "dontneed"] = Field(description="advice to give")
    returns: Returns = Field(NOT_GIVEN, description="what the call has to return; success when left out")


class Mprotect(OnPages):
    """Allows or forbids writing to pages of an area, as mprotect(2)."""

    step = "mprotect"
    writable: bool = Field(description="whether the pages may be written")


class Mlock(OnPages):
    """Locks pages of an area in memory, as mlock(2)."""

    step = "mlock"
    returns: Returns = Field(NOT_GIVEN, description="what the call has to return; success when left out")


class Munlock(OnPages):
    """Lets locked pages be swapped again, as munlock(2)."""

    step = "munlock"


class Fork(Arguments):
    """A child with a copy of the parent's memory, as fork(2)."""

    step = "fork"
    process: Name = Field(description="parent")
    child: Name = Field(description="name of the child")


class Prctl(Arguments):
    """Asks for all memory of a process to be merged, or no more, as prctl(PR_SET_MEMORY_MERGE)."""

    step = "prctl"
    process: Names = Field(description="process, or list of processes")
    merge: Literal[0, 1] = Field(description="1: every area, now and in future; 0: none")
    returns: Returns = Field(NOT_GIVEN, description="what the call has to return; success when left out")


class Write(OnPages):
    """Writes pages, in ascending order."""

    step = "write"
    content: Content = Field(
        description="zero; unique (a page's own, new at every write); {cycle: n, from: k} (page i holds"
        " content i mod n of family k); any other text (that content in every page)"
    )


class Touch(OnPages):
    """Writes to pages the value that is already there, in ascending order."""

    step = "touch"


class Read(OnPages):
    """Reads pages, in ascending order."""

    step = "read"


class Mremap(OnPages):
    """Moves pages to a new address, as mremap(2)."""

    step = "mremap"


class OnChosenPages(OnArea):
    """A step on pages of an area that have to be named."""

    pages: Pages = Field(description="page number, or inclusive range 0..99")


class Pin(OnChosenPages):
    """Takes an extra reference on each page, as get_user_pages does."""

    step = "pin"


class Unpin(OnChosenPages):
    """Gives back what pin took."""

    step = "unpin"


class Lock(OnChosenPages):
    """Somebody else holds the page lock: trylock fails until unlock."""

    step = "lock"


class Unlock(OnChosenPages):
    """Gives back what lock took."""

    step = "unlock"
