"""The document that `--json` prints: results for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ksmlab_core.simulation import RunResult


def document(experiment: str, results: Sequence[RunResult]) -> dict[str, Any]:
    """One experiment's results as plain data, runs in the order of their points."""
    return {"experiment": experiment, "runs": [_run(result) for result in results]}


def as_text(documents: Sequence[dict[str, Any]]) -> str:
    """The one JSON document for what was run: the experiment itself, or `{"experiments": [...]}` for several files."""
    whole = documents[0] if len(documents) == 1 else {"experiments": list(documents)}
    return json.dumps(whole, indent=1, default=_plain)


def _run(result: RunResult) -> dict[str, Any]:
    return {
        "id": result.id,
        "seed": result.seed,
        "point": dict(result.point),
        "status": result.status,
        "error": result.error,
        "samples": [_sample(sample, result.pages) for sample in result.samples],
        "metrics": _by_name(result.metrics),
        "expect": [_expectation(one) for one in result.expect],
    }


def _sample(sample: dict[str, Any], pages: dict[str, str]) -> dict[str, Any]:
    """A sample; the states of single pages are with it where the script asked for them."""
    plain = {"at": sample["at"], "metrics": _by_name(sample["metrics"])}
    if sample["at"] in pages:
        plain["pages"] = pages[sample["at"]]
    return plain


def _by_name(metrics: dict[str, int]) -> dict[str, int]:
    """Metrics in the order in which they are stored, so that fresh results and stored ones look the same."""
    return dict(sorted(metrics.items()))


def _expectation(one: dict[str, Any]) -> dict[str, Any]:
    return {name: one[name] for name in ("at", "metric", "want", "got", "ok")}


def _plain(value: Any) -> Any:
    """numpy's numbers as JSON has them."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} does not go into a JSON document")
