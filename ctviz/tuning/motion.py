"""How far the parameters of each node have gone from the untuned ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import torch

from ctviz.circuits.graph import Graph
from ctviz.models.loading import Loaded
from ctviz.models.untuned import Untuned
from ctviz.progress import tick
from ctviz.tuning.lora import plain_name
from ctviz.tuning.ownership import Part, circuit_units

__all__ = ["nodes_moved"]


@torch.no_grad()
def nodes_moved(loaded: Loaded, untuned: Untuned) -> np.ndarray:
    """float32 [node]: norm of the difference by the norm of the untuned parameters, NaN for nodes
    that own none (``input``, ``logits``).

    A head has its query, key, value and output weights; a shared key or value slot counts for each
    head that it feeds. LoRA's adapters have to be merged (`ctviz.tuning.lora.merged`). Raises
    CtvizError if the untuned parameters are no longer there.
    """
    anatomy = loaded.anatomy
    graph = anatomy.graph
    names = {id(p): plain_name(n) for n, p in anatomy.model.named_parameters()}
    parts: dict[str, list[tuple[Part, list[int]]]] = defaultdict(list)
    for unit in circuit_units(anatomy):
        nodes = list(_nodes_of(graph, unit.name))
        for part in unit.parts:
            parts[names[id(part.parameter)]].append((part, nodes))
    now = {name: some[0][0].parameter.detach() for name, some in parts.items()}
    distance, size = np.zeros((2, len(graph.nodes)))
    for name, was in untuned.were(now):
        tick()
        for part, nodes in parts[name]:
            before = was[part.index].to(part.view.device)
            distance[nodes] += float((part.view - before).square().sum())
            size[nodes] += float(before.square().sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        moved: np.ndarray = np.sqrt(distance / size).astype(np.float32)
    return moved


def _nodes_of(graph: Graph, unit: str) -> Iterator[int]:
    """The nodes that a unit of this name belongs to."""
    owner, kind = unit[:-1].split("<")
    if kind in ("in", "out"):
        yield graph.node(owner)
    else:
        slot = graph.slots[graph.slot(unit)]
        yield from (graph.node(node) for node in slot.feeds)
