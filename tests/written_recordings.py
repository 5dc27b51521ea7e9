"""Recordings of one series written without a model, small enough to do by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ctviz.runs import Run, RunWriter, open_run
from ctviz.runs.config import TuneConfig
from ctviz.runs.series import Member, Series
from ctviz.runs.snapshot import Snapshot
from tests.small_graph import GRAPH, circuit, scores

E1, E2, E3, E4 = "input->m0", "m0->logits", "input->a1.h0<q>", "m1->logits"
STEPS = (0, 1, 8, 512)
SERIES = Series("models", tuple(Member(step, "", f"/m/{step}") for step in STEPS))
ONE = ([E1], [E1, E2], [E1, E2, E4], [E1, E2, E3, E4])
OTHER = ([E4], [E3, E4], [E3, E4], [E3, E4])


def write(folder: Path, task: str, circuits=ONE, grades=(0.5, 0.5, 0.8, 0.9), **settings) -> Run:
    """A recording of `SERIES` with these circuits and grades."""
    config = SERIES.settings(TuneConfig(model="/m/0", task=task, edges=4, **settings))
    writer = RunWriter(folder, config, series=SERIES.to_dict())
    writer.describe(
        GRAPH,
        model={"name": "/m/0", "revision": "x"},
        task={"key": task, "title": task, "metric": "m", "judged_by": "accuracy"},
        examples=100,
    )
    shares = np.zeros(len(GRAPH.nodes), np.float32)
    for step, edges, grade in zip(STEPS, circuits, grades, strict=False):
        mask = circuit(*edges).mask
        found = scores(GRAPH, **dict.fromkeys(edges, 1.0)).values
        writer.snapshot(
            Snapshot(
                step=step,
                scores=found,
                circuit=mask,
                tuned=mask,
                redundancy={"circuit": shares, "mass": shares},
                metrics={"metric": 1.0, "accuracy": grade},
                probes=(),
            )
        )
    writer.status("finished", step=STEPS[-1])
    return open_run(str(folder))
