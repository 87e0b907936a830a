"""The running kernel as a second machine: scripts carried out with real processes, real ksmd, real swap.

``run(spec, registry)`` has the shape of `ksmlab_core.simulation.run` and gives the same kind of result. It needs root
and takes KSM of the host for itself as long as it lasts; whatever it changes is written down before it is changed, and
a process of its own puts it back however the run ends (`guard`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ksmlab_core.host.carry_out import run as run

__all__ = ["run"]


def __getattr__(name: str) -> Any:
    if name == "run":
        from ksmlab_core.host.carry_out import run

        return run
    raise AttributeError(name)
