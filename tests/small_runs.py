"""Small run directories with random snapshots, of two steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ctviz.runs import Run, RunWriter, open_run
from ctviz.runs.config import TuneConfig
from ctviz.runs.snapshot import ProbeReading, Snapshot, StepRecord
from tests.small_graph import GRAPH

__all__ = ["ABOUT", "CONFIG", "record", "snapshot", "write"]

CONFIG = TuneConfig(model="tiny", task="sva-flip", steps=4, edges=5)
ABOUT = {
    "model": {"name": "tiny", "revision": "x"},
    "task": {"key": "sva-flip", "title": "t", "metric": "m"},
    "examples": 3,
}


def snapshot(step: int, seed: int = 0) -> Snapshot:
    draw = np.random.default_rng(seed + step)
    scores = np.where(GRAPH.exists, draw.normal(size=GRAPH.exists.shape), 0).astype(np.float32)
    probe = ProbeReading(
        tokens=("The", " keys<b>"),
        answer=" are",
        foil=" is",
        attention=draw.random((2, 2, 2, 2)).astype(np.float16),
        top=((" are", 0.5), (" is", 0.25)),
        attribution=draw.normal(size=len(GRAPH.nodes)).astype(np.float32),
        chances=(0.5, 0.125),
    )
    return Snapshot(
        step=step,
        scores=scores,
        circuit=GRAPH.exists & (scores > 0.5),
        tuned=GRAPH.exists & (scores < -0.5),
        redundancy={
            "circuit": draw.random(len(GRAPH.nodes)).astype(np.float32),
            "mass": draw.random(len(GRAPH.nodes)).astype(np.float32),
        },
        metrics={"metric": float(step), "accuracy": 0.5},
        probes=(probe,),
        error=draw.random(GRAPH.exists.shape).astype(np.float32),
    )


def record(step: int) -> StepRecord:
    return StepRecord(step, 2.5, 0, 0.25, 5, 1.0, 1e-4, 16, 0.1)


def write(folder: Path, *, state: str = "finished") -> Run:
    writer = RunWriter(folder, CONFIG)
    writer.describe(GRAPH, **ABOUT)
    writer.snapshot(snapshot(0))
    for step in (1, 2):
        writer.record(record(step))
    writer.snapshot(snapshot(2))
    writer.status(state, step=2, rate=1.5)
    return open_run(folder.name, folder.parent)
