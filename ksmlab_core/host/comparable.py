"""Which metrics of the two machines can be compared: all that both have, but for these, each with its reason."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

NOT_COMPARED: Final[tuple[tuple[str, str], ...]] = (
    (r"time\..*", "one is simulated time, the other the clock of the host"),
    (r"policy\..*", "policies exist on the simulated machine only"),
    (r"vm\.(?!ksm_swpin_copy$|cow_ksm$).*", "the kernel counts every process of the host, and Python's own pages"),
    (r"machine\.swapcache_mapped", "the kernel reads ahead, and drops swap-cached pages when it gets round to it"),
)
"""(pattern of names, why they are left out). What is left counts KSM's pages alone, and nobody else's are there."""

_LEFT_OUT: Final = re.compile("|".join(f"(?:{pattern})" for pattern, _ in NOT_COMPARED))


def comparable(machine: Iterable[str], kernel: Iterable[str]) -> list[str]:
    """The metrics that both machines have and that mean the same on both, sorted."""
    return sorted(name for name in set(machine) & set(kernel) if not _LEFT_OUT.fullmatch(name))
