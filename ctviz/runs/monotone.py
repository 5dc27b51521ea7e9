"""Edges that only strengthened or only weakened over a run: the self-organization of the paper.

Circuit-tuning (arXiv 2502.06106) sees edges that get stronger all along and others that fade. Here
such an edge is one whose \\|score\\|

1. at the last snapshot differs from that at the first by more than the noise band, and
2. at no snapshot falls back by more than the noise band from where it had got to: from the largest
   before, if it strengthens, from the smallest, if it weakens.

The noise band is `ctviz.runs.changes.NOISE_BAND` standard errors of the difference of two scores,
as for every other change. From fewer than three snapshots, or without standard errors, nothing is
said.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ctviz.circuits.graph import Graph
from ctviz.runs.changes import NOISE_BAND

__all__ = ["LEAST", "RULE", "monotone_edges", "monotone_scores"]

LEAST = 3  # snapshots
COLUMNS = ["edge", "direction", "first", "last", "error", "in_circuit"]
RULE = (
    "Its |score| ends beyond the noise (two standard errors) from where it began, and at no "
    "snapshot goes back by more than the noise from where it had got to."
)


def monotone_scores(scores: np.ndarray, errors: np.ndarray | None) -> np.ndarray:
    """int8, the shape of a snapshot's scores: 1 where an edge only strengthened, -1 where it only
    weakened, else 0.

    ``scores``, ``errors``: float [T, ...], the scores and their standard errors, which may be NaN.
    """
    found = np.zeros(scores.shape[1:], dtype=np.int8)
    if errors is None or len(scores) < LEAST:
        return found
    for direction in (1, -1):
        size = direction * np.abs(scores).astype(np.float64)
        peak, of_peak = size[0], np.square(errors[0], dtype=np.float64)
        kept = _rise(size[0], size[-1], of_peak, errors[-1]) > 0
        for now, error in zip(size[1:], errors[1:], strict=True):
            kept &= _rise(now, peak, np.square(error, dtype=np.float64), np.sqrt(of_peak)) <= 0
            higher = now > peak
            peak = np.where(higher, now, peak)
            of_peak = np.where(higher, np.square(error, dtype=np.float64), of_peak)
        known = np.isfinite(errors).all(axis=0)
        found[kept & known] = direction
    return found


def _rise(low: np.ndarray, high: np.ndarray, variance: np.ndarray, error: np.ndarray) -> np.ndarray:
    """By how much ``high`` is above ``low`` beyond the noise band, negative inside of it."""
    band = NOISE_BAND * np.sqrt(variance + np.square(error, dtype=np.float64))
    rise: np.ndarray = high - low - band
    return rise


def monotone_edges(
    scores: Sequence[np.ndarray],
    errors: Sequence[np.ndarray] | None,
    circuits: Sequence[np.ndarray],
    graph: Graph,
) -> pd.DataFrame:
    """One row an edge that only strengthened or weakened, of those that are in the circuit at any
    snapshot: edge, direction, first, last, error, in_circuit.

    ``scores`` and ``errors``: float [source, slot] of each snapshot; ``circuits``: bool.
    ``direction`` is strengthened or weakened; ``first``, ``last``: its scores, in units of the
    metric; ``error``: the standard error of their difference; ``in_circuit``: at how many of the
    snapshots it is in the circuit. The largest change of \\|score\\| comes first.
    """
    if not len(scores) or errors is None:
        return pd.DataFrame(columns=COLUMNS)
    union = np.any(circuits, axis=0)
    values, known = (np.stack([each[union] for each in arrays]) for arrays in (scores, errors))
    inside = np.sum([each[union] for each in circuits], axis=0)
    found = monotone_scores(values, known)
    rows = [
        {
            "edge": graph.edge_name(row, column),
            "direction": "strengthened" if found[at] > 0 else "weakened",
            "first": float(values[0, at]),
            "last": float(values[-1, at]),
            "error": float(np.hypot(known[0, at], known[-1, at])),
            "in_circuit": int(inside[at]),
        }
        for at, (row, column) in enumerate(np.argwhere(union))
        if found[at]
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    change = (table["last"].abs() - table["first"].abs()).abs()
    return table.loc[change.sort_values(ascending=False, kind="stable").index]
