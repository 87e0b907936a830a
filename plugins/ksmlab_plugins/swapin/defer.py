"""Copy now, merge soon: a fault as fast as the kernel's, and ksmd looks at the copy first.

Between ``kernel``, which leaves the copy to the next whole scan, and ``remerge``, which lets the faulting
process wait for a search of the stable tree. Where the kernel maps the page as it is, or ksmd may not touch
the area, there is nothing to put off.
"""

from __future__ import annotations

from ksmlab_core.policy import Swapin, SwapinFault, SwapinPolicy, hookimpl


class Defer(SwapinPolicy):
    """Copy, and put the copy at the head of ksmd's queue."""

    name = "defer"

    def decide(self, fault: SwapinFault) -> Swapin:
        copied = fault.kernel is Swapin.COPY
        return Swapin.DEFER if copied and fault.mergeable else Swapin.KERNEL


@hookimpl
def ksmlab_swapin_policies() -> list[type[SwapinPolicy]]:
    return [Defer]
