"""Random scripts on the simulated machine and on the running kernel: every sample compared, a difference shrunk.

A sample follows every step. Where the two differ, the kernel is asked again first: what it does not answer twice alike
is no fault of the machine if its answer is among the kernel's, and the repetitions are the proof.
"""

from __future__ import annotations

import json
import platform
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from ksmlab_core.errors import HostInUse, Problems
from ksmlab_core.experiment import Plan
from ksmlab_core.experiment.plan import Step
from ksmlab_core.experiment.read import read_plan
from ksmlab_core.experiment.yaml_reader import parse
from ksmlab_core.host.comparable import comparable
from ksmlab_core.lab.once import Simulate, Task, perform
from ksmlab_core.lab.verify import Difference, Verified, compare
from ksmlab_core.mm.profile import PROFILES
from ksmlab_core.simulation import RunResult
from ksmlab_core.testing.cases import Case
from ksmlab_core.testing.fuzz import Broken
from ksmlab_core.testing.kernel_scripts import kernel_case
from ksmlab_core.testing.script_text import experiment_text
from ksmlab_core.testing.shrink import minimised

REPEATS: Final = 5
"""How often the kernel is asked again about a script on which the two differ."""
_TRIES: Final = 10
_PAUSE_S: Final = 1.0


def running_profile(release: str | None = None) -> str:
    """The profile that is to behave as the running kernel does: its own, else that of the latest kernel."""
    version = re.match(r"\d+\.\d+", release or platform.release())
    name = f"v{version[0]}" if version else ""
    return name if name in PROFILES else list(PROFILES)[-1]


def sampled(steps: list[Step]) -> list[Step]:
    """The steps, each followed by a sample of its number, from 1."""
    return [
        one
        for number, step in enumerate(steps, 1)
        for one in (step, Step("sample", {"label": f"step {number}", "pages": None}, step.line, 1))
    ]


def plan_of(case: Case, name: str = "") -> Plan:
    """A case as an experiment with a sample after every step.

    Raises:
        Problems: it cannot be: a step needs one that is not there any more.
    """
    file = name or f"case-{case.number}.yaml"
    return read_plan(parse(experiment_text(replace(case, steps=sampled(list(case.steps)))), file), Path(file))


@dataclass
class Compared:
    """One case on both machines, and the two results."""

    case: Case
    verified: Verified
    machine: RunResult
    kernel: RunResult

    @property
    def ok(self) -> bool:
        """The same figures as far as both got, and the same end: both arrived, or both were refused the same."""
        failed = self.verified.failed
        return not self.verified.differences and (not failed or failed.get("machine") == failed.get("kernel"))

    @property
    def no_answer(self) -> str | None:
        """Why the kernel gave no exact answer, if it gave none."""
        error = self.kernel.error
        return error["message"] if error and error["type"] == "NotSteady" else None

    @property
    def first(self) -> list[Difference]:
        """The differences of the first sample that has any."""
        found = self.verified.differences
        return [one for one in found if one.at == found[0].at]

    @property
    def kind(self) -> str:
        """In what the two differ first: the name of a metric without its process, or who failed."""
        if self.verified.differences:
            return re.sub(r"^process\.\w+\.", "process.", self.first[0].metric)
        return f"failed on the {' and the '.join(sorted(self.verified.failed))}"

    def as_far_as_needed(self) -> Case:
        """The case without the steps behind the first difference."""
        if not self.verified.differences:
            return self.case
        number = re.fullmatch(r"step (\d+)", self.first[0].at)
        return replace(self.case, steps=list(self.case.steps)[: int(number[1])]) if number else self.case


def both(case: Case, on_kernel: Simulate) -> Compared:
    """A case on both machines."""
    plan = plan_of(case)
    return _with_kernel(case, plan, perform(Task(plan.points[0], 0), plan.registry), on_kernel)


def both_if_worth_it(case: Case, on_kernel: Simulate) -> Compared | None:
    """A case on both machines; None if the simulated one says that the kernel would be asked in vain."""
    plan = plan_of(case)
    machine = perform(Task(plan.points[0], 0), plan.registry)
    return _with_kernel(case, plan, machine, on_kernel) if can_scan(case, machine) else None


def _with_kernel(case: Case, plan: Plan, machine: RunResult, on_kernel: Simulate) -> Compared:
    kernel = perform(Task(plan.points[0], 0, simulate=on_kernel), plan.registry)
    return Compared(case, compare(machine, kernel), machine, kernel)


def can_scan(case: Case, machine: RunResult) -> bool:
    """Does the script go through, with something to scan in every scan? The kernel would be waited for in vain."""
    if machine.error is not None:
        return False
    before = {"ksm.pages_scanned": 0, "ksm.full_scans": 0}
    for step, sample in zip(case.steps, machine.samples, strict=True):
        now = sample["metrics"]
        if step.kind == "scan":
            counter = "ksm.full_scans" if step.args["passes"] else "ksm.pages_scanned"
            if now[counter] - before[counter] != (step.args["passes"] or step.args["pages"]):
                return False
        before = now
    return True


