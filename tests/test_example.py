"""The example of the manual runs as it stands, in an empty folder, on the bundled model."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ctviz.runs import list_runs
from tests import ROOT

EXAMPLE = ROOT / "docs" / "example.py"


@pytest.mark.slow
def test_the_example_runs_and_leaves_one_finished_run(tmp_path: Path) -> None:
    known = {name: value for name, value in os.environ.items() if name != "CTVIZ_RUNS"}
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)],
        cwd=tmp_path,
        env={**known, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" not ' ") == 3
    (run,) = list_runs(tmp_path / "ctviz-runs")
    assert run.status().state == "finished"
    assert run.metrics()["outside_moved"].max() == 0
    assert [path.name for path in tmp_path.iterdir()] == ["ctviz-runs"]
