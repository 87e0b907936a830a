"""The report: self-contained, the same bytes for the same results, and honest about what it shows."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ksmlab_core.errors import BadInput, ResultsNotWritten
from ksmlab_core.experiment.plan import Expectation
from ksmlab_core.lab import report
from ksmlab_core.lab.collection import Collection, of_folder, of_plan
from ksmlab_core.lab.report import charts, drilldown
from ksmlab_core.lab.runner import carry_out

COMMAND = "ksmlab run storm.yaml"


def collect(fake: ModuleType, plan: Any) -> Collection:
    return of_plan(plan, [fake.run(spec, plan.registry) for spec in plan.points], COMMAND)


@pytest.fixture(scope="module")
def collection(fake: ModuleType, make_plan: Any) -> Collection:
    """Three runs that differ in their swap-in policy."""
    return collect(fake, make_plan())


@pytest.fixture(scope="module")
def page(collection: Collection) -> str:
    """Their report."""
    return report.page(collection)


class Reader(HTMLParser):
    """Checks that elements nest, and gathers ids, references, scripts and text."""

    VOID = frozenset({"meta", "link", "br", "img", "hr", "input"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.feed(page)
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.handle_startendtag(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "xlink:href", "src", "srcset", "data", "action"):
                self.references.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def data(self) -> Any:
        """What the page's script draws runs from."""
        return json.loads(self.scripts[0])


def test_same_results_same_bytes(fake: ModuleType, make_plan: Any, page: str) -> None:
    assert report.page(collect(fake, make_plan())) == page


def test_results_read_back_give_the_same_page(fake: ModuleType, make_plan: Any, tmp_path: Path) -> None:
    plan = make_plan(("kernel",), seeds=(1, 2))
    results = carry_out(plan, simulate=fake.run, out=tmp_path, command=COMMAND)
    ((home, collection),) = of_folder(tmp_path)
    assert home == tmp_path / "storm"
    assert report.page(collection) == report.page(of_plan(plan, results, COMMAND))


def test_nothing_is_loaded_from_outside(page: str) -> None:
    assert not re.search(r"https?:|//\w|@import", page)
    reader = Reader(page)
    assert all(reference.startswith("#") for reference in reader.references)
    assert all(found.startswith("#") for found in re.findall(r"url\(([^)]*)\)", page))


def test_the_pages_own_script_is_the_only_one_that_may_run(page: str) -> None:
    """Whatever text gets into the page by mistake, its policy lets nothing run and nothing be fetched."""
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    data, own = Reader(page).scripts
    digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
    assert policy.split("; ")[:3] == [
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        f"script-src 'sha256-{digest}'",
    ]
    assert page.count("<script") == 2
    assert json.loads(data)


def test_references_within_the_page_lead_somewhere_and_ids_are_unique(page: str) -> None:
    reader = Reader(page)
    assert len(reader.ids) == len(set(reader.ids))
    wanted = {reference[1:] for reference in [*reader.references, *re.findall(r"url\(([^)]*)\)", page)]}
    assert wanted <= set(reader.ids)


def test_every_colour_is_the_pages_own(page: str) -> None:
    drawings = page[page.index("<svg") :]
    assert not re.search(r"(?:fill|stroke): #", drawings), "a fixed colour would be lost on a dark page"
    styles = page[: page.index("</style>")]
    for name in set(re.findall(r"var\(--([a-z0-9-]+)\)", page)):
        assert f"--{name}:" in styles, name
    assert "prefers-color-scheme: dark" in styles


def test_the_page_says_what_was_run_and_how_to_do_it_again(page: str) -> None:
    words = Reader(page).text
    assert "What swap-in copies cost when ten VMs wake at once." in words
    assert COMMAND in words
    for figure in ("8,192 (32 MiB)", "policies.swapin", "seed 7", "swap-in copy", "Memory saved over time"):
        assert figure in words, figure


