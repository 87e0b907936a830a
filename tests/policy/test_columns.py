"""Columns lent to policies: lazy, typed, read-only, and clear about names that do not exist."""

from __future__ import annotations

import typing

import numpy as np
import pytest

from ksmlab_core.policy import FrameColumns, ScanColumns
from ksmlab_core.policy import columns as columns_module


def test_a_function_is_called_once_and_only_when_read():
    calls = []
    frames = FrameColumns({"index": [1, 2], "mapcount": lambda: calls.append(1) or [3, 4]})
    assert calls == []
    assert list(frames.mapcount) == [3, 4]
    assert frames.mapcount is frames.mapcount
    assert calls == [1]


@pytest.mark.parametrize("columns", [FrameColumns, ScanColumns])
def test_every_column_has_its_declared_type(columns):
    lent = columns({name: [0, 1] for name in columns.COLUMNS})
    for name, column in columns.COLUMNS.items():
        assert getattr(lent, name).dtype == column.dtype
        assert len(getattr(lent, name)) == 2


@pytest.mark.parametrize("columns", [FrameColumns, ScanColumns])
def test_columns_and_their_annotations_name_the_same(columns):
    hints = typing.get_type_hints(columns, vars(columns_module))
    annotated = set(hints) - {"COLUMNS", "KEY", "OPTIONAL", "now_ns", "full_scans"}
    assert annotated == set(columns.COLUMNS)
    assert all(column.meaning for column in columns.COLUMNS.values())


def test_lent_arrays_cannot_be_written_and_the_owner_can_still_write():
    mine = np.array([5, 6], dtype=np.int32)
    frames = FrameColumns({"index": mine})
    with pytest.raises(ValueError, match="read-only"):
        frames.index[0] = 1
    mine[0] = 7
    assert list(frames.index) == [7, 6]
    assert np.shares_memory(frames.index, mine)


def test_columns_cannot_be_replaced():
    frames = FrameColumns({"index": [1]})
    with pytest.raises(AttributeError, match="FrameColumns is read-only: 'index' cannot be set"):
        frames.index = np.zeros(1)


def test_unknown_column_names_the_nearest():
    with pytest.raises(AttributeError, match=r"FrameColumns has no column 'map_count'; .* did you mean 'mapcount'\?"):
        _ = FrameColumns({"index": [1]}).map_count


def test_a_known_column_without_values_is_not_called_unknown():
    with pytest.raises(AttributeError, match="FrameColumns came without values for the column 'dirty'"):
        _ = FrameColumns({"index": [1]}).dirty


def test_the_future_may_be_unknown():
    assert FrameColumns({"index": [1]}).next_access is None
    assert FrameColumns({"index": [1], "next_access": lambda: None}).next_access is None
    assert list(FrameColumns({"index": [1], "next_access": [9]}).next_access) == [9]


def test_length_comes_from_the_key_column_or_is_given():
    assert len(FrameColumns({"index": [1, 2, 3]})) == 3
    assert len(ScanColumns({"process": []})) == 0
    assert len(ScanColumns(length=4)) == 4


@pytest.mark.parametrize("values", [[1, 2], [[1], [2], [3]]])
def test_a_column_of_another_shape_is_an_error(values):
    with pytest.raises(ValueError, match="column 'mapcount' has shape"):
        _ = FrameColumns({"mapcount": values}, length=3).mapcount


def test_a_subclass_may_make_columns_itself():
    class Frames(FrameColumns):
        def _column(self, name):
            return np.arange(3)

    frames = Frames(length=3, now_ns=8)
    assert list(frames.age_ns) == [0, 1, 2]
    assert frames.now_ns == 8


def test_scan_columns_know_the_scan():
    pages = ScanColumns({"process": [0]}, now_ns=4, full_scans=2)
    assert (pages.now_ns, pages.full_scans) == (4, 2)
    assert repr(pages) == "<ScanColumns of 1 rows at 4 ns>"
    assert "last_scanned" in dir(pages)
