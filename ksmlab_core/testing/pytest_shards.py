"""Sharing tests out among machines and workers, by how long they took before."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from heapq import heapreplace
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import pytest

LEAST: Final = 0.001
"""Seconds that a test takes at least, so that those of no time are shared out too."""


class Shard(NamedTuple):
    """One of several shares of all tests, counted from 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def shard(text: str) -> Shard:
    """A share as it is written on the command line: ``2/5``.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    one = Shard(int(found[1]), int(found[2])) if found else Shard(0, 0)
    if not 1 <= one.number <= one.of:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share, such as 2/5: the second of five")
    return one


def read_times(path: Path) -> dict[str, float]:
    """Seconds by test from a file.

    Raises:
        pytest.UsageError: The file cannot be read, or says something else.
    """
    try:
        data = json.loads(path.read_bytes())
        times = {str(test): float(took) for test, took in data.items()}
    except OSError as error:
        raise pytest.UsageError(f"--times {path}: {error.strerror or error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise pytest.UsageError(f"--times {path}: not a JSON mapping of tests to seconds") from error
    if not all(0 <= took < float("inf") for took in times.values()):
        raise pytest.UsageError(f"--times {path}: seconds are numbers from 0")
    return times


def share_of(tests: Sequence[str], one: Shard, seconds: Mapping[str, float]) -> set[str]:
    """The tests of one share: the longest first, each goes to the share that has least to do so far.

    The shares depend on the tests and the seconds alone, not on the order in which they were found. A test of which
    nothing is known counts as an ordinary one.
    """
    known = [seconds[test] for test in tests if test in seconds]
    usual = median(known) if known else 1.0
    loads = [(0.0, number) for number in range(1, one.of + 1)]  # in order, and therefore a heap
    mine = set()
    for test in sorted(tests, key=lambda test: (-seconds.get(test, usual), _mixed(test))):
        load, number = loads[0]
        heapreplace(loads, (load + seconds.get(test, usual) + LEAST, number))
        if number == one.number:
            mine.add(test)
    return mine


def _mixed(test: str) -> bytes:
    """An order without a pattern, so that the points of one sweep are spread over the shares."""
    return hashlib.blake2b(test.encode("utf-8", "surrogateescape"), digest_size=8).digest()


def slowest_first(items: list[pytest.Item], seconds: Mapping[str, float]) -> None:
    """Put experiments among themselves in the order of what they took, longest and unknown first; others stay."""
    from ksmlab_core.testing.pytest_items import RunItem

    places = [place for place, item in enumerate(items) if isinstance(item, RunItem)]
    ranked = sorted((items[place] for place in places), key=lambda item: -seconds.get(item.nodeid, float("inf")))
    for place, item in zip(places, ranked, strict=True):
        items[place] = item
