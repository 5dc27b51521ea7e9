"""Audit a claim of redundancy: corrupt the edges that a node could do without, and look.

If they are redundant, corrupting them changes little, while corrupting as many of the edges that
the node needs changes much. Random incoming edges say what to expect of no claim at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ctviz.circuits.graph import Graph
from ctviz.circuits.redundancy import Redundancy
from ctviz.circuits.scores import Circuit
from ctviz.errors import OutOfRange, UndefinedMetric
from ctviz.interventions.faithfulness import Evaluation

__all__ = ["Audit", "Corrupted", "audit", "incoming_edges"]


@dataclass(frozen=True, slots=True)
class Corrupted:
    """What corrupting some edges and nothing else does.

    ``which``: ``redundant``, ``needed`` or ``random`` incoming edges; ``edges``: how many of them;
    ``whole``: whether these are all of their kind (else they are drawn at random); ``change``: the
    share of the behaviour that is lost (negative if it grows), a mean over draws; ``spread``:
    standard deviation over draws, or the standard error over examples where there is one draw.
    ``low`` and ``high``: the range over draws.
    """

    which: str
    edges: int
    whole: bool
    change: float
    spread: float
    low: float
    high: float
    draws: int


@dataclass(frozen=True, slots=True)
class Audit:
    """``node`` is None for all nodes at once; see `Corrupted` for the rows."""

    node: str | None
    estimator: str
    redundant: int
    needed: int
    rows: tuple[Corrupted, ...]

    def frame(self) -> pd.DataFrame:
        """Tidy table: one row a set of edges."""
        return pd.DataFrame(
            [{name: getattr(row, name) for name in Corrupted.__slots__} for row in self.rows]
        )


def incoming_edges(graph: Graph, node: str | None) -> np.ndarray:
    """Edges into a node, or into any with None: bool [source, slot].

    Raises UnknownName for a node that is not in the graph, and UndefinedMetric for ``input``.
    """
    incoming = graph.exists if node is None else graph.exists & graph.feeds[:, graph.node(node)]
    if not incoming.any():
        raise UndefinedMetric(f"{node} has no incoming edges, so none of them can be redundant.")
    return incoming


def audit(
    evaluation: Evaluation,
    redundancy: Redundancy,
    node: str | None = None,
    *,
    draws: int = 5,
    seed: int = 0,
) -> Audit:
    """Corrupt what a node (or every node) could do without, against needed and random edges.

    First all redundant edges, beside as many random ones; then draws of half of the redundant ones,
    since effects may cancel when all are corrupted together; then as many of each kind as both
    have.
    Raises UnknownName and UndefinedMetric where `incoming_edges` does.
    """
    if draws < 1:
        raise OutOfRange("draws", draws, 1, None)
    graph = redundancy.graph
    incoming = incoming_edges(graph, node)
    redundant = redundancy.redundant_edges(node).mask
    needed = incoming & ~redundant
    kinds = {"redundant": redundant, "needed": needed, "random": incoming}
    few = min(int(redundant.sum()), int(needed.sum()))
    asked = [("redundant", int(redundant.sum())), ("random", int(redundant.sum()))]
    if half := int(redundant.sum()) // 2:
        asked.append(("redundant", half))
    if few:
        asked += [(which, few) for which in kinds]
    rng = np.random.default_rng(seed)

    def measured() -> Iterator[Corrupted]:
        for which, count in dict.fromkeys(asked):
            if not count:
                continue
            members = np.flatnonzero(kinds[which])
            whole = count == len(members)
            shares = []
            for _ in range(1 if whole else draws):
                chosen = members if whole else rng.choice(members, size=count, replace=False)
                mask = graph.exists.copy()
                mask.ravel()[chosen] = False
                values = evaluation.run(Circuit(graph, mask))
                shares.append(evaluation.share(evaluation.empty + evaluation.full - values))
            changes = [share.value for share in shares]
            spread = float(np.std(changes, ddof=1)) if len(changes) > 1 else shares[0].error
            low, high = min(changes), max(changes)
            mean = min(max(float(np.mean(changes)), low), high)  # rounding may lead out of them
            yield Corrupted(which, count, whole, mean, spread, low, high, len(changes))

    return Audit(node, redundancy.label, int(redundant.sum()), int(needed.sum()), tuple(measured()))
