"""The four kinds of things that plugins register, and what a class of each must be."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True)
class Kind:
    """One kind: the hook that registers it, its base class, the method that a class must bring."""

    name: str  # "reclaim" ...
    label: str  # what messages call it
    hook: str
    base: str  # "module:Class"; imported only when somebody registers one
    method: str
    arguments: tuple[str, ...]
    batched: bool = False  # its classes have a `batch`

    def base_class(self) -> type:
        """The class that all classes of this kind derive from."""
        module, _, name = self.base.partition(":")
        found: type = getattr(import_module(module), name)
        return found


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "reclaim",
            "reclaim policy",
            "ksmlab_reclaim_policies",
            "ksmlab_core.policy.base:ReclaimPolicy",
            "victims",
            ("frames", "n"),
            batched=True,
        ),
        Kind(
            "swapin",
            "swapin policy",
            "ksmlab_swapin_policies",
            "ksmlab_core.policy.base:SwapinPolicy",
            "decide",
            ("fault",),
        ),
        Kind(
            "scan",
            "scan order",
            "ksmlab_scan_orders",
            "ksmlab_core.policy.base:ScanOrder",
            "order",
            ("pages", "n"),
            batched=True,
        ),
        Kind(
            "workload",
            "workload",
            "ksmlab_workloads",
            "ksmlab_core.workload.base:Workload",
            "events",
            (),
        ),
    )
}

HOOKS: tuple[str, ...] = ("reclaim", "swapin", "scan")  # the kinds that answer questions during a run
