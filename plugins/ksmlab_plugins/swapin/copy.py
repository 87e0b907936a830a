"""Always copy: what swap-in costs when nothing is ever shared again, the upper bound of the damage.

The kernel copies only where the page in the swap cache belongs elsewhere (R-SWAPIN-3); this policy copies
whenever it is asked, so that the difference to ``kernel`` is what the kernel's own test saves.
"""

from __future__ import annotations

from ksmlab_core.policy import Swapin, SwapinFault, SwapinPolicy, hookimpl


class Copy(SwapinPolicy):
    """Give every swap-in a page of its own."""

    name = "copy"

    def decide(self, fault: SwapinFault) -> Swapin:
        return Swapin.COPY


@hookimpl
def ksmlab_swapin_policies() -> list[type[SwapinPolicy]]:
    return [Copy]
