"""A training of two processes is recorded by the first one alone, and goes as it would without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ctviz.models.loading import load
from ctviz.runs import Run, list_runs
from tests import ROOT


@pytest.mark.slow
@pytest.mark.skipif(
    not torch.distributed.is_available(), reason="this torch has no distributed training"
)
def test_the_first_process_records_and_both_train_as_without(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*command, "-m", "tests.series.ddp_training", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    alone, recorded = (
        torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("alone", "recorded")
    )
    assert all(torch.equal(weight, alone[name]) for name, weight in recorded.items())
    start = load("tiny").model.state_dict()
    assert not torch.equal(recorded["transformer.wte.weight"], start["transformer.wte.weight"])
    [run] = list_runs(tmp_path / "runs")
    assert isinstance(run, Run)
    assert run.status().state == "finished"
    assert [snapshot.step for snapshot in run.snapshots()] == [1, 2, 4]
