"""The backbone of a circuit: its few strongest edges, and what share of its score they hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctviz.circuits.scores import Circuit, Scores

__all__ = ["FEW", "LEAST", "MOST", "SHARE", "Backbone", "backbone", "backbone_of"]

SHARE = 0.5  # of the circuit's sum of |score|, to be held by the backbone
LEAST, MOST = 20, 60  # edges of a backbone, even if they hold more or less
FEW = 80  # edges up to which a circuit is readable whole


@dataclass(frozen=True, slots=True, eq=False)
class Backbone:
    """The strongest edges of the circuit of each snapshot.

    ``sizes``: int [snapshot], how many they are; ``shares``: float [snapshot], what they hold of
    the circuit's sum of \\|score\\|, 0 to 1, NaN where that is 0; ``edges``: bool [snapshot, edge].
    """

    sizes: np.ndarray
    shares: np.ndarray
    edges: np.ndarray


def backbone(scores: np.ndarray, member: np.ndarray) -> Backbone:
    """The fewest edges, strongest first, that hold half of the sum of \\|score\\| over the circuit
    of a snapshot, but at least 20 and at most 60.

    ``scores`` float and ``member`` bool are [snapshot, edge]; scores that are not numbers count as
    0. Edges of equal size come in the order that they have.
    """
    size = np.where(member, np.abs(np.nan_to_num(scores.astype(np.float64))), -1.0)
    order = np.argsort(-size, axis=1, kind="stable")
    held = np.cumsum(np.maximum(np.take_along_axis(size, order, axis=1), 0), axis=1)
    total = np.maximum(size, 0).sum(axis=1)
    enough = (held < SHARE * total[:, None] * (1 - 1e-12)).sum(axis=1) + 1
    sizes = np.minimum(np.clip(enough, LEAST, MOST), member.sum(axis=1))
    shares = np.full(len(size), np.nan)
    edges = np.zeros(member.shape, dtype=bool)
    for at, count in enumerate(sizes):
        edges[at, order[at, :count]] = True
        if count and total[at] > 0:
            shares[at] = held[at, count - 1] / total[at]
    return Backbone(sizes, shares, edges)


def backbone_of(scores: Scores, circuit: Circuit) -> Circuit:
    """The backbone of one circuit."""
    found = backbone(scores.values.reshape(1, -1), circuit.mask.reshape(1, -1))
    return Circuit(circuit.graph, found.edges.reshape(circuit.mask.shape))
