"""Random circuits of a size: what a circuit is compared with.

1. ``uniform``    edges drawn one by one, whatever they are. In a large model most of a few hundred
   such edges lie on no path from ``input`` to ``logits``, and often none does: then the circuit is
   cut off and carries nothing, whatever its edges are.
2. ``connected``  grown at random back from ``logits``: every edge lies on a path from ``input`` to
   ``logits``.
3. ``degrees``    the circuit itself with its edges exchanged at random, so that every source keeps
   the number of its edges and every slot too.

``RANDOM`` holds the three by name, all called as ``draw(circuit, seed)``.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

import numpy as np

from ctviz.circuits.choices import RandomKind
from ctviz.circuits.graph import Graph
from ctviz.circuits.scores import Circuit
from ctviz.circuits.selection import check_edges

__all__ = [
    "RANDOM",
    "RANDOM_NAMES",
    "Seed",
    "beats_random",
    "connected_circuit",
    "random_circuit",
    "rewired",
]

Seed = int | Sequence[int]
TRIES = 20  # to draw a connected circuit of just the size that is asked for
EXCHANGES = 10  # tried for each edge; more change nothing that can be seen


def random_circuit(graph: Graph, n_edges: int, *, seed: Seed) -> Circuit:
    """``n_edges`` edges drawn uniformly without replacement."""
    check_edges(graph, n_edges)
    flat = np.flatnonzero(graph.exists)
    chosen = np.random.default_rng(seed).choice(flat, size=n_edges, replace=False)
    mask = np.zeros(graph.exists.size, dtype=bool)
    mask[chosen] = True
    return Circuit(graph, mask.reshape(graph.exists.shape))


def connected_circuit(graph: Graph, n_edges: int, *, seed: Seed) -> Circuit:
    """``n_edges`` edges, each on a path from ``input`` to ``logits``, grown at random.

    The first edge goes into ``logits``, and each further one into what is reached already; a source
    that nothing leads to yet gets a random path from ``input`` with it. Where the last edges cannot
    all be had in that way, as in a circuit of nearly all edges, they are drawn uniformly.
    """
    check_edges(graph, n_edges)
    rng = np.random.default_rng(seed)
    for _ in range(TRIES):
        mask, left = _grown(graph, n_edges, rng)
        if not left:
            break
    else:
        rest = np.flatnonzero(graph.exists & ~mask)
        mask.ravel()[rng.choice(rest, size=left, replace=False)] = True
    return Circuit(graph, mask)


def _grown(graph: Graph, n_edges: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Edges on paths from input to logits, bool [source, slot], and how many are missing yet."""
    n_sources = len(graph.sources)
    slots_of = [np.flatnonzero(graph.feeds[:, node]) for node in range(len(graph.nodes))]
    order = rng.random(graph.exists.shape)
    mask = np.zeros(graph.exists.shape, dtype=bool)
    fed = np.zeros(len(graph.nodes), dtype=bool)  # has an edge in, or needs none
    fed[0] = True
    known = np.zeros(len(graph.slots), dtype=bool)  # slots whose edges are candidates
    heap: list[tuple[float, int, int]] = []

    def reach(node: int) -> None:
        for column in slots_of[node]:
            if not known[column]:
                known[column] = True
                for row in range(graph.slots[column].n_sources):
                    heapq.heappush(heap, (order[row, column], row, int(column)))

    def path(row: int, room: int) -> list[tuple[int, int]]:
        """Random edges that lead from input, or from what is fed, to a source; at most ``room``."""
        edges: list[tuple[int, int]] = []
        while not fed[row]:
            column = int(rng.choice(slots_of[row]))
            last = len(edges) + 1 == room
            source = 0 if last else int(rng.integers(graph.slots[column].n_sources))
            edges.append((source, column))
            row = source
        return edges

    reach(n_sources)
    left = n_edges
    while left and heap:
        _, row, column = heapq.heappop(heap)
        if mask[row, column] or (left == 1 and not fed[row]):
            continue
        edges = [(row, column), *path(row, left - 1)]
        for source, slot in edges:
            mask[source, slot] = True
            fed |= graph.feeds[slot]
            if source:
                reach(source)
        left -= len(edges)
    return mask, left


def rewired(circuit: Circuit, *, seed: Seed) -> Circuit:
    """A circuit with its edges exchanged: u -> v and w -> x become u -> x and w -> v.

    Every source and every slot keeps the number of its edges (Maslov and Sneppen 2002, Science
    296:910). Where no exchange is possible it is the same circuit.
    """
    rng = np.random.default_rng(seed)
    exists, mask = circuit.graph.exists, circuit.mask.copy()
    rows, columns = np.nonzero(mask)
    for one, other in rng.integers(max(1, len(rows)), size=(EXCHANGES * len(rows), 2)):
        a, b = (rows[one], columns[other]), (rows[other], columns[one])
        if exists[a] and exists[b] and not mask[a] and not mask[b]:
            mask[rows[one], columns[one]] = mask[rows[other], columns[other]] = False
            mask[a] = mask[b] = True
            columns[one], columns[other] = columns[other], columns[one]
    return Circuit(circuit.graph, mask)


RANDOM: dict[RandomKind, Callable[[Circuit, Seed], Circuit]] = {
    "connected": lambda circuit, seed: connected_circuit(circuit.graph, circuit.n_edges, seed=seed),
    "degrees": lambda circuit, seed: rewired(circuit, seed=seed),
    "uniform": lambda circuit, seed: random_circuit(circuit.graph, circuit.n_edges, seed=seed),
}
RANDOM_NAMES: dict[RandomKind, tuple[str, str]] = {  # of several, of one
    "connected": ("random connected circuits of its size", "random connected circuit of its size"),
    "degrees": (
        "random circuits with its number of edges at every node",
        "random circuit with its number of edges at every node",
    ),
    "uniform": (
        "random circuits of its size, connected or not",
        "random circuit of its size, connected or not",
    ),
}


def beats_random(faithfulness: float, error: float | None, highest: float) -> bool:
    """Whether a circuit carries more than the best of some random ones, by two standard errors.

    ``error`` is NaN or None where it is not known, and counts as 0 then.
    """
    known = 0.0 if error is None or np.isnan(error) else error
    return faithfulness - 2 * known > highest
