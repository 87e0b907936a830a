"""Rejoin at swap-in: if a KSM page of equal content exists, map it instead of making a copy.

The kernel copies and leaves it to ksmd to find out, one to two scans later, what was known at the fault
(R-REMERGE-1). Few sharers say that the content is drifting apart, and that the next write will undo the work:
`min_sharers` is the threshold.
"""

from __future__ import annotations

from ksmlab_core.policy import Field, Swapin, SwapinFault, SwapinPolicy, hookimpl


class Remerge(SwapinPolicy):
    """Map the KSM page of equal content, if enough processes already share it."""

    name = "remerge"

    class Params(SwapinPolicy.Params):
        min_sharers: int = Field(1, ge=1, description="processes that must already map the KSM page")

    def decide(self, fault: SwapinFault) -> Swapin:
        twin = fault.ksm_twin
        return Swapin.REMERGE if twin and twin.mapcount >= self.params.min_sharers else Swapin.KERNEL


@hookimpl
def ksmlab_swapin_policies() -> list[type[SwapinPolicy]]:
    return [Remerge]
