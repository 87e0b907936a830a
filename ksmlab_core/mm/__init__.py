"""Floor 0: the machine. The kernel's state and transitions, nothing else."""

from __future__ import annotations


def precompile() -> None:
    """Compile every door, or load it from disk, before workers start."""
    from ksmlab_core.mm.machine import precompile as compile_doors

    compile_doors()
