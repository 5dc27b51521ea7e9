"""What a person waits for: a whole tuning run, against its steps alone."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from ctviz.bench.rounds import machine
from ctviz.bench.workloads import EDGES
from ctviz.errors import UnknownName
from ctviz.jobs import tune
from ctviz.models.loading import load
from ctviz.runs import Run
from ctviz.runs.config import TuneConfig

__all__ = ["bench_run"]

STEPS, SNAPSHOTS = 40, 10
EXAMPLES = {"tiny": 32}  # of snapshots; 16 for other models, as on the page


def bench_run(model: str, *, device: str = "auto") -> dict[str, Any]:
    """Time a run of `STEPS` steps with `SNAPSHOTS` snapshots after the first, on sva-flip.

    ``ratio_to_steps``: all of it, with loading and every evaluation, by the time of its steps;
    ``first_snapshot_steps``: from the start to the first snapshot on disk, in median steps. The
    weights are read once before, so that they are in the file cache.
    """
    if model not in EDGES:
        raise UnknownName("model of this benchmark", model, EDGES)
    with torch.no_grad():
        warm = load(model, device=device)
        warm.anatomy.hidden(torch.zeros(1, 2, dtype=torch.long, device=warm.anatomy.device))
    place = warm.anatomy.device
    del warm
    config = TuneConfig(
        model=model,
        task="sva-flip",
        steps=STEPS,
        edges=EDGES[model],
        examples=EXAMPLES.get(model, 16),
        learning_rate=1e-4,
        snapshot_every=STEPS // SNAPSHOTS,
        device=device,
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        started = time.perf_counter()
        tune.tune(config, folder, keep_model=False)
        total = time.perf_counter() - started
        written = (folder / "snapshots" / "000000.safetensors").stat().st_mtime
        began = time.time() - (time.perf_counter() - started)
        seconds = Run(folder).metrics()["seconds"].dropna()
    first = written - began
    return {
        "model": model,
        "steps": STEPS,
        "snapshots": SNAPSHOTS + 1,
        "evaluate": config.evaluate,
        "total_seconds": round(total, 1),
        "steps_seconds": round(float(seconds.sum()), 1),
        "ratio_to_steps": round(total / float(seconds.sum()), 2),
        "first_snapshot_seconds": round(first, 1),
        "first_snapshot_steps": round(first / float(seconds.median()), 1),
        "device": str(place),
        "threads": torch.get_num_threads(),
        "machine": machine(place),
    }
