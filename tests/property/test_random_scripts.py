"""Random scripts through all policies, all invariants checked after every step.

2,000 cases by default, 200 without the compiler or with KSMLAB_SMALL=1; ``KSMLAB_SCRIPTS=50000`` for as many as wanted,
and ``KSMLAB_FIRST=n`` to begin elsewhere.
"""

from __future__ import annotations

import os

import pytest

PURE = os.environ.get("NUMBA_DISABLE_JIT", "") not in ("", "0")
SMALL = PURE or os.environ.get("KSMLAB_SMALL", "") not in ("", "0")
CASES = int(os.environ.get("KSMLAB_SCRIPTS", "200" if SMALL else "2000"))
FIRST = int(os.environ.get("KSMLAB_FIRST", "0"))
BLOCKS = max(1, min(20, CASES), -(-CASES // 250))  # xdist deals them out


@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_case_breaks(block: int) -> None:
    from ksmlab_core.testing.cases import case_of
    from ksmlab_core.testing.fuzz import Tally
    from ksmlab_core.testing.shrink import described, simplest

    numbers = range(FIRST + CASES * block // BLOCKS, FIRST + CASES * (block + 1) // BLOCKS)
    tally = Tally()
    for number in numbers:
        if tally.add(case_of(number)) is None:
            pytest.fail(f"case {number} broke\n{described(simplest(tally.broken[0]))}")
    assert tally.cases == len(numbers)
    assert tally.kinds["write"] > 0
