"""The command: ``python -m tests.benchmarks`` from the top folder."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from .measure import Figure, Skipped, table

GROUPS = ("kernel", "python", "ksmd", "bytes", "start", "lab")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", metavar="GROUP", action="append", choices=GROUPS, help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of interleaved runs (default 5)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the accesses and pages: to see that it works")
    parser.add_argument("--cold", action="store_true", help="measure a compilation from nothing too (half a minute)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all figures of all rounds here")
    return parser.parse_args(argv)


def _group(name: str, rounds: int, size: float, cold: bool) -> tuple[list[Figure], str | None]:
    """The figures of a group, and what could not be measured."""
    if name in ("kernel", "python"):
        from . import accesses

        if name == "kernel":
            return accesses.kernel_policies(rounds, int(10_000_000 * size)), None
        return accesses.python_policy(rounds, int(2_000_000 * size)), None
    if name == "ksmd":
        from .ksmd import ksmd_pages

        return ksmd_pages(rounds, int(200_000 * size))
    if name == "bytes":
        from .footprint import bytes_per_page

        return bytes_per_page(int(200_000 * size)), None
    if name == "lab":
        from .overhead import overhead

        return overhead(rounds, size), None
    from .startup import startup

    return startup(rounds, cold), None


def _about() -> dict[str, Any]:
    """What the figures depend on."""
    versions = {}
    for package in ("numba", "numpy", "libcachesim"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "kernel": platform.release(),
        "python": platform.python_version(),
        **versions,
        "processors": os.cpu_count(),
        "processor": models[0].partition(":")[2].strip() if models else platform.machine(),
        "load_before": os.getloadavg()[0],
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and fail if a target is missed."""
    options = _arguments(argv)
    about, figures, skipped = _about(), list[Figure](), dict[str, str]()
    for name in options.only or GROUPS:
        print(f"... {name}", file=sys.stderr, flush=True)
        try:
            found, why = _group(name, options.rounds, 0.1 if options.quick else 1.0, options.cold)
        except Skipped as reason:
            found, why = [], str(reason)
        figures += found
        if why:
            skipped[name] = why
    about["load_after"] = os.getloadavg()[0]
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    print(table(figures))
    for name, why in skipped.items():
        print(f"{name}: not measured beside the real thing: {why}")
    if options.json:
        document = {"about": about, "figures": [figure.as_dict() for figure in figures], "skipped": skipped}
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 1 if any(figure.met is False for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
