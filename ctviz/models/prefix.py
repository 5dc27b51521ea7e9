"""Running a model from one of its blocks on: what lies in front of it is known already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ctviz.models.anatomy import Anatomy
from ctviz.models.hooks import hooked, replaced

__all__ = ["after_block", "stacked", "starting"]


@contextmanager
def starting(anatomy: Anatomy, layer: int, before: Any, copies: int = 1) -> Iterator[None]:
    """Inside the block the model runs from a layer on, on copies of the examples.

    ``before``: what the block in front of the layer returned; not looked at for layer 0.
    """
    if layer == 0:
        yield
        return
    if isinstance(before, tuple):  # some families' blocks return more than the residual stream
        again: Any = (before[0].repeat(copies, 1, 1), *before[1:])
    else:
        again = before.repeat(copies, 1, 1)
    with replaced([block.module for block in anatomy.blocks[:layer]], again):
        yield


def after_block(
    anatomy: Anatomy, layer: int, ids: Tensor, first: Tensor | None, before: Any
) -> Any:
    """What the block of a layer returns; the model runs no further.

    ``ids``, ``first``: as `Anatomy.hidden` takes them; ``before``: as `starting` does.
    """

    def stop(output: Any) -> None:
        raise _Reached(output)

    try:
        with starting(anatomy, layer, before), hooked(after=[(anatomy.blocks[layer].module, stop)]):
            anatomy.hidden(ids, first)
    except _Reached as reached:
        return reached.output
    raise AssertionError(f"block {layer} did not run")


def stacked(outputs: Sequence[Any]) -> Any:
    """What a block returned in several runs, as if their examples had been run together."""
    if isinstance(outputs[0], tuple):
        return (torch.cat([each[0] for each in outputs]), *outputs[0][1:])
    return torch.cat(list(outputs))


class _Reached(Exception):
    """The block has run."""

    def __init__(self, output: Any) -> None:
        self.output = output
