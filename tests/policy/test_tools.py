"""`smallest` and `FrameNotes` against plain Python."""

from __future__ import annotations

import numpy as np
import pytest

from ksmlab_core.policy import FrameColumns, FrameNotes, smallest


@pytest.mark.parametrize("kind", [np.int64, np.float64, np.int32])
@pytest.mark.parametrize("spread", [1, 3, 1000])
def test_smallest_is_the_head_of_a_stable_sort(kind, spread):
    rng = np.random.default_rng(spread)
    for size in (0, 1, 2, 17, 300, 5000):
        keys = rng.integers(spread, size=size).astype(kind)
        expected = sorted(range(size), key=lambda row: keys[row])
        for n in (0, 1, 20, size // 2, size, size + 5):
            assert list(smallest(keys, n)) == expected[:n]


def test_smallest_leaves_its_argument_alone():
    keys = np.array([3, 1, 2])
    keys.flags.writeable = False
    assert list(smallest(keys, 2)) == [1, 2]


def frames(index, inserted):
    return FrameColumns({"index": index, "inserted": inserted})


def test_notes_start_at_the_default_and_keep_what_is_written():
    notes = FrameNotes(default=-1)
    assert list(notes.read(frames([2, 9], [0, 1]))) == [-1, -1]
    notes.write(np.array([9]), 5)
    assert list(notes.read(frames([9, 2, 11], [1, 0, 2]))) == [5, -1, -1]


def test_a_note_is_forgotten_when_the_frame_is_reused():
    notes = FrameNotes()
    notes.read(frames([4], [0]))
    notes.write(np.array([4]), 7)
    assert list(notes.read(frames([4], [1]))) == [0]
    notes.write(np.array([4]), 8)
    assert list(notes.read(frames([4], [1]))) == [8]
    assert list(notes.read(frames([4], [2]))) == [0]


def test_rows_need_not_be_in_order():
    notes = FrameNotes()
    notes.read(frames([9, 2, 5], [0, 1, 2]))
    notes.write(np.array([2, 9]), 7)
    assert list(notes.read(frames([9, 2, 5], [0, 1, 2]))) == [7, 7, 0]


@pytest.mark.parametrize("index", [[1, 3, 8], [8, 1, 3]])
def test_a_frame_that_was_not_read_cannot_be_written_about(index):
    notes = FrameNotes()
    notes.read(frames(index, [0, 1, 2]))
    with pytest.raises(LookupError, match="not among those last read"):
        notes.write(np.array([4]), 7)
    with pytest.raises(LookupError, match="not among those last read"):
        notes.write(np.array([9]), 7)


def test_notes_on_no_frame_change_nothing():
    notes = FrameNotes()
    notes.write(np.array([], dtype=np.int32), 7)
    assert list(notes.read(frames([1], [0]))) == [0]


def test_smallest_does_not_rely_on_its_sample_being_typical():
    keys = np.arange(10_000) % 10  # every tenth key is 0: a sample by strides may see nothing else
    keys[5] = -1
    assert list(smallest(keys, 90)) == sorted(range(10_000), key=lambda row: keys[row])[:90]
    keys = np.where(np.arange(10_000) % 10 == 0, 9, np.arange(10_000))
    assert list(smallest(keys, 90)) == sorted(range(10_000), key=lambda row: keys[row])[:90]


def test_no_rows_no_notes():
    assert list(FrameNotes().read(frames([], []))) == []
