"""One run: a machine, a workload and policies, brought together on simulated time.

``run(spec, registry)`` carries one validated run out and gives a `RunResult`. The compiler is loaded only then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ksmlab_core.simulation.result import RunResult

if TYPE_CHECKING:
    from ksmlab_core.simulation.carry_out import run as run

__all__ = ["ENGINE_VERSION", "RunResult", "run"]

ENGINE_VERSION: Final = 3
"""Of what the engine does (machine, clock, costs, streams): raised when equal specifications, policies and workloads
give other integers than before. Golden results name it."""


def __getattr__(name: str) -> Any:
    if name == "run":
        from ksmlab_core.simulation.carry_out import run

        return run
    raise AttributeError(name)
