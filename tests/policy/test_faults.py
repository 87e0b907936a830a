"""An exception in a policy becomes a PolicyFault with the policy's own place and traceback."""

from __future__ import annotations

import pytest

from ksmlab_core.errors import BadInput, PolicyFault
from ksmlab_core.policy import FrameColumns
from ksmlab_core.policy.faults import guard

TEXT = """
    import sys
    import numpy as np
    from ksmlab_core.policy import ReclaimPolicy, hookimpl

    class Shaky(ReclaimPolicy):
        name = "shaky"

        def victims(self, frames, n):
            return self.choose(frames, n)

        def choose(self, frames, n):
            if n == 1:
                return frames.mapcuont
            if n == 2:
                frames.index[0] = 3
            if n == 3:
                sys.exit("no more")
            if n == 4:
                raise ValueError
            if n == 5:
                raise KeyboardInterrupt
            if n == 6:
                try:
                    1 / 0
                except ZeroDivisionError as error:
                    raise LookupError("wrapped") from error
            if n == 7:
                return np.concatenate(())
            return frames.index

    @hookimpl
    def ksmlab_reclaim_policies():
        return [Shaky]
    """


@pytest.fixture
def shaky(desk):
    return desk.load(TEXT).get("reclaim", "shaky").cls()


def ask(shaky, n):
    with guard(shaky, "reclaim"):
        return shaky.victims(FrameColumns({"index": [4]}), n)


@pytest.mark.parametrize(
    ("n", "line", "reason"),
    [
        (2, 15, "Shaky raised ValueError: assignment destination is read-only"),
        (3, 17, "Shaky raised SystemExit: no more"),
        (4, 19, "Shaky raised ValueError"),
        (6, 26, "Shaky raised LookupError: wrapped"),
        (7, 28, "Shaky raised ValueError: need at least one array to concatenate"),
    ],
)
def test_the_fault_names_the_policys_deepest_line(shaky, n, line, reason):
    with pytest.raises(PolicyFault) as error:
        ask(shaky, n)
    fault = error.value
    assert (fault.policy, fault.hook, fault.file, fault.line) == ("shaky", "reclaim", "mine.py", line)
    assert fault.reason == reason


def test_the_trace_shows_the_policy_and_nothing_of_ours(shaky):
    with pytest.raises(PolicyFault) as error:
        ask(shaky, 1)
    trace = error.value.trace
    assert error.value.line == 13
    assert trace.startswith("Traceback (most recent call last):\n")
    assert "in choose\n    return frames.mapcuont" in trace
    assert "ksmlab_core" not in trace
    assert trace.rstrip().endswith("did you mean 'mapcount'?")


def test_the_trace_keeps_the_cause(shaky):
    with pytest.raises(PolicyFault) as error:
        ask(shaky, 6)
    assert "ZeroDivisionError: division by zero" in error.value.trace
    assert "direct cause" in error.value.trace


def test_an_interrupt_is_nobodys_fault(shaky):
    with pytest.raises(KeyboardInterrupt):
        ask(shaky, 5)


def test_a_fault_that_was_told_already_passes_unchanged(shaky):
    with pytest.raises(PolicyFault, match=r"^policy 'other' \(scan\): ours$"), guard(shaky, "reclaim"):
        raise PolicyFault("other", "scan", "ours")


def test_an_error_of_ours_that_a_policy_raises_is_its_fault_and_no_bad_input(shaky):
    with pytest.raises(PolicyFault, match="Shaky raised BadInput: no"), guard(shaky, "reclaim"):
        raise BadInput("no")


def test_a_workload_may_refuse_its_input(shaky):
    with pytest.raises(BadInput, match=r"^no$"), guard(shaky, "workload"):
        raise BadInput("no")


def test_a_good_answer_passes(shaky):
    assert list(ask(shaky, 8)) == [4]


def test_a_guard_can_be_used_again(shaky):
    asking = guard(shaky, "reclaim")
    for _ in range(2):
        with pytest.raises(PolicyFault), asking:
            shaky.victims(FrameColumns({"index": [4]}), 4)


def test_without_a_line_of_the_policy_the_class_is_named(shaky):
    with pytest.raises(PolicyFault) as error, guard(shaky, "reclaim"):
        shaky.victims()
    assert (error.value.file, error.value.line) == ("mine.py", 5)
    assert "missing 2 required positional arguments" in error.value.reason
