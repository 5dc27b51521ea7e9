"""A run on disk as the player's Timeline."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from ctviz.errors import DamagedRun
from ctviz.graph import Graph
from ctviz.runs import Run
from ctviz.runs.directory import read_snapshot
from ctviz.snapshot import Snapshot
from ctviz.views.timeline import Curve, Probe, Timeline

__all__ = ["recorded"]

CURVES = (
    # column, label, panel, kind
    ("metric", "metric", "metric", "main"),
    ("faithfulness", "circuit", "faithfulness", "main"),
    ("random_faithfulness", "random circuit of that size", "faithfulness", "reference"),
    ("retention_kl", "KL from the untuned model", "retention", "main"),
    ("loss", "training loss", "loss", "main"),
)


def recorded(run: Run, *, damaged: list[DamagedRun] | None = None) -> Timeline | None:
    """What the player shows of a run as it is on disk now; None until its model is loaded.

    Damaged snapshots are left out and put into ``damaged``. Raises DamagedRun if ``run.json`` or
    ``status.json`` cannot be read.
    """
    graph = run.graph
    if graph is None:
        return None
    snapshots: list[Snapshot] = []
    for file in run.snapshot_files():
        try:
            snapshots.append(_snapshot(file, file.stat().st_mtime_ns, graph))
        except DamagedRun as error:
            if damaged is not None:
                damaged.append(error)
    config, about, count = run.config, run.about, len(snapshots)
    tuned = np.array([_touched(graph, s.tuned) for s in snapshots]).reshape(count, -1)
    return Timeline(
        run=run.id,
        title=about["task"]["title"],
        model=about["model"]["name"],
        task=about["task"]["key"],
        method=config.method,
        metric=about["task"]["metric"],
        state=run.status().state,
        examples=about["examples"],
        source=(
            f"edge attribution patching on {about['examples']} dev pairs, "
            f"{config.ablation} ablation, seed {config.seed}"
        ),
        graph=graph,
        n_edges=config.edges,
        steps=[s.step for s in snapshots],
        scores=_stack([s.scores for s in snapshots], graph.exists.shape, np.float32),
        circuit=_stack([s.circuit for s in snapshots], graph.exists.shape, bool),
        updated=tuned if count else np.zeros((0, len(graph.nodes)), dtype=bool),
        redundancy={
            key: _stack([s.redundancy[key] for s in snapshots], (len(graph.nodes),), np.float32)
            for key in ("circuit", "mass")
        },
        curves=_curves(run.metrics(), last=snapshots[-1].step if snapshots else -1),
        probes=_probes(snapshots),
    )


@lru_cache(maxsize=256)
def _snapshot(file: Path, changed: int, graph: Graph) -> Snapshot:
    """A snapshot file never changes once it is there; ``changed`` is its time of writing."""
    return read_snapshot(file, graph)


def _stack(arrays: list[np.ndarray], shape: tuple[int, ...], dtype: type) -> np.ndarray:
    return np.stack(arrays) if arrays else np.zeros((0, *shape), dtype=dtype)


def _touched(graph: Graph, tuned: np.ndarray) -> np.ndarray:
    """bool [node]: whether the update moved parameters that the node owns.

    ``input`` and ``logits`` own none; a head's share of a key or value slot counts as its own.
    """
    touched = np.zeros(len(graph.nodes), dtype=bool)
    touched[: len(graph.sources)] |= tuned.any(axis=1)
    touched |= tuned.any(axis=0) @ graph.feeds
    touched[[0, -1]] = False
    return touched


def _curves(metrics: pd.DataFrame, *, last: int) -> tuple[Curve, ...]:
    """Curves up to the last snapshot: a live run's metrics are a few steps ahead of it."""
    curves = []
    for column, label, panel, kind in CURVES:
        if column in metrics:
            values = metrics[["step", column]].dropna()
            values = values[values["step"] <= last]
            if len(values):
                curves.append(
                    Curve(
                        key=column,
                        label=label,
                        panel=panel,
                        steps=values["step"].to_numpy(dtype=int),
                        values=values[column].to_numpy(dtype=float),
                        kind=kind,  # type: ignore[arg-type]
                    )
                )
    return tuple(curves)


def _probes(snapshots: list[Snapshot]) -> tuple[Probe, ...]:
    if not snapshots:
        return ()
    probes = []
    for index, first in enumerate(snapshots[0].probes):
        readings = [s.probes[index] for s in snapshots]
        probes.append(
            Probe(
                label="".join(first.tokens),
                tokens=list(first.tokens),
                answer=first.answer,
                foil=first.foil,
                predictions=[list(reading.top) for reading in readings],
                attention=np.stack([reading.attention for reading in readings]),
                attribution=np.stack([reading.attribution for reading in readings]),
            )
        )
    return tuple(probes)
