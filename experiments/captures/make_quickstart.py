"""Make `quickstart.ksmcap`: eight programs at work, captured ten times in twenty seconds.

    python experiments/captures/make_quickstart.py [-o FILE] [--count N] [--every SECONDS]

Seven are Python interpreters and one is node (left out, with a word, where there is none). Each starts on
its own, as services on a host do; nothing is forked, so that no page is shared to begin with. All work on one
body of text, the source of Python's standard library on this machine, from which files are prepared first
(the text, a search index, word vectors, a database). What two programs load from the same file into a block
of its own is equal page by page, until one of them changes it; the rest of their memory is their own.

* web, web-2, web-3: one service three times: an HTTP server that answers searches in the text as JSON, with
  the words most alike by their vectors and a response cache, and a client that asks it
* sqlite, sqlite-2: the database in memory, twice, each with updates, joins, deletes and inserts of its own
* numpy: refines the word vectors by power iteration
* compile: parses and compiles the library's modules in turn and keeps the most recent ones
* node: the text in JavaScript: indexed, searched, changed and written as JSON

They work in turns of work and rest, for as long as the capture goes on. What the operating system gives them
differs from run to run, so another capture is like this one, not equal to it.
"""

from __future__ import annotations

import argparse
import ast
import collections
import json
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

TEXT_BYTES = 6_000_000
WORD = re.compile(rb"[A-Za-z_]{3,}")
FEATURES = 64
Work = Iterator[None]
"""A program: each step is a turn of work; the first is the set-up."""


def library() -> list[Path]:
    """Files of the standard library in a fixed order, `TEXT_BYTES` of them."""
    root = Path(sysconfig.get_path("stdlib"))
    found, size = [], 0
    for path in sorted(root.glob("*.py")) + sorted(root.glob("[a-z]*/*.py")):
        if path.relative_to(root).parts[0] in ("site-packages", "dist-packages", "test"):
            continue
        size += path.stat().st_size
        if size > TEXT_BYTES:
            break
        found.append(path)
    return found


