"""Equal cases give equal integers: twice in one process, and with and without the compiler."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PURE = os.environ.get("NUMBA_DISABLE_JIT", "") not in ("", "0")
FIRST, CASES = 2_000_000, 60


def digests_here() -> dict[int, str]:
    from ksmlab_core.testing.cases import case_of
    from ksmlab_core.testing.fuzz import carry_out

    return {number: carry_out(case_of(number)).digest for number in range(FIRST, FIRST + CASES)}


def digests_without_compiler() -> dict[int, str]:
    command = [sys.executable, "-m", "ksmlab_core.testing.fuzz", str(FIRST), "--cases", str(CASES), "--digests"]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    lines = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    return {int(number): digest for number, digest in (line.split() for line in lines)}


def test_same_case_twice_gives_the_same_integers() -> None:
    assert digests_here() == digests_here()


@pytest.mark.skipif(PURE, reason="there is no compiled run to compare with")
def test_compiled_and_plain_python_give_the_same_integers() -> None:
    assert digests_here() == digests_without_compiler()


def test_a_digest_sees_a_difference() -> None:
    from dataclasses import replace

    from ksmlab_core.testing.cases import case_of
    from ksmlab_core.testing.fuzz import carry_out

    case = case_of(FIRST)
    assert carry_out(case).digest != carry_out(replace(case, steps=case.steps[:-1])).digest


def test_invariants_do_not_change_the_run() -> None:
    from ksmlab_core.testing.cases import case_of
    from ksmlab_core.testing.fuzz import carry_out

    for number in range(FIRST, FIRST + 20):
        case = case_of(number)
        assert carry_out(case, invariants="never").digest == carry_out(case).digest
