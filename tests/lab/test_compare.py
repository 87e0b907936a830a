"""Results against each other: what is a pair, what is a difference, and what must not be."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ksmlab_core.errors import BadInput
from ksmlab_core.lab.compare import broken, by_setting, compare, of_folders, pages, read_rule, words
from ksmlab_core.lab.runner import carry_out
from ksmlab_core.simulation.result import RunResult

SLEEP_1 = [700, -1600, -200, -1200, -100, 3400, 3700, 800, 0, 2000]
SLEEP_2 = [1900, 800, 1100, 100, -100, 4400, 5500, 1600, 4600, 3400]
"""Student's own data in thousandths, to which R's manual has the answers."""

Metrics = Callable[[Any], "dict[str, int] | None"]


@pytest.fixture
def store(make_plan: Any, tmp_path: Path) -> Callable[..., Path]:
    """Stores runs whose metrics follow from their specification; None fails the run."""

    def keep(
        name: str,
        metrics: Metrics,
        swapins: tuple[str, ...] = ("kernel",),
        seeds: tuple[int, ...] = (7,),
        change: Callable[[Any], Any] = lambda spec: spec,
        experiment: str = "storm",
    ) -> Path:
        def simulate(spec: Any, registry: Any, **_: Any) -> RunResult:
            found = metrics(spec)
            status, error = (
                ("succeeded", None) if found is not None else ("failed", {"message": "it broke", "trace": None})
            )
            samples = (
                [{"at": "mid", "ns": 5, "metrics": {"vm.pgfault": found.pop("mid")}}]
                if found and "mid" in found
                else []
            )
            return RunResult(spec.id, spec.seed, dict(spec.point), status, error, samples, found or {})

        plan = make_plan(swapins, seeds, experiment=experiment)
        plan = replace(plan, points=[change(spec) for spec in plan.points])
        carry_out(plan, simulate=simulate, out=tmp_path / name, command="ksmlab run storm.yaml")
        return tmp_path / name

    return keep


def by_seed(values: list[int], name: str = "vm.pswpin") -> Metrics:
    return lambda spec: {name: values[spec.seed]}


def document(comparison: Any, rules: Any = (), violations: Any = ()) -> Any:
    """The JSON document, which no infinity and no NaN may get into."""
    return json.loads(json.dumps(pages.document(comparison, rules, violations), allow_nan=False))


def test_equal_runs_are_identical(store: Callable[..., Path]) -> None:
    a = store("a", lambda spec: {"vm.pswpin": spec.seed, "mid": 3}, ("kernel", "remerge"), (1, 2))
    b = store("b", lambda spec: {"vm.pswpin": spec.seed, "mid": 3}, ("kernel", "remerge"), (1, 2))
    comparison = compare(of_folders([a, b]))
    assert comparison.identical
    assert [one.rows for one in comparison.points] == [[], []]
    assert words.after(comparison) == [
        "identical: 4 pairs of runs, equal in all 1 counters, in every labelled sample and in series"
    ]
    shown = compare(of_folders([a, b]), ["*"])
    assert all(not row.differs and cell.percent == 0 for one in shown.points for row in one.rows for cell in row.cells)


def test_one_counter_by_one_is_a_difference_however_large(store: Callable[..., Path]) -> None:
    """Two floating-point numbers could not tell these apart."""
    a = store("a", lambda spec: {"vm.pgfault": 2**63 - 2, "vm.pswpin": 5})
    b = store("b", lambda spec: {"vm.pgfault": 2**63 - 1, "vm.pswpin": 5})
    comparison = compare(of_folders([a, b]))
    assert (comparison.identical, comparison.differing) == (False, ["vm.pgfault"])
    [row] = comparison.points[0].rows
    assert (row.base, row.cells[0].values, row.cells[0].difference) == ([2**63 - 2], [2**63 - 1], 1)
    assert document(comparison)["points"][0]["metrics"][0]["others"][0]["difference"] == 1
    [violation] = broken([read_rule("vm.pgfault != +0")], comparison)
    told = "9,223,372,036,854,775,806 → 9,223,372,036,854,775,807 (+0.00%)"
    assert violation.told == f"vm.pgfault != +0: swapin kernel: {told}"


def test_a_difference_in_a_sample_alone_is_told(store: Callable[..., Path]) -> None:
    a = store("a", lambda spec: {"vm.pswpin": 5, "mid": 3})
    b = store("b", lambda spec: {"vm.pswpin": 5, "mid": 4})
    comparison = compare(of_folders([a, b]))
    assert not comparison.identical
    assert words.after(comparison)[0] == "1 pair of runs, equal at their end, but not in the labelled samples of 1"


def test_the_tests_give_the_answers_of_the_textbook(store: Callable[..., Path]) -> None:
    """R: Welch p = 0.07939; paired differences of mean 1.58, of which t gives 0.7001142 to 2.4598858."""
    seeds = tuple(range(10))
    sides = of_folders([store("a", by_seed(SLEEP_1), seeds=seeds), store("b", by_seed(SLEEP_2), seeds=seeds)])
    [row] = compare(sides, ["vm.pswpin"]).points[0].rows
    [cell] = row.cells
    assert (row.mean, cell.mean, cell.difference) == (750, 2330, 1580)
    assert cell.percent == pytest.approx(100 * 1580 / 750)
    assert (cell.p, cell.significant) == (pytest.approx(0.07939, abs=5e-6), False)
    assert cell.interval.method == "bootstrap"
    assert 900 < cell.interval.low < 1200 < 2300 < cell.interval.high < 2800
    few = of_folders([store("c", by_seed(SLEEP_1), seeds=seeds[:9]), store("d", by_seed(SLEEP_2), seeds=seeds[:9])])
    [row] = compare(few, ["vm.pswpin"]).points[0].rows
    differences = np.subtract(SLEEP_2[:9], SLEEP_1[:9])
    half = 2.306004 * differences.std(ddof=1) / 3
    assert row.cells[0].interval.method == "t"
    assert row.cells[0].interval.high == pytest.approx(differences.mean() + half)


def test_pairing_finds_what_seeds_hide(store: Callable[..., Path]) -> None:
    """Seeds differ by thousands, the pairs by about ten: the interval excludes zero, Welch's test sees nothing."""
    seeds = tuple(range(12))
    a = store("a", lambda spec: {"vm.pswpin": 1000 * spec.seed}, seeds=seeds)
    b = store("b", lambda spec: {"vm.pswpin": 1000 * spec.seed + 10 + spec.seed % 3}, seeds=seeds)
    [cell] = compare(of_folders([a, b]), ["vm.pswpin"]).points[0].rows[0].cells
    assert cell.interval.low > 9
    assert not cell.significant


