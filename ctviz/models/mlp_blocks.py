"""MLPs cut into blocks of neurons, each a node of the graph.

The paper's own code cuts the MLPs of a Llama into blocks of 64 neurons (circuit-tuning, arXiv
2502.06106). What a block writes is its neurons' activation times their rows of the output
projection; what it reads goes through its columns of the input (and gate) projection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from ctviz.circuits.graph import Graph
from ctviz.errors import OutOfRange, UnsupportedModel
from ctviz.models.memory import memory_to_plan_with
from ctviz.models.parts import Block, Projection, in_out
from ctviz.models.room import check_room

__all__ = ["cut"]

EDGE = 48  # bytes for each pair of a source and a slot: scores, errors, and what they are made from


def cut(graph: Graph, blocks: Sequence[Block], size: int) -> tuple[Graph, list[Block]]:
    """A model's graph and blocks with its MLPs cut into blocks of ``size`` neurons.

    Raises OutOfRange for a size that does not divide the neurons of every MLP, CtvizError if there
    is no memory for the scores of so many edges, and UnsupportedModel for an MLP whose parts do not
    add up to it.
    """
    widths = {in_out(block.mlp_out).shape[0] for block in blocks}
    if len(widths) != 1:
        raise UnsupportedModel(
            f"The MLPs of this model have {sorted(widths)} neurons, not all as many, so they "
            "cannot be cut into blocks of one size. Take whole MLPs (mlp_block 0)."
        )
    neurons = widths.pop()
    if not 1 <= size <= neurons or neurons % size:
        raise OutOfRange("mlp_block", size, 1, neurons, hint=_nearest(size, neurons))
    n_layers, count = graph.n_layers, neurons // size
    sources = 1 + n_layers * (graph.n_heads + count)
    slots = n_layers * (graph.n_heads + 2 * graph.kv_heads + count) + 1
    check_room(
        f"A graph of {sources:,} sources and {slots:,} slots (mlp_block {size})",
        {"the scores of its edges": EDGE * sources * slots},
        memory_to_plan_with(torch.device("cpu")),
        f"Take larger blocks; {_nearest(4 * size, neurons)}",
    )
    return replace(graph, mlp_blocks=count), [_cut(block, size, count) for block in blocks]


def _cut(block: Block, size: int, count: int) -> Block:
    if count == 1:
        return block
    post = block.mlp_post_norm
    if post is not None and (block.mlp_out.bias is not None or post.centred):
        raise UnsupportedModel(
            "The MLPs of this model have an output bias in front of a norm, so what their blocks "
            "write does not add up to what they write. Take whole MLPs (mlp_block 0)."
        )
    parts = []
    for module in block.mlp_in:  # a fused module projects to gates, then to what they let through
        outputs = in_out(module).shape[1] // size
        for start in range(0, outputs, count):
            parts.append(Projection(module, tuple(range(start, start + count)), size))
    return replace(block, mlp_parts=tuple(parts))


def _nearest(size: int, neurons: int) -> str:
    """The sizes next to one that divide an MLP's neurons, as a hint."""
    fitting = [n for n in range(1, neurons + 1) if neurons % n == 0]
    below = max((n for n in fitting if n <= size), default=fitting[0])
    above = min((n for n in fitting if n >= size), default=fitting[-1])
    near = " and ".join(f"{n:,}" for n in sorted({below, above}))
    return (
        f"The MLPs of this model have {neurons:,} neurons, which it must divide: the nearest "
        f"{'is' if below == above else 'are'} {near}. 0 leaves MLPs whole."
    )
