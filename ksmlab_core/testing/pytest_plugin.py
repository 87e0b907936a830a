"""The pytest plugin: experiment files are tests.

``pytest experiments/ -n auto`` makes each run of each ``*.yaml`` file that is an experiment an item. This module only
decides what concerns it; pytest loads it in every project that has ksmlab installed, so what it needs is imported when
an experiment has been found (`pytest_items`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ksmlab_core.testing.pytest_recognition import is_experiment
from ksmlab_core.testing.pytest_shards import Shard, read_times, shard, share_of, slowest_first

if TYPE_CHECKING:
    from ksmlab_core.testing.pytest_items import ExperimentFile

SECONDS = "ksmlab/seconds"
"""Where pytest's cache keeps how long each item took."""
WORKER = "ksmlab_seconds"
"""Under what name workers are given them: all of them have to put their items into one order."""
MARK = "ksmlab.experiment"
"""The property by which a report of ours is known."""

_seconds = pytest.StashKey[dict[str, float]]()
_found = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """What can be asked of us."""
    group = parser.getgroup("ksmlab", "experiments as tests (ksmlab)")
    group.addoption(
        "--regen",
        action="store_true",
        help="write golden results anew: for the files that are named, and those that have some. "
        "Refused where integers changed, but no version of the engine or of a plugin",
    )
    group.addoption(
        "--shard", type=shard, metavar="I/N", help="run the I-th of N shares of all tests, the same on every machine"
    )
    group.addoption(
        "--times",
        metavar="FILE",
        help="seconds per test, by which shares are made equal (a copy of .pytest_cache/v/ksmlab/seconds)",
    )
    group.addoption("--ksmlab-out", metavar="DIR", help="keep the results of experiments in folders of DIR")
    parser.addini(
        "ksmlab_experiments",
        type="args",
        default=["*.yaml", "*.yml"],
        help="names of experiment files that are looked for in folders (a name with a / is a path from the rootdir)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Take the times of earlier runs: a worker those of its controller."""
    given = config.getoption("times")
    if worker := getattr(config, "workerinput", None):
        seconds = worker[WORKER]
    elif given:
        seconds = read_times(Path(given))
    else:
        cache = getattr(config, "cache", None)
        seconds = cache.get(SECONDS, {}) if cache is not None else {}
    config.stash[_seconds] = seconds
    if worker is None:
        config.pluginmanager.register(_Controller(config), "ksmlab-controller")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ExperimentFile | None:
    """An experiment file; one that is named need not look like one in every respect."""
    if file_path.suffix not in (".yaml", ".yml"):
        return None
    named = parent.session.isinitpath(file_path)
    if not named and not _looked_for(parent.config, file_path):
        return None
    if not is_experiment(file_path, named=named):
        return None
    from ksmlab_core.testing.pytest_items import ExperimentFile

    parent.config.stash[_found] = True
    found: ExperimentFile = ExperimentFile.from_parent(parent, path=file_path)
    return found


def _looked_for(config: pytest.Config, path: Path) -> bool:
    from fnmatch import fnmatch

    try:
        whole = path.relative_to(config.rootpath).as_posix()
    except ValueError:
        whole = path.as_posix()
    return any(fnmatch(whole if "/" in name else path.name, name) for name in config.getini("ksmlab_experiments"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep this machine's share; under xdist, begin with what took longest."""
    if chosen := config.getoption("shard"):
        # What pytest remembers of this machine's last run is not what it remembers elsewhere: only a file is the same.
        seconds = config.stash[_seconds] if config.getoption("times") else {}
        mine = share_of([item.nodeid for item in items], chosen, seconds)
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in mine])
        items[:] = [item for item in items if item.nodeid in mine]
    if hasattr(config, "workerinput") and config.stash.get(_found, False):
        seconds = config.stash[_seconds]
        slowest_first(items, seconds)


class _Controller:
    """What is done once a session: in the controller of xdist, or where there is none."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._took: dict[str, float] = {}
        self._has_ours = False

    def pytest_report_header(self) -> str | None:
        """Say that this is only a share."""
        chosen: Shard | None = self._config.getoption("shard")
        by = self._config.getoption("times")
        return f"shard {chosen}{f' by the times in {by}' if by else ''}" if chosen else None

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give a worker the times."""
        node.workerinput[WORKER] = self._config.stash[_seconds]

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self) -> None:
        """Have tests handed out one by one where times are known: a batch would give one worker all of the longest."""
        option = self._config.option
        if self._config.stash[_seconds] and getattr(option, "maxschedchunk", 0) is None:
            option.maxschedchunk = 1

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """A worker died: say how to repeat the run that it was at."""
        from ksmlab_core.testing.pytest_items import after_a_crash

        again = after_a_crash(self._config, crashitem)
        if again is not None:
            report.longrepr = f"{report.longrepr}\n{again}"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how long each test took."""
        if report.when == "call":
            self._took[report.nodeid] = round(report.duration, 3)
            self._has_ours = self._has_ours or any(name == MARK for name, _ in report.user_properties)

    def pytest_sessionfinish(self) -> None:
        """Remember it for the next time, if experiments were among the tests."""
        cache = getattr(self._config, "cache", None)
        if self._has_ours and cache is not None:
            cache.set(SECONDS, {**cache.get(SECONDS, {}), **self._took})
