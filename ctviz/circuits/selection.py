"""From scores to a circuit: five ways to choose edges, and dropping what leads nowhere.

1. ``top_edges``        the n edges of largest size, wherever they are
2. ``threshold_edges``  every edge of at least some size
3. ``greedy_edges``     n edges grown back from ``logits``, always the largest that connects
4. ``node_edges``       the n edges of largest size times the mass of the nodes at both ends
5. ``specific_edges``   the n edges of largest size beside their effect on general text

The size of an edge is \\|score\\|. With ``signed`` it is the score itself: then edges that work
against the behaviour come last. The Mechanistic Interpretability Benchmark (arXiv 2504.13151)
takes its CPR from signed and its CMD from unsigned circuits. Ties always go to the earlier source,
then the earlier slot.

With ``prune``, edges on no path from ``input`` to ``logits`` are dropped after the choice, so the
circuit can be smaller than was asked.

``SELECTIONS`` holds the five by name, all called as ``choose(scores, amount, ...)``.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ctviz.circuits.graph import Graph
from ctviz.circuits.paths import fed, useful
from ctviz.circuits.scores import Circuit, Scores
from ctviz.errors import OutOfRange

__all__ = [
    "SELECTIONS",
    "Selection",
    "check_edges",
    "greedy_edges",
    "node_edges",
    "prune_dead_ends",
    "specific_edges",
    "threshold_edges",
    "top_edges",
]


def top_edges(
    scores: Scores, n_edges: int, *, prune: bool = False, signed: bool = False
) -> Circuit:
    """The ``n_edges`` edges of largest size.

    Raises OutOfRange unless 1 <= n_edges <= the edges of the graph.
    """
    check_edges(scores.graph, n_edges)
    return _finish(_largest(scores.graph, _sizes(scores, signed), n_edges), prune)


def threshold_edges(
    scores: Scores, threshold: float, *, prune: bool = False, signed: bool = False
) -> Circuit:
    """Every edge of size ``threshold`` or more, which may be none.

    Raises OutOfRange unless the threshold is finite and not negative.
    """
    if not 0 <= threshold < math.inf:
        raise OutOfRange("threshold", threshold, 0, None, hint="It must be finite.")
    # In float64: a threshold is not to be rounded to the scores' precision before it is compared.
    large = _sizes(scores, signed).astype(np.float64) >= threshold
    return _finish(Circuit(scores.graph, large & scores.graph.exists), prune)


def greedy_edges(
    scores: Scores, n_edges: int, *, prune: bool = False, signed: bool = False
) -> Circuit:
    """``n_edges`` edges grown back from ``logits``: the greedy search of EAP-IG.

    Candidates are the edges into nodes reached so far, at first ``logits`` alone. Each step takes
    the candidate of largest size; its source is then reached too. A shared key or value slot is
    reached with the first head that it feeds. Every edge thus has a path to ``logits``; ``prune``
    asks for one from ``input`` as well. Hanna et al. 2024, arXiv 2403.17806.

    Raises OutOfRange unless 1 <= n_edges <= the edges of the graph.
    """
    graph = scores.graph
    check_edges(graph, n_edges)
    keys = -_sizes(scores, signed)  # a heap gives its smallest entry first
    mask = np.zeros(graph.exists.shape, dtype=bool)
    slots_of = [np.flatnonzero(column).tolist() for column in graph.feeds.T]  # by node
    # Each reached slot has its sources in order, and its best one that is not taken in the heap.
    order: dict[int, np.ndarray] = {}
    candidates: list[tuple[float, int, int, int]] = []  # key, row, column, place in the order

    def candidate(column: int, place: int) -> tuple[float, int, int, int]:
        row = int(order[column][place])
        return float(keys[row, column]), row, column, place

    def reach(node: int) -> None:
        for column in slots_of[node]:
            if column not in order:
                n_sources = graph.slots[column].n_sources
                order[column] = np.argsort(keys[:n_sources, column], kind="stable")
                heapq.heappush(candidates, candidate(column, 0))

    reached = [False] * len(graph.sources)
    reach(graph.node("logits"))
    for _ in range(n_edges):
        _, row, column, place = candidates[0]
        mask[row, column] = True
        if place + 1 < len(order[column]):
            heapq.heapreplace(candidates, candidate(column, place + 1))
        else:
            heapq.heappop(candidates)
        if not reached[row]:  # sources are the first nodes, in the same order
            reached[row] = True
            reach(row)
    return _finish(Circuit(graph, mask), prune)


def node_edges(
    scores: Scores, n_edges: int, *, prune: bool = False, signed: bool = False
) -> Circuit:
    """The ``n_edges`` edges of largest size x mass of the source x mass of the slot.

    The mass of a source is the sum of \\|score\\| over its outgoing edges, that of a slot over its
    incoming ones, so the choice favours edges between nodes that matter. It is ``top_nodes`` in the
    code of circuit-tuning (arXiv 2502.06106), as that for Llama computes it. The code for GPT-2
    multiplies in place while it still sums, so that there an edge's rank depends on the order in
    which edges are visited; here all sums are over the scores as they were found.

    Raises OutOfRange unless 1 <= n_edges <= the edges of the graph.
    """
    graph = scores.graph
    check_edges(graph, n_edges)
    size = np.where(graph.exists, np.abs(scores.values), 0).astype(np.float64)
    weight = size.sum(axis=1)[:, None] * size.sum(axis=0)
    return _finish(_largest(graph, _sizes(scores, signed) * weight, n_edges), prune)


def specific_edges(
    scores: Scores, n_edges: int, *, prune: bool = False, signed: bool = False
) -> Circuit:
    """The ``n_edges`` edges that matter most to the task for what they do for text in general.

    An edge of score s and effect g on general text (`ctviz.attribution.general`) ranks by

        |s| / (g + mean of g over all edges)

    so that of two edges of one score the one that less else goes through comes first. Below the
    mean g hardly counts: an edge that does nothing anywhere is not specific, and is not divided by
    next to nothing. The units of s and g do not matter. This rule is ctviz's own.

    Raises OutOfRange unless 1 <= n_edges <= the edges of the graph, and ValueError for scores
    without effects on general text.
    """
    graph = scores.graph
    check_edges(graph, n_edges)
    if scores.general is None:
        raise ValueError(
            "specific_edges compares scores with effects on general text, and these scores have "
            "none: give Scores.general (ctviz.attribution.general.general_effect)."
        )
    general = scores.general.edges.astype(np.float64)
    usual = general[graph.exists].mean()
    beside = general + (usual or 1.0)  # where nothing has any effect, all edges are alike
    return _finish(_largest(graph, _sizes(scores, signed) / beside, n_edges), prune)


def prune_dead_ends(circuit: Circuit) -> Circuit:
    """Drop edges that lie on no path from ``input`` to ``logits``; see `ctviz.circuits.paths`."""
    graph, mask = circuit.graph, circuit.mask
    ends = np.append(useful(graph, mask), True)  # by node: logits is the last
    ahead = (graph.feeds & ends).any(axis=1)
    return Circuit(graph, mask & fed(graph, mask)[:, None] & ahead)


@dataclass(frozen=True, slots=True)
class Selection:
    """A way to choose edges. ``amount`` says what its second argument is."""

    key: str
    name: str
    amount: Literal["edges", "threshold"]
    choose: Callable[..., Circuit]


SELECTIONS: dict[str, Selection] = {
    selection.key: selection
    for selection in (
        Selection("top", "largest scores", "edges", top_edges),
        Selection("threshold", "scores above a threshold", "threshold", threshold_edges),
        Selection("greedy", "grown back from the logits", "edges", greedy_edges),
        Selection("nodes", "scores weighted by both nodes' sums", "edges", node_edges),
        Selection("specific", "scores beside effects on general text", "edges", specific_edges),
    )
}


def _sizes(scores: Scores, signed: bool) -> np.ndarray:
    return scores.values if signed else np.abs(scores.values)


def _largest(graph: Graph, sizes: np.ndarray, n: int) -> Circuit:
    """The ``n`` existing edges of largest size, [source, slot]."""
    flat = np.flatnonzero(graph.exists)
    order = np.argsort(-sizes.ravel()[flat], kind="stable")
    mask = np.zeros(graph.exists.size, dtype=bool)
    mask[flat[order[:n]]] = True
    return Circuit(graph, mask.reshape(graph.exists.shape))


def check_edges(graph: Graph, n_edges: int, *, hint: str = "") -> None:
    """Raise OutOfRange unless a graph can have a circuit of that many edges."""
    if not 1 <= n_edges <= graph.n_edges:
        raise OutOfRange("edges", n_edges, 1, graph.n_edges, hint=hint)


def _finish(circuit: Circuit, prune: bool) -> Circuit:
    return prune_dead_ends(circuit) if prune else circuit
