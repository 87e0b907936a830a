"""Plans carried out by a Dask cluster: the same results, whoever dies; nothing different is computed with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ksmlab_core.errors import BadInput, ClusterLost
from ksmlab_core.lab import cluster as module
from ksmlab_core.lab.cluster import Cluster, work_far_away
from ksmlab_core.lab.identity import Part, parts_of
from ksmlab_core.lab.runner import carry_out
from ksmlab_core.lab.workers import Refused, first_difference
from ksmlab_core.policy.registry import load_registry

distributed = pytest.importorskip("distributed")

DEATHS = 2
"""Workers that a run may take with it before it has failed."""


def path_of_workers() -> str:
    """Where other processes find what this one has, the stand-in for the simulation among it."""
    return os.pathsep.join([str(Path(__file__).parent), *sys.path])


@pytest.fixture(scope="module")
def cluster(fake: ModuleType) -> Iterator[Cluster]:
    """A real cluster: a scheduler, and two workers in processes of their own."""
    import dask

    with (
        pytest.MonkeyPatch.context() as patch,
        dask.config.set({"distributed.scheduler.allowed-failures": DEATHS - 1}),
    ):
        patch.setenv("PYTHONPATH", path_of_workers())
        with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as local:
            yield Cluster(local.scheduler_address)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine processes take their time to start."""
    for name in ("_CONNECT", "_FIRST_WORKER", "_WITHOUT_WORKERS"):
        monkeypatch.setattr(module, name, 120)


@pytest.fixture
def here(make_plan: Any, tmp_path: Path) -> Any:
    """Makes plans whose files are in this test's folder."""

    def make(*words: Any, **more: Any) -> Any:
        plan = make_plan(*words, **more)
        return replace(plan, points=[replace(spec, base_dir=str(tmp_path)) for spec in plan.points])

    return make


def same_files(one: Path, other: Path) -> bool:
    """Equal numbers, series and logs of the same runs."""
    names = ("counters.json", "series.parquet", "log.jsonl")
    runs = sorted(path.name for path in one.iterdir())
    return runs == sorted(path.name for path in other.iterdir()) and all(
        (one / run / name).read_bytes() == (other / run / name).read_bytes() for run in runs for name in names
    )


def test_a_cluster_gives_the_same_as_one_process(fake: ModuleType, here: Any, cluster: Cluster, tmp_path: Path) -> None:
    plan = here(seeds=tuple(range(5)))
    carry_out(plan, simulate=fake.run, out=tmp_path / "here")
    results = carry_out(plan, simulate=fake.run, out=tmp_path / "there", cluster=cluster)
    assert [result.id for result in results] == [spec.id for spec in plan.points]
    assert same_files(tmp_path / "here" / "storm", tmp_path / "there" / "storm")


def test_failures_and_refusals_come_back_as_they_are(fake: ModuleType, here: Any, cluster: Cluster) -> None:
    kernel, remerge, defer = carry_out(here(), simulate=fake.fails, cluster=cluster)
    assert (kernel.status, remerge.error["line"]) == ("succeeded", 12)
    assert defer.error["trace"] == "Traceback ... p.py"
    with pytest.raises(BadInput, match=r"^x\.ksmcap: torn$"):
        carry_out(here(), simulate=fake.refuses, cluster=cluster)


def test_a_run_whose_worker_is_killed_is_done_elsewhere(
    fake: ModuleType, here: Any, cluster: Cluster, tmp_path: Path
) -> None:
    plan = here(seeds=tuple(range(4)))
    carry_out(plan, simulate=fake.run, out=tmp_path / "here")
    results = carry_out(replace(plan), simulate=fake.dies_once, out=tmp_path / "there", cluster=cluster)
    assert len(list(tmp_path.glob("*.tried"))) == 4, "every run of remerge took a worker with it"
    assert {result.status for result in results} == {"succeeded"}
    assert same_files(tmp_path / "here" / "storm", tmp_path / "there" / "storm")