def prepare(folder: Path) -> None:
    """Write the files that the programs load: text, index, word vectors, database."""
    import numpy as np

    text = b"\n".join(path.read_bytes() for path in library())
    lines = text.split(b"\n")
    index: dict[bytes, list[int]] = collections.defaultdict(list)
    for number, line in enumerate(lines):
        for word in WORD.findall(line):
            index[word].append(number)
    words = sorted(word for word, places in index.items() if len(places) > 1)
    places = [np.array(index[word], np.int32) for word in words]
    (folder / "text").write_bytes(text)
    (folder / "words").write_bytes(b"\n".join(words))
    np.save(folder / "places.npy", np.concatenate(places))
    np.save(folder / "first.npy", np.cumsum([0, *map(len, places)]).astype(np.int32))
    np.save(folder / "lines.npy", np.cumsum([0, *(len(line) + 1 for line in lines)]).astype(np.int32))
    generator = np.random.default_rng(1)
    blocks = generator.standard_normal((len(lines) // 50 + 1, FEATURES), np.float32)
    vectors = np.array([blocks[place // 50].mean(axis=0) for place in places], np.float32)
    np.save(folder / "vectors.npy", vectors)
    base = sqlite3.connect(folder / "base")
    base.execute("create table line (id integer primary key, text text, seen integer default 0)")
    base.execute("create table word (word text, line integer)")
    base.executemany("insert into line (id, text) values (?, ?)", enumerate(map(bytes.decode, lines[:40_000])))
    for word, where in zip(words, places, strict=True):
        base.executemany("insert into word values (?, ?)", [(word.decode(), int(n)) for n in where if n < 40_000])
    base.execute("create index by_word on word (word)")
    base.commit()
    base.close()


def web(folder: Path, rng: random.Random) -> Work:
    """An HTTP server that searches the text, and a client that asks it."""
    import urllib.parse
    import urllib.request
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    import numpy as np

    text = (folder / "text").read_bytes()
    words = (folder / "words").read_text().split("\n")
    number_of = {word: number for number, word in enumerate(words)}
    places, first, lines, vectors = (np.load(folder / f"{n}.npy") for n in ("places", "first", "lines", "vectors"))
    cache: collections.OrderedDict[str, bytes] = collections.OrderedDict()

    def answer(word: str) -> bytes:
        number = number_of[word]
        where = places[first[number] : first[number + 1]][:100]
        found = [text[lines[n] : lines[n + 1]].decode(errors="replace") for n in where]
        alike = np.argsort(vectors @ vectors[number])[-10:]
        return json.dumps({"word": word, "found": found, "alike": [words[n] for n in alike]}).encode()

    class Search(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            word = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)["q"][0]
            if word not in cache:
                cache[word] = answer(word)
            cache.move_to_end(word)
            if len(cache) > 300:
                cache.popitem(last=False)
            self.send_response(200)
            self.send_header("Content-Length", str(len(cache[word])))
            self.end_headers()
            self.wfile.write(cache[word])

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Search)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield
    while True:
        for _ in range(10):
            word = words[int(len(words) * rng.random() ** 3)]
            with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/?q={word}") as reply:
                json.load(reply)
        yield


def sqlite(folder: Path, rng: random.Random) -> Work:
    """The database in memory, and a day's work on it."""
    base = sqlite3.connect(":memory:")
    base.deserialize((folder / "base").read_bytes())
    words = (folder / "words").read_text().split("\n")
    seen = "update line set seen = seen + 1 where id in (select line from word where word = ? limit 40)"
    top = "select word, count(*) from word join line on line.id = line where word.word = ? and seen > 1"
    yield
    while True:
        for _ in range(5):
            word, line = rng.choice(words), rng.randrange(40_000)
            base.execute(seen, (word,))
            base.execute(top, (word,)).fetchone()
            base.execute("delete from word where rowid between ? and ? + 20", (line, line))
            base.executemany("insert into word values (?, ?)", [(word, line + n) for n in range(20)])
        base.commit()
        yield


def refining(folder: Path, rng: random.Random) -> Work:
    """Power iteration on the word vectors."""
    import numpy as np

    vectors = np.load(folder / "vectors.npy")
    found = np.random.default_rng(rng.randrange(2**32)).standard_normal((FEATURES, 16), np.float32)
    yield
    while True:
        for _ in range(10):
            scores = vectors @ found
            found, _ = np.linalg.qr(vectors.T @ scores)
        vectors[rng.randrange(len(vectors))] += found[:, 0]
        yield


def compiling(folder: Path, rng: random.Random) -> Work:
    """Parse and compile, and keep the most recent modules."""
    recent: collections.deque[object] = collections.deque(maxlen=8)
    text, paths = (folder / "text").read_bytes(), library()
    yield
    while True:
        source = rng.choice(paths).read_bytes()
        if source not in text:
            raise AssertionError("the library has changed")
        tree = ast.parse(source)
        recent.append((tree, compile(tree, "module", "exec")))
        yield


NODE = """
const fs = require('fs');
fs.writeFileSync('/proc/self/comm', 'node');
const text = fs.readFileSync(process.argv[1] + '/text');
const lines = text.subarray(0, 1500000).toString().split('\\n');
const index = new Map();
lines.forEach((line, n) => {
  for (const word of new Set(line.match(/[A-Za-z_]{3,}/g) || [])) {
    if (!index.has(word)) index.set(word, []);
    index.get(word).push(n);
  }
});
const words = [...index.keys()].sort();
const answers = new Map();
console.log('ready');
setInterval(() => {
  for (let i = 0; i < 10; i++) {
    const word = words[Math.floor(words.length * Math.random() ** 3)];
    const found = index.get(word).slice(0, 100).map(n => ({line: n, text: lines[n]}));
    answers.set(word, JSON.stringify(found));
    lines[Math.floor(Math.random() * lines.length)] = word + ' ' + text[i];
    if (answers.size > 200) answers.delete(answers.keys().next().value);
  }
}, 100);
"""

JOBS: dict[str, Callable[[Path, random.Random], Work]] = {
    "web": web,
    "web-2": web,
    "web-3": web,
    "sqlite": sqlite,
    "sqlite-2": sqlite,
    "numpy": refining,
    "compile": compiling,
}


def work(name: str, folder: Path) -> None:
    """Be one of the programs until killed."""
    Path("/proc/self/comm").write_text(name.partition("-")[0])
    turns = JOBS[name](folder, random.Random(name))
    next(turns)
    print("ready", flush=True)
    while True:
        started = time.monotonic()
        next(turns)
        time.sleep(min(9 * (time.monotonic() - started), 1.0))


def start(folder: Path) -> list[subprocess.Popen[str]]:
    """Start all programs."""
    commands = [[sys.executable, __file__, "--be", name, "--folder", str(folder)] for name in JOBS]
    node = shutil.which("node")
    if node:
        commands.append([node, "--max-semi-space-size=1", "-e", NODE, str(folder)])
    else:
        print("there is no node here: seven programs instead of eight")
    return [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]


def wait_for(programs: list[subprocess.Popen[str]]) -> None:
    """Until each has finished its set-up."""
    for program in programs:
        if program.stdout is None or program.stdout.readline() != "ready\n":
            raise SystemExit(f"{program.args!r} did not start")


def show(file: Path) -> None:
    """A table of what the capture holds."""
    from ksmlab_core.capture.reader import read_capture
    from ksmlab_core.capture.summary import summarize

    columns = (
        "pages",
        "zero",
        "distinct",
        "duplicates",
        "within",
        "between",
        "written",
        "appeared",
        "vanished",
    )
    print("".join(f"{name:>11}" for name in ("seconds", *columns)))
    for figures in summarize(read_capture(file)):
        print(f"{figures.time_ns / 1e9:11.2f}" + "".join(f"{getattr(figures, name):11}" for name in columns))


def take(out: Path, count: int, every_s: float) -> None:
    """Start the programs, capture them, end them, and say what was found."""
    from ksmlab_core.capture.recorder import capture

    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        programs = start(Path(folder))
        try:
            wait_for(programs)
            report = capture([program.pid for program in programs], every_s, count, out, print)
        finally:
            for program in programs:
                program.kill()
                program.wait()
    for process in report.processes:
        print(f"{process.name:>11} {process.pages:7} pages")
    show(out)
    print(f"{out}: {report.size / 1e6:.2f} MB, {report.read / report.seconds:,.0f} pages read per second")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Make the capture that quickstart.yaml uses.")
    parser.add_argument("-o", "--out", type=Path, default=Path(__file__).with_name("quickstart.ksmcap"))
    parser.add_argument("--count", type=int, default=10, help="snapshots")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two of them")
    parser.add_argument("--be", choices=JOBS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.be:
        work(options.be, options.folder)
    else:
        take(options.out, options.count, options.every)


if __name__ == "__main__":
    main()
