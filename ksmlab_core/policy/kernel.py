"""The policy ``kernel`` of each question: the simulated kernel's own choice, made in compiled code."""

from __future__ import annotations

from ksmlab_core.policy.base import ReclaimPolicy, ScanOrder, SwapinPolicy
from ksmlab_core.policy.hookspecs import hookimpl


class KernelReclaim(ReclaimPolicy):
    """The kernel's two lists, active and inactive, with its referenced bits."""

    name = "kernel"
    compiled = True


class KernelSwapin(SwapinPolicy):
    """What do_swap_page of the chosen profile does."""

    name = "kernel"
    compiled = True


class KernelScan(ScanOrder):
    """The list of registered processes in turn, each in ascending address order."""

    name = "kernel"
    compiled = True


@hookimpl
def ksmlab_reclaim_policies() -> list[type[ReclaimPolicy]]:
    """Register the kernel's reclaim."""
    return [KernelReclaim]


@hookimpl
def ksmlab_swapin_policies() -> list[type[SwapinPolicy]]:
    """Register the kernel's swap-in."""
    return [KernelSwapin]


@hookimpl
def ksmlab_scan_orders() -> list[type[ScanOrder]]:
    """Register ksmd's order."""
    return [KernelScan]
