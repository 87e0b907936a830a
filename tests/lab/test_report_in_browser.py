"""The report in a real browser: it opens without a complaint, its drawings have marks, its tables sort, all can be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ksmlab_core.experiment.plan import Expectation
from ksmlab_core.lab import report
from ksmlab_core.lab.collection import of_plan
from ksmlab_core.lab.report.bounds import CONTENTS, FRAMES, SAVED
from tests.lab.browser import Tab, opened, started

FINDINGS = Path(__file__).parents[2] / "experiments" / "findings"
PAGES = ("sweep", "few", "copy-remerge", "node-reference", "checksum-first")
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
PHONE = 360
Open = Callable[..., AbstractContextManager[Tab]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with started() as one:
        yield one


@pytest.fixture(scope="module")
def pages(browser: Any, fake: ModuleType, make_plan: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports by name: the stored ones, one of three runs, and one of a sweep in which everything happens."""
    folder = tmp_path_factory.mktemp("pages")
    plan = make_plan(expect=(Expectation("vm.pswpin", {"min": 1}, 31), Expectation("vm.pgfault", 0, 32)))
    few = of_plan(plan, [fake.run(spec, None) for spec in plan.points], "ksmlab run storm.yaml")
    made = {"few": few, "sweep": _sweep(fake, make_plan)}
    for name, collection in made.items():
        report.write_page(collection, folder / f"{name}.html")
    stored = {file.stem: file for file in FINDINGS.glob("*.html")}
    return stored | {name: folder / f"{name}.html" for name in made}


def _sweep(fake: ModuleType, make_plan: Any) -> Any:
    """Two policies, two kernels, three sizes of memory, three seeds; one run failed, with a hostile text."""
    plan = make_plan(("kernel", "remerge"), seeds=(1, 2, 3), about=f"Hostile: {EVIL}")
    points = [
        replace(spec, id=f"{spec.id}-{kernel}-{size}", point=spec.point | {"kernel": kernel, "machine.memory": size})
        for kernel in ("v6.1", "v6.18")
        for size in ("8MiB", "16MiB", "32MiB")
        for spec in plan.points
    ]
    results = [fake.run(spec, None) for spec in points]
    for nth, result in enumerate(results):
        saved = result.series[SAVED]
        result.series |= {FRAMES: np.full_like(saved, 9000 - nth), CONTENTS: np.full_like(saved, 8000)}
    results[7].status = "failed"
    results[7].error = {"type": "PolicyFault", "message": EVIL, "file": "p.py", "line": 7, "trace": f"Trace\n{EVIL}"}
    results[7].samples[0]["at"] = EVIL
    return of_plan(replace(plan, points=points), results, "ksmlab run storm.yaml")


@pytest.fixture
def open_page(browser: Any, pages: dict[str, Path]) -> Open:
    return lambda name, **how: opened(browser, pages[name], **how)


@pytest.mark.parametrize("name", PAGES)
def test_it_opens_from_a_file_without_a_complaint(open_page: Open, name: str) -> None:
    """Nothing on the console, no request but for the file itself, no error; `opened` sees to it, here and below."""
    with open_page(name) as tab:
        assert tab.page.title().endswith("– ksmlab")
        assert tab.ask("document.querySelectorAll('th button').length") > 5, "its script has run"


MARKS = """() => Array.from(document.querySelectorAll('svg[role=img]'), (drawing) => {
  const box = drawing.getBoundingClientRect();
  const marks = Array.from(drawing.querySelectorAll('[style*="--series-"], [class*="lane-"], .curve'),
    (mark) => mark.getBoundingClientRect()).filter((mark) => mark.width + mark.height > 0.5);
  const outside = marks.filter((mark) => mark.left < box.left - 2 || mark.right > box.right + 2
    || mark.top < box.top - 2 || mark.bottom > box.bottom + 2);
  return [drawing.getAttribute('aria-label'), box.width > 100 && box.height > 60, marks.length, outside.length];
})"""


def drawn_well(tab: Tab) -> None:
    drawings = tab.ask(MARKS)
    assert len(drawings) >= 5
    assert [drawing for drawing in drawings if not drawing[1] or not drawing[2] or drawing[3]] == []


@pytest.mark.parametrize("name", PAGES)
def test_every_drawing_has_marks_and_none_leaves_its_box(open_page: Open, name: str) -> None:
    with open_page(name) as tab:
        drawn_well(tab)


VALUES = """(title) => {
  const table = document.getElementById('runs-table');
  const heads = Array.from(table.tHead.rows[0].cells);
  const column = heads.findIndex((head) => head.textContent.trim() === title);
  return {sorted: heads.map((head) => head.getAttribute('aria-sort')).filter(Boolean).join(),
    mine: heads[column].getAttribute('aria-sort'),
    values: Array.from(table.tBodies[0].rows, (row) => row.cells[column].dataset.v ?? row.cells[column].textContent),
    runs: Array.from(table.tBodies[0].rows, (row) => row.dataset.run)};
}"""


