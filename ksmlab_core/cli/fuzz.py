"""`ksmlab fuzz`: random scripts, through all invariants or on the running kernel."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ksmlab_core.cli.options import json_option, no_input_option
from ksmlab_core.errors import ResultsNotWritten

if TYPE_CHECKING:
    from ksmlab_core.testing.kernel_fuzz import Finding, Fuzzed


@click.command("fuzz", short_help="Carry random scripts out.")
@click.option("--on", "on", type=click.Choice(["kernel"]), help="Compare with the kernel that runs here.")
@click.option("--count", type=click.IntRange(min=1), default=100, show_default=True, help="How many scripts.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Number of the first script.")
@click.option(
    "--keep",
    default=".",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the smallest script goes that shows a fault; here if not given.",
)
@json_option
@no_input_option
def command(on: str | None, count: int, seed: int, keep: Path, as_json: bool, no_input: bool) -> int:
    """Carry random scripts out and look for faults of the simulated machine.

    A script is a number, from SEED on. Each goes through random policies, every invariant checked after every step.
    With --on kernel each is carried out on the simulated machine and on the running kernel, and every figure is
    compared after every step (this needs root). The first fault is shrunk to the smallest script that shows it, and
    written to a file, with which `ksmlab verify` shows the difference. Exit status: 0 no fault, 1 a fault, 2 bad input.
    """
    return _on_kernel(count, seed, keep, as_json, no_input) if on else _invariants(count, seed, keep, as_json)


# -- on the kernel ------------------------------------------------------------------------------------------------


def _on_kernel(count: int, seed: int, keep: Path, as_json: bool, no_input: bool) -> int:
    from ksmlab_core.cli.on_kernel import prepared
    from ksmlab_core.testing.kernel_fuzz import Fuzzed, fuzz, running_profile

    on_kernel = prepared([], no_input=no_input)
    kernel, tally = running_profile(), Fuzzed()
    if not platform.release().startswith(kernel.removeprefix("v") + "."):
        click.echo(f"profile {kernel} against Linux {platform.release()}: the kernels may differ", err=True)
    for tally in fuzz(seed, count, kernel, on_kernel):
        if not as_json and tally.scripts % 50 == 0:
            click.echo(f"{tally.scripts} scripts, {tally.figures:,} figures", err=True)
    finding = tally.different
    file = _written(keep, f"fuzz-{finding.number}.yaml", _smallest(finding)) if finding else None
    if as_json:
        click.echo(json.dumps(_document(tally, kernel, seed, file), indent=1))
    else:
        _tell(tally, seed, file)
    return 1 if finding else 0


def _smallest(finding: Finding) -> str:
    from ksmlab_core.testing.kernel_fuzz import experiment

    shown = finding.smallest or finding.found
    return experiment(shown, f"script {finding.number} of `ksmlab fuzz --on kernel`, shrunk: {finding.found.kind}")


def _document(tally: Fuzzed, kernel: str, seed: int, file: Path | None) -> dict[str, Any]:
    return {
        "linux": platform.release(),
        "profile": kernel,
        "seed": seed,
        "scripts": tally.scripts,
        "refused": tally.refused,
        "figures": tally.figures,
        "steps": dict(tally.steps.most_common()),
        "unanswered": {str(number): why for number, why in tally.unanswered.items()},
        "unsteady": [finding.as_dict() for finding in tally.unsteady],
        "different": tally.different.as_dict() if tally.different else None,
        "file": str(file) if file else None,
    }


def _tell(tally: Fuzzed, seed: int, file: Path | None) -> None:
    for number, why in tally.unanswered.items():
        click.echo(f"script {number}: the kernel gives no exact answer: {why}")
    for finding in tally.unsteady:
        click.echo(_told(finding, "the kernel does not agree with itself, and the machine is among its answers"))
    if tally.different:
        _tell_different(tally.different, file)
    numbers = f"{seed} to {seed + tally.scripts - 1}"
    different = "1 differs" if tally.different else "none differs"
    unsteady = f", {len(tally.unsteady)} unsteady on the kernel" if tally.unsteady else ""
    unanswered = f", {len(tally.unanswered)} without an exact answer" if tally.unanswered else ""
    click.echo(f"{tally.scripts} scripts ({numbers}), {tally.figures:,} figures: {different}{unsteady}{unanswered}")


def _told(finding: Finding, what: str) -> str:
    again = finding.again
    answers = ", ".join(f"{often}x" for often in again.answers)
    return f"script {finding.number}: {what} (asked {again.asked} times, its answers came {answers})"


def _tell_different(finding: Finding, file: Path | None) -> None:
    from ksmlab_core.cli.text import aligned

    click.echo(_told(finding, "the two differ"))
    shown = finding.smallest or finding.found
    rows = [[one.at, one.metric, str(one.machine), str(one.kernel)] for one in shown.first]
    for line in aligned([["sample", "metric", "machine", "kernel"], *rows], indent="  ") if rows else []:
        click.echo(line)
    for which, why in shown.verified.failed.items():
        click.echo(f"  failed on the {which}: {why}")
    click.echo(f"the smallest script, of {len(shown.case.steps)} steps: ksmlab verify {file}")


# -- invariants ---------------------------------------------------------------------------------------------------


def _invariants(count: int, seed: int, keep: Path, as_json: bool) -> int:
    from ksmlab_core.testing.cases import case_of
    from ksmlab_core.testing.fuzz import Tally
    from ksmlab_core.testing.script_text import experiment_text
    from ksmlab_core.testing.shrink import simplest

    tally, file, small = Tally(), None, None
    for number in range(seed, seed + count):
        if tally.add(case_of(number)) is None:
            small = simplest(tally.broken[-1])
            file = _written(keep, f"fuzz-{number}.yaml", experiment_text(small.case))
            break
    broken = {"seed": small.case.number, "kind": small.kind, "text": small.text} if small else None
    if as_json:
        kinds, refused = dict(tally.kinds.most_common()), dict(tally.refusals.most_common())
        document = {"seed": seed, "scripts": tally.cases, "steps": kinds, "refused": refused, "broken": broken}
        click.echo(json.dumps({**document, "file": str(file) if file else None}, indent=1))
        return 1 if broken else 0
    if small:
        click.echo(f"script {small.case.number}: {small.kind}\n{small.text}\nthe smallest script: ksmlab run {file}")
    steps = sum(tally.kinds.values())
    click.echo(
        f"{tally.cases} scripts ({seed} to {seed + tally.cases - 1}), {steps:,} steps: {len(tally.broken)} broken"
    )
    return 1 if broken else 0


def _written(keep: Path, name: str, text: str) -> Path:
    file = keep / name
    try:
        keep.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ResultsNotWritten(str(file), f"the script cannot be written: {error.strerror}") from None
    return file