def test_every_run_has_its_row_its_line_and_its_timeline(collection: Collection, page: str) -> None:
    for run in collection.runs:
        assert page.count(collection.label_of[run.result.id]) >= 3
    assert page.count('<svg role="img"') == 3 + len(collection.runs)


def test_the_best_run_of_each_figure_is_named(page: str) -> None:
    words = Reader(page).text
    assert re.search(
        r"Memory saved on average: best with swapin remerge: [\d,]+ frames, [\d.]+ MiB; \d+ % more than", words
    )
    assert re.search(r"Pages copied at swap-in: best with swapin remerge: \d+; \d+ % less than swapin kernel", words)


def test_figures_within_a_percent_have_no_best(collection: Collection) -> None:
    close = [
        replace(run, result=replace(run.result, metrics=run.result.metrics | {"time.ksmd": 1_000_000 + nth}))
        for nth, run in enumerate(collection.runs)
    ]
    words = Reader(report.page(replace(collection, runs=close))).text
    assert "CPU time of ksmd: within 1 % of each other, 1.00 ms in swapin kernel." in words


def test_the_difference_is_to_the_first_run_at_the_same_time(collection: Collection) -> None:
    first, other = (run.result for run in collection.runs[:2])
    shifted = replace(other, series=other.series | {"time.elapsed": other.series["time.elapsed"] + 5_000_000})
    time, more = charts._difference(shifted, first)
    saved = first.series["machine.pages_saved"]
    assert time[-1] <= first.series["time.elapsed"][-1] < shifted.series["time.elapsed"][-1]
    assert more[0] == other.series["machine.pages_saved"][0] - (saved[0] + saved[1]) / 2


def test_runs_alike_are_doubted(collection: Collection, page: str) -> None:
    alike = [replace(run, result=replace(run.result, metrics={"vm.pgfault": 1}, series={})) for run in collection.runs]
    words = Reader(report.page(replace(collection, runs=alike))).text
    assert "Effect not exercised" in words
    assert (
        "policies.swapin kernel, remerge and defer came out the same in every counter in all 3 pairs of runs" in words
    )
    assert "Effect not exercised" not in Reader(page).text


def test_failures_and_expectations_not_met_come_first(fake: ModuleType, make_plan: Any) -> None:
    plan = make_plan(expect=(Expectation("vm.pswpin", 0, 31),))
    results = [fake.fails(plan.points[0], None), fake.run(plan.points[1], None)]
    failed = carry_out(make_plan(("defer",)), simulate=fake.fails)
    words = Reader(report.page(of_plan(plan, [*results, *failed], COMMAND))).text
    assert words.index("A run failed swapin defer :") < words.rindex("What came out")
    assert "policy 'defer' (swapin) (p.py:7): KeyError: 3" in words
    assert "Traceback ... p.py" in words
    assert "2 expectations not met" in words
    assert "storm.yaml:31: vm.pswpin: wanted 0, got" in words


def test_what_a_user_wrote_is_text_not_markup(fake: ModuleType, make_plan: Any) -> None:
    plan = make_plan(("kernel",), about="<script>alert(1)</script> & $x_1$")
    for spec in plan.points:
        spec.point["policies.swapin"] = "<b>$bold$</b>"
    collection = collect(fake, plan)
    page = report.page(collection)
    reader = Reader(page)
    assert page.count("<script") == page.count("</script") == 2
    assert "<b>" not in page
    assert "<b>$bold$</b>" in reader.text
    assert [run["label"] for run in reader.data["runs"]] == ["swapin <b>$bold$</b>"]


def test_a_plugins_error_is_text_not_markup(fake: ModuleType, make_plan: Any) -> None:
    evil = "</script><script>alert('\u2028')</script><img src=x onerror=alert(1)>"
    collection = collect(fake, make_plan(("kernel",)))
    collection.runs[0].result.error = {"type": evil, "message": evil, "file": evil, "line": 3, "trace": evil}
    collection.runs[0].result.samples[0]["at"] = evil
    page = report.page(collection)
    reader = Reader(page)
    assert page.count("<script") == page.count("</script") == 2
    assert "<img" not in page
    assert reader.data["runs"][0]["error"]["trace"] == reader.data["runs"][0]["samples"][0][0] == evil
    assert " ".join(evil.split()) in reader.text


