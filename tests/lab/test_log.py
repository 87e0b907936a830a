"""A run's log: JSON lines, in its folder or on standard error, never on standard output."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ksmlab_core.lab.log import run_log


def test_every_line_is_one_json_object_bound_to_its_run(tmp_path: Path) -> None:
    with run_log("remerge-s3", tmp_path, to_stderr=False) as on_event:
        assert on_event is not None
        on_event("pass end", full_scans=np.int64(3), pages=np.arange(2))
        on_event("expectation failed", metric="vm.pswpin", want={"min": 1}, got=0)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == [
        {"run": "remerge-s3", "full_scans": 3, "pages": [0, 1], "event": "pass end", "level": "info"},
        {
            "run": "remerge-s3",
            "metric": "vm.pswpin",
            "want": {"min": 1},
            "got": 0,
            "event": "expectation failed",
            "level": "error",
        },
    ]


def test_the_log_goes_to_standard_error_too(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with run_log("kernel", tmp_path, to_stderr=True) as on_event:
        assert on_event is not None
        on_event("run started")
    out, err = capfd.readouterr()
    assert out == ""
    assert err == (tmp_path / "log.jsonl").read_text()


def test_nobody_listening_costs_nothing() -> None:
    with run_log("kernel", None, to_stderr=False) as on_event:
        assert on_event is None