def test_stars_are_where_welch_finds_a_difference(store: Callable[..., Path]) -> None:
    seeds = (0, 1, 2)
    a = store("a", lambda spec: {"vm.pswpin": 1000 + spec.seed, "vm.pswpout": 7, "vm.cow": 7}, seeds=seeds)
    b = store("b", lambda spec: {"vm.pswpin": 1100 + spec.seed, "vm.pswpout": 7, "vm.cow": 8}, seeds=seeds)
    comparison = compare(of_folders([a, b]), ["vm.*"])
    told = {row[0]: row[2] for row in words.rows(comparison, comparison.points[0])}
    assert told == {"vm.cow": "8 * +14.29%*", "vm.pswpin": "1,101 *  +9.99%*", "vm.pswpout": "7 (   0.00%)"}
    assert "of 2 tests about 0.1 would have a star by chance alone" in words.after(comparison)[1]
    assert "| vm.pswpin | 1,001 (0.00%) | 1,101 \\*+9.99%\\* | [+100, +100] |" in pages.markdown(comparison, [])


def test_one_seed_has_no_interval_and_no_star(store: Callable[..., Path]) -> None:
    a, b = store("a", lambda spec: {"vm.pswpin": 1}), store("b", lambda spec: {"vm.pswpin": 3})
    comparison = compare(of_folders([a, b]))
    [cell] = comparison.points[0].rows[0].cells
    assert (cell.p, cell.interval, cell.percent) == (None, None, 200)
    assert words.heads(comparison) == ["", str(a), str(b)]
    assert comparison.tests == 0


def test_from_nothing_to_something_is_infinite(store: Callable[..., Path]) -> None:
    a, b = store("a", lambda spec: {"vm.pswpin": 0}), store("b", lambda spec: {"vm.pswpin": 3})
    comparison = compare(of_folders([a, b]))
    [cell] = comparison.points[0].rows[0].cells
    assert cell.percent == math.inf
    assert document(comparison)["points"][0]["metrics"][0]["others"][0]["percent"] is None
    assert broken([read_rule("vm.pswpin > +1000%")], comparison)
    assert "+inf%" in next(words.rows(comparison, comparison.points[0]))[2]


