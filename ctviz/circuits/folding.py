"""Blocks of neurons put together again: what is known of them, for whole MLPs.

The score of a whole MLP is the sum of its blocks' to first order, as source and as slot; an edge of
it is in a circuit if any of its blocks' is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ctviz.circuits.graph import Graph, Slot

__all__ = ["Fold"]


@dataclass(frozen=True)
class Fold:
    """From a graph with blocks to the same model's with whole MLPs, ``graph.whole``.

    Blocks of a layer lie side by side among sources, slots and nodes, so each whole node is a run
    of neighbours. Arrays keep all their axes but the last one or two.
    """

    graph: Graph

    def node(self, name: str) -> str:
        """The node of the whole graph that a node is a part of."""
        return name.partition(".")[0] if name.startswith("m") else name

    def added(self, values: np.ndarray) -> np.ndarray:
        """Scores, float [..., source, slot]: those of blocks are added up."""
        by_source = np.add.reduceat(values, self._sources, axis=-2, dtype=np.float64)
        return np.add.reduceat(by_source, self._slots, axis=-1).astype(values.dtype)

    def any_edge(self, mask: np.ndarray) -> np.ndarray:
        """bool [..., source, slot]: whether that is so for any pair of blocks."""
        by_source = np.logical_or.reduceat(mask, self._sources, axis=-2)
        return np.logical_or.reduceat(by_source, self._slots, axis=-1)

    def any_node(self, mask: np.ndarray) -> np.ndarray:
        """bool [..., node]: whether that is so for any block."""
        return np.logical_or.reduceat(mask, self._nodes, axis=-1)

    def total(self, values: np.ndarray) -> np.ndarray:
        """float [..., node]: what adds up over blocks, such as a direct effect."""
        return np.add.reduceat(values, self._nodes, axis=-1)

    def unsplit(self, values: np.ndarray) -> np.ndarray:
        """float [..., node]: what cannot be known of a whole MLP from its blocks is NaN there."""
        found = values[..., self._nodes].copy()
        found[..., [name.startswith("m") for name in self.graph.whole.nodes]] = np.nan
        return found

    def unsplit_edges(self, values: np.ndarray) -> np.ndarray:
        """float [..., source, slot]: the same for edges, NaN for those from or into an MLP."""
        found = values[..., self._sources, :][..., self._slots].copy()
        whole = self.graph.whole
        found[..., [name.startswith("m") for name in whole.sources], :] = np.nan
        found[..., [slot.kind == "mlp" for slot in whole.slots]] = np.nan
        return found

    @cached_property
    def _sources(self) -> list[int]:
        return [at for at, name in enumerate(self.graph.sources) if _begins(name)]

    @cached_property
    def _slots(self) -> list[int]:
        return [at for at, slot in enumerate(self.graph.slots) if _begins_slot(slot)]

    @cached_property
    def _nodes(self) -> list[int]:
        return [at for at, name in enumerate(self.graph.nodes) if _begins(name)]


def _begins(name: str) -> bool:
    """Whether a node is whole, or the first block of an MLP."""
    return not name.startswith("m") or name.partition(".")[2] in ("", "b0")


def _begins_slot(slot: Slot) -> bool:
    return slot.kind != "mlp" or slot.unit == 0
