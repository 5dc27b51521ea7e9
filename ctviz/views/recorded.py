"""A run on disk as the player's Timeline."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from ctviz.circuits.graph import Graph
from ctviz.circuits.redundancy import circuit_redundancy, mass_redundancy
from ctviz.circuits.scores import Circuit, Scores
from ctviz.errors import CtvizError, DamagedRun
from ctviz.files import written
from ctviz.runs import Run
from ctviz.runs.config import METHOD_NAMES
from ctviz.runs.directory import read_snapshot
from ctviz.runs.groups import NodeGroup
from ctviz.runs.snapshot import Snapshot
from ctviz.views.timeline import Curve, Probe, Timeline

__all__ = ["recorded"]

FAITHFUL = "share of the behaviour that the circuit alone carries, on {dev}"
KL = "mean KL a token on neutral text, untuned model against this one, at each snapshot"
DRIFT = "parts of the model that the step did not own and that moved all the same, counted"

CURVES = (
    # column, label, panel, kind, where the numbers come from
    ("metric", "metric", "metric", "main", "mean of {metric} over {dev}, at each snapshot"),
    ("faithfulness", "circuit", "faithfulness", "main", FAITHFUL),
    ("random_faithfulness", "random circuit", "faithfulness", "reference", FAITHFUL),
    ("retention_kl", "KL from the untuned model", "retention", "main", KL),
    ("loss", "training loss", "loss", "main", "mean over the training batch of each step"),
    ("{judged_by}", "{judged_by}", "grade", "main", "the task's own grade on {dev}"),
    ("other_accuracy", "mean", "others", "main", "other tasks that the untuned model could do"),
    ("perplexity", "on English text", "perplexity", "main", "on held-out text, at each snapshot"),
    ("outside_moved", "parts", "drift", "main", DRIFT),
)


def recorded(
    run: Run,
    *,
    damaged: list[DamagedRun] | None = None,
    groups: tuple[NodeGroup, ...] = (),
) -> Timeline | None:
    """What the player shows of a run as it is on disk now; None until its model is loaded.

    Damaged snapshots are left out and put into ``damaged``. Raises DamagedRun if the run cannot be
    read, or says too little of itself.
    """
    try:
        graph = run.graph
        return None if graph is None else _timeline(run, graph, damaged, groups)
    except CtvizError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DamagedRun(f"{run.folder} cannot be shown: {error!r}.") from error


def _timeline(
    run: Run, graph: Graph, damaged: list[DamagedRun] | None, groups: tuple[NodeGroup, ...]
) -> Timeline:
    snapshots = list(run.snapshots(damaged=damaged, read=_snapshot))
    config, about, count = run.config, run.about, len(snapshots)
    tuned = np.array([_touched(graph, s.tuned) for s in snapshots]).reshape(count, len(graph.nodes))
    words = {
        "metric": about["task"]["metric"],
        "dev": f"{about['examples']} dev pairs",
        "judged_by": about["task"].get("judged_by", "accuracy"),
    }
    made = f"run {run.id}, {METHOD_NAMES[config.method]}, seed {config.seed}"
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
        updated=tuned.astype(bool),
        redundancy={
            key: _stack([s.redundancy[key] for s in snapshots], (len(graph.nodes),), np.float32)
            for key in ("circuit", "mass")
        },
        curves=_curves(run.metrics(), snapshots[-1].step if snapshots else -1, words, made),
        probes=_probes(snapshots),
        errors=_errors(snapshots, graph),
        split=_split(snapshots, graph),
        quality=_quality(snapshots),
        groups=groups,
        provenance={
            "scores": (
                f"edge attribution patching on {words['dev']}, {config.ablation} ablation; {made}"
            ),
            "redundancy": f"from the scores and the circuit of this step, {words['dev']}; {made}",
            "quality": f"measured by running the circuit alone on {words['dev']}; {made}",
            "probes": f"one prompt, run at every snapshot; {made}",
        },
    )


def _snapshot(file: Path, graph: Graph | None) -> Snapshot:
    return _kept(file, written(file), graph)


@lru_cache(maxsize=512)
def _kept(file: Path, changed: int | None, graph: Graph | None) -> Snapshot:
    """A snapshot file never changes once it is there; ``changed`` is its time of writing."""
    return read_snapshot(file, graph)


@lru_cache(maxsize=512)
def _inputs(snapshot: Snapshot, graph: Graph) -> tuple[np.ndarray, np.ndarray]:
    """float [head, 3] by the estimators circuit and mass, of one snapshot."""
    circuit = circuit_redundancy(Circuit(graph, snapshot.circuit))
    mass = mass_redundancy(Scores(graph, np.nan_to_num(snapshot.scores)))
    return circuit.by_input(), mass.by_input()


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


def _errors(snapshots: list[Snapshot], graph: Graph) -> np.ndarray | None:
    """float32 [T, source, slot], NaN at snapshots that kept none; None if none of them has any."""
    if all(s.error is None for s in snapshots):
        return None
    unknown = np.full(graph.exists.shape, np.nan, dtype=np.float32)
    return np.stack([unknown if s.error is None else s.error for s in snapshots])


def _split(snapshots: list[Snapshot], graph: Graph) -> dict[str, np.ndarray]:
    """float32 [T, head, 3] by estimator: redundancy of each head's query, key and value."""
    both = [_inputs(s, graph) for s in snapshots]
    shape = (graph.n_layers * graph.n_heads, 3)
    return {
        "circuit": _stack([circuit for circuit, _ in both], shape, np.float32),
        "mass": _stack([mass for _, mass in both], shape, np.float32),
    }


def _quality(snapshots: list[Snapshot]) -> np.ndarray:
    """float [T, 3]: faithfulness, random circuits', standard error of the first; NaN if unknown."""
    names = ("faithfulness", "random_faithfulness", "faithfulness_error")
    rows = [[_number(s.metrics.get(name)) for name in names] for s in snapshots]
    return np.array(rows, dtype=float).reshape(len(snapshots), 3)


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _curves(
    metrics: pd.DataFrame, last: int, words: dict[str, str], made: str
) -> tuple[Curve, ...]:
    """Curves up to the last snapshot: a live run's metrics are a few steps ahead of it."""
    curves = []
    for name, label, panel, kind, note in CURVES:
        column = name.format(**words)
        if column in metrics:
            values = metrics[["step", column]].dropna()
            values = values[values["step"] <= last]
            if len(values):
                curves.append(
                    Curve(
                        key=column,
                        label=label.format(**words),
                        panel=panel,
                        steps=values["step"].to_numpy(dtype=int),
                        values=values[column].to_numpy(dtype=float),
                        kind=kind,  # type: ignore[arg-type]
                        note=f"{note.format(**words)}; {made}",
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
