"""How a circuit changes over the steps of a run: pure numpy, from the stored snapshots.

A change of an edge's score between two snapshots is *noise* if it is no larger than twice the
standard error of the difference, sqrt(e1^2 + e2^2). Both snapshots are scored on the same dev
examples, so the true error of the difference is most often smaller: what is called a change here
is one with room to spare.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from ctviz.circuits.graph import Graph, layer_of
from ctviz.runs.snapshot import Snapshot

__all__ = ["change", "dynamics", "edge_changes", "layer_changes"]

BAND = 2.0  # standard errors


def change(before: Snapshot, after: Snapshot, graph: Graph) -> dict[str, float]:
    """What happened to the circuit between two snapshots, in numbers.

    ``overlap``: edges in both circuits by edges in either (Jaccard). ``entered``, ``left``: edges.
    ``strengthened``, ``weakened``: edges in both whose |score| grew or shrank beyond the noise
    band. ``beyond_noise``: share of all the graph's edges whose score changed beyond it; NaN
    without stored errors, as are the two before. ``change_depth``: where in depth the scores
    changed, the mean layer of the slots that read, weighted by |change|, from 0 (first layer) to 1
    (the logits); NaN if nothing changed.
    """
    both = before.circuit & after.circuit
    either = before.circuit | after.circuit
    moved = np.where(graph.exists, np.abs(after.scores - before.scores), 0.0)
    found = {
        "overlap": float(both.sum() / either.sum()) if either.any() else 1.0,
        "entered": float((after.circuit & ~before.circuit).sum()),
        "left": float((before.circuit & ~after.circuit).sum()),
    }
    beyond = _beyond_noise(before, after)
    grew = np.abs(after.scores) > np.abs(before.scores)
    known = beyond is not None
    found["strengthened"] = float((both & beyond & grew).sum()) if known else np.nan
    found["weakened"] = float((both & beyond & ~grew).sum()) if known else np.nan
    found["beyond_noise"] = float(beyond[graph.exists].mean()) if known else np.nan  # type: ignore[index]
    depth = np.array([layer_of(slot.name, graph.n_layers) for slot in graph.slots], dtype=float)
    total = moved.sum()
    mean = (moved.sum(axis=0) * depth).sum() / total if total else np.nan
    found["change_depth"] = float(mean / graph.n_layers)
    return found


def dynamics(snapshots: Iterable[Snapshot], graph: Graph) -> pd.DataFrame:
    """One row a snapshot: `change` since the one before and, as ``*_since_start``, since the first.

    ``redundancy_circuit`` and ``redundancy_mass`` are means over the nodes that have any. The first
    row has no change: NaN.
    """
    rows: list[dict[str, float]] = []
    first: Snapshot | None = None
    previous: Snapshot | None = None
    for snapshot in snapshots:
        row: dict[str, float] = {"step": snapshot.step}
        for name, values in snapshot.redundancy.items():
            known = values[~np.isnan(values)]
            row[f"redundancy_{name}"] = float(known.mean()) if known.size else np.nan
        if first is not None and previous is not None:
            row |= change(previous, snapshot, graph)
            since = change(first, snapshot, graph)
            row |= {f"{name}_since_start": value for name, value in since.items()}
        rows.append(row)
        first, previous = first or snapshot, snapshot
    return pd.DataFrame(rows)


def edge_changes(before: Snapshot, after: Snapshot, graph: Graph) -> pd.DataFrame:
    """One row for each edge of either circuit: edge, before, after, error, state.

    ``state``: entered, left, strengthened, weakened, or noise for what stayed in the circuit and
    changed by no more than the noise band. ``error`` is that of the difference, NaN if unknown.
    """
    either = np.argwhere(before.circuit | after.circuit)
    beyond = _beyond_noise(before, after)
    error = _error(before, after)
    rows = []
    for row, column in either:
        one, other = float(before.scores[row, column]), float(after.scores[row, column])
        if not before.circuit[row, column]:
            state = "entered"
        elif not after.circuit[row, column]:
            state = "left"
        elif beyond is not None and not beyond[row, column]:
            state = "noise"
        else:
            state = "strengthened" if abs(other) > abs(one) else "weakened"
        rows.append(
            {
                "edge": graph.edge_name(row, column),
                "before": one,
                "after": other,
                "error": np.nan if error is None else float(error[row, column]),
                "state": state,
            }
        )
    return pd.DataFrame(rows, columns=["edge", "before", "after", "error", "state"])


def layer_changes(snapshots: Sequence[Snapshot], graph: Graph) -> pd.DataFrame:
    """One row a snapshot and layer: how much reads of that layer changed since the first snapshot.

    ``change``: sum of |score - score at the first snapshot| over all edges that the layer reads, in
    units of the metric; ``circuit_edges``: those of the circuit that it reads. The layer after the
    last is the logits.
    """
    layer = np.array([layer_of(slot.name, graph.n_layers) for slot in graph.slots])
    rows = []
    for snapshot in snapshots:
        moved = np.abs(snapshot.scores - snapshots[0].scores).sum(axis=0, where=graph.exists)
        edges = snapshot.circuit.sum(axis=0)
        for at in range(graph.n_layers + 1):
            rows.append(
                {
                    "step": snapshot.step,
                    "layer": at,
                    "change": float(moved[layer == at].sum()),
                    "circuit_edges": int(edges[layer == at].sum()),
                }
            )
    return pd.DataFrame(rows, columns=["step", "layer", "change", "circuit_edges"])


def _error(before: Snapshot, after: Snapshot) -> np.ndarray | None:
    """Standard error of the difference of each score, None if it is not known."""
    if before.error is None or after.error is None:
        return None
    return np.sqrt(np.square(before.error) + np.square(after.error))


def _beyond_noise(before: Snapshot, after: Snapshot) -> np.ndarray | None:
    error = _error(before, after)
    return None if error is None else np.abs(after.scores - before.scores) > BAND * error
