"""Exact activation patching: really corrupt each edge, or each node, and see what it does.

What the first-order methods estimate, at the cost of a forward pass an edge, from the layer of the
edge on. Edges into one slot are run together as copies of the batch, so small models take seconds;
large ones take hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ctviz.circuits.graph import kind_of, layer_of
from ctviz.interventions.metric import BatchMetric
from ctviz.interventions.patching import read_hooks
from ctviz.models.anatomy import Anatomy
from ctviz.models.hooks import Hook, hooked
from ctviz.models.prefix import starting
from ctviz.models.writes import Writes, source_outputs, writes
from ctviz.progress import parts
from ctviz.tasks.batch import Batch

__all__ = ["Exact", "exact_edges", "exact_nodes"]

TOKENS = 4096  # of all copies of the batch that run together, at most


@dataclass(frozen=True, slots=True, eq=False)
class Exact:
    """``clean``: the metric of the clean run, [example]; ``scores``: [example, source, slot] for
    edges, [example, source] for nodes.
    """

    clean: Tensor
    scores: Tensor


@torch.no_grad()
def exact_edges(
    anatomy: Anatomy, batch: Batch, corrupt: Writes | None, metric_of: BatchMetric
) -> Exact:
    """metric(clean) - metric(that edge alone corrupted), for every edge and example."""
    graph = anatomy.graph
    clean, delta, passed = _clean(anatomy, batch, corrupt, metric_of)
    scores = clean.new_zeros((len(batch), *graph.exists.shape))
    most = max(1, TOKENS // batch.clean.numel())
    for column, slot in enumerate(graph.slots):
        for first in range(0, slot.n_sources, most):
            rows = slice(first, min(first + most, slot.n_sources))
            moved = delta[rows].flatten(0, 1)  # [copy * example, position, d_model]
            before, after = read_hooks(
                anatomy,
                column,
                lambda x, moved=moved: x - moved,  # type: ignore[misc]
            )
            copies = rows.stop - rows.start
            with starting(anatomy, slot.layer, passed[slot.layer - 1], copies):
                metric = _run(anatomy, batch, copies, metric_of, before, after)
            scores[:, rows, column] = clean[:, None] - metric
    return Exact(clean, scores)


@torch.no_grad()
def exact_nodes(
    anatomy: Anatomy,
    batch: Batch,
    corrupt: Writes | None,
    metric_of: BatchMetric,
    rows: Sequence[int] | np.ndarray | None = None,
) -> Exact:
    """metric(clean) - metric(that node's output corrupted for all its readers).

    ``rows``: the sources that are asked for, by default all; the scores of others are NaN.
    """
    graph = anatomy.graph
    clean, delta, passed = _clean(anatomy, batch, corrupt, metric_of)
    scores = clean.new_full((len(batch), len(graph.sources)), float("nan"))
    for row in parts(range(len(graph.sources)) if rows is None else [int(row) for row in rows]):
        node = graph.sources[row]
        layer, kind = layer_of(node, graph.n_layers), kind_of(node)

        def change(x: Tensor, moved: Tensor = delta[row]) -> Tensor:
            return x - moved.reshape(x.shape)

        before: list[Hook] = []
        after: list[Hook] = []
        if kind == "input":
            before.append((anatomy.blocks[0].module, change))
        elif kind == "mlp":
            after.append((anatomy.blocks[layer].mlp_write, change))
        else:
            block = anatomy.blocks[layer]
            norm = block.attention_post_norm
            after.append((block.attention_out if norm is None else norm.module, change))
        with starting(anatomy, max(layer, 0), passed[layer - 1]):
            scores[:, row] = clean - _run(anatomy, batch, 1, metric_of, before, after)[:, 0]
    return Exact(clean, scores)


def _clean(
    anatomy: Anatomy, batch: Batch, corrupt: Writes | None, metric_of: BatchMetric
) -> tuple[Tensor, Tensor, list[Any]]:
    """The clean metric [example], a_u,clean - a_u,corrupt [source, example, position, d], and what
    each block returns."""
    passed: list[Any] = []
    after: list[Hook] = [(block.module, passed.append) for block in anatomy.blocks]
    with writes(anatomy) as kept, hooked(after=after):
        metric = metric_of(anatomy.hidden(batch.clean, batch.first))
    delta = source_outputs(anatomy, kept if corrupt is None else kept.minus(corrupt))
    return metric, delta.view(len(delta), *batch.clean.shape, -1), passed


def _run(
    anatomy: Anatomy,
    batch: Batch,
    copies: int,
    metric_of: BatchMetric,
    before: list[Hook],
    after: list[Hook],
) -> Tensor:
    """The metric of copies of the batch under some hooks, [example, copy]."""
    first = None if batch.first is None else batch.first.repeat(copies)
    with hooked(before=before, after=after):
        hidden = anatomy.hidden(batch.clean.repeat(copies, 1), first)
    return metric_of(hidden).view(copies, len(batch)).T
