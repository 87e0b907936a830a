"""Checks of what policies answer. Each returns the answer in one plain form, or raises a PolicyFault."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ksmlab_core.policy.base import Policy
from ksmlab_core.policy.faults import wrong_answer
from ksmlab_core.policy.terms import Swapin, SwapinFault

Int64s: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]


def check_victims(policy: Policy, answer: Any, n: int, candidates: NDArray[Any], *, free: Mask | None = None) -> Int64s:
    """Victims as int64 frame numbers.

    Args:
        policy: who answered.
        answer: what ``victims`` returned.
        n: how many were asked for.
        candidates: the frame numbers offered, or (faster) a mask over all frames that is true for them.
        free: mask over all frames that is true for free ones; only used to say what is wrong.

    Raises:
        PolicyFault: wrong type, too many, twice the same, a frame that was not offered, or none at all
            although there were some.
    """
    victims = _numbers(policy, "reclaim", "victims", "frame numbers", answer, n)
    if not len(victims):
        if np.count_nonzero(candidates) if candidates.dtype == np.bool_ else len(candidates):
            _wrong(policy, "reclaim", "victims", "named no frame although there are candidates")
        return victims
    _refuse_repeats(policy, "reclaim", "victims", "frame", victims)
    offered = _is_offered(victims, candidates)
    if not offered.all():
        frame = int(victims[~offered][0])
        is_free = free is not None and 0 <= frame < len(free) and bool(free[frame])
        what = "which is free" if is_free else "which is not among the candidates"
        _wrong(policy, "reclaim", "victims", f"named frame {frame}, {what}")
    return victims


def check_decision(policy: Policy, answer: Any, fault: SwapinFault) -> Swapin:
    """The decision on a swap-in.

    Raises:
        PolicyFault: not a Swapin, or one that cannot be carried out now.
    """
    if not isinstance(answer, Swapin):
        _wrong(policy, "swapin", "decide", f"answered {_shown(answer)}; it must answer a Swapin")
    if answer is Swapin.REMERGE and fault.ksm_twin is None:
        _wrong(policy, "swapin", "decide", f"answered REMERGE for {_page(fault)}, which has no ksm_twin")
    if answer is Swapin.SHARE and not fault.shareable:
        _wrong(policy, "swapin", "decide", f"answered SHARE for {_page(fault)}, which cannot become a KSM page now")
    return answer


def check_order(policy: Policy, answer: Any, n: int, rows: int) -> Int64s:
    """A scan order as int64 row numbers; empty means that the scan is over.

    Args:
        policy: who answered.
        answer: what ``order`` returned.
        n: how many were asked for.
        rows: number of rows that were offered.

    Raises:
        PolicyFault: wrong type, too many, twice the same, no such row.
    """
    rows_named = _numbers(policy, "scan", "order", "row numbers", answer, n)
    if len(rows_named):
        outside = (rows_named < 0) | (rows_named >= rows)
        if outside.any():
            _wrong(policy, "scan", "order", f"named row {int(rows_named[outside][0])} of {rows} rows")
        _refuse_repeats(policy, "scan", "order", "row", rows_named)
    return rows_named


def _numbers(policy: Policy, hook: str, method: str, wanted: str, answer: Any, n: int) -> Int64s:
    """The answer as a flat int64 array of at most `n`."""
    array = _as_array(answer)
    if array is None:
        forgot = "; is there a return?" if answer is None else ""
        _wrong(policy, hook, method, f"answered {_shown(answer)}, not an array or list of {wanted}{forgot}")
    if array.ndim != 1:
        _wrong(policy, hook, method, f"answered an array of shape {array.shape}, not a flat one of {wanted}")
    if array.dtype.kind not in "iu" and array.size:
        _wrong(policy, hook, method, f"answered {_shown(array[0])} of type {array.dtype}, not {wanted}")
    if len(array) > n:
        _wrong(policy, hook, method, f"answered {len(array)} {wanted}, but was asked for at most {n}")
    numbers: Int64s = array.astype(np.int64)
    return numbers


def _as_array(answer: Any) -> NDArray[Any] | None:
    """An array of an array or a sequence of numbers; None if it is neither."""
    if isinstance(answer, np.ndarray):
        return np.asarray(answer)
    if not isinstance(answer, Sequence) or isinstance(answer, (str, bytes, bytearray)):
        return None
    if any(isinstance(item, (bool, np.bool_)) for item in answer):
        return np.asarray(answer, dtype=object)
    try:
        return np.asarray(answer)
    except (ValueError, TypeError, OverflowError):
        return None  # ragged, or of things that are no numbers


def _refuse_repeats(policy: Policy, hook: str, method: str, thing: str, answer: Int64s) -> None:
    in_order = np.sort(answer)
    repeats = in_order[1:][in_order[1:] == in_order[:-1]]
    if len(repeats):
        _wrong(policy, hook, method, f"named {thing} {int(repeats[0])} twice in one answer")


def _is_offered(answer: Int64s, candidates: NDArray[Any]) -> Mask:
    if candidates.dtype != np.bool_:
        return np.isin(answer, candidates)
    inside = (answer >= 0) & (answer < len(candidates))
    return inside & candidates[np.where(inside, answer, 0)] if len(candidates) else inside


def _page(fault: SwapinFault) -> str:
    return f"page {fault.address} of {fault.process}"


def _shown(answer: Any) -> str:
    """An answer, short enough for a message."""
    text = repr(answer)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _wrong(policy: Policy, hook: str, method: str, what: str) -> NoReturn:
    raise wrong_answer(policy, hook, method, what)
