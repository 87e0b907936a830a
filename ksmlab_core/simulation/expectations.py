"""Comparing what is with what was expected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ksmlab_core.errors import StepFailed, did_you_mean


class Expectations:
    """All comparisons of one run, kept with the line that asked for them.

    Args:
        file: the experiment file, for messages.
        on_failure: told of each comparison that failed.
    """

    def __init__(self, file: str, on_failure: Any = None) -> None:
        self.file = file
        self.results: list[dict[str, Any]] = []
        self._on_failure = on_failure

    def compare(self, metric: str, want: Any, metrics: Mapping[str, int], *, at: str, line: int) -> None:
        """Compare a metric with a number or with {min, max}."""
        if metric not in metrics:
            hint = did_you_mean(metric, metrics)
            raise StepFailed(
                f"no metric {metric!r} in this run" + (f"; did you mean {hint!r}?" if hint else ""),
                file=self.file,
                line=line,
            )
        got = metrics[metric]
        if isinstance(want, Mapping):
            low, high = want.get("min"), want.get("max")
            ok = (low is None or got >= low) and (high is None or got <= high)
            want = {name: value for name, value in want.items() if value is not None}
        else:
            ok = got == want
        self._add(metric, want, got, ok, at, line)

    def compare_value(self, what: str, want: Any, got: Any, *, at: str, line: int) -> None:
        """Compare any two values."""
        self._add(what, want, got, want == got, at, line)

    def _add(self, metric: str, want: Any, got: Any, ok: bool, at: str, line: int) -> None:
        result = {"at": at, "metric": metric, "want": want, "got": got, "ok": ok, "line": line}
        self.results.append(result)
        if not ok and self._on_failure is not None:
            self._on_failure(result)
