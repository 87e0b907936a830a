"""Strict YAML: what a word means, what is refused, and the place of everything."""

from __future__ import annotations

import time

import pytest
import yaml

from ksmlab_core.errors import Problems
from ksmlab_core.experiment.document import Mark
from ksmlab_core.experiment.yaml_reader import LARGEST, parse, read_document
from ksmlab_core.experiment.yaml_tree import DEEPEST, MOST_VALUES


def said(text):
    """What is wrong with a text, whether or not it could be read to its end."""
    try:
        return [str(problem) for problem in parse(text, "f").problems]
    except Problems as error:
        return str(error).split("\n")


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("on", "on"), ("off", "off"), ("yes", "yes"), ("no", "no"), ("y", "y"), ("n", "n"), ("Off", "Off"),
        ("true", True), ("True", True), ("FALSE", False), ("null", None), ("~", None), ("", None),
        ("1e-3", 0.001), ("1e3", 1000.0), ("1.5", 1.5), (".5", 0.5), ("1.", 1.0), ("-2.5E+3", -2500.0),
        ("12:30:45", "12:30:45"), ("1:30", "1:30"), ("2001-01-01", "2001-01-01"), ("0..99", "0..99"),
        ("0", 0), ("-0", 0), ("7", 7), ("-7", -7), ("+7", 7), ("1_000", 1000), ("12_345_678", 12345678),
        ("1_00", "1_00"), ("0x1F", 31), ("0o17", 15), ("0b11", "0b11"), ("1.2.3", "1.2.3"), ("64MiB", "64MiB"),
        ("'010'", "010"), ('"on"', "on"), ("!!str 5", "5"), ("=", "="), ("nan", "nan"), ("-", [None]),
        ("0.0.0.0", "0.0.0.0"), ("+", "+"), (".", "."), ("1e", "1e"), ("\u0663", "\u0663"),
    ],
)  # fmt: skip
def test_a_word_means_what_a_reader_expects(word, value):
    document = parse(f"a: {word}\n" if word != "-" else "a:\n  -\n", "f")
    assert document.problems == ()
    assert document.data == {"a": value}
    assert type(document.data["a"]) is type(value)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("010", "010 could be read to base 8, to base 10 or as a text; write 10, or '010' in quotes"),
        ("-007", "-007 could be read to base 8, to base 10 or as a text; write 7, or '-007' in quotes"),
        ("00", "00 could be read to base 8, to base 10 or as a text; write 0, or '00' in quotes"),
        ("1e999", "1e999 is too large a number; at most about 1.8e308"),
        (".inf", ".inf is not a finite number; a number, or the text '.inf'"),
        (".nan", ".nan is not a finite number; a number, or the text '.nan'"),
        ("9" * 5000, "a number of 5000 digits; at most 40 digits"),
    ],
)
def test_ambiguous_words_are_refused_with_an_explanation(word, message):
    assert said(f"k: {word}\n") == [f"f:1:4: k: {message}"]


def test_duplicate_keys_are_all_reported_with_the_first_line():
    assert said("a: 1\nb: {c: 1, c: 2}\na: 3\n'a': 4\n") == [
        "f:2:11: b.c: duplicate key; it was given in line 2 already",
        "f:3:1: a: duplicate key; it was given in line 1 already",
        "f:4:1: a: duplicate key; it was given in line 1 already",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("!!python/object/apply:os.system ['touch x']", "!!python/object/apply:os.system"),
        ("!!python/name:os.system", "!!python/name:os.system"),
        ("!!binary aGk=", "!!binary"),
        ("!!int '5'", "!!int"),
        ("!!set {x}", "!!set"),
        ("!local {x: 1}", "!local"),
    ],
)
def test_tags_are_not_carried_out(text, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said(f"a: {text}\n") == [f"f:1:4: a: the tag {message!r} is not allowed; plain values only"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1: x", "f:1:1: the key 1 is not a text; write '1' in quotes"),
        ("true: x", "f:1:1: the key true is not a text; write 'true' in quotes"),
        ("? [a]\n: x", "f:1:3: a list or mapping cannot be a key"),
        ("a: *b", "f:1:4: a: the alias *b has no anchor before it"),
        ("a: &b [*b]", "f:1:8: a.0: the alias *b stands for a value that holds it"),
        ("a: 1\n---\nb: 2", "f:2:1: a second document begins here; one experiment a file"),
        ("<<: 3", "f:1:5: '<<': << needs a mapping, or a list of mappings; for example <<: *base"),
        ("a: \x07", "f:1:4: the character U+0007 is not allowed in YAML"),
    ],
)
def test_what_is_not_allowed(text, message):
    (line,) = said(text)
    assert line == message


@pytest.mark.parametrize("text", ["a: b: c", "a: [1", "a: 'x", "a: &", "%TAG", "a: |x", 'a: "\\ud800"', "- a\nb: 1"])
def test_what_is_not_yaml_is_one_line(text):
    (line,) = said(text)
    assert line.startswith(("f:1:", "f:2:"))


