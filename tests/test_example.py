"""The example of the manual runs as it stands, in an empty folder, on the bundled model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ctviz.runs import list_runs
from tests import ROOT

EXAMPLE = ROOT / "docs" / "example.py"
NOTEBOOK = ROOT / "docs" / "record-a-training.ipynb"


def run_in(folder: Path, *arguments: str) -> str:
    """What a new interpreter prints that runs in a folder and finds ctviz."""
    known = {name: value for name, value in os.environ.items() if name != "CTVIZ_RUNS"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**known, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_example_runs_and_leaves_one_finished_run(tmp_path: Path) -> None:
    said = run_in(tmp_path, str(EXAMPLE))
    assert said.count(" not ' ") == 3
    (run,) = list_runs(tmp_path / "ctviz-runs")
    assert run.status().state == "finished"
    assert run.metrics()["outside_moved"].max() == 0
    assert [path.name for path in tmp_path.iterdir()] == ["ctviz-runs"]


@pytest.mark.slow
def test_the_notebook_records_a_training(tmp_path: Path) -> None:
    """Its cells one after another, as a notebook runs them; what it shows needs one."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    assert code.count("run.show()") == 1
    code = code.replace("run.show()", "run")
    run_in(tmp_path, "-c", code)
    (run,) = list_runs(tmp_path / "ctviz-runs")
    assert run.status().state == "finished"
    assert [snapshot.step for snapshot in run.snapshots()] == [0, 8, 16, 24]
    assert run.metrics()["loss"].notna().any()
