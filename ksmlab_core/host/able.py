"""What the running kernel cannot carry out, found before anything on the host is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from ksmlab_core.errors import HostUnfit, Problem, Problems
from ksmlab_core.host import cgroup, guard, metrics, pagemap
from ksmlab_core.host.knobs import Knobs
from ksmlab_core.mm.profile import Knob, profile

_LEVER: Final = "the kernel gives no way to do that to a page of another process"
_ADVISED: Final = "an advisor changes pages_to_scan as it goes, so that no pass would be exact"
_STEPS: Final[Mapping[str, str]] = {
    "fail": "no allocation of the running kernel can be made to fail",
    "pin": _LEVER,
    "unpin": _LEVER,
    "lock": _LEVER,
    "unlock": _LEVER,
    "lru": "the kernel has no way to do a single step of reclaim",
    "prctl": "it would have Python's own memory merged too",
    "measured": "the row describes single page frames, which the kernel does not show",
}
"""Steps that cannot be carried out whatever their arguments."""
NEUTRAL: Final[Mapping[str, str]] = {
    "smart_scan": "0",
    "use_zero_pages": "0",
    "advisor_mode": "none",
    "max_page_sharing": "2147483647",
}
"""Values of knobs with which the running kernel behaves as one that does not have them."""


def require_host() -> None:
    """See that the running kernel, and who asks, have what a run needs.

    Raises:
        HostUnfit: with everything that is missing.
    """
    lacks = guard.missing()
    if not pagemap.KPAGEFLAGS.exists():
        lacks.append(f"a kernel with CONFIG_PROC_PAGE_MONITOR (there is no {pagemap.KPAGEFLAGS})")
    if cgroup.find() is None:
        lacks.append("a memory cgroup hierarchy (none is mounted)")
    if lacks:
        raise HostUnfit(f"the running kernel cannot be used: it needs {', and '.join(lacks)}")


def refuse_what_cannot_be_done(specs: Iterable[Any]) -> None:
    """Refuse runs that the running kernel cannot carry out.

    Args:
        specs: validated runs.

    Raises:
        Problems: every step and setting that cannot be had, with its line.
    """
    found = dict.fromkeys(problem for spec in specs for problem in _problems(spec))
    if found:
        raise Problems(list(found))


def settings(spec: Any) -> dict[str, str]:
    """The knobs of a run, `run` not among them: the file's, else the profile's default, else as if not there."""
    knobs = Knobs()
    chosen = {name: value for name, value in NEUTRAL.items() if name in knobs}
    known = profile(spec.kernel["profile"]).knobs
    chosen |= {name: _default(knob) for name, knob in known.items() if knob.default is not None and name in knobs}
    chosen |= {name: str(value) for name, value in spec.ksm.items()}
    return {name: value for name, value in chosen.items() if name != "run"}


def _default(knob: Knob) -> str:
    return knob.words[knob.default or 0] if knob.words else str(knob.default)


def _problems(spec: Any) -> Iterator[Problem]:
    yield from _settings(spec)
    steps = spec.workload.get("script")
    if steps is None:
        yield _at(spec, "workload", "only scripts can be carried out on the running kernel")
        return
    processes = frozenset(name for step in steps for name in _created(step))
    known = metrics.names(processes)
    for expectation in spec.expect:
        yield from _unknown(spec, expectation.line, None, [expectation.metric], known)
    for step in steps:
        if reason := _cannot(step) or _memcg(step, processes):
            what = f"this step cannot be carried out on the running kernel: {reason}"
            yield Problem(spec.file, step.line or None, step.column or None, step.kind, what)
        if step.kind == "expect":
            yield from _unknown(spec, step.line, step.column, step.args["metrics"], known)


def _settings(spec: Any) -> Iterator[Problem]:
    if spec.machine.get("pagevecs", "drained") != "drained":
        yield _at(spec, "machine.pagevecs", "page batches of the running kernel are its own affair; leave this out")
    if spec.kernel.get("switches"):
        yield _at(spec, "kernel", "the running kernel cannot be switched to behave otherwise")
    if (spec.measure or {}).get("every_ns"):
        yield _at(spec, "measure", "periodic samples are of simulated time; use `sample` steps")
    for hook, choice in spec.policies.items():
        if choice["use"] != "kernel":
            yield _at(spec, f"policies.{hook}", f"{choice['use']} cannot be put into the running kernel")
    if spec.machine.get("nodes", 1) != 1:
        yield _at(spec, "machine.nodes", "the running kernel has the NUMA nodes that it has; leave this out")
    knobs = Knobs()
    for name, value in spec.ksm.items():
        if name not in knobs:
            yield _at(spec, f"ksm.{name}", "the running kernel has no such knob")
        elif name == "advisor_mode" and value != "none":
            yield _at(spec, f"ksm.{name}", _ADVISED)


def _at(spec: Any, key: str, what: str) -> Problem:
    """A problem at the line where a setting was written, as far as that is known."""
    near = (place for name, place in spec.provenance.items() if f"{name}.".startswith(f"{key}."))
    line = next((place for place in near if isinstance(place, int)), None)
    return Problem(spec.file, line, None, key, what)


def _created(step: Any) -> list[str]:
    if step.kind == "spawn":
        return list(step.args["process"])
    return [step.args["child"]] if step.kind == "fork" else []


def _cannot(step: Any) -> str | None:
    """Why a step cannot be carried out, or None."""
    check = _ARGUMENTS.get(step.kind)
    return _STEPS.get(step.kind) or (check(step.args) if check else None)


def _memcg(step: Any, processes: frozenset[str]) -> str | None:
    """Why a memory cgroup cannot be had: one holds whatever the script spawns and forks."""
    named = step.args["process"] if step.kind == "memcg" else None
    return None if named is None or processes <= set(named) else "one memory cgroup holds all processes of a run"


def _reclaim(args: Mapping[str, Any]) -> str | None:
    return "it reclaims in batches, not an exact number of pages; use `reclaim: all`" if args.get("pages") else None


def _sample(args: Mapping[str, Any]) -> str | None:
    return "it does not show the state of single pages; leave out `pages: true`" if args.get("pages") else None


def _mmap(args: Mapping[str, Any]) -> str | None:
    cannot = [flag for flag in args["flags"] if flag in ("io", "nonlinear")]
    return f"no process can ask for an area with {', '.join(cannot)}" if cannot else None


def _set(args: Mapping[str, Any]) -> str | None:
    knobs = Knobs()
    if args["knobs"].get("ksm.advisor_mode", "none") != "none":
        return _ADVISED
    absent = [name for name in args["knobs"] if name.removeprefix("ksm.") not in knobs]
    return f"it has no knob {', '.join(absent)}" if absent else None


_ARGUMENTS: Final[Mapping[str, Callable[[Mapping[str, Any]], str | None]]] = {
    "reclaim": _reclaim,
    "sample": _sample,
    "mmap": _mmap,
    "set": _set,
}


def _unknown(
    spec: Any, line: int | None, column: int | None, wanted: Iterable[str], known: set[str]
) -> Iterator[Problem]:
    for name in wanted:
        if name not in known:
            what = "the running kernel has no such figure"
            yield Problem(spec.file, line or None, column or None, name, what)
