"""Shares of all tests: each test in one of them, equal in time as far as times are known, the same everywhere."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmlab_core.testing.pytest_shards import Shard, shard, share_of
from tests.testing.conftest import RUNS, SCRIPT, Run, outcomes

Write = Callable[[str, str], None]


@given(st.lists(st.none() | st.floats(0, 1000), max_size=30), st.integers(1, 7))
def test_every_test_is_in_one_share_whatever_is_known(took: list[float | None], of: int) -> None:
    names = [f"t{number}" for number in range(len(took))]
    seconds = {name: one for name, one in zip(names, took, strict=True) if one is not None}
    shares = [share_of(names, Shard(number, of), seconds) for number in range(1, of + 1)]
    assert sorted(name for one in shares for name in one) == sorted(names)
    again = [share_of(names[::-1], Shard(number, of), seconds) for number in range(1, of + 1)]
    assert again == shares


def test_without_times_shares_are_of_equal_size() -> None:
    names = [f"file.yaml::run{number}" for number in range(103)]
    assert sorted(len(share_of(names, Shard(number, 5), {})) for number in range(1, 6)) == [20, 20, 21, 21, 21]


def test_with_times_shares_take_equally_long() -> None:
    seconds = {f"t{number}": float(number) for number in range(1, 41)} | {"long": 200.0}
    takes = [sum(seconds[name] for name in share_of([*seconds], Shard(number, 4), seconds)) for number in range(1, 5)]
    assert sum(takes) == sum(seconds.values())
    assert max(takes) - min(takes) < 10


def test_a_test_of_which_nothing_is_known_counts_as_an_ordinary_one() -> None:
    seconds = {"a": 100.0, "b": 100.0, "c": 100.0}
    sizes = [len(share_of([*seconds, "new", "newer", "newest"], Shard(number, 3), seconds)) for number in (1, 2, 3)]
    assert sizes == [2, 2, 2]


@pytest.mark.parametrize("text", ["", "3", "0/2", "3/2", "1/0", "-1/2", "a/b", "1/2/3", "1.5/2", " 1/2", "١/٢"])
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a share, such as 2/5"):
        shard(text)


def test_shards_on_the_command_line(write: Write, run_here: Run) -> None:
    write("twins.yaml", SCRIPT)
    write("test_other.py", "def test_a(): pass\ndef test_b(): pass\n")
    shares = [run_here("-v", "--shard", f"{number}/3") for number in (1, 2, 3)]
    assert [[line for line in one.outlines if line.startswith("shard")] for one in shares] == [
        [f"shard {number}/3"] for number in (1, 2, 3)
    ]
    assert [int(one.parseoutcomes()["passed"]) for one in shares] == [2, 2, 2]
    assert [int(one.parseoutcomes()["deselected"]) for one in shares] == [4, 4, 4]
    names = [line.split(" ")[0] for one in shares for line in one.outlines if " PASSED " in line]
    assert sorted(names) == sorted(
        [*(f"twins.yaml::{run}" for run in RUNS), "test_other.py::test_a", "test_other.py::test_b"]
    )


def test_shards_by_the_times_of_a_file_and_of_no_cache(pytester: pytest.Pytester, write: Write, run_here: Run) -> None:
    write("twins.yaml", SCRIPT)
    run_here().assert_outcomes(passed=4)
    cached = pytester.path / ".pytest_cache" / "v" / "ksmlab" / "seconds"
    times = {f"twins.yaml::{run}": took for run, took in zip(RUNS, (30, 10, 10, 10), strict=True)}
    write(str(cached.relative_to(pytester.path)), json.dumps(times))
    plain = outcomes(run_here("-rA", "--shard", "1/2"))
    assert len(plain) == 2
    cached.unlink()
    assert outcomes(run_here("-rA", "--shard", "1/2")) == plain
    write("times.json", json.dumps(times))
    result = run_here("-rA", "--shard", "1/2", "--times", "times.json")
    assert "shard 1/2 by the times in times.json" in result.outlines
    assert outcomes(result) == {f"twins.yaml::{RUNS[0]}": "PASSED"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--shard", "3/2"), "argument --shard: '3/2' is not a share, such as 2/5: the second of five"),
        (("--times", "none.json"), "--times none.json: No such file or directory"),
        (("--times", "odd.json"), "--times odd.json: not a JSON mapping of tests to seconds"),
        (("--times", "negative.json"), "--times negative.json: seconds are numbers from 0"),
    ],
)
def test_what_cannot_be_used_is_one_line(write: Write, run_here: Run, words: tuple[str, ...], message: str) -> None:
    write("odd.json", '["a"]')
    write("negative.json", '{"a": -1}')
    result = run_here(*words)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in result.stderr.str()
    assert "Traceback" not in result.stderr.str()
