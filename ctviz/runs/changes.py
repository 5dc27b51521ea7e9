"""How a circuit changes over the steps of a run: pure numpy, from the stored snapshots.

A change of an edge's score between two snapshots is *noise* if it is no larger than `NOISE_BAND`
standard errors of the difference, sqrt(e1^2 + e2^2). An edge is *reversed* if it has the other sign
and both scores are larger than as many standard errors of their own: it is neither stronger nor
weaker then, but argues for the other side. `edge_states` is the one place that says so in
Python, as ``ctviz/player/changes.js``, which is sent the band, is in the browser. Both snapshots
are scored on the same dev examples, so the true error of the difference is most often smaller: what
is called a change here is one with room to spare.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ctviz.circuits.graph import Graph, layer_of
from ctviz.runs.snapshot import Snapshot

__all__ = [
    "NOISE_BAND",
    "EdgeStates",
    "change",
    "changes",
    "dynamics",
    "edge_changes",
    "edge_states",
    "layer_changes",
    "overlap",
]

NOISE_BAND = 2.0  # standard errors


@dataclass(frozen=True, slots=True, eq=False)
class EdgeStates:
    """What became of edges from one snapshot to another; arrays of one shape, whatever it is.

    ``entered``, ``left``, ``stayed``: bool, of the circuit. ``grew``: bool, whether |score| did.
    ``error``: float, the standard error of the score's difference, NaN where it is not known.
    ``noise``, ``beyond``: bool, whether the score is known to have changed by no more than the
    noise band, or by more; both False where the error is not known. ``reversed``: bool, of edges
    that stayed, whether their sign turned; such a change is beyond noise.
    """

    entered: np.ndarray
    left: np.ndarray
    stayed: np.ndarray
    grew: np.ndarray
    error: np.ndarray
    noise: np.ndarray
    beyond: np.ndarray
    reversed: np.ndarray


def edge_states(
    circuits: tuple[np.ndarray, np.ndarray],
    scores: tuple[np.ndarray, np.ndarray],
    errors: tuple[np.ndarray | None, np.ndarray | None],
) -> EdgeStates:
    """Compare edges before and after: (before, after) of each, with None for unknown errors."""
    (was, now), (old, new), (one, other) = circuits, scores, errors
    if one is None or other is None:
        error = np.full(old.shape, np.nan)
        sure = np.zeros(old.shape, dtype=bool)
    else:
        error = np.sqrt(np.square(one) + np.square(other))
        sure = (np.abs(old) > NOISE_BAND * one) & (np.abs(new) > NOISE_BAND * other)
    moved, band = np.abs(new - old), NOISE_BAND * error
    return EdgeStates(
        entered=now & ~was,
        left=was & ~now,
        stayed=was & now,
        grew=np.abs(new) > np.abs(old),
        error=error,
        noise=moved <= band,
        beyond=moved > band,
        reversed=was & now & sure & (np.sign(old) != np.sign(new)),
    )


def changes(earlier: Sequence[Snapshot], now: Snapshot, graph: Graph) -> dict[str, float]:
    """What a snapshot's metrics say of the change since the last of some earlier ones, and
    with ``_since_start`` in their names since the first; nothing if there are none."""
    if not earlier:
        return {}
    since = change(earlier[0], now, graph)
    return change(earlier[-1], now, graph) | {f"{n}_since_start": v for n, v in since.items()}


def change(before: Snapshot, after: Snapshot, graph: Graph) -> dict[str, float]:
    """What happened to the circuit between two snapshots, in numbers.

    ``overlap``: edges in both circuits by edges in either (Jaccard). ``entered``, ``left``: edges.
    ``strengthened``, ``weakened``: edges in both whose |score| grew or shrank beyond the noise
    band, and ``reversed``: those whose sign turned instead. ``beyond_noise``: share of all the
    graph's edges whose score changed beyond it; NaN without stored errors, as are the three before.
    ``change_depth``: where in depth the scores
    changed, the mean layer of the slots that read, weighted by |change|, from 0 (first layer) to 1
    (the logits); NaN if nothing changed.
    """
    found = _states(before, after)
    either = before.circuit | after.circuit
    moved = np.where(graph.exists, np.abs(after.scores - before.scores), 0.0)
    known = before.error is not None and after.error is not None
    changed = found.stayed & found.beyond & ~found.reversed
    depth = np.array([layer_of(slot.name, graph.n_layers) for slot in graph.slots], dtype=float)
    total = moved.sum()
    mean = (moved.sum(axis=0) * depth).sum() / total if total else np.nan
    return {
        "overlap": float(found.stayed.sum() / either.sum()) if either.any() else 1.0,
        "entered": float(found.entered.sum()),
        "left": float(found.left.sum()),
        "strengthened": float((changed & found.grew).sum()) if known else np.nan,
        "weakened": float((changed & ~found.grew).sum()) if known else np.nan,
        "reversed": float(found.reversed.sum()) if known else np.nan,
        "beyond_noise": float(found.beyond[graph.exists].mean()) if known else np.nan,
        "change_depth": float(mean / graph.n_layers),
    }


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

    ``state``: entered, left, strengthened, weakened, reversed, or noise for what stayed in the
    circuit and changed by no more than the noise band. ``error`` is that of the difference, NaN if
    unknown.
    """
    found = _states(before, after)
    states = np.select(
        [found.entered, found.left, found.reversed, found.noise, found.grew],
        ["entered", "left", "reversed", "noise", "strengthened"],
        "weakened",
    )
    rows = [
        {
            "edge": graph.edge_name(row, column),
            "before": float(before.scores[row, column]),
            "after": float(after.scores[row, column]),
            "error": float(found.error[row, column]),
            "state": str(states[row, column]),
        }
        for row, column in np.argwhere(before.circuit | after.circuit)
    ]
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


def _states(before: Snapshot, after: Snapshot) -> EdgeStates:
    return edge_states(
        (before.circuit, after.circuit), (before.scores, after.scores), (before.error, after.error)
    )


def overlap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Edges in both circuits by edges in either (Jaccard), over the last two axes; 1 if none."""
    both = (one & other).sum(axis=(-2, -1))
    either = (one | other).sum(axis=(-2, -1))
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)