def test_by_a_setting_of_one_sweep(store: Callable[..., Path]) -> None:
    cost = {"kernel": 10, "remerge": 8, "defer": 9}
    root = store("a", lambda spec: {"vm.pswpin": cost[spec.policies["swapin"]["use"]] + spec.seed}, tuple(cost), (1, 2))
    sides = by_setting(root, "policies.swapin")
    assert (sides.names, sides.by) == (["kernel", "remerge", "defer"], "policies.swapin")
    [row] = compare(sides, ["vm.pswpin"]).points[0].rows
    assert [cell.difference for cell in row.cells] == [-2, -1]
    assert by_setting(root, "swapin", "defer").names == ["defer", "kernel", "remerge"]
    assert [one.point.seeds for one in compare(sides).points] == [[1, 2]]
    assert words.before(compare(sides)) == ["policies.swapin: base kernel, against it remerge, defer"]


@pytest.mark.parametrize(
    ("setting", "base", "said"),
    [
        ("policies.swapim", None, "no setting of this sweep is called 'policies.swapim'"),
        ("seed", None, "no setting of this sweep is called 'seed'"),
        ("swapin", "copy", "no value of policies.swapin is called 'copy'"),
        ("machine.memory", None, "machine.memory is 64MiB in every run"),
    ],
)
def test_a_setting_that_cannot_be_compared_by(
    store: Callable[..., Path], setting: str, base: str | None, said: str
) -> None:
    def in_little(spec: Any) -> Any:
        return replace(spec, point=spec.point | {"machine.memory": "64MiB"})

    root = store("a", lambda spec: {"vm.pswpin": 1}, ("kernel", "remerge"), change=in_little)
    with pytest.raises(BadInput, match=said):
        by_setting(root, setting, base)


def test_by_a_setting_of_unlike_experiments(store: Callable[..., Path]) -> None:
    """What all of them have is compared within each; what only some have is said."""
    cost: Metrics = lambda _spec: {"vm.pswpin": 1}  # noqa: E731
    shelf = store("shelf", cost, ("kernel", "remerge", "defer"), experiment="one")
    store("shelf", cost, ("copy", "remerge", "kernel"), experiment="two")
    store("shelf", cost, ("copy", "defer"), experiment="three")
    with pytest.raises(
        BadInput, match=r"no two values of policies\.swapin in common; compare within one: .*one, .*two"
    ):
        by_setting(shelf, "policies.swapin")
    rmtree(shelf / "three")
    sides = by_setting(shelf, "policies.swapin")
    assert set(sides.names) == {"kernel", "remerge"}
    assert len(sides.points) == 2
    assert {line.partition(":")[0] for line in sides.left_out} == {"policies.swapin defer", "policies.swapin copy"}


def test_what_has_no_partner_and_what_failed_is_said(store: Callable[..., Path]) -> None:
    def fails(spec: Any) -> dict[str, int] | None:
        return None if spec.seed == 2 else {"vm.pswpin": 1}

    a = store("a", lambda spec: {"vm.pswpin": 1}, ("kernel", "remerge"), (1, 2, 3))
    b = store("b", fails, ("kernel", "defer"), (1, 2, 4))
    sides = of_folders([a, b])
    assert [(one.label, one.seeds) for one in sides.points] == [("swapin kernel", [1])]
    assert sides.left_out == [
        f"swapin kernel, seed 2: failed in {b}",
        f"swapin kernel, seed 3: missing in {b}",
        f"swapin kernel, seed 4: missing in {a}",
        f"swapin remerge, seeds 1, 2, 3: missing in {b}",
        f"swapin defer, seeds 1, 2, 4: missing in {a}",
        f"swapin defer, seed 2: failed in {b}",
    ]
    told = words.before(compare(sides))
    assert told[1:] == [f"left out: {one}" for one in sides.left_out]
    # What the base has and the other lacks could have broken the rule.
    lost = broken([read_rule("vm.pswpin > +1%"), read_rule("vm.pswpin < -1%")], compare(sides))
    assert [one.told for one in lost] == [
        f"vm.pswpin > +1%: could not be checked: swapin kernel, seed 2: failed in {b}",
        f"vm.pswpin > +1%: could not be checked: swapin kernel, seed 3: missing in {b}",
        f"vm.pswpin > +1%: could not be checked: swapin remerge, seeds 1, 2, 3: missing in {b}",
    ]


def test_nothing_to_compare_is_one_line(store: Callable[..., Path], tmp_path: Path) -> None:
    a, b = store("a", lambda spec: {"vm.pswpin": 1}), store("b", lambda spec: None)
    with pytest.raises(BadInput, match=r"^nothing to compare: .*; swapin kernel, seed 7: failed in ") as caught:
        of_folders([a, b])
    assert "\n" not in str(caught.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="no results here"):
        of_folders([a, tmp_path / "empty"])


