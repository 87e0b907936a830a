"""When a comparison says nothing: each reason is found, and none where the effect was exercised."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ksmlab_core.lab.collection import Collection, Run, of_plan
from ksmlab_core.lab.exercised import doubts, in_one_line

MS = 1_000_000
Make = Callable[..., Collection]


@pytest.fixture
def make(fake: ModuleType, make_plan: Any) -> Make:
    """Collections of the fake simulation, every figure another one under every policy."""
    order = ("kernel", "remerge", "defer")

    def run(spec: Any) -> Any:
        result = fake.run(spec, None)
        more = order.index(spec.policies["swapin"]["use"]) * 1000
        result.metrics = {name: value + more * (name != "time.elapsed") for name, value in result.metrics.items()}
        return result

    def collect(swapins: Iterable[str] = ("kernel", "remerge", "defer"), seeds: Iterable[int] = (7,)) -> Collection:
        plan = make_plan(tuple(swapins), seeds=tuple(seeds))
        return of_plan(plan, [run(spec) for spec in plan.points], "")

    return collect


def changed(collection: Collection, change: Callable[[Run], dict[str, int]]) -> Collection:
    """The same runs with some metrics set otherwise; a series of such a metric stays at its value."""

    def one(run: Run) -> Run:
        new = change(run)
        series = run.result.series | {name: np.full(200, value) for name, value in new.items()}
        return replace(run, result=replace(run.result, metrics=run.result.metrics | new, series=series))

    return replace(collection, runs=[one(run) for run in collection.runs])


def like(run: Run, other: Run) -> Run:
    """A run that came out as another one did."""
    result = replace(run.result, metrics=dict(other.result.metrics), series=dict(other.result.series))
    return replace(run, result=result)


def texts(collection: Collection) -> list[str]:
    return [doubt.text for doubt in doubts(collection)]


def test_a_sound_comparison_raises_no_doubt(make: Make) -> None:
    collection = make(seeds=(1, 2, 3))
    assert doubts(collection) == []
    assert in_one_line(collection) == ""


def test_policies_that_never_differed_are_named_with_the_pairs_that_were_looked_at(make: Make) -> None:
    collection = make(seeds=(1, 2, 3))
    of = {(run.result.point["policies.swapin"], run.result.seed): run for run in collection.runs}
    runs = [like(run, of["remerge", seed]) if name == "defer" else run for (name, seed), run in of.items()]
    for nth, run in enumerate(runs):
        run.result.metrics["policy.swapin.chosen"] = nth  # what a policy counts about itself is no difference
    (doubt,) = doubts(replace(collection, runs=runs))
    assert doubt.short == "policies.swapin remerge and defer never differed"
    assert doubt.text == (
        "policies.swapin remerge and defer came out the same in every counter in all 3 pairs of runs that differ in "
        "nothing else: that setting had no effect here."
    )


def test_policies_that_differed_in_some_pairs_only_are_told_with_their_number(make: Make) -> None:
    collection = make(("kernel", "remerge"), seeds=(1, 2, 3))
    of = {(run.result.point["policies.swapin"], run.result.seed): run for run in collection.runs}
    runs = [like(run, of["kernel", 1]) if seed == 1 else run for (_, seed), run in of.items()]
    (doubt,) = doubts(replace(collection, runs=runs))
    assert doubt.short == "policies.swapin kernel and remerge differed in 2 of 3 pairs"
    assert "the same in every counter in 1 of 3 pairs" in doubt.text


def test_a_knob_is_no_difference_of_its_own(make: Make) -> None:
    """Knobs are among the metrics: what was set differs although nothing came of it."""
    collection = make(("kernel",), seeds=(1,))
    [first] = collection.runs
    runs = []
    for pages in (100, 200):
        result = replace(
            first.result,
            id=f"p{pages}",
            point={"ksm.pages_to_scan": pages},
            metrics=first.result.metrics | {"ksm.pages_to_scan": pages, "ksm.smart_scan": pages},
        )
        runs.append(replace(first, result=result))
    (doubt,) = doubts(replace(collection, runs=runs))
    assert doubt.short == "ksm.pages_to_scan 100 and 200 never differed"


def test_settings_that_are_only_varied_together_are_held_together(make: Make) -> None:
    collection = make(("kernel", "remerge"))
    one, other = collection.runs
    one.result.point["policies.scan"], other.result.point["policies.scan"] = "kernel", "random"
    assert texts(replace(collection, runs=[one, other])) == []
    assert texts(replace(collection, runs=[one, like(other, one)])) == [
        "policies.swapin and policies.scan made no difference: every counter is the same."
    ]


def test_seeds_without_chance_are_told(make: Make) -> None:
    collection = make(("kernel", "remerge"), seeds=(1, 2))
    of = {run.result.point["policies.swapin"]: run for run in collection.runs}
    runs = [like(run, of[run.result.point["policies.swapin"]]) for run in collection.runs]
    (doubt,) = doubts(replace(collection, runs=runs))
    assert doubt.short == "seeds never differed"


@pytest.mark.parametrize(
    ("silent", "words"),
    [
        (("ksm.merges", "ksm.pages_sharing"), "No page was merged"),
        (("vm.pswpout", "vm.pswpin"), "Nothing was swapped out"),
        (("vm.pswpin",), "Nothing was swapped in"),
    ],
)
def test_an_effect_that_never_happened_is_named(make: Make, silent: tuple[str, ...], words: str) -> None:
    collection = changed(make(), lambda run: dict.fromkeys(silent, 0))
    assert [text for text in texts(collection) if text.startswith(words)]


def test_without_swap_policies_no_swapping_is_nothing_to_doubt(make: Make) -> None:
    assert texts(changed(make(("kernel",)), lambda run: {"vm.pswpout": 0, "vm.pswpin": 0})) == []


def test_a_policy_that_was_never_asked_is_named(make: Make) -> None:
    def asked(run: Run) -> dict[str, int]:
        return {"policy.swapin.times_asked": 5 * (run.result.point["policies.swapin"] == "remerge")}

    assert texts(changed(make(("remerge", "defer"), seeds=(1, 2)), asked)) == [
        "The swapin policy defer was chosen in 2 runs and never asked: nothing came up for it."
    ]


def test_a_figure_that_never_changes_is_named(make: Make) -> None:
    collection = changed(make(), lambda run: {"vm.pgfault": 20_480})
    assert texts(collection) == ["The same in all 3 runs, whatever was set: faults (20,480)."]


@pytest.mark.parametrize("key", ["warmup", "every"])
def test_sampling_that_begins_after_the_run_is_told(make: Make, key: str) -> None:
    collection = make()
    collection.runs[1].spec["measure"][f"{key}_ns"] = 3000 * MS
    assert texts(collection) == [
        f"measure.{key} (3.00 s) is longer than the run (1.99 s) in 1 of 3 runs, so nothing was sampled before the end."
    ]


def test_all_doubts_fit_on_one_line(make: Make) -> None:
    collection = changed(make(), lambda run: {"vm.pswpin": 0, "vm.pgfault": 3})
    assert in_one_line(collection) == "effect not exercised: nothing swapped in; constant: faults (3)"


def test_failed_runs_say_nothing_about_effects(make: Make) -> None:
    collection = make(("kernel",))
    failed = [replace(run, result=replace(run.result, status="failed")) for run in collection.runs]
    assert doubts(replace(collection, runs=failed)) == []
