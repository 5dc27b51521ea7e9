"""What a tuning run on the bundled model takes, imports aside."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from ctviz import work
from ctviz.config import TuneConfig
from ctviz.models.loading import load

__all__ = ["bench_tuning"]


def bench_tuning(
    *, model: str = "tiny", steps: int = 60, edges: int = 40, device: str = "auto"
) -> dict[str, Any]:
    """Time a circuit-tuning run with its snapshots, beside full fine-tuning that long."""
    loaded = load(model, device=device)
    seconds: dict[str, float] = {}
    for method in ("circuit", "full"):
        loaded = load(model, device=device)  # tuning changes it
        config = TuneConfig(model=model, task="sva-flip", method=method, steps=steps, edges=edges)  # type: ignore[arg-type]
        with tempfile.TemporaryDirectory() as scratch:
            started = time.perf_counter()
            work.tune(config, Path(scratch) / "run", loaded=loaded)
            seconds[method] = time.perf_counter() - started
    return {
        "model": model,
        "steps": steps,
        "edges": edges,
        "seconds": round(seconds["circuit"], 2),
        "seconds_full": round(seconds["full"], 2),
        "device": str(loaded.anatomy.device),
        "threads": torch.get_num_threads(),
    }
