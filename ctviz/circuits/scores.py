"""Scores of edges and circuits: the two matrices [source, slot] that all else is made from.

Pure numpy: nothing here runs a model. Choosing a circuit from scores is in
``ctviz.circuits.selection``, what a node can do without in ``ctviz.circuits.redundancy``, files of
other tools in ``ctviz.circuits.eap_json``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ctviz.circuits.graph import Graph, kind_of, layer_of
from ctviz.errors import OutOfRange, UndefinedMetric

__all__ = ["Circuit", "General", "NodeScores", "Scores", "specific_share"]


@dataclass(frozen=True, slots=True, eq=False)
class General:
    """Effects on general text, in nats and never negative; see `ctviz.attribution.general`.

    ``edges``: float32 [source, slot], 0 where no edge exists; ``nodes``: float32 [source], of all
    that a source writes. Raises ValueError for a number that is negative or not finite.
    """

    edges: np.ndarray
    nodes: np.ndarray

    def __post_init__(self) -> None:
        for what, values in (("edges", self.edges), ("nodes", self.nodes)):
            if not ((values >= 0) & np.isfinite(values)).all():
                raise ValueError(f"The effects of {what} on general text must be 0 or more.")


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """One score per edge: metric(clean) - metric(that edge alone corrupted), or its estimate.

    ``values``: float32 [source, slot], mean over examples, in units of the metric (logits for a
    logit difference). Positive: the edge supports the behaviour; negative: it works against it.
    Zero where no edge exists.

    ``error``: [source, slot] in the same units, the standard error of each mean: the sample
    standard deviation over the examples / sqrt(their number). It says how far the score would move
    with other examples, not how good an estimate it is. NaN where it cannot be known, as with one
    example; None where it was not computed. ``node_error``: [source], the same for the sum of each
    source's edges. ``examples``: their number, None if unknown. ``general``: what edges and nodes
    do for text in general; None where it was not computed.

    Raises UndefinedMetric for a score that is not finite.
    """

    graph: Graph
    values: np.ndarray
    error: np.ndarray | None = None
    examples: int | None = None
    node_error: np.ndarray | None = None
    general: General | None = None

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
        if self.error is not None:
            if self.error.shape != shape:
                raise ValueError(f"errors have shape {self.error.shape}, but the graph is {shape}.")
            if (wrong := (self.error < 0) | np.isinf(self.error)).any():
                row, column = np.argwhere(wrong)[0]
                raise ValueError(
                    f"The standard error of {self.graph.edge_name(row, column)} is "
                    f"{self.error[row, column]}, but must be finite and not negative, or NaN."
                )
        if self.general is not None and self.general.edges.shape != shape:
            raise ValueError(
                f"effects on general text have shape {self.general.edges.shape}, but the graph is "
                f"{shape}."
            )
        if self.examples is not None and self.examples < 1:
            raise OutOfRange("examples", self.examples, 1, None)

    def frame(self) -> pd.DataFrame:
        """Tidy table: one row an edge: edge, source, slot, node, kind, score, error (or NaN)."""
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
                "error": np.nan if self.error is None else self.error[rows, columns],
            }
        )

    def nodes(self) -> NodeScores:
        """Attribution of each source: the sum of the scores of its outgoing edges.

        To first order this is the effect of corrupting the node's whole output. An edge's score is
        the change of the output times the gradient at one read; the gradient of the residual
        stream right after the write is the sum of the gradients of all later reads; so the sum
        over the edges is the change of the output times that gradient.
        """
        total = self.values.sum(axis=1, where=self.graph.exists, dtype=np.float64)
        return NodeScores(self.graph, total, self.node_error, self.examples)


@dataclass(frozen=True, slots=True, eq=False)
class NodeScores:
    """One score per source: metric(clean) - metric(its output corrupted for all its readers).

    ``values``: float [source], mean over examples, in units of the metric; ``error`` and
    ``examples`` as in `Scores`.
    """

    graph: Graph
    values: np.ndarray
    error: np.ndarray | None = None
    examples: int | None = None

    def frame(self) -> pd.DataFrame:
        """Tidy table: one row a source: node, layer, kind (input, head, mlp), score, error."""
        sources = self.graph.sources
        return pd.DataFrame(
            {
                "node": sources,
                "layer": [layer_of(node, self.graph.n_layers) for node in sources],
                "kind": [kind_of(node) for node in sources],
                "score": self.values,
                "error": np.nan if self.error is None else self.error,
            }
        )


def specific_share(scores: Scores) -> np.ndarray:
    """How specific to the task each node is: float32 [node], 0 (shared) to 1 (specific).

    With |S| a source's score (`Scores.nodes`) and G its effect on general text, each by its mean
    over all sources, it is

        (|S| + 1) / (|S| + G + 2)

    which is 1/2 for a node that does as much for the task as it does for text in general, and for
    one that does nothing for either. NaN for ``logits``. Raises ValueError for scores without
    effects on general text.
    """
    if scores.general is None:
        raise ValueError("The share compares scores with effects on general text: there are none.")
    task, general = (
        values / (values.mean() or 1.0)
        for values in (np.abs(scores.nodes().values), scores.general.nodes.astype(np.float64))
    )
    return np.append((task + 1) / (task + general + 2), np.nan).astype(np.float32)


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
