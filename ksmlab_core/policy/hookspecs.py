"""The hooks of ksmlab. A plugin is a module with functions of these names, each marked ``@hookimpl``.

Four hooks *register*: they are called once, when plugins are loaded, and return classes; an experiment file
then picks one of them by its name. Four *observe*: they are called for every run, and what they return is
ignored. A function declares only the arguments that it wants, without default values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from ksmlab_core.policy.base import ReclaimPolicy, RunInfo, ScanOrder, SwapinPolicy
    from ksmlab_core.workload.base import Workload

PROJECT = "ksmlab"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def ksmlab_reclaim_policies() -> Iterable[type[ReclaimPolicy]]:  # type: ignore[empty-body]
    """Register policies that choose which page frames are reclaimed.

    Called once per process, when plugins are loaded.

    Example::

        import numpy as np
        from ksmlab_core.policy import ReclaimPolicy, hookimpl, smallest


        class MostRecentlyUsed(ReclaimPolicy):
            \"\"\"Evict what was used last: right for loops that are larger than memory.\"\"\"

            name = "mru"

            def victims(self, frames, n):
                return frames.index[smallest(-frames.last_access_ns, n)]


        @hookimpl
        def ksmlab_reclaim_policies():
            return [MostRecentlyUsed]
    """


@hookspec
def ksmlab_swapin_policies() -> Iterable[type[SwapinPolicy]]:  # type: ignore[empty-body]
    """Register policies that choose between a copy and sharing when a page comes back from swap.

    Called once per process, when plugins are loaded.

    Example::

        from ksmlab_core.policy import Swapin, SwapinPolicy, hookimpl


        class ReadersShare(SwapinPolicy):
            \"\"\"Rejoin the KSM page on a read; a write would break it again at once.\"\"\"

            name = "readers-share"

            def decide(self, fault):
                if fault.ksm_twin and not fault.write:
                    return Swapin.REMERGE
                return Swapin.KERNEL


        @hookimpl
        def ksmlab_swapin_policies():
            return [ReadersShare]
    """


@hookspec
def ksmlab_scan_orders() -> Iterable[type[ScanOrder]]:  # type: ignore[empty-body]
    """Register policies that choose what ksmd looks at next.

    Called once per process, when plugins are loaded.

    Example::

        import numpy as np
        from ksmlab_core.policy import ScanOrder, hookimpl


        class HighestAddressFirst(ScanOrder):
            \"\"\"Every page once per scan, from the top of each address space.\"\"\"

            name = "highest-first"

            def order(self, pages, n):
                due = np.flatnonzero(pages.last_scanned < pages.full_scans)
                return due[np.argsort(-pages.address[due], kind="stable")[:n]]


        @hookimpl
        def ksmlab_scan_orders():
            return [HighestAddressFirst]
    """


@hookspec
def ksmlab_workloads() -> Iterable[type[Workload]]:  # type: ignore[empty-body]
    """Register workloads: where processes, accesses and contents come from.

    Called once per process, when plugins are loaded.

    Example::

        import numpy as np
        from ksmlab_core.policy import Field, Workload, hookimpl
        from ksmlab_core.workload.events import Access, Map, Spawn


        class Twins(Workload):
            \"\"\"Two processes that write the same pages once.\"\"\"

            name = "twins"

            class Params(Workload.Params):
                pages: int = Field(100, ge=1, description="pages of each process")

            def events(self):
                page = np.arange(self.params.pages, dtype=np.int32)
                for number, process in enumerate(("one", "two")):
                    yield Spawn(process)
                    yield Map(process, "heap", self.params.pages)
                    yield Access(np.full_like(page, number), page, page.astype(np.int64) + 1)


        @hookimpl
        def ksmlab_workloads():
            return [Twins]
    """


@hookspec
def ksmlab_run_started(run: RunInfo) -> None:
    """Observe that a run is about to begin.

    Called once per run, in the process that carries it out.

    Args:
        run: what the run is.

    Example::

        from ksmlab_core.policy import hookimpl

        started = []


        @hookimpl
        def ksmlab_run_started(run):
            started.append(run.id)
    """


@hookspec
def ksmlab_sampled(run: RunInfo, sample: Mapping[str, Any]) -> None:
    """Observe one sample of all metrics.

    Called at every labelled sample of a run: typically fewer than a thousand times.

    Args:
        run: what the run is.
        sample: ``at`` (the label), ``ns`` (simulated time, ns) and ``metrics`` (name to integer).

    Example::

        from ksmlab_core.policy import hookimpl

        shared = {}


        @hookimpl
        def ksmlab_sampled(run, sample):
            shared[run.id, sample["at"]] = sample["metrics"]["ksm.pages_sharing"]
    """


@hookspec
def ksmlab_run_finished(run: RunInfo, result: Any) -> None:
    """Observe the result of a run that came to its end, expectations met or not.

    Called once per run that did not fail.

    Args:
        run: what the run is.
        result: its result: ``metrics``, ``samples``, ``expect``, ``series``.

    Example::

        from ksmlab_core.policy import hookimpl

        faults = {}


        @hookimpl
        def ksmlab_run_finished(run, result):
            faults[run.id] = result.metrics["vm.pgmajfault"]
    """


@hookspec
def ksmlab_run_failed(run: RunInfo, failure: Exception) -> None:
    """Observe that a run could not be finished.

    Called once per failed run, instead of ``ksmlab_run_finished``.

    Args:
        run: what the run is.
        failure: why; ``str()`` of it is what the user is shown.

    Example::

        from ksmlab_core.policy import hookimpl

        failures = []


        @hookimpl
        def ksmlab_run_failed(run, failure):
            failures.append(f"{run.id}: {failure}")
    """
