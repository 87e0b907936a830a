"""Random streams: one per role, all from the run's seed.

A workload's stream depends on the seed alone, never on a policy, so that policies are compared on the same accesses.
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, role: str) -> np.random.Generator:
    """The generator of a role ("workload", "policy.scan", ...) in runs of this seed."""
    key = int.from_bytes(hashlib.blake2b(role.encode(), digest_size=8).digest(), "little")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, key])))