def test_many_runs_are_all_in_the_table_and_the_rest_is_said(fake: ModuleType, make_plan: Any) -> None:
    plan = make_plan(("kernel",), seeds=(1,))
    points = [replace(plan.points[0], id=f"r{nth}", point={"some.word": f"w{nth}"}) for nth in range(32)]
    collection = collect(fake, replace(plan, points=points))
    page = report.page(collection)
    reader = Reader(page)
    assert "24 more runs are in the table only." in reader.text
    assert "The first 12 runs are drawn." in reader.text
    assert "All 32 runs" in reader.text
    assert all(f'aria-label="{label}"' in page for label in collection.label_of.values())


def test_every_run_can_be_opened_with_all_that_is_known_of_it(fake: ModuleType, make_plan: Any) -> None:
    plan = make_plan(("kernel", "remerge"), expect=(Expectation("vm.pswpin", {"min": 1}, 31),))
    for spec in plan.points:
        spec.provenance.update({"machine.memory": 6, "policies.swapin": 12})
    collection = collect(fake, plan)
    data = Reader(report.page(collection)).data
    metrics = [name for name, _ in data["metrics"]]
    for nth, (run, shown) in enumerate(zip(collection.runs, data["runs"], strict=True)):
        values = [of[nth] if isinstance(of, list) else of for of in data["values"]]
        assert dict(zip(metrics, values, strict=True)) == run.result.metrics
        assert shown["settings"] == [["policies.swapin.use", run.spec["policies"]["swapin"]["use"], "line 12"]]
        assert shown["expect"] == [[31, "end", "vm.pswpin", "at least 1", run.result.metrics["vm.pswpin"], True]]
        assert shown["samples"] == [["wake-up", 1_000_000_000, []]]
        time, saved, merges = shown["series"][:3]
        assert len(time) == len(saved) == len(merges) <= 120
        assert sum(merges) == run.result.series["ksm.merges"][-1] - run.result.series["ksm.merges"][0]
    assert "line 6" in Reader(report.page(collection)).text


def test_five_hundred_runs_are_a_page_of_a_few_megabytes(fake: ModuleType, make_plan: Any) -> None:
    """As many metrics as real runs have, and as long series."""
    plan = make_plan(("kernel", "remerge"), seeds=tuple(range(250)))
    collection = collect(fake, plan)
    for nth, run in enumerate(collection.runs):
        run.result.metrics |= {f"process.p{at}.resident_pages": 7919 * (nth + at) for at in range(120)}
        run.result.samples *= 12
    data = drilldown.as_script(collection, [[] for _ in collection.runs])
    assert len(data) < 2_500_000
    assert min(len(run["series"][0]) for run in json.loads(data)["runs"]) >= 24


def test_a_run_without_samples_has_a_page_too(fake: ModuleType, make_plan: Any) -> None:
    collection = collect(fake, make_plan(("kernel",)))
    bare = replace(collection.runs[0], result=replace(collection.runs[0].result, series={}, samples=[]))
    page = report.page(replace(collection, runs=[bare]))
    assert "Memory saved over time" not in page
    assert "The runs side by side" in page


def test_the_page_is_written_whole_or_not_at_all(
    fake: ModuleType, make_plan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = collect(fake, make_plan(("kernel",)))
    report.write_page(collection, tmp_path / "new" / "report.html")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["report.html"]
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ResultsNotWritten, match="report not written"):
        report.write_page(collection, tmp_path / "file" / "report.html")
    assert (tmp_path / "file").read_text() == "mine"


def test_without_the_extra_one_line_says_how_to_get_it(
    fake: ModuleType, make_plan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "find_spec", lambda package: None)
    with pytest.raises(BadInput, match=r"pip install 'ksmlab\[report\]'"):
        report.page(collect(fake, make_plan(("kernel",))))
