"""What a person waits for: a whole tuning run, against its steps alone."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ctviz.attribution.attribute import attribute
from ctviz.bench.rounds import machine, take_turns
from ctviz.bench.workloads import EDGES
from ctviz.errors import CtvizError, UnknownName
from ctviz.jobs import tune
from ctviz.jobs.discovery import Search, find, measured
from ctviz.models.loading import Loaded, load
from ctviz.runs import Run, RunWriter
from ctviz.runs.config import TuneConfig

__all__ = ["bench_run"]

STEPS, SNAPSHOTS = 40, 10
EXAMPLES = {"tiny": 32}  # of snapshots; 16 for other models, as on the page


def bench_run(model: str, *, device: str = "auto") -> dict[str, Any]:
    """Time a run of `STEPS` steps with `SNAPSHOTS` snapshots after the first, on sva-flip.

    ``first``: where nothing is known of the untuned model; ``again``: where an earlier run has
    measured it. Of each, ``ratio_to_steps``: all of it, with loading and every evaluation, by the
    time of its steps; ``first_snapshot_steps``: from the start to the first snapshot on disk, in
    median steps; ``phases``: seconds of each part. ``two_at_once``: two such runs in processes of
    their own, at the same time, by one of them alone. ``discover_to_scoring``: finding a circuit on
    64 pairs and testing it on 64 others beside five random ones, by scoring every edge alone. The
    weights are read once before, so that they are in the file cache.
    """
    if model not in EDGES:
        raise UnknownName("model of this benchmark", model, EDGES)
    with torch.no_grad():
        warm = load(model, device=device)
        warm.anatomy.hidden(torch.zeros(1, 2, dtype=torch.long, device=warm.anatomy.device))
    place = warm.anatomy.device
    discover = _discovery(warm, EDGES[model])
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
    with tempfile.TemporaryDirectory() as scratch, _baselines_in(Path(scratch) / "baselines"):
        runs = {name: _timed(config, Path(scratch) / name) for name in ("first", "again")}
        together = _two_at_once(config, Path(scratch))
    return {
        "model": model,
        "steps": STEPS,
        "snapshots": SNAPSHOTS + 1,
        "evaluate": config.evaluate,
        **runs,
        "two_at_once": together,
        "discover_to_scoring": discover,
        "device": str(place),
        "threads": torch.get_num_threads(),
        "machine": machine(place),
    }


def _timed(config: TuneConfig, folder: Path) -> dict[str, Any]:
    began, started = time.time(), time.perf_counter()
    tune.tune(config, folder, keep_model=False)
    total = time.perf_counter() - started
    run = Run(folder)
    seconds = run.metrics()["seconds"].dropna()
    first = (folder / "snapshots" / "000000.safetensors").stat().st_mtime - began
    return {
        "total_seconds": round(total, 1),
        "steps_seconds": round(float(seconds.sum()), 1),
        "ratio_to_steps": round(total / float(seconds.sum()), 2),
        "first_snapshot_seconds": round(first, 1),
        "first_snapshot_steps": round(first / float(seconds.median()), 1),
        "phases": {name: each["seconds"] for name, each in run.status().measured.items()},
    }


def _two_at_once(config: TuneConfig, scratch: Path) -> float:
    def take(*names: str) -> float:
        started = time.perf_counter()
        workers = []
        for name in names:
            RunWriter(scratch / name, config)  # announces it; the worker takes it over
            command = [sys.executable, "-m", "ctviz.jobs.worker"]
            workers.append(subprocess.Popen(command, stdin=subprocess.PIPE, text=True))
            assert workers[-1].stdin is not None
            workers[-1].stdin.write(f"{scratch / name}\n")
            workers[-1].stdin.close()
        if any([worker.wait() for worker in workers]):
            raise CtvizError(f"A run of the benchmark failed; see the logs in {scratch}.")
        return time.perf_counter() - started

    return round(take("left", "right") / take("alone"), 2)


def _discovery(loaded: Loaded, edges: int) -> float:
    search = Search(task="sva-flip", edges=edges)
    batch, _ = search.pairs(loaded, search.found_on)

    def whole() -> None:
        measured(find(loaded, search), loaded, search)

    taken = take_turns(
        {"scoring": lambda: attribute(loaded.anatomy, batch), "all": whole},
        rounds=3,
        device=loaded.anatomy.device,
    )
    return round(median(taken["all"]) / median(taken["scoring"]), 2)


@contextmanager
def _baselines_in(folder: Path) -> Iterator[None]:
    """Keep what is measured of untuned models apart from what the user's runs have measured."""
    name = "CTVIZ_BASELINES"
    before = os.environ.get(name)
    os.environ[name] = str(folder)
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before
