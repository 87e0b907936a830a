"""Filling the template: every figure worked out here, so that the template only places them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jinja2

from ksmlab_core.lab.contrast import SEED, alike_but_for, compared, swept
from ksmlab_core.lab.exercised import doubts
from ksmlab_core.lab.expectations import told
from ksmlab_core.lab.headline import Column, alike, change, columns_of, duration, text
from ksmlab_core.lab.report.answer import answer, contrasts, extremes
from ksmlab_core.lab.report.asked import settings
from ksmlab_core.lab.report.bounds import with_bounds
from ksmlab_core.lab.report.charts import (
    MOST_TIMELINES,
    saving_against_first,
    saving_over_time,
    timelines,
    where_time_went,
)
from ksmlab_core.lab.report.drilldown import as_script
from ksmlab_core.lab.report.plane import saving_against_cpu
from ksmlab_core.lab.report.sweep import Means, cells, examples, in_words, over_the_sweep
from ksmlab_core.lab.report.words import GLOSSARY

if TYPE_CHECKING:
    from ksmlab_core.lab.collection import Collection, Run


_MOST_ROWS = 30
"""A longer table is folded."""
_MOST_TOLD = 20
"""More failures or expectations not met than this are counted; the table of runs has them all."""


def render(collection: Collection) -> str:
    """The whole page."""
    resources = files(__package__)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(resources.joinpath("page.html.j2").read_text(encoding="utf-8"))
    style, script = (resources.joinpath(name).read_text(encoding="utf-8").strip() for name in ("page.css", "page.js"))
    return template.render(_filling(collection), style=style, script=script, script_hash=_hash(f"\n{script}\n"))


def _hash(script: str) -> str:
    """What the page's own policy knows the script by: no other script may run in the page."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _filling(collection: Collection) -> dict[str, Any]:
    shared, varied = settings(collection)
    sweep, drawn = over_the_sweep(collection), examples(collection)
    keys, columns = _keys(collection), with_bounds(collection, columns_of(collection))
    versus, versus_left_out = contrasts(collection) if sweep else ([], 0)
    failures, unmet = _failures(collection), _unmet(collection)
    return {
        "it": collection,
        "seeds": _seeds(collection.seeds),
        "failed": sum(run.result.status != "succeeded" for run in collection.runs),
        # Which place on an axis is the best is seldom the question: the drawings over it answer.
        "answer": extremes(collection) if sweep else answer(collection),
        "contrasts": versus,
        "contrasts_left_out": versus_left_out,
        "doubts": [doubt.text for doubt in doubts(collection)],
        "failures": failures[:_MOST_TOLD],
        "failures_left_out": len(failures[_MOST_TOLD:]),
        "unmet": unmet[:_MOST_TOLD],
        "unmet_count": len(unmet),
        "met": sum(one["ok"] for run in collection.runs for one in run.result.expect),
        "keys": keys,
        "columns": columns,
        "rows": _rows(collection, keys, columns),
        "against_what": _against_what(collection),
        "sweep": sweep,
        "means": _means(sweep.means) if sweep and sweep.seeds > 1 else None,
        "plane": saving_against_cpu(collection),
        "folded": len(collection.runs) > _MOST_ROWS,
        "saving": saving_over_time(drawn),
        "against": saving_against_first(drawn),
        "time": where_time_went(drawn),
        "run_times": _run_times(collection),
        "timelines": timelines(drawn),
        "timelines_left_out": len(drawn.runs) > MOST_TIMELINES,
        "most_timelines": MOST_TIMELINES,
        "drawn_first": drawn.label_of[drawn.runs[0].result.id] if drawn.runs else "",
        "shared": shared,
        "swept": _swept(collection),
        "data": as_script(collection, varied),
        "glossary": GLOSSARY,
    }


def _seeds(seeds: Sequence[int]) -> str:
    """`seed 7`, `seeds 1 to 25`, or each."""
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    if len(seeds) > 3 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"seeds {seeds[0]} to {seeds[-1]}"
    return f"seeds {', '.join(map(str, seeds))}"


def _keys(collection: Collection) -> list[str]:
    """The settings that tell runs apart, what is compared first; the seed where there are several."""
    of = compared(collection)
    keys = [*of, *(key for key in swept(collection) if key not in of)]
    return [*keys, SEED] if len(collection.seeds) > 1 or not keys else keys


def _rows(collection: Collection, keys: Sequence[str], columns: Sequence[Column]) -> list[dict[str, Any]]:
    labels, base_of = collection.label_of, _bases(collection)
    return [
        {
            "id": run.result.id,
            "label": labels[run.result.id],
            "failed": run.result.status != "succeeded",
            "settings": cells(run, keys),
            "cells": [_cell(column, run, base_of[run.result.id]) for column in columns],
        }
        for run in collection.runs
    ]


def _bases(collection: Collection) -> dict[str, Run]:
    """Per run the one that its figures are held against: the first of those that differ in what is compared alone."""
    keys = compared(collection) or swept(collection)
    groups = alike_but_for(collection.runs, keys, swept(collection))
    return {run.result.id: group[0] for group in groups for run in group}


def _against_what(collection: Collection) -> str:
    if len(collection.runs) < 2:
        return ""
    if of := compared(collection):
        return f"the first run of those that differ in {' and '.join(of)} alone"
    return "the first run of the same seed" if len(collection.seeds) > 1 else "the first run"


def _cell(column: Column, run: Run, base: Run) -> dict[str, Any]:
    value, other = column.value(run.result), column.value(base.result)
    if run is base or value is None or other is None or alike(value, other) or not column.better:
        verdict = ""
    else:
        verdict = "good" if (value > other) == (column.better == "more") else "bad"
    changed = "" if run is base or column.unit == "share" else change(value, other)
    return {"text": text(value, column.unit), "sort": _sort(value), "change": changed, "verdict": verdict}


def _sort(value: float | None) -> str:
    """The number that a cell is sorted by, where there is one."""
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _means(means: Means) -> dict[str, Any]:
    return {
        "settings": means.settings,
        "columns": means.columns,
        "rows": [
            (
                settings,
                [
                    (in_words(one, column), _sort(one.mean if one else None))
                    for one, column in zip(row, means.columns, strict=True)
                ],
            )
            for settings, row in means.rows
        ],
    }


def _swept(collection: Collection) -> list[tuple[str, str]]:
    """Per setting that differs its values, in the order in which they come up."""
    return [
        (key, ", ".join(dict.fromkeys(cell for run in collection.runs for cell, _ in cells(run, [key]) if cell)))
        for key in _keys(collection)
    ]


def _run_times(collection: Collection) -> str:
    """How long the runs took in simulated time, as a span."""
    times = [run.result.metrics.get("time.elapsed", 0) for run in collection.runs]
    shortest, longest = duration(min(times)), duration(max(times))
    return shortest if shortest == longest else f"{shortest} to {longest}"


def _failures(collection: Collection) -> list[dict[str, Any]]:
    labels = collection.label_of
    return [
        {"id": run.result.id, "label": labels[run.result.id], "error": run.result.error}
        for run in collection.runs
        if run.result.error is not None
    ]


def _unmet(collection: Collection) -> list[str]:
    labels = collection.label_of
    return [
        f"{labels[run.result.id]}: {told(collection.file, one)}"
        for run in collection.runs
        for one in run.result.expect
        if not one["ok"]
    ]