def test_a_run_that_kills_every_worker_fails_alone(fake: ModuleType, here: Any, cluster: Cluster) -> None:
    kernel, remerge = carry_out(here(("kernel", "remerge")), simulate=fake.dies, cluster=cluster)
    assert kernel.status == "succeeded"
    assert remerge.error["type"] == "WorkerDied"
    assert (
        remerge.error["message"]
        == "the worker process died during this run, with nothing beside it; other runs went on"
    )


PLUGIN = '''\
"""A policy of one's own."""
from ksmlab_core.policy import Swapin, SwapinPolicy, hookimpl


class Mine(SwapinPolicy):
    name = "mine"

    def decide(self, fault):
        return Swapin.KERNEL


@hookimpl
def ksmlab_swapin_policies():
    return [Mine]
'''


def with_plugin(plan: Any, folder: Path) -> Any:
    """The plan with a plugin file, whose policy makes the second choice of each run."""
    (folder / "mine.py").write_text(PLUGIN)
    policies = {hook: {"use": "kernel", "params": {}} for hook in ("reclaim", "scan")}
    points = [
        replace(
            spec,
            plugins=["./mine.py"],
            base_dir=str(folder),
            policies={**policies, "swapin": {"use": "mine", "params": {}}},
        )
        for spec in plan.points
    ]
    return replace(plan, points=points, registry=load_registry(["./mine.py"], folder, autoload=False))


def test_a_plugin_that_differs_there_is_refused(fake: ModuleType, here: Any, cluster: Cluster, tmp_path: Path) -> None:
    """The file changes between planning and doing: the same to a worker as another file on its machine."""
    plan = with_plugin(here(("kernel",)), tmp_path)
    (tmp_path / "mine.py").write_text(PLUGIN + "# mended\n")
    with pytest.raises(BadInput) as caught:
        carry_out(plan, simulate=fake.run, cluster=cluster)
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(f"{tmp_path / 'mine.py'}: policies.swapin differs: sha256 ")
    assert f"on worker {os.uname().nodename}" in said
    assert len({word for word in said.replace(",", "").split() if len(word) == 12 and word.isalnum()}) == 2, said


def test_a_plugin_that_is_not_there_is_refused(fake: ModuleType, here: Any, cluster: Cluster, tmp_path: Path) -> None:
    plan = with_plugin(here(("kernel",)), tmp_path)
    (tmp_path / "mine.py").unlink()
    with pytest.raises(BadInput, match=r"^on worker \S+: \S*mine\.py: no such file$"):
        carry_out(plan, simulate=fake.run, cluster=cluster)


def test_a_plugin_that_was_put_right_is_loaded_anew(
    fake: ModuleType, here: Any, cluster: Cluster, tmp_path: Path
) -> None:
    plan = with_plugin(here(("kernel",), seeds=(1, 2, 3)), tmp_path)
    (tmp_path / "mine.py").write_text(PLUGIN + "# mended\n")
    with pytest.raises(BadInput):
        carry_out(plan, simulate=fake.alike, cluster=cluster)
    (tmp_path / "mine.py").write_text(PLUGIN)
    assert [one.status for one in carry_out(plan, simulate=fake.alike, cluster=cluster)] == ["succeeded"] * 3


def order(plan: Any, fake: ModuleType, **changed: Part) -> dict[str, Any]:
    """What a worker gets, with something changed that the run is made by."""
    [spec] = plan.points
    parts = {**parts_of(spec, plan.registry, fake.run), **changed}
    told = {name: tuple(part) for name, part in parts.items()}
    return {"spec": spec.as_dict(), "position": 0, "log": False, "simulate": fake.run, "parts": told}


def test_another_engine_or_numpy_is_refused(fake: ModuleType, here: Any) -> None:
    plan = here(("kernel",))
    for name, theirs in {"engine": f"0.0.9 {'a' * 64}", "numpy": "1.0"}.items():
        answer = work_far_away(order(plan, fake, **{name: Part(theirs, "")}))
        assert isinstance(answer, Refused)
        assert f"{name} differs: {theirs[:6]}" in answer.message
    assert not isinstance(work_far_away(order(plan, fake)), Refused)


