"""What went into the linear modules of a model's blocks in one run, and what came out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from torch import Tensor

from ctviz.models.anatomy import Anatomy
from ctviz.models.hooks import hooked
from ctviz.models.parts import LinearModule

__all__ = ["Calls", "calls_of"]

Calls = dict[LinearModule, tuple[Tensor, Tensor]]
"""Input, detached, and output of each module, [..., in] and [..., out]."""


@contextmanager
def calls_of(anatomy: Anatomy) -> Iterator[Calls]:
    """Keep them while the block runs the model, once."""
    inputs: dict[LinearModule, Tensor] = {}
    calls: Calls = {}

    def came_in(module: LinearModule, x: Tensor) -> None:
        inputs[module] = x.detach()

    def came_out(module: LinearModule, y: Tensor) -> None:
        calls[module] = inputs.pop(module), y

    modules = [
        module
        for block in anatomy.blocks
        for module in (*block.projections, block.attention_out, *block.mlp_in, block.mlp_out)
    ]
    before = [(module, partial(came_in, module)) for module in modules]
    after = [(module, partial(came_out, module)) for module in modules]
    with hooked(before=before, after=after, innermost=True):
        yield calls
