"""One tree of settings to one run, or to what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ksmlab_core.errors import Problem
from ksmlab_core.experiment.choices import check_generator, check_policies
from ksmlab_core.experiment.complaints import Complaints, shown
from ksmlab_core.experiment.document import KeyPath, format_path
from ksmlab_core.experiment.models import OPEN, ExperimentFile, Machine, Measure
from ksmlab_core.experiment.places import Places
from ksmlab_core.experiment.plan import Expectation, RunSpec
from ksmlab_core.experiment.script import Script, check_script
from ksmlab_core.experiment.settings import check_kernel, check_knobs, check_metric, check_size
from ksmlab_core.experiment.surroundings import Surroundings
from ksmlab_core.mm.profile import PROFILES, Profile

_WORKLOAD_FORM: Final = "{use: NAME, ...} or {script: [...]}"
_NOT_SETTINGS: Final = ("experiment", "about", "conformance", "sweep", "expect", "plugins")


class Checker:
    """Checks the points of one file; a script that several points share is read once."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._scripts: dict[tuple[int, str], tuple[Script | None, list[Problem], object]] = {}

    def check(self, settings: dict[str, Any], places: Places) -> tuple[RunSpec | None, Complaints]:
        """The run of a tree of settings, named and seeded by nobody yet, and what is wrong with them."""
        complaints = Complaints(places)
        shell = {key: {} if key in OPEN else value for key, value in settings.items() if key != "sweep"}
        file = complaints.validated(ExperimentFile, shell, ())
        kernel = check_kernel(complaints, settings["kernel"]) if "kernel" in settings else None
        profile = PROFILES[kernel["profile"]].with_switches(kernel["switches"]) if kernel else None
        ksm = check_knobs(complaints, settings.get("ksm"), profile) if profile else {}
        policies = self._policies(complaints, settings.get("policies"))
        workload, processes = self._workload(complaints, settings.get("workload"), profile)
        if file is None or profile is None:
            return None, complaints
        check_size(complaints, file.machine or Machine())
        expect = _expectations(complaints, file, profile, processes)
        if not complaints.found and workload is not None:
            _check_nodes(complaints, file.machine or Machine(), workload)
        if complaints.found or kernel is None or workload is None:
            return None, complaints
        provenance = _provenance(settings, places)
        return self._spec(file, kernel, ksm, policies, workload, expect, provenance), complaints

    def _spec(
        self,
        file: ExperimentFile,
        kernel: dict[str, Any],
        ksm: dict[str, int | str],
        policies: dict[str, dict[str, Any]],
        workload: dict[str, Any],
        expect: list[Expectation],
        provenance: dict[str, int | str],
    ) -> RunSpec:
        return RunSpec(
            id="",
            experiment=file.experiment,
            file=self._around.file,
            seed=file.seed,
            kernel=kernel,
            machine=_machine(file.machine or Machine()),
            ksm=ksm,
            policies=policies,
            plugins=self._around.plugins,
            workload=workload,
            measure=_measure(file.measure or Measure()),
            expect=expect,
            point={},
            base_dir=str(self._around.base_dir),
            provenance=provenance,
        )

    def _policies(self, complaints: Complaints, value: Any) -> dict[str, dict[str, Any]]:
        registry = self._around.registry
        return check_policies(complaints, value, registry) if registry is not None else {}

    def _workload(
        self, complaints: Complaints, value: Any, profile: Profile | None
    ) -> tuple[dict[str, Any] | None, frozenset[str] | None]:
        """The workload, and its processes if they are known beforehand."""
        if not isinstance(value, dict):
            if value is not None or "workload" in complaints.places.document.data:
                complaints.add(("workload",), f"{shown(value)} is not a workload", _WORKLOAD_FORM)
            return None, None
        if "script" in value:
            script = self._script(complaints, value, profile)
            return ({"script": script.steps}, script.processes) if script else (None, None)
        if "use" not in value:
            complaints.add(("workload", "use"), "missing", _WORKLOAD_FORM)
            return None, None
        registry = self._around.registry
        if registry is None:
            return None, None
        return check_generator(complaints, value, registry, self._around.base_dir), None

    def _script(self, complaints: Complaints, value: dict[str, Any], profile: Profile | None) -> Script | None:
        key = (id(value), profile.name if profile else "")
        if key not in self._scripts:
            own = Complaints(complaints.places)
            self._scripts[key] = check_script(own, value, profile), own.found, value
        script, found, _ = self._scripts[key]
        complaints.found += found
        return script


def _machine(machine: Machine) -> dict[str, Any]:
    settings = machine.model_dump()
    return {"frames": settings.pop("memory"), "slots": settings.pop("swap"), **settings}


def _check_nodes(complaints: Complaints, machine: Machine, workload: dict[str, Any]) -> None:
    """That every area is placed on a NUMA node that the machine has."""
    for place, step in enumerate(workload.get("script", ())):
        node = step.args.get("node", 0) if step.kind == "mmap" else 0
        if node >= machine.nodes:
            what = f"there is no NUMA node {node}"
            allowed = f"0 to {machine.nodes - 1}, or more machine.nodes"
            complaints.add(("workload", "script", place, "mmap", "node"), what, allowed)


def _measure(measure: Measure) -> dict[str, Any]:
    return {"every_ns": measure.every, "warmup_ns": measure.warmup}


def _expectations(
    complaints: Complaints, file: ExperimentFile, profile: Profile, processes: frozenset[str] | None
) -> list[Expectation]:
    expectations = []
    for place, metrics in enumerate(file.expect or ()):
        for metric, want in metrics.items():
            path: KeyPath = ("expect", place, metric)
            check_metric(complaints, profile, metric, path, processes)
            line = complaints.places.of(path, key=True).line
            expectations.append(Expectation(metric, want, line or 0))
    return expectations


def _provenance(settings: dict[str, Any], places: Places) -> dict[str, int | str]:
    """Where each setting was written: a line of the file, or the text of a ``--set``."""
    found: dict[str, int | str] = {}
    kept = {key: value for key, value in settings.items() if key not in _NOT_SETTINGS}
    for path in _leaves(kept, ()):
        place = places.of(path)
        found[format_path(path)] = place.file if place.line is None else place.line
    return found


def _leaves(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    if isinstance(value, Mapping) and value and path != ("workload", "script"):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    else:
        yield path
