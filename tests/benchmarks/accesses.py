"""Accesses per second: kernel policies beside libCacheSim's C LRU, a Python policy beside its Python plugin."""

from __future__ import annotations

from typing import Any

import numpy as np

from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm.machine import READ, Machine
from ksmlab_core.policy.building import build_policies
from ksmlab_core.policy.registry import load_registry
from ksmlab_core.simulation.engine import Engine

from . import cachesim
from .measure import Figure, Stopwatch, interleaved
from .setting import FRAMES, PAGES, Trace, zipf_trace

CHUNK = 65_536  # accesses handed to the engine at once, as workloads do
TUNED_HASHPOWER = 17  # the size of hash table with which libCacheSim is fastest here


def _engine(reclaim: str) -> Engine:
    choices = {"reclaim": {"use": reclaim}, "swapin": {"use": "kernel"}, "scan": {"use": "kernel"}}
    policies = build_policies(load_registry(autoload=False), choices, lambda _role: np.random.default_rng(1))
    machine = Machine(frames=FRAMES, slots=2 * PAGES)
    engine = Engine(machine, policies)
    for policy in policies.values():
        if hasattr(policy, "started"):
            policy.started(None)
    return engine


def rate(trace: Trace, accesses: int, reclaim: str, page_cluster: int) -> float:
    """Million accesses per second of `Engine.access`, everything that it causes included.

    All pages have been written once before the clock starts; making the trace and the arrays is not timed.
    """
    engine = _engine(reclaim)
    machine = engine.machine
    machine.sc[t.PAGE_CLUSTER] = page_cluster
    process = machine.spawn()
    ptes = machine.ptes(process, machine.mmap(process, PAGES), PAGES)
    engine.access(ptes, np.arange(1, PAGES + 1))
    wanted: Any = ptes[trace.pages[:accesses]]
    reads = np.full(accesses, READ, np.int64)
    watch = Stopwatch()
    with watch.running():
        for start in range(0, accesses, CHUNK):
            engine.access(wanted[start : start + CHUNK], reads[start : start + CHUNK])
    return accesses / watch.seconds / 1e6


def kernel_policies(rounds: int, accesses: int) -> list[Figure]:
    """Kernel policies, without readahead and with the kernel's 8 pages."""
    with zipf_trace(accesses) as trace:
        rate(trace, min(accesses, CHUNK), "kernel", 3)  # compiled before the clock starts
        results = interleaved(
            rounds,
            {
                "kernel": lambda: rate(trace, accesses, "kernel", 0),
                "readahead": lambda: rate(trace, accesses, "kernel", 3),
                "lru": lambda: cachesim.lru(trace, accesses),
                "tuned": lambda: cachesim.lru(trace, accesses, TUNED_HASHPOWER),
            },
        )
    unit = "M accesses/s"
    tuned = f"C LRU, hashpower {TUNED_HASHPOWER}"
    return [
        Figure("kernel policies, no readahead", unit, results["kernel"], "libCacheSim C LRU", results["lru"], 4),
        Figure("kernel policies, no readahead", unit, results["kernel"], tuned, results["tuned"]),
        Figure("kernel policies, readahead of 8", unit, results["readahead"], "libCacheSim C LRU", results["lru"]),
    ]


def python_policy(rounds: int, accesses: int) -> list[Figure]:
    """The shipped policy `lru`, numpy over columns, asked for up to 256 victims at a time."""
    with zipf_trace(accesses) as trace:
        rate(trace, min(accesses, CHUNK), "lru", 0)
        results = interleaved(
            rounds,
            {
                "lru": lambda: rate(trace, accesses, "lru", 0),
                "plugin": lambda: cachesim.plugin_lru(trace, accesses),
                "tuned": lambda: cachesim.plugin_lru(trace, accesses, TUNED_HASHPOWER),
            },
        )
    unit = "M accesses/s"
    tuned = f"plugin, hashpower {TUNED_HASHPOWER}"
    return [
        Figure("policy lru in Python", unit, results["lru"], "libCacheSim Python plugin", results["plugin"], 3),
        Figure("policy lru in Python", unit, results["lru"], tuned, results["tuned"]),
    ]
