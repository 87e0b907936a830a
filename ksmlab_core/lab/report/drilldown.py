"""Every run in full, as data that the page draws from when a run is opened.

A table, a drawing and a page of text for each of five hundred runs would be tens of megabytes; the numbers alone are
one. Counters that are the same in all runs are written once, series are thinned to what a small drawing can show.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ksmlab_core.lab.expectations import wanted
from ksmlab_core.lab.metric_words import WORDS
from ksmlab_core.lab.report.asked import Setting
from ksmlab_core.lab.report.charts import LANES, SAVED, thinned

if TYPE_CHECKING:
    from ksmlab_core.lab.collection import Collection
    from ksmlab_core.simulation import RunResult

MOST_SAMPLES = 40
"""Of a run's labelled samples so many are on the page, as long as there are few runs."""
_SAMPLES_IN_ALL = 6000
_POINTS_IN_ALL = 9_000
_MOST_POINTS, _FEWEST_POINTS = 120, 24
SAMPLED = (
    *("machine.pages_saved", "machine.frames_mapped", "machine.slots_mapped", "ksm.pages_shared", "ksm.pages_sharing"),
    *("ksm.full_scans", "vm.pswpin", "vm.pswpout", "vm.pgmajfault", "vm.swapin_copies"),
)
"""What a labelled sample shows; the rest is in the run's folder."""


def as_script(collection: Collection, varied: Sequence[Sequence[Setting]]) -> str:
    """The data as JSON that is safe inside a `<script>` element: no `<`, `>` or `&`, and nothing beyond ASCII.

    Args:
        collection: the runs.
        varied: per run the settings that others have otherwise.
    """
    text = json.dumps(_data(collection, varied), separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _data(collection: Collection, varied: Sequence[Sequence[Setting]]) -> dict[str, Any]:
    results = [run.result for run in collection.runs]
    names = sorted({name for result in results for name in result.metrics})
    sampled = [name for name in SAMPLED if any(name in one["metrics"] for of in results for one in of.samples)]
    points = min(_MOST_POINTS, max(_FEWEST_POINTS, _POINTS_IN_ALL // max(1, len(results))))
    samples = min(MOST_SAMPLES, max(3, _SAMPLES_IN_ALL // max(1, len(results))))
    labels = collection.label_of
    return {
        "file": collection.file,
        "metrics": [[name, _meaning(name)] for name in names],
        "values": [_column([result.metrics.get(name) for result in results]) for name in names],
        "sampled": sampled,
        "lanes": ["frames saved", *(lane.title for lane in LANES)],
        "runs": [
            {
                "id": result.id,
                "label": labels[result.id],
                "seed": result.seed,
                "status": result.status,
                "settings": [[one.name, one.value, one.origin] for one in mine],
                "error": _error(result),
                "expect": [_expectation(one) for one in result.expect],
                "samples": [_sample(one, sampled) for one in result.samples[:samples]],
                "samples_left_out": max(0, len(result.samples) - samples),
                "series": _series(result, points),
            }
            for result, mine in zip(results, varied, strict=True)
        ],
    }


def _column(values: list[int | None]) -> Any:
    """A counter of all runs: one number if it is the same in all, else one per run."""
    return values[0] if len(set(values)) == 1 else values


def _meaning(name: str) -> str:
    if name.startswith("process."):
        return WORDS.get(f"process.NAME.{name.rpartition('.')[2]}", "")
    if name.startswith("policy."):
        return WORDS.get(f"policy.HOOK.{name.rpartition('.')[2]}", WORDS["policy.HOOK.COUNT"])
    return WORDS.get(name, "")


def _error(result: RunResult) -> dict[str, Any] | None:
    return result.error and {name: result.error.get(name) for name in ("type", "message", "file", "line", "trace")}


def _expectation(one: dict[str, Any]) -> list[Any]:
    return [one.get("line"), one["at"], one["metric"], wanted(one["want"]), one["got"], bool(one["ok"])]


def _sample(one: dict[str, Any], names: Sequence[str]) -> list[Any]:
    return [one["at"], int(one["ns"]), [_plain(one["metrics"].get(name)) for name in names]]


def _plain(value: Any) -> int | None:
    return None if value is None else int(value)


def _series(result: RunResult, points: int) -> list[list[int]]:
    """Time in microseconds, frames saved, and per lane how much its counter rose since the point before."""
    import numpy as np

    names = [SAVED, *(lane.metric for lane in LANES)]
    if not {"time.elapsed", *names} <= set(result.series) or len(result.series["time.elapsed"]) < 2:
        return []
    time = result.series["time.elapsed"]
    columns = [thinned(time, result.series[name], points)[1] for name in names]
    rises = [np.diff(column, prepend=column[:1]) for column in columns[1:]]
    return [list(map(int, one)) for one in (thinned(time, time // 1000, points)[1], columns[0], *rises)]
