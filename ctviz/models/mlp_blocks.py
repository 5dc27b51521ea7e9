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
from ctviz.errors import UnsupportedModel
from ctviz.models.block_sizes import cut_graph
from ctviz.models.memory import memory_to_plan_with
from ctviz.models.parts import Block, Projection, in_out

__all__ = ["cut"]


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
    available = memory_to_plan_with(torch.device("cpu"))
    whole = cut_graph(graph, widths.pop(), size, available)
    return whole, [_cut(block, size, whole.mlp_blocks) for block in blocks]


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
