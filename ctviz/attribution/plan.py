"""How much of an attribution to do at a time, from the memory that is there.

Three things take room: what the run keeps for its backward pass (every token of a micro-batch), the
outputs of all sources and the gradients of some slots (every token that is scored at a time), and
one score matrix for each of these examples. With room for all tokens of a micro-batch, source
outputs are computed once; with less, they are computed anew for some examples or positions at a
time from the heads' pre-projection outputs, which are narrower by d_model / d_head. The result does
not depend on the plan beyond rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from ctviz.circuits.graph import Graph
from ctviz.models.anatomy import Anatomy
from ctviz.models.memory import examples_at_a_time, memory_to_plan_with, workspace
from ctviz.tasks.batch import Batch

__all__ = ["Plan", "column_groups", "plan", "product_width"]

GROUP = 96  # columns of the score matrix that are computed at once, at least
LEAST = 2**24  # bytes of workspace that are worth their while however small the model
FULL = 16  # columns of a product come in multiples of this: numbers in a processor's registers
TOKENS = 8192  # of one micro-batch, at most


@dataclass(frozen=True, slots=True)
class Plan:
    """``examples`` are run, ``scored`` of them scored at a time, ``positions`` at a time.

    ``length``: positions of the batch; ``folded``: whether to keep the q, k and v weights of all
    layers with their norms folded in.
    """

    examples: int
    scored: int
    positions: int
    length: int
    folded: bool = False

    def __str__(self) -> str:
        if self.positions < self.length:
            keeps = f"recomputes source outputs for {self.positions} of {self.length} positions"
        elif self.scored < self.examples:
            keeps = f"recomputes source outputs for {self.scored} examples at a time"
        else:
            keeps = "keeps all source outputs"
        weights = "; keeps folded weights" if self.folded else ""
        return f"micro-batches of {self.examples} examples; {keeps}{weights}"


def plan(anatomy: Anatomy, batch: Batch, *, runs: int, micro_batch: int | None = None) -> Plan:
    """The largest plan that fits.

    ``runs`` is how many runs' reads are kept at a time. What a micro-batch keeps takes at most 1.25
    times as much as a training step on the batch, and a quarter of the free memory (or of what
    `ctviz.models.memory.planned_with` says); the workspace an eighth of a step's, LEAST if that is
    more, at most what `ctviz.models.memory.workspace` allows.
    """
    graph, d_model = anatomy.graph, anatomy.d_model
    itemsize = torch.finfo(anatomy.model.dtype).bits // 8
    length, free = batch.clean.shape[1], memory_to_plan_with(anatomy.device)
    # saved for the backward pass, about 30 d_model a layer; a run's reads, 9 d_model a layer
    layer = graph.n_layers * d_model * itemsize
    neurons = 2 * sum(len(block.mlp_parts) for block in anatomy.blocks) * anatomy.neurons * itemsize
    example = (layer * (30 + 9 * runs) + neurons * runs) * length  # of cut MLPs: see ReadGradients
    weights = sum(p.numel() for p in anatomy.model.parameters()) * itemsize
    step = 2 * weights + layer * 30 * length * len(batch)  # of a training step: also gradients
    if micro_batch is not None:
        examples = min(micro_batch, len(batch))
    else:
        room = min(step * 5 // 4, free // 4)
        most = min(len(batch), TOKENS // length)
        examples = _even(len(batch), examples_at_a_time(example, room=room, most=most))
    room = min(max(step // 8, LEAST), workspace(anatomy.device, free))
    widest = max(map(product_width, column_groups(graph)))
    position = (len(graph.sources) + widest) * d_model * max(itemsize, 4)
    matrix = graph.exists.size * max(itemsize, 4)
    scored = _even(examples, min(examples, room // (position * length + matrix)))
    slices = graph.n_heads + 2 * graph.kv_heads
    folded = graph.n_layers * d_model * slices * anatomy.d_head * max(itemsize, 4)
    if scored:
        keep = scored < len(batch) and folded <= room
        return Plan(examples, scored, length, length, keep)
    return Plan(examples, 1, max(1, min(length, room // position)), length, folded <= room)


def _even(examples: int, most: int) -> int:
    """How many at a time so that no part is smaller than need be; 0 for 0."""
    return math.ceil(examples / math.ceil(examples / most)) if most else 0


def product_width(columns: slice) -> int:
    """Columns of the product that computes a group's: a product of 111 is slower than one of 112
    by a quarter."""
    width: int = columns.stop - columns.start
    return -(-width // FULL) * FULL


def column_groups(graph: Graph) -> Iterator[slice]:
    """Columns in groups of whole layers, each of at least GROUP columns if there are so many.

    Narrow matrix products are slow. A group reaches as many sources as its last slot, for its
    earlier slots too many: what is computed for edges that do not exist is dropped.
    """
    start = 0
    for layer in range(graph.n_layers - 1):  # the logits go with the last one
        stop = graph.columns(layer)["mlp"].stop
        if stop - start >= GROUP:
            yield slice(start, stop)
            start = stop
    yield slice(start, len(graph.slots))
