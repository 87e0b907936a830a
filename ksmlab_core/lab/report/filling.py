"""Filling the template: every figure worked out here, so that the template only places them."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jinja2

from ksmlab_core.lab.exercised import doubts
from ksmlab_core.lab.expectations import told
from ksmlab_core.lab.headline import Column, alike, change, columns_of, duration, text
from ksmlab_core.lab.report.charts import (
    MOST_TIMELINES,
    saving_against_first,
    saving_over_time,
    timelines,
    where_time_went,
)
from ksmlab_core.lab.report.sweep import examples, over_the_sweep
from ksmlab_core.lab.report.words import GLOSSARY, answer, settings

if TYPE_CHECKING:
    from ksmlab_core.lab.collection import Collection, Run


_MOST_ROWS = 30
"""A longer table is folded where a sweep's drawings say it shorter."""


def render(collection: Collection) -> str:
    """The whole page."""
    resources = files(__package__)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(resources.joinpath("page.html.j2").read_text(encoding="utf-8"))
    style = resources.joinpath("page.css").read_text(encoding="utf-8")
    return template.render(_filling(collection), style=style)


def _filling(collection: Collection) -> dict[str, Any]:
    shared, varied = settings(collection)
    columns, drawn, sweep = columns_of(collection), examples(collection), over_the_sweep(collection)
    return {
        "it": collection,
        "labels": [collection.label_of[run.result.id] for run in collection.runs],
        # Which place on an axis is the best is seldom the question: the drawings over it answer.
        "answer": [] if sweep else answer(collection),
        "doubts": [doubt.text for doubt in doubts(collection)],
        "failures": _failures(collection),
        "unmet": _unmet(collection),
        "met": sum(one["ok"] for run in collection.runs for one in run.result.expect),
        "columns": columns,
        "rows": [_row(collection, run, columns) for run in collection.runs],
        "sweep": sweep,
        "folded": sweep is not None and len(collection.runs) > _MOST_ROWS,
        "saving": saving_over_time(drawn),
        "against": saving_against_first(drawn),
        "time": where_time_went(drawn),
        "run_times": _run_times(collection),
        "timelines": timelines(drawn),
        "timelines_left_out": len(drawn.runs) > MOST_TIMELINES,
        "most_timelines": MOST_TIMELINES,
        "drawn_first": drawn.label_of[drawn.runs[0].result.id] if drawn.runs else "",
        "shared": shared,
        "varied": varied,
        "glossary": GLOSSARY,
    }


def _row(collection: Collection, run: Run, columns: list[Column]) -> dict[str, Any]:
    first = collection.runs[0]
    return {
        "label": collection.label_of[run.result.id],
        "failed": run.result.status != "succeeded",
        "cells": [_cell(column, run, first) for column in columns],
    }


def _cell(column: Column, run: Run, first: Run) -> dict[str, str]:
    value, base = column.value(run.result), column.value(first.result)
    if run is first or value is None or base is None or alike(value, base) or not column.better:
        verdict = ""
    else:
        verdict = "good" if (value > base) == (column.better == "more") else "bad"
    return {"text": text(value, column.unit), "change": "" if run is first else change(value, base), "verdict": verdict}


def _run_times(collection: Collection) -> str:
    """How long the runs took in simulated time, as a span."""
    times = [run.result.metrics.get("time.elapsed", 0) for run in collection.runs]
    shortest, longest = duration(min(times)), duration(max(times))
    return shortest if shortest == longest else f"{shortest} to {longest}"


def _failures(collection: Collection) -> list[dict[str, Any]]:
    return [
        {"label": collection.label_of[run.result.id], "error": run.result.error}
        for run in collection.runs
        if run.result.error is not None
    ]


def _unmet(collection: Collection) -> list[str]:
    return [
        f"{collection.label_of[run.result.id]}: {told(collection.file, one)}"
        for run in collection.runs
        for one in run.result.expect
        if not one["ok"]
    ]
