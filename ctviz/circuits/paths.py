"""Which nodes of a circuit lie on a path through it.

A head passes a path on from any of its slots to its output; a shared key or value slot passes it on
to every head of its group. With ``together`` the heads of a layer are one, and the blocks of its
MLP are: a model in which the output of one depends on what its neighbours read.
"""

from __future__ import annotations

import numpy as np

from ctviz.circuits.graph import Graph

__all__ = ["fed", "useful"]


def fed(graph: Graph, mask: np.ndarray, *, together: bool = False) -> np.ndarray:
    """Sources that a path from ``input`` reaches: bool [source], for edges [source, slot]."""
    found = np.zeros(len(graph.sources), dtype=bool)
    slots = np.zeros(len(graph.slots), dtype=bool)  # at the end of a path
    for rows, columns in _steps(graph, together=together):
        found[rows] = rows.start == 0 or slots[columns].any(axis=-1)
        slots |= mask[rows][found[rows]].any(axis=0)
    return found


def useful(graph: Graph, mask: np.ndarray, *, together: bool = False) -> np.ndarray:
    """Sources from which a path leads to ``logits``: bool [source], for edges [source, slot]."""
    found = np.zeros(len(graph.sources), dtype=bool)
    slots = np.zeros(len(graph.slots), dtype=bool)  # at the beginning of a path
    slots[-1] = True
    for rows, columns in reversed(_steps(graph, together=together)):
        reaches = (mask[rows] & slots).any(axis=1)
        found[rows] = reaches.any() if together else reaches
        slots[columns[found[rows]]] = True
    return found


def _steps(graph: Graph, *, together: bool) -> list[tuple[slice, np.ndarray]]:
    """Sources that are written at once, and for each the columns of slots on which it depends.

    In the order in which they are written.
    """
    unit = np.arange(graph.n_heads)
    shared = unit // graph.group_size
    steps = [(slice(0, 1), np.zeros((1, 0), dtype=int))]
    for layer in range(graph.n_layers):
        rows, columns = graph.rows(layer), graph.columns(layer)
        starts = {kind: columns[kind].start for kind in ("q", "k", "v")}
        heads = np.stack([starts["q"] + unit, starts["k"] + shared, starts["v"] + shared], axis=1)
        blocks = np.arange(columns["mlp"].start, columns["mlp"].stop)[:, None]
        if together:
            heads = np.tile(np.unique(heads), (len(heads), 1))
            blocks = np.tile(blocks[:, 0], (len(blocks), 1))
        steps += [(rows["head"], heads), (rows["mlp"], blocks)]
    return steps