def test_two_runs_given_by_themselves_are_a_pair(store: Callable[..., Path]) -> None:
    root = store("a", lambda spec: {"vm.pswpin": spec.seed}, ("kernel", "remerge"), (1, 2))
    comparison = compare(of_folders([root / "storm" / "kernel-s1", root / "storm" / "remerge-s2"]))
    assert comparison.differing == ["vm.pswpin"]
    told = words.before(comparison)
    assert "policies.swapin.use: kernel → remerge" in told
    assert "seed: 1 → 2" in told


def test_experiments_of_another_name_pair_if_each_folder_has_one(store: Callable[..., Path]) -> None:
    a = store("a", lambda spec: {"vm.pswpin": 1})
    b = store("b", lambda spec: {"vm.pswpin": 2}, experiment="storm-again")
    assert compare(of_folders([a, b])).differing == ["vm.pswpin"]
    store("b", lambda spec: {"vm.pswpin": 2})
    assert [one.label for one in of_folders([a, a]).points] == ["swapin kernel"]
    assert [one.label for one in of_folders([b, b]).points] == ["storm, swapin kernel", "storm-again, swapin kernel"]


def test_settings_and_makers_that_differ_are_told(store: Callable[..., Path]) -> None:
    def larger(spec: Any) -> Any:
        return replace(spec, machine=spec.machine | {"frames": 9999})

    a, b = store("a", lambda spec: {"vm.pswpin": 1}), store("b", lambda spec: {"vm.pswpin": 2}, change=larger)
    manifest = b / "storm" / "kernel" / "manifest.json"
    told = json.loads(manifest.read_text())
    told["versions"]["ksmlab"] = "9.9"
    told["plugins"][0]["sha256"] = "0" * 64
    manifest.write_text(json.dumps(told))
    comparison = compare(of_folders([a, b]))
    before = words.before(comparison)
    assert "machine.frames: 8192 → 9999" in before
    assert any(line.startswith("made by: ksmlab ") and line.endswith(" → 9.9") for line in before)
    assert "made by: reclaim kernel: its file is another one" in before
    assert document(comparison)["settings"] == {"machine.frames": [["8192", "9999"]]}
    c = store("c", lambda spec: {"vm.pswpin": 2})
    manifest = c / "storm" / "kernel" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"identity": "of other sources"}))
    same = compare(of_folders([a, c]))
    assert words.before(same)[1:] == ["the settings are the same, and the versions: what differs comes of changed code"]


def test_runs_that_should_be_the_same_and_are_not_are_told(store: Callable[..., Path]) -> None:
    a, b = store("a", lambda spec: {"vm.pswpin": 1}), store("b", lambda spec: {"vm.pswpin": 2})
    for root in (a, b):
        manifest = root / "storm" / "kernel" / "manifest.json"
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"identity": "abc"}))
    comparison = compare(of_folders([a, b]))
    assert comparison.unexplained == 1
    assert "1 of the pairs were made by the same, and differ" in words.before(comparison)[-1]


def test_runs_on_a_kernel_are_not_exact(store: Callable[..., Path]) -> None:
    a, b = store("a", lambda spec: {"vm.pgmajfault": 1}), store("b", lambda spec: {"vm.pgmajfault": 2})
    assert "class=bad" in pages.html(compare(of_folders([a, b])), [])
    manifest = b / "storm" / "kernel" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("ksmlab run storm.yaml", "ksmlab run storm.yaml --on kernel"))
    comparison = compare(of_folders([a, b]))
    assert not comparison.exact
    assert words.before(comparison)[-1] == "runs on a kernel are among them, which are not the same each time"
    assert "class=bad" not in pages.html(comparison, [])


def test_a_metric_that_a_side_lacks(store: Callable[..., Path]) -> None:
    a = store("a", lambda spec: {"vm.pswpin": 1, "policy.swapin.asked": 5})
    b = store("b", lambda spec: {"vm.pswpin": 1})
    comparison = compare(of_folders([a, b]))
    assert (comparison.identical, comparison.differing) == (False, ["policy.swapin.asked"])
    assert comparison.points[0].lacking == ["policy.swapin.asked"]
    assert "not in every run: policy.swapin.asked" in words.before(comparison)[-1]
    rule = read_rule("policy.swapin.asked > +0")
    [violation] = broken([rule], compare(of_folders([a, b]), (), ["policy.swapin.asked"]))
    assert violation.told.endswith("not in every run")


