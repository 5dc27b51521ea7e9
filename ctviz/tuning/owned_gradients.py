"""Gradients of the parts of parameters that a step moves, and of nothing else.

A linear module's weight has the gradient g^T x, with x what goes in and g the gradient at what
comes out. A part of it, some outputs or some inputs, needs those columns of g or x alone: a step
that owns a tenth of the parameters computes a tenth of these products.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from ctviz.models.calls import Calls
from ctviz.models.parts import LinearModule
from ctviz.tuning.ownership import Part

__all__ = ["owned_gradients"]


@torch.no_grad()
def owned_gradients(loss: Tensor, calls: Calls, parts: Iterable[Part]) -> dict[Part, Tensor]:
    """d loss / d part, of the part's shape, through the run that ``calls`` are of.

    Parts are of parameters of these modules. One that the loss does not depend on is left out.
    """
    of: dict[Tensor, LinearModule] = {}
    for module in calls:
        of |= {parameter: module for parameter in module.parameters()}
    wanted: dict[LinearModule, list[Part]] = {}
    for part in parts:
        wanted.setdefault(of[part.parameter], []).append(part)
    outputs = [calls[module][1] for module in wanted]
    found: dict[Part, Tensor] = {}
    gradients = torch.autograd.grad(loss, outputs, allow_unused=True) if outputs else ()
    for (module, own), gradient in zip(wanted.items(), gradients, strict=True):
        if gradient is None:
            continue
        g, x = gradient.flatten(0, -2), calls[module][0].flatten(0, -2).to(gradient.dtype)
        for part in own:
            value = _of_part(module, part, g, x)
            found[part] = value.to(part.parameter.dtype)
    return found


def _of_part(module: LinearModule, part: Part, g: Tensor, x: Tensor) -> Tensor:
    index = (*part.index, slice(None), slice(None))
    if part.parameter.ndim == 1:  # the bias
        return g[:, index[0]].sum(dim=0)
    if isinstance(module, Conv1D):  # [in, out]
        return x[:, index[0]].T @ g[:, index[1]]
    return g[:, index[0]].T @ x[:, index[1]]