@pytest.mark.parametrize("text", ["a: 1\nb: [x, {c: 010}]\n", "a: *b", "{a: {a: 1, a: 2}}", "<<: {x: 1}\ny: !!int 2"])
def test_the_parser_in_python_reads_the_same(text, monkeypatch):
    fast, fast_said = None, said(text)
    if not any("alias" in line for line in fast_said):
        fast = parse(text, "f")
    monkeypatch.setattr("ksmlab_core.experiment.yaml_tree._LOADER", yaml.SafeLoader)
    assert said(text) == fast_said
    assert fast is None or parse(text, "f") == fast


def test_half_a_surrogate_pair_is_no_character(monkeypatch):
    monkeypatch.setattr("ksmlab_core.experiment.yaml_tree._LOADER", yaml.SafeLoader)
    assert said('a: "\\ud800"') == ["f:1:4: a: half of a surrogate pair is not a character"]


def test_a_tab_that_indents_is_named():
    (line,) = said("a:\n\tb: 1\n")
    assert line.startswith("f:2:1: this is not YAML: ")
    assert line.endswith("; a tab cannot indent, use spaces")


def test_anchors_and_merge_keys():
    text = "base: &b {x: 1, y: 2}\none: *b\ntwo: {<<: *b, y: 3}\nthree: {y: 4, <<: [*b, {z: 5, x: 6}]}\n"
    document = parse(text, "f")
    assert document.problems == ()
    assert document.data["one"] == {"x": 1, "y": 2}
    assert document.data["two"] == {"x": 1, "y": 3}
    assert document.data["three"] == {"x": 1, "y": 4, "z": 5}
    assert document.values["one", "x"] == Mark(1, 14)
    assert document.keys["two", "y"] == Mark(3, 15)
    document.data["one"]["x"] = 9
    assert document.data["base"]["x"] == 1, "an alias is a value of its own"


def test_a_merged_key_written_twice_is_still_a_duplicate():
    assert said("b: &b {x: 1}\nc: {<<: *b, x: 2, x: 3}\n") == [
        "f:2:19: c.x: duplicate key; it was given in line 2 already"
    ]


def test_a_quoted_merge_key_is_a_key():
    assert parse("'<<': 3", "f").data == {"<<": 3}


def test_alias_bombs_are_refused_at_once():
    lines = ["a0: &a0 [" + ", ".join("x" * 9) + "]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    started = time.perf_counter()
    (line,) = said("\n".join(lines))
    assert f"too many values; at most {MOST_VALUES}, aliases written out" in line
    assert time.perf_counter() - started < 2


def test_depth_is_bounded_also_through_aliases():
    assert f"nested too deeply; at most {DEEPEST} levels" in said("[" * 100_000)[0]
    assert f"nested too deeply; at most {DEEPEST} levels" in said("{a: " * 100_000)[0]
    chain = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 100)]
    (line,) = said("\n".join(chain))
    assert "nested too deeply" in line
    assert "aliases written out" in line


def test_every_part_knows_its_place():
    document = parse("a:\n  b: [1, {c: 2}]\n'd e':\n- - x\n", "f")
    assert document.keys == {
        ("a",): (1, 1), ("a", "b"): (2, 3), ("a", "b", 1, "c"): (2, 11), ("d e",): (3, 1),
    }  # fmt: skip
    assert document.values[()] == (1, 1)
    assert document.values["a", "b"] == (2, 6)
    assert document.values["a", "b", 1, "c"] == (2, 14)
    assert document.values["d e", 0, 0] == (4, 5)


def test_columns_count_characters():
    assert parse("ä€𝄞: x\n", "f").values["ä€𝄞",] == (1, 6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty; an experiment needs at least `experiment`, `kernel`, `workload`"),
        (b"\xef\xbb\xbf", "the file is empty; an experiment needs at least `experiment`, `kernel`, `workload`"),
        (b"# only\n", "the file is empty; an experiment needs at least `experiment`, `kernel`, `workload`"),
        (b"---\n...\n", "the file is empty; an experiment needs at least `experiment`, `kernel`, `workload`"),
        (b"- a\n- b\n", "1:1: this is not a mapping of keys to values; begin with `experiment: NAME`"),
        (b"hello", "1:1: this is not a mapping of keys to values; begin with `experiment: NAME`"),
        (b"a: 1\n  b\xff: 2", "2:4: the byte 0xff is not UTF-8; save the file as UTF-8"),
        ("a: 1".encode("utf-16"), "1:1: the byte 0xff is not UTF-8; save the file as UTF-8"),
        (b"a: \x00", "1:4: the character U+0000 is not allowed in YAML"),
        (b"a: x\n" + b"#" * LARGEST, "the file is too large; at most 4 MiB"),
    ],
)
def test_files_that_are_none(content, message, desk):
    assert desk.says(content) == [message]


def test_a_byte_order_mark_does_no_harm(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert read_document(file).data == {"a": 1, "b": 2}


def test_files_that_cannot_be_read(tmp_path):
    for path, reason in (
        (tmp_path / "no.yaml", "the file cannot be read: No such file or directory"),
        (tmp_path, "this is not a file"),
        (tmp_path / "nul\0", "the file cannot be read: embedded null byte"),
        (tmp_path / ("x" * 300), "the file cannot be read: File name too long"),
    ):
        with pytest.raises(Problems) as caught:
            read_document(path)
        assert str(caught.value).endswith(reason)
        assert "\n" not in str(caught.value)
