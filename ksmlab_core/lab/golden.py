"""Golden results: the exact integers of each run of an experiment file, kept beside it.

Those of ``suites/smoke.yaml`` lie in ``suites/golden/smoke/<run>.json``; that the folder is there is what asks for the
comparison. A file names what its integers depend on: the version of the engine, those of the plugins chosen, and a
digest of what was asked. Where integers differ and none of these does, something has changed its behaviour and not its
version: such a file is not written anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ksmlab_core.errors import BadInput, ResultsNotWritten
from ksmlab_core.experiment.document import Document
from ksmlab_core.experiment.overrides import overridden
from ksmlab_core.experiment.sweep import SWEEPABLE

if TYPE_CHECKING:
    from ksmlab_core.experiment import Plan, RunSpec
    from ksmlab_core.policy.registry import Entry
    from ksmlab_core.simulation import RunResult

FOLDER: Final = "golden"
FORMAT: Final = 1
END: Final = "end"
"""What the metrics at the end of a run are filed under; those of a sample under its number and label."""

_SECTION: Final = re.compile(r'^  ("(?:[^"\\]|\\.)*"): \{')
_COUNTER: Final = re.compile(r'^   ("(?:[^"\\]|\\.)*"): ')


@dataclass(frozen=True)
class Golden:
    """The integers of one run, and what they depend on.

    Attributes:
        run: Name of the run within its experiment file.
        engine: Version of the engine.
        plugins: Version of each plugin chosen, by kind and name; the kernel's own choices are the engine's.
        asked: Digest of what the experiment file says.
        metrics: Integers by metric, by sample and for the end of the run.
    """

    run: str
    engine: int
    plugins: dict[str, int]
    asked: str
    metrics: dict[str, dict[str, int]]


@dataclass(frozen=True)
class Change:
    """One counter that is not what it was; None where there is none of that name.

    Attributes:
        at: Sample, or END.
        metric: Its name.
        before, after: What was stored, and what came.
        line: Line of the golden file, from 1.
    """

    at: str
    metric: str
    before: int | None
    after: int | None
    line: int


def folder_of(file: Path) -> Path:
    """The folder with the golden results of an experiment file."""
    return file.parent / FOLDER / file.stem


def golden_of(name: str, plan: Plan, spec: RunSpec, settings: Mapping[str, Any], result: RunResult) -> Golden:
    """What a finished run would be compared with from now on.

    Args:
        name: Name of the run, and of its golden file.
        plan: The plan that it is of.
        spec: The run.
        settings: What its file says, as `settings_of` gives it.
        result: What came of it.
    """
    from ksmlab_core.simulation import ENGINE_VERSION

    metrics = {
        f"{number} {sample['at']}": _integers(sample["metrics"]) for number, sample in enumerate(result.samples, 1)
    }
    plugins = {key: entry.cls.version for key, entry in chosen(plan, spec).items()}
    return Golden(name, ENGINE_VERSION, plugins, _asked(spec, settings), metrics | {END: _integers(result.metrics)})


def _integers(metrics: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(metrics[name]) for name in sorted(metrics)}


def chosen(plan: Plan, spec: RunSpec) -> dict[str, Entry]:
    """The plugins that a run depends on, by kind and name; not the kernel's own choices."""
    uses = {hook: choice["use"] for hook, choice in sorted(spec.policies.items())}
    if "use" in spec.workload:
        uses["workload"] = spec.workload["use"]
    entries = {f"{kind} {name}": plan.registry.get(kind, name) for kind, name in uses.items()}
    return {key: entry for key, entry in entries.items() if not getattr(entry.cls, "compiled", False)}


def settings_of(document: Document, kernel: str | None) -> dict[str, Any]:
    """What a file says that its runs do, under its own kernel or another; not what it expects of them."""
    settings, *_ = overridden(document, [f"kernel={kernel}"] if kernel else [])
    return {key: settings[key] for key in SWEEPABLE if key in settings}


def _asked(spec: RunSpec, settings: Mapping[str, Any]) -> str:
    """A digest of everything that the file says of a run; files that the workload names enter with their contents.

    Defaults are left out: a setting that is new, or another default, is for the engine's and the plugins' versions.
    """
    said = [spec.seed, settings, spec.point]
    digest = hashlib.blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=16)
    for value in spec.workload.get("params", {}).values():
        if isinstance(value, str) and (file := Path(spec.base_dir) / value).is_file():
            digest.update(hashlib.blake2b(file.read_bytes()).digest())
    return digest.hexdigest()


def as_text(golden: Golden) -> str:
    """The text of a golden file; one counter a line, so that a difference reads well."""
    return json.dumps({"format": FORMAT, **asdict(golden)}, indent=1) + "\n"


def read(path: Path) -> Golden | None:
    """A golden file, None where there is none.

    Raises:
        BadInput: It cannot be read, or is not a golden file.
    """
    try:
        data = json.loads(path.read_bytes())
        if data.pop("format") != FORMAT:
            raise ValueError("format")
        golden = Golden(**data)
        if not all(type(value) is int for counters in golden.metrics.values() for value in counters.values()):
            raise TypeError("a counter is not an integer")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadInput(f"{path}: torn, or not a golden file of format {FORMAT}") from error
    return golden


def write(path: Path, golden: Golden) -> None:
    """Put a golden file in place, whole or not at all.

    Raises:
        ResultsNotWritten: It cannot be written; what was there before is untouched.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(as_text(golden), encoding="utf-8")
        os.replace(aside, path)
    except OSError as error:
        with suppress(OSError):
            aside.unlink()
        raise ResultsNotWritten(str(path), f"not written: {error.strerror or error}") from error


def same_versions(before: Golden, after: Golden) -> bool:
    """Was the same asked, of the same engine and plugins? Then the integers have to be the same."""
    return (before.engine, before.plugins, before.asked) == (after.engine, after.plugins, after.asked)


def changes(path: Path, before: Golden, after: Golden) -> list[Change]:
    """Every counter that differs, in the order of the golden file; what it does not know comes last."""
    lines = _lines(path.read_text(encoding="utf-8"))
    both = [(at, metric) for golden in (before, after) for at, metrics in golden.metrics.items() for metric in metrics]
    return [
        Change(at, metric, old, new, lines.get((at, metric)) or lines.get((at, ""), 1))
        for at, metric in dict.fromkeys(both)
        if (old := before.metrics.get(at, {}).get(metric)) != (new := after.metrics.get(at, {}).get(metric))
    ]


def _lines(text: str) -> dict[tuple[str, str], int]:
    """The line of every counter in a golden file, and of every sample under the empty name."""
    found: dict[tuple[str, str], int] = {}
    at = ""
    for number, line in enumerate(text.splitlines(), 1):
        if section := _SECTION.match(line):
            at = json.loads(section[1])
            found[at, ""] = number
        elif counter := _COUNTER.match(line):
            found[at, json.loads(counter[1])] = number
    return found


def stale(file: Path, names: set[str]) -> list[Path]:
    """Golden files of an experiment file that belong to none of its runs."""
    folder = folder_of(file)
    return [path for path in sorted(folder.glob("*.json")) if path.stem not in names]


def orphans(folder: Path) -> Iterator[Path]:
    """Folders of golden results in a folder that holds no experiment file of that name any more."""
    for home in sorted(folder.glob(f"{FOLDER}/*/")):
        if not any(home.parents[1].glob(f"{_literal(home.name)}.y*ml")):
            yield home


def _literal(name: str) -> str:
    """A name without a meaning to glob."""
    return re.sub(r"([*?[])", r"[\1]", name)
