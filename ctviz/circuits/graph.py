"""The computational graph of a transformer: names <-> indices, and which edges exist.

Nodes follow the naming of EAP-IG, so that circuits travel between tools:

- ``input``        the embeddings; a source only
- ``a{l}.h{h}``    head h of layer l; a source, and a destination with slots ``<q> <k> <v>``
- ``m{l}``         the MLP of layer l; a source and a destination
- ``m{l}.b{n}``    instead, where MLPs are cut: the n-th of its blocks of neurons
- ``logits``       the final norm and unembedding; a destination only

An edge goes from a *source* to a destination *slot*: ``a0.h3->a1.h0<q>``, ``m0->m2``.

With grouped-query attention, K query heads share one key and one value head. Such a shared slot is
one destination, named after its group: ``a1.g0<k>``, ``a1.g0<v>``. Its score is the sum of what
the ungrouped convention would give to the heads of the group, and it feeds all of them.

Blocks of one layer are read and written side by side, like heads: no block reaches another one.

This module is pure: it knows names and shapes and imports neither torch nor Streamlit.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import SupportsIndex

import numpy as np

from ctviz.errors import OutOfRange, UnknownName

__all__ = ["Graph", "Slot", "kind_of", "layer_of"]


@dataclass(frozen=True, slots=True)
class Slot:
    """One destination of edges: a place where the residual stream is read.

    ``kind`` is ``q``, ``k``, ``v``, ``mlp`` or ``logits``; ``unit`` is the head (q), the key/value
    head (k, v), the block (mlp) or 0; ``n_sources`` says that exactly the first that many sources
    can reach it; ``feeds`` are the nodes whose value depends on what is read here.
    """

    name: str
    kind: str
    layer: int
    unit: int
    n_sources: int
    feeds: tuple[str, ...]


def layer_of(node: str, n_layers: int) -> int:
    """Layer of a node, with -1 for ``input`` and ``n_layers`` for ``logits``."""
    if node == "input":
        return -1
    if node == "logits":
        return n_layers
    return int(node[1:].split(".")[0])


def kind_of(node: str) -> str:
    """``input``, ``head``, ``mlp`` (a whole one or a block of it) or ``logits``."""
    if node in ("input", "logits"):
        return node
    return "mlp" if node.startswith("m") else "head"


@dataclass(frozen=True)
class Graph:
    """Every node and every possible edge of a decoder-only transformer.

    ``sources`` and ``slots`` index the rows and columns of every score matrix in ctviz. Sources are
    in the order in which they are written, so the sources that can reach a slot are a prefix.

    ``parallel`` marks blocks in which attention and MLP read the same residual stream, so that the
    heads of a layer do not reach its MLP. ``mlp_blocks``: nodes that the MLP of a layer is cut
    into; 1: it is one node.
    """

    n_layers: int
    n_heads: int
    n_kv_heads: int | None = None
    parallel: bool = False
    mlp_blocks: int = 1

    def __post_init__(self) -> None:
        if self.n_layers < 1:
            raise OutOfRange("n_layers", self.n_layers, 1, None)
        if self.n_heads < 1:
            raise OutOfRange("n_heads", self.n_heads, 1, None)
        if self.mlp_blocks < 1:
            raise OutOfRange("mlp_blocks", self.mlp_blocks, 1, None)
        if self.n_kv_heads is None:
            object.__setattr__(self, "n_kv_heads", self.n_heads)
        if not 1 <= self.kv_heads <= self.n_heads:
            raise OutOfRange("n_kv_heads", self.kv_heads, 1, self.n_heads)
        if self.n_heads % self.kv_heads:
            raise ValueError(
                f"n_heads is {self.n_heads} and n_kv_heads is {self.kv_heads}, but the first must "
                "be a multiple of the second."
            )

    @property
    def kv_heads(self) -> int:
        """Number of key/value heads in a layer (equal to ``n_heads`` without grouping)."""
        return self.n_heads if self.n_kv_heads is None else self.n_kv_heads

    @property
    def group_size(self) -> int:
        """Query heads that share one key/value head."""
        return self.n_heads // self.kv_heads

    @property
    def whole(self) -> Graph:
        """The same model with each MLP as one node; itself if it has these already."""
        return self if self.mlp_blocks == 1 else replace(self, mlp_blocks=1)

    # ------------------------------------------------------------------ names

    def mlp_nodes(self, layer: int) -> tuple[str, ...]:
        """The MLP of a layer, or the blocks that it is cut into."""
        if self.mlp_blocks == 1:
            return (f"m{layer}",)
        return tuple(f"m{layer}.b{block}" for block in range(self.mlp_blocks))

    @functools.cached_property
    def sources(self) -> tuple[str, ...]:
        """Rows of a score matrix: ``input``, then each layer's heads and MLP, or its blocks."""
        names = ["input"]
        for layer in range(self.n_layers):
            names += [f"a{layer}.h{head}" for head in range(self.n_heads)]
            names += self.mlp_nodes(layer)
        return tuple(names)

    @functools.cached_property
    def nodes(self) -> tuple[str, ...]:
        """Every node: the sources, then ``logits``."""
        return (*self.sources, "logits")

    @functools.cached_property
    def slots(self) -> tuple[Slot, ...]:
        """Columns of a score matrix: q, k, v slots and the MLP (or its blocks) of each layer, then
        ``logits``."""
        slots: list[Slot] = []
        for layer in range(self.n_layers):
            before = self.rows(layer)["head"].start
            for head in range(self.n_heads):
                node = f"a{layer}.h{head}"
                slots.append(Slot(f"{node}<q>", "q", layer, head, before, (node,)))
            for kind in ("k", "v"):
                for unit in range(self.kv_heads):
                    members = tuple(
                        f"a{layer}.h{unit * self.group_size + i}" for i in range(self.group_size)
                    )
                    owner = members[0] if self.group_size == 1 else f"a{layer}.g{unit}"
                    slots.append(Slot(f"{owner}<{kind}>", kind, layer, unit, before, members))
            reach = before if self.parallel else before + self.n_heads
            for block, node in enumerate(self.mlp_nodes(layer)):
                slots.append(Slot(node, "mlp", layer, block, reach, (node,)))
        slots.append(Slot("logits", "logits", self.n_layers, 0, len(self.sources), ("logits",)))
        return tuple(slots)

    def rows(self, layer: int) -> dict[str, slice]:
        """Rows of a layer's sources, by kind: ``head`` and ``mlp``."""
        start = 1 + layer * (self.n_heads + self.mlp_blocks)
        middle = start + self.n_heads
        return {"head": slice(start, middle), "mlp": slice(middle, middle + self.mlp_blocks)}

    def columns(self, layer: int) -> dict[str, slice]:
        """Columns of a layer's slots, by kind: ``q``, ``k``, ``v`` and ``mlp``."""
        start = layer * (self.n_heads + 2 * self.kv_heads + self.mlp_blocks)
        found = {}
        for kind, width in (
            ("q", self.n_heads),
            ("k", self.kv_heads),
            ("v", self.kv_heads),
            ("mlp", self.mlp_blocks),
        ):
            found[kind] = slice(start, start + width)
            start += width
        return found

    @functools.cached_property
    def slot_names(self) -> tuple[str, ...]:
        """Names of the slots, in column order."""
        return tuple(slot.name for slot in self.slots)

    @functools.cached_property
    def _source_index(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.sources)}

    @functools.cached_property
    def _slot_index(self) -> dict[str, int]:
        return {slot.name: i for i, slot in enumerate(self.slots)}

    @functools.cached_property
    def _node_index(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.nodes)}

    def source(self, name: str) -> int:
        """Row of a source; raises UnknownName."""
        if name not in self._source_index:
            raise UnknownName("source", name, self.sources)
        return self._source_index[name]

    def slot(self, name: str) -> int:
        """Column of a slot; raises UnknownName."""
        if name not in self._slot_index:
            raise UnknownName("slot", name, self.slot_names)
        return self._slot_index[name]

    def node(self, name: str) -> int:
        """Index of a node in ``nodes``; raises UnknownName."""
        if name not in self._node_index:
            raise UnknownName("node", name, self.nodes)
        return self._node_index[name]

    def edge(self, name: str) -> tuple[int, int]:
        """(row, column) of an edge such as ``a0.h3->a1.h0<q>``; raises UnknownName."""
        source, arrow, slot = name.partition("->")
        if not arrow:
            raise UnknownName("edge", name, (), hint="An edge reads 'source->slot'.")
        row, column = self.source(source), self.slot(slot)
        if not self.exists[row, column]:
            raise UnknownName("edge", name, (), hint=f"{source} is written after {slot} is read.")
        return row, column

    def edge_name(self, row: SupportsIndex, column: SupportsIndex) -> str:
        """Name of the edge at (row, column)."""
        return f"{self.sources[row]}->{self.slots[column].name}"

    # ------------------------------------------------------------------ structure

    @functools.cached_property
    def exists(self) -> np.ndarray:
        """bool [source, slot]: which edges the model has."""
        rows = np.arange(len(self.sources))[:, None]
        reach = np.array([slot.n_sources for slot in self.slots])[None, :]
        mask = rows < reach
        mask.setflags(write=False)
        return mask

    @functools.cached_property
    def feeds(self) -> np.ndarray:
        """bool [slot, node]: which nodes depend on what is read at a slot."""
        mask = np.zeros((len(self.slots), len(self.nodes)), dtype=bool)
        for column, slot in enumerate(self.slots):
            for node in slot.feeds:
                mask[column, self._node_index[node]] = True
        mask.setflags(write=False)
        return mask

    @functools.cached_property
    def feed_pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Slot and node of each pair of a slot and a node that it feeds: int [feed] twice.

        By slot, then by node. A shared key or value slot has one pair for each head of its group,
        so the pairs are the slots of the ungrouped convention, in its order; without groups they
        are the slots.
        """
        slots, nodes = np.nonzero(self.feeds)
        slots.setflags(write=False)
        nodes.setflags(write=False)
        return slots, nodes

    @property
    def n_edges(self) -> int:
        """Number of edges in the full graph."""
        return int(self.exists.sum())

    @functools.cached_property
    def degrees(self) -> np.ndarray:
        """int [node]: D, the incoming edges of each node in the full graph (0 for ``input``).

        A shared key or value slot counts for each head that it feeds.
        """
        incoming: np.ndarray = self.exists.sum(axis=0) @ self.feeds.astype(int)
        return incoming
