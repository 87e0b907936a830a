"""Carrying plans out: every run done once, kept at once, its failure data like its success.

The integers of a result depend on the run's specification alone, so one worker and many give the same ones; only the
order in which runs finish differs, and the lists returned here are in the order of the plan.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ksmlab_core.errors import BadInput
from ksmlab_core.lab.campaign import Campaign
from ksmlab_core.lab.once import Simulate, timed
from ksmlab_core.lab.standing import Again
from ksmlab_core.lab.store import Store

if TYPE_CHECKING:
    from ksmlab_core.experiment import Plan, RunSpec
    from ksmlab_core.lab.cluster import Cluster
    from ksmlab_core.lab.crew import Results
    from ksmlab_core.simulation import RunResult

OnResult = Callable[["Plan", "RunResult"], None]
OnProgress = Callable[["Plan", "RunSpec", int, "int | None"], None]
OnStanding = Callable[[Sequence[tuple["Plan", "RunResult"]]], None]


def carry_out(plan: Plan, *, command: str = "", **options: Any) -> list[RunResult]:
    """Do every run of one plan; arguments and errors as for `carry_out_all`."""
    return carry_out_all([plan], commands=[command], **options)[0]


def carry_out_all(
    plans: Sequence[Plan],
    *,
    jobs: int = 1,
    out: Path | None = None,
    again: Again = Again.NONE,
    cluster: Cluster | None = None,
    on_standing: OnStanding | None = None,
    on_result: OnResult | None = None,
    progress: OnProgress | None = None,
    log: bool = False,
    commands: Sequence[str] = (),
    simulate: Simulate | None = None,
) -> list[list[RunResult]]:
    """Do every run of several plans that is not done yet, sharing the workers among them.

    Args:
        plans: what to run, every point already validated.
        jobs: runs at a time; 1 stays in this process.
        out: folder for results; each run's is whole there as soon as the run is over. None keeps nothing.
        again: which runs are done although `out` holds their results, made by the same.
        cluster: the Dask cluster that does the runs, instead of processes of this machine.
        on_standing: told, before the first run is begun, of the results that stand.
        on_result: told of each run as it finishes.
        progress: told how far the run in this process is (accesses or steps done, and of how many if known); silent
            when there are workers.
        log: write the runs' logs to standard error as well.
        commands: per plan, the command line that does it again; kept in the manifests.
        simulate: stands in for the simulation, in tests and on the running kernel.

    Returns:
        Per plan the results of its runs, in the order of its points; failed runs among them, and those that stood.

    Raises:
        BadInput: a run could not begin. Runs that had finished are whole.
        ClusterLost: the cluster went away. Runs that had finished are whole.
        ResultsNotWritten: a result could not be written. Runs that had finished are whole.
    """
    if out is not None:
        _refuse_collisions(plans)
    campaign = Campaign(plans, Store(out) if out is not None else None, commands, log, simulate, again)
    standing = campaign.take_standing()
    if on_standing is not None:
        on_standing(standing)
    jobs = min(jobs, sum(len(plan.points) for plan in plans) - len(standing))
    try:
        with closing(_doing(campaign, jobs, cluster, progress)) as doing:
            for task, done in doing:
                kept = campaign.keep(task, done)
                if on_result is not None:
                    on_result(campaign.plan(task), kept)
    finally:
        campaign.abandon_unfinished()
    return campaign.results()


def _doing(campaign: Campaign, jobs: int, cluster: Cluster | None, progress: OnProgress | None) -> Results:
    """The tasks as they get done; who does it is imported here because most commands never need them."""
    if cluster is not None and jobs:
        from ksmlab_core.lab.cluster import in_cluster

        if not cluster.address:
            _compile_once()
        return in_cluster(campaign.tasks(), cluster)
    if jobs > 1:
        from ksmlab_core.lab.processes import in_processes

        _compile_once()
        return in_processes(campaign.tasks(), jobs)
    return _here(campaign, progress)


def _here(campaign: Campaign, progress: OnProgress | None) -> Results:
    """Do the tasks in this process, one after the other."""
    for task in campaign.tasks():
        plan = campaign.plan(task)
        yield task, timed(task, plan.registry, _for_run(progress, plan, task.spec))


def _for_run(progress: OnProgress | None, plan: Plan, spec: RunSpec) -> Callable[[int, int | None], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress(plan, spec, done, total)


def _compile_once() -> None:
    """Fill the cache of compiled functions before the workers start, so that they do not all compile the same."""
    from ksmlab_core.mm import precompile

    precompile()


def _refuse_collisions(plans: Sequence[Plan]) -> None:
    """Two files that would write into the same folder of results are an error before anything is run."""
    seen: dict[tuple[str, str], Plan] = {}
    for plan in plans:
        for spec in plan.points:
            other = seen.setdefault((plan.experiment, spec.id), plan)
            if other is not plan:
                raise BadInput(
                    f"{plan.file}: experiment {plan.experiment!r} has a run {spec.id!r}, and so has {other.file}; "
                    "one would overwrite the other's results: rename one, or run them with different --out"
                )