@pytest.mark.parametrize(
    ("told", "change", "is_broken"),
    [
        ("vm.pswpin > +1%", (1000, 1010), False),
        ("vm.pswpin > +1%", (1000, 1011), True),
        ("vm.pswpin > 1%", (1000, 1011), True),
        ("vm.pswpin>=+1%", (1000, 1010), True),
        ("vm.pswpin < -0.5%", (1000, 990), True),
        ("vm.pswpin < -0.5%", (1000, 1200), False),
        ("vm.pswpin > +50", (1000, 1050), False),
        ("vm.pswpin > +50", (1000, 1051), True),
        ("vm.pswpin < -50", (1000, 900), True),
        ("vm.pswpin > 900", (1000, 900), False),
        ("vm.pswpin > 900", (0, 901), True),
        ("vm.pswpin == 0", (5, 0), True),
        ("vm.pswpin != +0", (5, 5), False),
        ("vm.pswpin > +1%", (0, 0), False),
        ("vm.pswpin < -1%", (0, 5), False),
        ("swapped in > +1%", (1000, 1011), True),
    ],
)
def test_rules(store: Callable[..., Path], told: str, change: tuple[int, int], is_broken: bool) -> None:
    a, b = (
        store(name, lambda spec, value=value: {"vm.pswpin": value}) for name, value in zip("ab", change, strict=True)
    )
    rule = read_rule(told)
    comparison = compare(of_folders([a, b]), (), [rule.metric])
    violations = broken([rule], comparison)
    assert bool(violations) == is_broken
    assert [one["rule"] for one in document(comparison, [rule], violations)["fail_if"]] == [told]


@pytest.mark.parametrize(
    "told",
    ["", "vm.pswpin", "> 1%", "vm.pswpin > ", "vm.pswpin > x", "vm.pswpin => 1", "a > 1 % 2", "a >> 1", "a > 1e3"],
)
def test_a_rule_that_is_none(told: str) -> None:
    with pytest.raises(BadInput, match="not a rule; METRIC OP") as caught:
        read_rule(told)
    assert "\n" not in str(caught.value)


def test_a_metric_that_nobody_has(store: Callable[..., Path]) -> None:
    a = store("a", lambda spec: {"vm.pswpin": 1})
    with pytest.raises(BadInput, match=r"^no metric of these runs is called 'vm.pswpim'; did you mean 'vm.pswpin'\?$"):
        compare(of_folders([a, a]), ["vm.pswpim"])


_COUNT = itertools.count()
counts = st.lists(st.integers(0, 2**62), min_size=1, max_size=4)


@given(st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_turning_the_sides_round_turns_the_differences(store: Callable[..., Path], data: Any) -> None:
    one = data.draw(counts)
    other = data.draw(st.lists(st.integers(0, 2**62), min_size=len(one), max_size=len(one)))
    seeds, nth = tuple(range(len(one))), next(_COUNT)
    a, b = store(f"a{nth}", by_seed(one), seeds=seeds), store(f"b{nth}", by_seed(other), seeds=seeds)
    there, back = (compare(of_folders(pair), ["vm.pswpin"]) for pair in ([a, b], [b, a]))
    assert there.identical == back.identical == (one == other)
    [forth], [again] = there.points[0].rows[0].cells, back.points[0].rows[0].cells
    assert forth.difference == -again.difference
    assert (forth.differing, forth.p is None) == (again.differing, again.p is None)
    if forth.p is not None:
        assert forth.p == pytest.approx(again.p)
    for comparison in (there, back):
        document(comparison)
        assert "nan" not in pages.html(comparison, []).partition("</style>")[2].lower()


def test_the_page_needs_nothing_from_outside_and_says_good_and_bad(store: Callable[..., Path]) -> None:
    a = store("a<b>", lambda spec: {"vm.pgmajfault": 100, "machine.pages_saved": 100})
    b = store("b&c", lambda spec: {"vm.pgmajfault": 200, "machine.pages_saved": 200})
    comparison = compare(of_folders([a, b]))
    page = pages.html(comparison, broken([read_rule("major faults > +1%")], comparison))
    assert page == pages.html(comparison, broken([read_rule("major faults > +1%")], comparison))
    assert "a&lt;b&gt; and " in page
    assert "b&amp;c" in page
    assert "<td class=good>200 (+100.00%)</td>" in page
    assert "<td class=bad>200 (+100.00%)</td>" in page
    assert "<h2>Fails</h2>" in page
    assert not any(word in page for word in ("http:", "https:", "<script", "<link", "url("))