def figures(tab: Tab, title: str) -> tuple[str, list[float]]:
    found = tab.ask(VALUES, title)
    assert found["mine"] == found["sorted"], "one column alone says that it is sorted"
    return found["mine"], [float(value) for value in found["values"]]


@pytest.mark.parametrize("name", ["sweep", "node-reference"])
def test_tables_sort_on_a_click(open_page: Open, name: str) -> None:
    with open_page(name) as tab:
        runs = tab.ask(VALUES, "stall")["runs"]
        button = tab.page.locator("#runs-table th button", has_text="stall")
        for order in ("descending", "ascending", "descending"):
            button.click()
            said, values = figures(tab, "stall")
            assert (said, values) == (order, sorted(values, reverse=order == "descending"))
        assert len(set(values)) > 3
        assert sorted(tab.ask(VALUES, "stall")["runs"]) == sorted(runs), "no row came or went"


def test_tables_sort_from_the_keyboard(open_page: Open) -> None:
    with open_page("sweep") as tab:
        tab.page.locator("#runs-table th button", has_text="ksmd time").focus()
        assert tab.ask("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        for key, order in (("Enter", "descending"), ("Space", "ascending")):
            tab.page.keyboard.press(key)
            said, values = figures(tab, "ksmd time")
            assert (said, values) == (order, sorted(values, reverse=order == "descending"))


def test_settings_sort_as_sizes_and_words_smallest_first(open_page: Open) -> None:
    with open_page("sweep") as tab:
        tab.page.locator("#runs-table th button", has_text="memory").click()
        assert figures(tab, "memory") == ("ascending", [8] * 12 + [16] * 12 + [32] * 12)
        tab.page.locator("#runs-table th button", has_text="swapin").first.click()
        found = tab.ask(VALUES, "swapin")
        words = [value.removesuffix(" failed") for value in found["values"]]
        assert words == ["kernel"] * 18 + ["remerge"] * 18
        assert found["values"].count("kernel failed") == 1


def fits(page: Any) -> None:
    """No scrolling sideways: every table has a box of its own for that."""
    assert page.locator("html").evaluate("(html) => html.scrollWidth") <= PHONE
    tables = "() => Array.from(document.querySelectorAll('table')).filter((one) => !one.closest('.scroll')).length"
    assert page.evaluate(tables) == 0


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_need_not_scroll_sideways(open_page: Open, name: str) -> None:
    with open_page(name, width=PHONE) as tab:
        fits(tab.page)
        drawn_well(tab)
        tab.page.locator("#runs-table a").first.click()
        tab.page.locator("#run").wait_for(state="visible")
        fits(tab.page)


CONTRASTS = """() => {
  const channel = (value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const parse = (colour) => (colour.match(/[\\d.]+/g) || []).map(Number);
  const luminance = ([red, green, blue]) =>
    0.2126 * channel(red / 255) + 0.7152 * channel(green / 255) + 0.0722 * channel(blue / 255);
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = Array.from(element.childNodes).some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.getClientRects().length || element.closest('script, noscript')) continue;
    const style = getComputedStyle(element);
    const colour = parse(element instanceof SVGElement ? style.fill : style.color);
    const [one, other] = [luminance(colour), luminance(behind(element))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    found.push([ratio, element.tagName, element.textContent.trim().slice(0, 40)]);
  }
  return found;
}"""


@pytest.mark.parametrize("name", ["sweep", "few", "copy-remerge"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read_in_both_colour_schemes(open_page: Open, name: str, scheme: str) -> None:
    """WCAG AA: 4.5 to 1 for every text that can be seen, in drawings, captions, tables and boxes alike."""
    with open_page(name, scheme=scheme) as tab:
        tab.page.locator("#runs-table a").nth(7 if name == "sweep" else 0).click()
        tab.page.locator("#run").wait_for(state="visible")
        tab.ask("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        texts = tab.ask(CONTRASTS)
    assert {"P", "TD", "TH", "CAPTION", "text", "A", "BUTTON", "LI", "FIGCAPTION"} <= {tag for _, tag, _ in texts} | {
        "A"
    }
    assert [text for text in texts if text[0] < 4.5] == []


def test_the_colour_scheme_is_the_readers(open_page: Open) -> None:
    paper = {}
    for scheme in ("light", "dark"):
        with open_page("few", scheme=scheme) as tab:
            paper[scheme] = tab.ask("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert min(paper["light"]) > 240
    assert max(paper["dark"]) < 40


@pytest.mark.parametrize("name", ["sweep", "few"])
def test_without_scripts_tables_and_drawings_can_be_read(open_page: Open, name: str) -> None:
    with open_page(name, scripts=False, width=PHONE) as tab:
        page = tab.page
        fits(page)
        assert page.locator("noscript").inner_text().startswith("With JavaScript the tables can be sorted")
        assert page.locator("#runs-table tbody tr").count() == (36 if name == "sweep" else 3)
        assert page.locator("#runs-table tbody tr").first.is_visible()
        assert page.locator("#run").is_hidden()
        assert page.locator("#runs-table button, #runs-table a, .scripted:visible, #finder:visible").count() == 0
        assert page.locator("svg[role=img]").first.is_visible()


def test_a_run_opens_with_what_is_known_of_it(open_page: Open) -> None:
    with open_page("few") as tab:
        page, run = tab.page, tab.page.locator("#run")
        assert run.is_hidden()
        page.get_by_role("link", name="run swapin remerge").click()
        run.wait_for(state="visible")
        assert run.locator("h3").inner_text() == "swapin remerge"
        assert page.evaluate("document.activeElement.textContent") == "swapin remerge"
        met = run.get_by_role("region", name="Expectations").locator("tbody tr").all_inner_texts()
        assert [line.split()[-1] for line in met] == ["yes", "no"]
        assert "storm.yaml:32" in met[1]
        shown = int(run.locator("tr", has_text="vm.swapin_remerges").locator("td").first.inner_text().replace(",", ""))
        assert shown == page.evaluate(STORED, ["remerge", "vm.swapin_remerges"])
        run.get_by_role("link", name="next run: swapin defer").click()
        heading = "(label) => document.querySelector('#run h3').textContent === label"
        page.wait_for_function(heading, arg="swapin defer")
        page.go_back()
        page.wait_for_function(heading, arg="swapin remerge")
        drawn = [drawing for drawing in tab.ask(MARKS) if drawing[0].endswith("in this run")]
        assert [(visible, marks, outside) for _, visible, marks, outside in drawn] == [(True, 5, 0)]


STORED = """([id, name]) => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const values = data.values[data.metrics.findIndex(([metric]) => metric === name)];
  return Array.isArray(values) ? values[data.runs.findIndex((run) => run.id === id)] : values;
}"""


def test_an_address_leads_to_a_run_and_a_wrong_one_nowhere(open_page: Open) -> None:
    with open_page("sweep", fragment="#run=kernel-s3-v6.18-32MiB") as tab:
        assert tab.page.locator("#run h3").inner_text() == "swapin kernel, kernel v6.18, memory 32MiB, seed 3"
    with open_page("sweep", fragment="#run=nobody") as tab:
        assert tab.page.locator("#run").is_hidden()


def test_a_failed_run_shows_its_trace_and_hostile_text_stays_text(open_page: Open) -> None:
    with open_page("sweep") as tab:
        tab.page.locator("[data-to-run] a").click()
        tab.page.locator("#run").wait_for(state="visible")
        box = tab.page.locator("#run .bad.box")
        assert box.locator("p").all_inner_texts() == ["PolicyFault at p.py:7", EVIL]
        assert box.locator("pre").inner_text() == f"Trace\n{EVIL}"
        assert tab.page.locator("img").count() == 0
        assert tab.page.locator(".about").inner_text() == f"Hostile: {EVIL}"


def test_runs_are_found_by_words(open_page: Open) -> None:
    with open_page("sweep") as tab:
        field = tab.page.get_by_role("searchbox")
        field.fill("remerge 16mib")
        assert tab.page.locator("#finder output").inner_text() == "6 of 36 runs"
        assert tab.page.locator("#runs-table tbody tr:visible").count() == 6
        field.fill("")
        assert tab.page.locator("#runs-table tbody tr:visible").count() == 36


def test_on_paper_no_table_is_cut(open_page: Open) -> None:
    with open_page("sweep") as tab:
        tab.page.emulate_media(media="print")
        box = "(box) => [box.scrollHeight - box.clientHeight, getComputedStyle(box).overflowY]"
        assert tab.page.locator(".tall").first.evaluate(box) == [0, "visible"]
        assert tab.page.locator("nav").is_hidden()


def test_a_script_that_is_not_the_pages_own_does_not_run(browser: Any, pages: dict[str, Path], tmp_path: Path) -> None:
    """Were a text ever to get into the page as markup, the page's policy would stop it."""
    text = pages["few"].read_text(encoding="utf-8")
    (tmp_path / "broken.html").write_text(text.replace("<main>", "<main><script>window.evil = 1</script>", 1))
    with opened(browser, tmp_path / "broken.html") as tab:
        assert tab.ask("window.evil === undefined")
        assert [trouble for trouble in tab.troubles if "Content Security Policy" in trouble]
        tab.troubles.clear()
