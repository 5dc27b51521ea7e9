"""Scores of edges, circuits selected from them, and what follows: paths, redundancy.

Pure numpy: nothing here runs a model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ctviz.errors import OutOfRange, UndefinedMetric
from ctviz.graph import Graph

__all__ = [
    "Circuit",
    "Scores",
    "prune_dead_ends",
    "random_circuit",
    "redundancy_circuit",
    "redundancy_mass",
    "top_edges",
]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """One score per edge: metric(clean) - metric(that edge alone corrupted), or its estimate.

    ``values``: float32 [source, slot], mean over examples, in units of the metric (logits for a
    logit difference). Positive: the edge supports the behaviour; negative: it works against it.
    Zero where no edge exists.
    """

    graph: Graph
    values: np.ndarray

    def __post_init__(self) -> None:
        shape = self.graph.exists.shape
        if self.values.shape != shape:
            raise ValueError(f"scores have shape {self.values.shape}, but the graph is {shape}.")
        if not np.isfinite(self.values).all():
            row, column = np.argwhere(~np.isfinite(self.values))[0]
            raise UndefinedMetric(
                f"The score of {self.graph.edge_name(row, column)} is not a finite number; the "
                "model's activations or the metric contain NaN or infinity."
            )

    def frame(self) -> pd.DataFrame:
        """Tidy table: one row an edge, with columns edge, source, slot, node, kind, score."""
        rows, columns = np.nonzero(self.graph.exists)
        slots = self.graph.slots
        return pd.DataFrame(
            {
                "edge": [self.graph.edge_name(r, c) for r, c in zip(rows, columns, strict=True)],
                "source": [self.graph.sources[r] for r in rows],
                "slot": [slots[c].name for c in columns],
                "node": [slots[c].name.split("<")[0] for c in columns],
                "kind": [slots[c].kind for c in columns],
                "score": self.values[rows, columns],
            }
        )


@dataclass(frozen=True, slots=True, eq=False)
class Circuit:
    """A set of edges. ``mask``: bool [source, slot], true for the edges inside."""

    graph: Graph
    mask: np.ndarray

    def __post_init__(self) -> None:
        if self.mask.shape != self.graph.exists.shape:
            raise ValueError(
                f"circuit has shape {self.mask.shape}, but the graph is {self.graph.exists.shape}."
            )
        if (self.mask & ~self.graph.exists).any():
            row, column = np.argwhere(self.mask & ~self.graph.exists)[0]
            raise ValueError(
                f"{self.graph.edge_name(row, column)} is in the circuit, but the model has no such "
                "edge: its source is written after its destination is read."
            )

    @property
    def n_edges(self) -> int:
        """Number of edges inside."""
        return int(self.mask.sum())

    def edges(self) -> list[str]:
        """Names of the edges inside, in row order."""
        return [self.graph.edge_name(r, c) for r, c in np.argwhere(self.mask)]

    def writers(self) -> list[str]:
        """Sources with an edge inside the circuit, in row order."""
        return [self.graph.sources[r] for r in np.flatnonzero(self.mask.any(axis=1))]

    def readers(self) -> list[str]:
        """Names of the slots with an edge inside the circuit, in column order."""
        return [self.graph.slots[c].name for c in np.flatnonzero(self.mask.any(axis=0))]


def top_edges(scores: Scores, n_edges: int, *, prune: bool = False) -> Circuit:
    """The ``n_edges`` edges of largest \\|score\\|; ties go to the earlier row, then column.

    With ``prune``, edges on no path from ``input`` to ``logits`` are then dropped, so the result
    can be smaller. Raises OutOfRange unless 1 <= n_edges <= the edges of the graph.
    """
    graph = scores.graph
    if not 1 <= n_edges <= graph.n_edges:
        raise OutOfRange("edges", n_edges, 1, graph.n_edges)
    flat = np.flatnonzero(graph.exists)
    order = np.argsort(-np.abs(scores.values.ravel()[flat]), kind="stable")
    mask = np.zeros(graph.exists.size, dtype=bool)
    mask[flat[order[:n_edges]]] = True
    circuit = Circuit(graph, mask.reshape(graph.exists.shape))
    return prune_dead_ends(circuit) if prune else circuit


def random_circuit(graph: Graph, n_edges: int, *, seed: int) -> Circuit:
    """``n_edges`` edges drawn uniformly without replacement."""
    if not 1 <= n_edges <= graph.n_edges:
        raise OutOfRange("edges", n_edges, 1, graph.n_edges)
    flat = np.flatnonzero(graph.exists)
    chosen = np.random.default_rng(seed).choice(flat, size=n_edges, replace=False)
    mask = np.zeros(graph.exists.size, dtype=bool)
    mask[chosen] = True
    return Circuit(graph, mask.reshape(graph.exists.shape))


def prune_dead_ends(circuit: Circuit) -> Circuit:
    """Drop edges that lie on no path from ``input`` to ``logits``.

    A head passes a path on from any of its slots to its output; a shared key or value slot passes
    it on to every head of its group.
    """
    graph, mask = circuit.graph, circuit.mask
    n = len(graph.sources)
    feeds = graph.feeds[:, :n]  # slots -> sources
    fed: np.ndarray = np.zeros(n, dtype=bool)  # can be reached from input
    fed[0] = True
    for row in range(1, n):  # sources are in the order in which they are written
        fed[row] = (mask[fed].any(axis=0) & feeds[:, row]).any()
    useful = np.zeros(n, dtype=bool)  # reaches logits
    for row in range(n - 1, -1, -1):
        slots = mask[row]
        useful[row] = slots[-1] or (feeds[slots] & useful).any()
    slot_useful = np.asarray((feeds & useful).any(axis=1))
    slot_useful[-1] = True
    return Circuit(graph, mask & fed[:, None] & slot_useful[None, :])


def redundancy_circuit(circuit: Circuit) -> np.ndarray:
    """Node redundancy (D - d) / D with d = incoming edges inside the circuit: float [node].

    NaN for ``input``, which has no incoming edges. Circuit-tuning, arXiv 2502.06106 v1.
    """
    graph = circuit.graph
    return _share(graph, circuit.mask.sum(axis=0) @ graph.feeds.astype(int))


def redundancy_mass(scores: Scores, *, tau: float = 0.9) -> np.ndarray:
    """Node redundancy (D - d) / D with d = fewest incoming edges that carry ``tau`` of the mass.

    The mass of a node is the sum of \\|score\\| over its incoming edges; after the d90 of Li et al.
    2018, arXiv 1804.08838. A node without any mass needs no edge: d = 0. float [node], NaN for
    ``input``. Raises OutOfRange unless 0 < tau <= 1.
    """
    if not 0 < tau <= 1:
        raise OutOfRange("tau", tau, 0, 1)
    graph = scores.graph
    needed = np.zeros(len(graph.nodes), dtype=int)
    size = np.abs(scores.values).astype(np.float64)
    for index in range(len(graph.nodes)):
        slots = graph.feeds[:, index]
        incoming = np.sort(size[:, slots][graph.exists[:, slots]])[::-1]
        total = incoming.sum()
        if total > 0:
            carried = np.cumsum(incoming) >= tau * total * (1 - 1e-12)
            needed[index] = int(np.argmax(carried)) + 1
    return _share(graph, needed)


def _share(graph: Graph, needed: np.ndarray) -> np.ndarray:
    degrees = graph.degrees
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(degrees > 0, (degrees - needed) / degrees, np.nan)
