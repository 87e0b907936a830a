"""Answers of policies: what is accepted in which form, and one exact line for each thing that is not."""

from __future__ import annotations

from array import array

import numpy as np
import pytest

from ksmlab_core.errors import PolicyFault
from ksmlab_core.policy import Swapin, SwapinFault, Twin, load_registry
from ksmlab_core.policy.answers import check_decision, check_order, check_victims

CANDIDATES = np.array([2, 3, 5, 8], dtype=np.int32)
MASK = np.isin(np.arange(10), CANDIDATES)
FREE = np.arange(10) == 4
TEXT = """
    from ksmlab_core.policy import ReclaimPolicy, ScanOrder, SwapinPolicy, hookimpl

    class Odd(ReclaimPolicy, SwapinPolicy, ScanOrder):
        name = "odd"

        def victims(self, frames, n): ...

        def decide(self, fault): ...

        def order(self, pages, n): ...

    @hookimpl
    def ksmlab_swapin_policies():
        return [Odd]
    """


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    import textwrap

    path = tmp_path_factory.mktemp("odd") / "odd.py"
    path.write_text(textwrap.dedent(TEXT).lstrip(), encoding="utf-8")
    return load_registry([str(path)], autoload=False).get("swapin", "odd").cls()


@pytest.mark.parametrize("candidates", [CANDIDATES, MASK], ids=["numbers", "mask"])
@pytest.mark.parametrize(
    "answer",
    [
        [8, 2],
        (8, 2),
        np.array([8, 2]),
        np.array([8, 2], dtype=np.uint8),
        array("i", [8, 2]),
        [np.int32(8), 2],
    ],
    ids=["list", "tuple", "int64", "uint8", "array", "mixed"],
)
def test_victims_in_any_plain_form(odd, answer, candidates):
    checked = check_victims(odd, answer, 2, candidates)
    assert checked.dtype == np.int64
    assert list(checked) == [8, 2]


def test_no_victim_is_fine_if_there_is_no_candidate(odd):
    for nothing in ([], np.array([]), ()):
        assert len(check_victims(odd, nothing, 4, CANDIDATES[:0])) == 0
        assert len(check_victims(odd, nothing, 4, np.zeros(5, dtype=bool))) == 0


WRONG_NUMBERS = {
    "nothing": (None, "answered None, not an array or list of {}; is there a return?"),
    "a number": (3, "answered 3, not an array or list of {}"),
    "a set": ({3}, "answered {{3}}, not an array or list of {}"),
    "text": ("35", "answered '35', not an array or list of {}"),
    "ragged": ([[2], [3, 5]], "answered [[2], [3, 5]], not an array or list of {}"),
    "nested": ([[2, 3]], "answered an array of shape (1, 2), not a flat one of {}"),
    "scalar array": (np.array(3), "answered an array of shape (), not a flat one of {}"),
    "floats": (np.array([2.0, 3.0]), "answered np.float64(2.0) of type float64, not {}"),
    "not a number": ([float("nan")], "answered np.float64(nan) of type float64, not {}"),
    "a mask": (np.array([True, False]), "answered np.True_ of type bool, not {}"),
    "truth values": ([True, False], "answered True of type object, not {}"),
    "words": (["2"], "answered np.str_('2') of type <U1, not {}"),
    "huge": ([10**30], f"answered {10**30} of type object, not {{}}"),
    "too many": ([2, 3, 5, 8, 2], "answered 5 {}, but was asked for at most 4"),
}


@pytest.mark.parametrize("case", WRONG_NUMBERS)
def test_answers_that_are_no_numbers(odd, case):
    answer, said = WRONG_NUMBERS[case]
    with pytest.raises(PolicyFault) as error:
        check_victims(odd, answer, 4, CANDIDATES)
    assert error.value.reason == f"Odd.victims {said.format('frame numbers')}"
    with pytest.raises(PolicyFault) as error:
        check_order(odd, answer, 4, 9)
    assert error.value.reason == f"Odd.order {said.format('row numbers')}"


@pytest.mark.parametrize("candidates", [CANDIDATES, MASK], ids=["numbers", "mask"])
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([2, 3, 2], "named frame 2 twice in one answer"),
        ([2, 7], "named frame 7, which is not among the candidates"),
        ([2, 4], "named frame 4, which is free"),
        ([-1], "named frame -1, which is not among the candidates"),
        ([2**40], "named frame 1099511627776, which is not among the candidates"),
        ([], "named no frame although there are candidates"),
    ],
    ids=["twice", "not offered", "free", "negative", "beyond", "none"],
)
def test_victims_that_cannot_be_taken(odd, answer, said, candidates):
    with pytest.raises(PolicyFault) as error:
        check_victims(odd, answer, 4, candidates, free=FREE)
    assert error.value.reason == f"Odd.victims {said}"


def test_a_fault_names_policy_hook_and_place(odd):
    with pytest.raises(PolicyFault) as error:
        check_victims(odd, [2, 2], 4, CANDIDATES)
    fault = error.value
    assert (fault.policy, fault.hook, fault.line, fault.exit_status) == ("odd", "reclaim", 6, 1)
    assert fault.file.endswith("odd.py")
    assert str(fault) == (f"policy 'odd' (reclaim) ({fault.file}:6): Odd.victims named frame 2 twice in one answer")


FAULT = SwapinFault("a", 12)
TWIN = SwapinFault("a", 12, shareable=True, ksm_twin=Twin(frame=1, mapcount=1, sharers=1))


def test_decisions_that_can_be_carried_out(odd):
    for answer in Swapin:
        assert check_decision(odd, answer, TWIN) is answer
    assert check_decision(odd, Swapin.COPY, FAULT) is Swapin.COPY


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "answered None; it must answer a Swapin"),
        ("copy", "answered 'copy'; it must answer a Swapin"),
        (Swapin, "answered <enum 'Swapin'>; it must answer a Swapin"),
        ("x" * 99, f"answered '{'x' * 56}...; it must answer a Swapin"),
        (Swapin.REMERGE, "answered REMERGE for page 12 of a, which has no ksm_twin"),
        (Swapin.SHARE, "answered SHARE for page 12 of a, which cannot become a KSM page now"),
    ],
    ids=["none", "text", "class", "long", "remerge", "share"],
)
def test_decisions_that_cannot(odd, answer, said):
    with pytest.raises(PolicyFault) as error:
        check_decision(odd, answer, FAULT)
    assert error.value.reason == f"Odd.decide {said}"
    assert (error.value.hook, error.value.line) == ("swapin", 8)


def test_orders_that_can_be_followed(odd):
    assert list(check_order(odd, [8, 0], 4, 9)) == [8, 0]
    assert list(check_order(odd, [], 4, 9)) == []
    assert list(check_order(odd, [], 4, 0)) == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([0, 9], "named row 9 of 9 rows"),
        ([-1], "named row -1 of 9 rows"),
        ([3, 3], "named row 3 twice in one answer"),
    ],
    ids=["beyond", "negative", "twice"],
)
def test_orders_that_cannot(odd, answer, said):
    with pytest.raises(PolicyFault) as error:
        check_order(odd, answer, 4, 9)
    assert error.value.reason == f"Odd.order {said}"


def test_the_answer_is_copied_so_that_the_policy_may_go_on_with_it(odd):
    mine = np.array([2, 3], dtype=np.int64)
    checked = check_victims(odd, mine, 4, CANDIDATES)
    mine[0] = 8
    assert list(checked) == [2, 3]
