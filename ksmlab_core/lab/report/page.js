"use strict";
(() => {
  const make = (tag, text, attributes) => {
    const element = document.createElement(tag);
    if (text !== undefined && text !== null) element.textContent = text;
    for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
    return element;
  };
  const grouped = (value) => value === null || value === undefined ? "–" : value.toLocaleString("en-US");

  // Tables: a button in each heading sorts by its column, first as is good to read: numbers from the greatest.
  const keyOf = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.v === undefined ? cell.textContent.trim() : cell.dataset.v;
    return text === "" || text === "–" ? null : isNaN(Number(text)) ? text : Number(text);
  };
  const compare = (one, other) =>
    typeof one === "number" && typeof other === "number" ? one - other
      : String(one).localeCompare(String(other), "en", {numeric: true});
  const sort = (table, column, descending) => {
    const body = table.tBodies[0];
    const rows = Array.from(body.rows, (row, place) => ({row, place, key: keyOf(row, column)}));
    rows.sort((one, other) => {
      if (one.key === null || other.key === null) return (one.key === null) - (other.key === null) || one.place - other.place;
      return (descending ? compare(other.key, one.key) : compare(one.key, other.key)) || one.place - other.place;
    });
    body.append(...rows.map((one) => one.row));
  };
  const sortable = (table) => {
    const headings = Array.from(table.tHead.rows[0].cells);
    headings.forEach((heading, column) => {
      const button = make("button", null, {type: "button"});
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const now = heading.getAttribute("aria-sort");
        const first = Array.from(table.tBodies[0].rows).map((row) => keyOf(row, column)).find((key) => key !== null);
        const descending = now ? now === "ascending" : typeof first === "number" && !heading.dataset.up;
        headings.forEach((one) => one.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
        sort(table, column, descending);
      });
    });
  };
  document.querySelectorAll("table.sortable").forEach(sortable);

  // The table of runs: its rows can be looked through, and lead to each run in full.
  const data = JSON.parse(document.getElementById("data").textContent);
  const numbers = new Map(data.runs.map((run, number) => [run.id, number]));
  const table = document.getElementById("runs-table");
  const rows = Array.from(table.tBodies[0].rows);
  const link = (id, text, label) => make("a", text, {href: "#run=" + encodeURIComponent(id), "aria-label": label});
  for (const row of rows) {
    const cell = row.cells[0].firstElementChild;
    cell.replaceChildren(link(row.dataset.run, cell.textContent, "run " + row.cells[0].getAttribute("aria-label")));
  }
  document.querySelectorAll("[data-to-run]").forEach((place) => {
    place.replaceChildren(link(place.dataset.toRun, place.textContent, "run " + place.textContent));
  });
  document.querySelectorAll(".scripted").forEach((place) => { place.hidden = false; });
  const finder = document.getElementById("finder");
  if (finder) {
    finder.hidden = false;
    const field = finder.querySelector("input");
    const count = finder.querySelector("output");
    field.addEventListener("input", () => {
      const wanted = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const words = row.cells[0].getAttribute("aria-label").toLowerCase();
        row.hidden = !wanted.every((word) => words.includes(word));
        shown += !row.hidden;
      }
      count.textContent = wanted.length ? shown + " of " + rows.length + " runs" : "";
    });
  }

  // One run in full. Text goes in as text only, whatever it holds.
  const section = document.getElementById("run");
  const box = section.querySelector(".filled");
  const svg = (tag, attributes) => {
    const element = document.createElementNS(section.querySelector("svg").namespaceURI, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const tableOf = (caption, headings, lines, tall) => {
    const made = make("table", null, {class: "plain"});
    made.append(make("caption", caption));
    const head = made.createTHead().insertRow();
    for (const heading of headings) head.append(make("th", heading, {scope: "col"}));
    const body = made.createTBody();
    for (const line of lines) {
      const row = body.insertRow();
      line.forEach((value, column) => {
        const number = value instanceof Number ? Number(value) : typeof value === "number" ? value : null;
        const cell = make(column ? "td" : "th", value instanceof Number ? value.words : number === null ? value ?? "–" : grouped(value));
        if (!column) cell.setAttribute("scope", "row");
        if (number !== null) {
          cell.dataset.v = number;
          cell.className = head.cells[column].className = "number";
        }
        row.append(cell);
      });
    }
    sortable(made);
    const scroll = make("div", null, {class: tall ? "scroll tall" : "scroll", tabindex: "0", role: "region", "aria-label": caption});
    scroll.append(made);
    return scroll;
  };
  const worded = (number, words) => Object.assign(new Number(number), {words});
  const seconds = (us) => us >= 2e6 ? (us / 1e6).toFixed(2) + " s" : us >= 2e3 ? (us / 1e3).toFixed(1) + " ms" : us + " µs";
  const timeline = (run) => {
    const [time, ...lanes] = run.series;
    const width = Math.max(280, Math.min(704, box.clientWidth)), left = 58, height = 58, gap = 20, end = time[time.length - 1];
    const whole = lanes.length * (height + gap) + 22;
    const drawing = svg("svg", {viewBox: "0 0 " + width + " " + whole, role: "img", class: "timeline",
      "aria-label": "Frames saved, merges, breaks, swap-outs and swap-ins over simulated time in this run"});
    const x = (at) => left + (width - left - 8) * (end ? at / end : 0);
    lanes.forEach((values, lane) => {
      const bottom = (lane + 1) * (height + gap), top = Math.max(1, ...values);
      const y = (value) => bottom - height * Math.max(0, value) / top;
      const title = svg("text", {x: left, y: bottom - height - 5, class: "title"});
      title.textContent = data.lanes[lane];
      const most = svg("text", {x: left - 6, y: bottom - height + 10, class: "tick"});
      most.textContent = grouped(top);
      drawing.append(title, most, svg("line", {x1: left, x2: width - 8, y1: bottom, y2: bottom, class: "base"}));
      let path = "M" + x(time[0]).toFixed(1) + " " + (lane ? bottom : y(values[0])).toFixed(1);
      for (let n = 1; n < values.length; n++) {
        const at = x(time[n]).toFixed(1), value = y(values[n]).toFixed(1);
        path += lane ? "L" + x(time[n - 1]).toFixed(1) + " " + value + "L" + at + " " + value : "L" + at + " " + value;
      }
      if (lane) path += "L" + x(end).toFixed(1) + " " + bottom + "Z";
      drawing.append(svg("path", {d: path, class: lane ? "bars lane-" + lane : "curve"}));
    });
    for (const [at, ns] of run.samples) {
      const place = x(ns / 1000).toFixed(1);
      const mark = svg("line", {x1: place, x2: place, y1: gap, y2: whole - 22, class: "mark"});
      const name = svg("title", {});
      name.textContent = at;
      mark.append(name);
      drawing.append(mark);
    }
    for (const [at, anchor] of [[0, "start"], [end, "end"]]) {
      const text = svg("text", {x: x(at), y: whole - 6, class: "tick", style: "text-anchor:" + anchor});
      text.textContent = at ? seconds(at) : "0";
      drawing.append(text);
    }
    return drawing;
  };
  const fill = (run, number) => {
    const parts = [];
    const neighbours = make("p", null, {class: "neighbours"});
    const before = data.runs[number - 1], after = data.runs[number + 1];
    if (before) neighbours.append(link(before.id, "← previous", "previous run: " + before.label));
    neighbours.append(make("a", "table of runs", {href: "#runs"}));
    if (after) neighbours.append(link(after.id, "next →", "next run: " + after.label));
    parts.push(neighbours, make("p", "Run " + run.id + ", seed " + run.seed + ", " + run.status + ".", {class: "facts"}));
    if (run.error) {
      const failure = make("div", null, {class: "bad box"});
      const where = run.error.file ? run.error.file + (run.error.line ? ":" + run.error.line : "") : "";
      failure.append(make("p", run.error.type + (where ? " at " + where : "")), make("p", run.error.message));
      if (run.error.trace) failure.append(make("pre", run.error.trace, {tabindex: "0"}));
      parts.push(failure);
    }
    if (run.series.length) {
      const figure = make("figure");
      figure.append(timeline(run), make("figcaption",
        "Over simulated time; below the first line, how much each counter rose between two samples. Dotted: samples with a name."));
      parts.push(figure);
    }
    if (run.expect.length) {
      parts.push(tableOf("Expectations", ["metric", "wanted", "got", "at", "line", "met"], run.expect.map(
        ([line, at, metric, want, got, ok]) => [metric, want, got, at, line ? data.file + ":" + line : "–", ok ? "yes" : "no"])));
    }
    if (run.settings.length) {
      parts.push(tableOf("Settings that other runs have otherwise", ["setting", "value", "from"], run.settings));
    }
    if (run.samples.length) {
      parts.push(tableOf("Samples with a name", ["sample", "at", ...data.sampled], run.samples.map(
        ([at, ns, values]) => [at, worded(ns, seconds(Math.round(ns / 1000))), ...values])));
      if (run.samples_left_out) parts.push(make("p", run.samples_left_out + " more are in the run's folder.", {class: "note"}));
    }
    const counters = data.metrics.map(([name, meaning], metric) => {
      const values = data.values[metric];
      return [name, Array.isArray(values) ? values[number] : values, meaning];
    });
    const known = counters.filter((line) => line[1] !== null);
    const all = make("details", null, known.length ? {open: ""} : {});
    all.append(make("summary", "All " + known.length + " counters"), tableOf("Counters at the end of the run",
      ["counter", "value", "what it counts"], known, true));
    parts.push(all);
    box.replaceChildren(...parts);
  };
  const show = () => {
    const id = location.hash.startsWith("#run=") ? decodeURIComponent(location.hash.slice(5)) : null;
    const number = id === null ? undefined : numbers.get(id);
    if (number === undefined) return;
    section.hidden = false;
    section.querySelector("h3").textContent = data.runs[number].label;
    fill(data.runs[number], number);
    section.scrollIntoView();
    section.querySelector("h3").focus({preventScroll: true});
  };
  window.addEventListener("hashchange", show);
  show();
})();