def answer(result: RunResult, like: RunResult) -> tuple[Any, ...]:
    """Everything in a result that is compared: equal answers are equal runs."""
    samples = tuple(
        tuple((name, ours["metrics"][name]) for name in comparable(ours["metrics"], theirs["metrics"]))
        for ours, theirs in zip(result.samples, like.samples, strict=False)
    )
    return samples, result.error and result.error["message"]


@dataclass
class Again:
    """What the kernel said of one script when asked again.

    Attributes:
        asked: how often.
        answers: how often it gave each of its different answers, the most frequent first.
        ours: how often it gave the simulated machine's.
    """

    asked: int
    answers: list[int]
    ours: int


def asked_again(found: Compared, on_kernel: Simulate, times: int = REPEATS) -> Again:
    """Repeat a case on the kernel, the time that it was found included."""
    plan = plan_of(found.case)
    [spec] = plan.points
    results = [found.kernel]
    results += [perform(Task(spec, 0, simulate=on_kernel), plan.registry) for _ in range(times)]
    answers = Counter(answer(result, found.machine) for result in results)
    ours = answers.get(answer(found.machine, found.kernel), 0)
    return Again(len(results), [often for _, often in answers.most_common()], ours)


@dataclass
class Finding:
    """A script on which the two machines differ.

    Attributes:
        found: as it was found.
        again: what the kernel said when asked again.
        smallest: the smallest script that shows it, None if the kernel does not agree with itself.
    """

    found: Compared
    again: Again
    smallest: Compared | None = None

    @property
    def unsteady(self) -> bool:
        """Does the kernel give different answers, the simulated machine's among them?"""
        return len(self.again.answers) > 1 and self.again.ours > 0

    @property
    def number(self) -> int:
        """The script's number."""
        return self.found.case.number

    def as_dict(self) -> dict[str, Any]:
        """The finding as JSON data."""
        shown = self.smallest or self.found
        return {
            "seed": self.number,
            "kind": self.found.kind,
            "unsteady": self.unsteady,
            **asdict(self.again),
            "steps": len(shown.case.steps),
            "differences": [asdict(one) for one in shown.first],
            "failed": shown.verified.failed,
        }


@dataclass
class Fuzzed:
    """What many scripts came to.

    Attributes:
        scripts: how many were carried out.
        steps: how often each kind of step was.
        figures: how many were compared.
        refused: scripts that both machines refused to carry on with, alike.
        unanswered: by number those of which the kernel gave no exact answer in all its attempts, and why.
        unsteady: those about which the kernel does not agree with itself.
        different: the first on which the two machines differ.
    """

    scripts: int = 0
    steps: Counter[str] = field(default_factory=Counter)
    figures: int = 0
    refused: int = 0
    unanswered: dict[int, str] = field(default_factory=dict)
    unsteady: list[Finding] = field(default_factory=list)
    different: Finding | None = None

    def add(self, result: Compared, on_kernel: Simulate) -> None:
        """Count one script, and look into it if it differs."""
        self.scripts += 1
        self.steps.update(step.kind for step in result.case.steps)
        self.figures += result.verified.compared
        self.refused += result.ok and bool(result.verified.failed)
        if result.ok:
            return
        if result.no_answer:
            self.unanswered[result.case.number] = result.no_answer
            return
        finding = Finding(result, asked_again(result, on_kernel))
        if finding.unsteady:
            self.unsteady.append(finding)
        else:
            finding.smallest = smallest(result, on_kernel)
            self.different = finding


def fuzz(first: int, count: int, kernel: str, on_kernel: Simulate) -> Iterator[Fuzzed]:
    """Scripts `first` to `first + count - 1`, until one differs; the tally after each."""
    tally, patient = Fuzzed(), _patiently(on_kernel)
    for number in range(first, first + count):
        tally.add(both(kernel_case(number, kernel), patient), patient)
        yield tally
        if tally.different is not None:
            return


def _patiently(on_kernel: Simulate) -> Simulate:
    """As given, but waits a moment while KSM is in use: processes of the script before may be going still."""

    def simulate(*args: Any, **kwargs: Any) -> RunResult:
        for _ in range(_TRIES):
            try:
                return on_kernel(*args, **kwargs)
            except HostInUse:
                time.sleep(_PAUSE_S)
        return on_kernel(*args, **kwargs)

    return simulate


def smallest(found: Compared, on_kernel: Simulate) -> Compared:
    """The smallest script on which the two differ in the same way; the one found if it does not show it again."""
    seen: dict[int, Compared] = {}

    def attempt(case: Case) -> Broken | None:
        try:
            result = both_if_worth_it(case, on_kernel)
        except Problems:  # a step needs one that was left out
            return None
        if result is None or result.ok or result.no_answer:
            return None
        seen[id(case)] = result
        return Broken(case, result.kind, "")

    case = found.as_far_as_needed()
    broken = attempt(case) or attempt(found.case)
    return seen[id(minimised(broken, attempt).case)] if broken else found


def experiment(result: Compared, about: str) -> str:
    """The experiment file of a case, with one sample at its end: `ksmlab verify` shows the difference with it."""
    steps = [*result.case.steps, Step("sample", {"label": "different", "pages": None}, 0, 0)]
    name, _, rest = experiment_text(replace(result.case, steps=steps)).partition("\n")
    return f"{name}\nabout: {json.dumps(about)}\n{rest}"
