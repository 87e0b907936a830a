"""The index of a folder of results: derived from the runs' folders, and never believed over them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ksmlab_core.errors import BadInput
from ksmlab_core.lab.index import TABLE, Index
from ksmlab_core.lab.runner import carry_out


@pytest.fixture
def keep(fake: ModuleType, make_plan: Any, tmp_path: Path) -> Callable[..., Path]:
    """Runs points of an experiment and stores them; gives the folder of results."""

    def run(*swapins: str, seeds: tuple[int, ...] = (7,), simulate: str = "run") -> Path:
        carry_out(make_plan(swapins, seeds), simulate=getattr(fake, simulate), out=tmp_path / "out")
        return tmp_path / "out"

    return run


def indexes(root: Path) -> list[Path]:
    return sorted(root.glob(".index-*"))


def stored(index: Index, columns: str = 'id, label, nth, ns, seed, swapin, status, "vm.pswpin"') -> list[Any]:
    return index.database.execute(f"SELECT {columns} FROM {TABLE} ORDER BY folder, nth NULLS FIRST").fetchall()


def truth(root: Path) -> list[Any]:
    return stored(Index(root, rebuild=True), "*")


def test_a_run_is_a_row_and_each_of_its_samples_is_one(keep: Callable[..., Path]) -> None:
    root = keep("kernel", "remerge")
    index = Index(root)
    counters = {
        name: json.loads((root / "storm" / name / "counters.json").read_text())["metrics"]["vm.pswpin"]
        for name in ("kernel", "remerge")
    }
    assert stored(index) == [
        ("kernel", None, None, None, 7, "kernel", "succeeded", counters["kernel"]),
        (None, "wake-up", 0, 1_000_000_000, None, None, None, None),
        ("remerge", None, None, None, 7, "remerge", "succeeded", counters["remerge"]),
        (None, "wake-up", 0, 1_000_000_000, None, None, None, None),
    ]
    assert "ksm.merges" in index.metrics(), "which the samples have, and the ends have not"
    assert "vm.pswpin" in index.metrics()


def test_it_is_read_again_only_where_something_changed(keep: Callable[..., Path]) -> None:
    root = keep("kernel", "remerge", "defer")
    assert (Index(root).kept, Index(root).kept) == (0, 3)
    keep("remerge", seeds=(8,))
    index = Index(root)
    assert (index.kept, index.read) == (2, 1)
    assert [row[0] for row in stored(index, "seed") if row[0]] == [7, 7, 8]
    shutil.rmtree(root / "storm" / "defer")
    assert (Index(root).kept, Index(root).read) == (2, 0)
    assert len(indexes(root)) == 1
    assert stored(Index(root), "*") == truth(root)


def test_a_metric_of_one_run_alone_is_missing_in_the_others(keep: Callable[..., Path], fake: ModuleType) -> None:
    root = keep("kernel")
    Index(root)
    keep("remerge", simulate="fails")
    assert stored(Index(root), 'status, error IS NULL, "vm.pswpin" IS NULL') == [
        ("succeeded", True, False),
        (None, True, True),
        ("failed", False, True),
    ]


@pytest.mark.parametrize("harm", ["torn", "empty", "foreign", "flipped", "another's"])
def test_a_damaged_index_is_noticed_and_made_anew(keep: Callable[..., Path], harm: str) -> None:
    root = keep("kernel", "remerge")
    Index(root)
    [file] = indexes(root)
    content = file.read_bytes()
    middle = len(content) // 2
    file.write_bytes(
        {
            "torn": content[:middle],
            "empty": b"",
            "foreign": b"not Parquet",
            "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
            "another's": content,
        }[harm]
    )
    if harm == "another's":
        file.rename(file.with_name(file.name.replace(file.stem.split("-")[1], "000000")))
    index = Index(root)
    assert (index.kept, index.read) == (0, 2)
    assert stored(index, "*") == truth(root)
    assert Index(root).kept == 2


def test_an_index_that_lies_about_a_run_of_another_time_is_not_believed(keep: Callable[..., Path]) -> None:
    """The same run done again, with files of the same length: times and inodes tell."""
    root = keep("kernel")
    Index(root)
    manifest = root / "storm" / "kernel" / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(
        text.replace('"status": "succeeded"', '"status": "unheard of"'.ljust(len('"status": "succeeded"')))
    )
    index = Index(root)
    assert (index.kept, stored(index, "status")[0]) == (0, ("unheard of",))


def test_a_folder_that_cannot_be_written_is_read_all_the_same(
    keep: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = keep("kernel")

    def refused(*_: Any) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "replace", refused)
    assert len(stored(Index(root))) == 2
    assert [path.name for path in root.iterdir()] == ["storm"], "nothing half-made is left"


def test_a_run_s_own_folder_gets_no_index(keep: Callable[..., Path]) -> None:
    root = keep("kernel")
    assert len(stored(Index(root / "storm" / "kernel"))) == 2
    assert indexes(root / "storm" / "kernel") == []
    assert len(stored(Index(root / "storm"))) == 2


def test_a_torn_run_is_one_line(keep: Callable[..., Path]) -> None:
    root = keep("kernel", "remerge")
    file = root / "storm" / "remerge" / "counters.json"
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(BadInput, match=f"^{file}: torn or not a result file: ") as caught:
        Index(root)
    assert "\n" not in str(caught.value)
    file.unlink()
    with pytest.raises(BadInput, match=f"^{file}: No such file or directory$"):
        Index(root)


@pytest.mark.parametrize("lost", ["spec", "position", "host"])
def test_a_manifest_that_lacks_something_is_one_line(keep: Callable[..., Path], lost: str) -> None:
    manifest = keep("kernel") / "storm" / "kernel" / "manifest.json"
    told = json.loads(manifest.read_text())
    del told[lost]
    manifest.write_text(json.dumps(told))
    with pytest.raises(BadInput, match=f"incomplete result: its manifest lacks '{lost}'"):
        Index(manifest.parents[2])


def test_where_there_are_no_results(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such folder of results"):
        Index(tmp_path / "nowhere")
    with pytest.raises(BadInput, match="no results here; `ksmlab run FILE --out"):
        Index(tmp_path)