def test_a_capture_that_differs_is_named() -> None:
    planned = {"workload.capture": Part("a" * 64, "/data/x.ksmcap")}
    said = first_difference(planned, {"workload.capture": Part("b" * 64, "/mnt/x.ksmcap")})
    assert said is not None
    assert said.startswith(f"/mnt/x.ksmcap: workload.capture differs: sha256 {'a' * 12} where the runs were planned, ")
    assert f"sha256 {'b' * 12} on worker" in said
    assert "none on worker" in str(first_difference(planned, {}))
    assert first_difference(planned, planned) is None


def test_without_the_package_a_line_says_how_to_get_it(
    fake: ModuleType, here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"pip install 'ksmlab\[cluster\]'"):
        carry_out(here(), simulate=fake.run, cluster=Cluster("tcp://localhost:1"))


@pytest.mark.parametrize("address", ["tcp://localhost:1", "nonsense://x", "localhost:notaport"])
def test_a_scheduler_that_is_not_there_is_one_line(
    fake: ModuleType, here: Any, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(module, "_CONNECT", 1)
    with pytest.raises(BadInput) as caught:
        carry_out(here(), simulate=fake.run, cluster=Cluster(address))
    assert str(caught.value).startswith(f"{address}: no Dask scheduler to be reached")
    assert "\n" not in str(caught.value)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[str, Any]]:
    """A scheduler in a process of its own, without workers."""
    code = (
        "import asyncio, sys\nfrom distributed import Scheduler\n"
        "async def serve():\n"
        "    async with Scheduler(host='localhost', port=0, dashboard_address=':0', dashboard=False) as scheduler:\n"
        "        print(scheduler.address, flush=True)\n"
        "        await scheduler.finished()\n"
        "asyncio.run(serve())"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": path_of_workers()},
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process
        process.kill()


def test_a_cluster_without_workers_is_one_line(
    fake: ModuleType, here: Any, monkeypatch: pytest.MonkeyPatch, scheduler: tuple[str, Any]
) -> None:
    monkeypatch.setattr(module, "_FIRST_WORKER", 1)
    address, _ = scheduler
    with pytest.raises(BadInput, match=f"^{address}: no worker is there; start one with: dask worker {address}$"):
        carry_out(here(), simulate=fake.run, cluster=Cluster(address))


@pytest.mark.parametrize("who", ["scheduler", "worker"])
def test_a_cluster_that_goes_away_keeps_what_is_done(
    fake: ModuleType,
    here: Any,
    monkeypatch: pytest.MonkeyPatch,
    scheduler: tuple[str, Any],
    tmp_path: Path,
    who: str,
) -> None:
    """The scheduler dies, or the last worker without anybody to start it again."""
    monkeypatch.setattr(module, "_WITHOUT_WORKERS", 2)
    address, process = scheduler
    env = {**os.environ, "PYTHONPATH": path_of_workers()}
    words = ["worker", address, "--no-nanny", "--no-dashboard", "--nthreads", "1"]
    command = [sys.executable, "-m", "dask", *words]
    worker = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    killed = process if who == "scheduler" else worker
    plan = here(seeds=tuple(range(20)))

    def kill(plan: Any, result: Any) -> None:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        time.sleep(0.2)

    try:
        with pytest.raises(ClusterLost) as caught:
            carry_out(plan, simulate=fake.run, out=tmp_path / "out", cluster=Cluster(address), on_result=kill)
    finally:
        worker.kill()
        worker.wait()
    assert str(caught.value).startswith(f"{address}: ")
    assert "\n" not in str(caught.value)
    kept = sorted(path.name for path in (tmp_path / "out" / "storm").iterdir())
    assert 0 < len(kept) < 60
    assert not [name for name in kept if name.startswith(".")]
    assert len(carry_out(plan, simulate=fake.run, out=tmp_path / "out")) == 60
