"""Scores and circuits by the names of their edges, on a graph small enough to do by hand."""

from __future__ import annotations

import numpy as np

from ctviz.circuits.graph import Graph
from ctviz.circuits.scores import Circuit, Scores

GRAPH = Graph(2, 2)


def scores(graph: Graph = GRAPH, **edges: float) -> Scores:
    values = np.zeros(graph.exists.shape, dtype=np.float32)
    for name, value in edges.items():
        values[graph.edge(name)] = value
    return Scores(graph, values)


def circuit(*edges: str, graph: Graph = GRAPH) -> Circuit:
    mask = np.zeros(graph.exists.shape, dtype=bool)
    for name in edges:
        mask[graph.edge(name)] = True
    return Circuit(graph, mask)
