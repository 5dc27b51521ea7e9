"""Node redundancy: how many of its incoming edges a node could do without.

A node has D degrees of freedom, its incoming edges in the full graph. A task needs only d of them,
the node's intrinsic dimension. The node's redundancy is (D - d) / D. Circuit-tuning, arXiv
2502.06106 v1. Two estimators say which edges are needed:

- ``circuit``    those inside the circuit
- ``mass(tau)``  the fewest that carry the share tau of the node's mass (its total \\|score\\|),
  after the d90 of Li et al. 2018, arXiv 1804.08838

With grouped-query attention an edge into a shared key or value slot feeds every head of the group,
counts for each of them, and may be needed by one and not by another. So need is kept per *feed*,
that is per pair of a slot and a node that it feeds (``Graph.feed_pairs``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from ctviz.circuits.graph import Graph, kind_of, layer_of
from ctviz.circuits.scores import Circuit, Scores
from ctviz.errors import OutOfRange

__all__ = ["Redundancy", "check_tau", "circuit_redundancy", "mass_name", "mass_redundancy"]


@dataclass(frozen=True, slots=True, eq=False)
class Redundancy:
    """Which incoming edges each node needs, and so its redundancy.

    ``needed``: bool [source, feed], with the pairs of ``Graph.feed_pairs``; without groups that is
    [source, slot]. ``tau``: the share of the mass, None for the estimator ``circuit``.
    """

    graph: Graph
    estimator: Literal["circuit", "mass"]
    tau: float | None
    needed: np.ndarray

    def __post_init__(self) -> None:
        shape = (len(self.graph.sources), len(self.graph.feed_pairs[0]))
        if self.needed.shape != shape:
            raise ValueError(f"needed has shape {self.needed.shape}, but the graph has {shape}.")

    @property
    def label(self) -> str:
        """The estimator with its parameter: ``circuit`` or such as ``mass(0.9)``."""
        return self.estimator if self.tau is None else f"{self.estimator}({self.tau:g})"

    @property
    def degrees(self) -> np.ndarray:
        """int [node]: D, the incoming edges of each node in the full graph (0 for ``input``)."""
        return self.graph.degrees

    @property
    def intrinsic(self) -> np.ndarray:
        """int [node]: d, the incoming edges that each node needs."""
        _, node = self.graph.feed_pairs
        needed = np.bincount(node, weights=self.needed.sum(axis=0), minlength=len(self.graph.nodes))
        return needed.astype(int)

    @property
    def values(self) -> np.ndarray:
        """float [node]: (D - d) / D; NaN for ``input``, which has no incoming edges."""
        degrees = self.degrees
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(degrees > 0, (degrees - self.intrinsic) / degrees, np.nan)

    def by_input(self) -> np.ndarray:
        """float [head, 3]: the redundancy of each head's query, key and value by itself.

        Heads in the order of ``Graph.nodes``, layer by layer; (D - d) / D over the edges into that
        one input. A shared key or value counts for every head that it feeds.
        """
        graph = self.graph
        slots, nodes = graph.feed_pairs
        kept = self.needed.sum(axis=0)
        heads = [at for at, name in enumerate(graph.nodes) if kind_of(name) == "head"]
        row = {at: i for i, at in enumerate(heads)}
        shares = np.full((len(heads), 3), np.nan)
        for feed, (slot, node) in enumerate(zip(slots, nodes, strict=True)):
            kind = graph.slots[slot].kind
            if node in row and kind in ("q", "k", "v"):
                degree = graph.slots[slot].n_sources
                shares[row[node], "qkv".index(kind)] = (degree - kept[feed]) / degree
        return shares

    def frame(self) -> pd.DataFrame:
        """Tidy table: one row a node: node, layer, kind, D, d, redundancy, estimator."""
        nodes = self.graph.nodes
        return pd.DataFrame(
            {
                "node": nodes,
                "layer": [layer_of(node, self.graph.n_layers) for node in nodes],
                "kind": [kind_of(node) for node in nodes],
                "D": self.degrees,
                "d": self.intrinsic,
                "redundancy": self.values,
                "estimator": self.label,
            }
        )

    def needed_edges(self, node: str | None = None) -> Circuit:
        """The edges that a node needs; with None, those that any node needs."""
        slot, fed = self.graph.feed_pairs
        chosen = slice(None) if node is None else fed == self.graph.node(node)
        mask = np.zeros(self.graph.exists.shape, dtype=bool)
        rows, feeds = np.nonzero(self.needed[:, chosen])
        mask[rows, slot[chosen][feeds]] = True
        return Circuit(self.graph, mask)

    def redundant_edges(self, node: str | None = None) -> Circuit:
        """The incoming edges that a node could do without; with None, those that every node could.

        An edge into a shared slot can be redundant for one head of the group and needed by
        another: it is then in that one head's answer, but not in the answer for None.
        """
        incoming = self.graph.exists
        if node is not None:
            incoming = incoming & self.graph.feeds[:, self.graph.node(node)]
        return Circuit(self.graph, incoming & ~self.needed_edges(node).mask)


def circuit_redundancy(circuit: Circuit) -> Redundancy:
    """Redundancy with needed = the edges inside the circuit."""
    slot, _ = circuit.graph.feed_pairs
    return Redundancy(circuit.graph, "circuit", None, circuit.mask[:, slot])


def check_tau(tau: float) -> None:
    """Raises OutOfRange unless 0 < tau <= 1."""
    if not 0 < tau <= 1:
        raise OutOfRange("tau", tau, 0, 1, hint="0 itself is excluded.")


def mass_name(tau: float) -> str:
    """How pages and pictures call the estimator ``mass``.

    >>> mass_name(0.9), mass_name(0.995)
    ('mass 90 %', 'mass 99.5 %')
    """
    return f"mass {100 * tau:g} %"


def mass_redundancy(scores: Scores, *, tau: float = 0.9) -> Redundancy:
    """Redundancy with needed = the fewest incoming edges that carry ``tau`` of a node's mass.

    The mass of a node is the sum of \\|score\\| over its incoming edges. Among edges of one size
    the earlier source, then the earlier slot, is taken first. A node without any mass needs no
    edge: d = 0. Raises OutOfRange unless 0 < tau <= 1.
    """
    check_tau(tau)
    graph = scores.graph
    slot, fed = graph.feed_pairs
    size = np.abs(scores.values).astype(np.float64)
    needed = np.zeros((len(graph.sources), len(slot)), dtype=bool)
    feeds_of = np.split(np.argsort(fed, kind="stable"), np.cumsum(np.bincount(fed))[:-1])
    for feeds in feeds_of:
        if not len(feeds):  # nothing feeds ``input``
            continue
        n_sources = graph.slots[slot[feeds[0]]].n_sources  # the same for all slots of a node
        incoming = size[:n_sources, slot[feeds]].ravel()  # by source, then slot
        largest_first = np.argsort(-incoming, kind="stable")
        carried = np.cumsum(incoming[largest_first])
        if carried[-1] > 0:
            # the slack lets tau = 1 stop at the last edge that has any mass
            enough = int(np.argmax(carried >= tau * incoming.sum() * (1 - 1e-12))) + 1
            sources, places = np.divmod(largest_first[:enough], len(feeds))
            needed[sources, feeds[places]] = True
    return Redundancy(graph, "mass", tau, needed)
