"""The parts of a loaded model: projections to heads and neurons, norms, transformer blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from ctviz.models.families.table import NormKind

__all__ = ["Block", "LinearModule", "Norm", "Projection", "in_out"]

LinearModule: TypeAlias = nn.Linear | Conv1D


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """What a linear module computes for all units (heads) of one kind.

    Its output is a row of slices, each ``d_head`` wide; unit i is slice ``slices[i]``. A fused
    module holds the slices of several kinds. The weight is stored [out, in] by a Linear and
    [in, out] by a Conv1D.
    """

    module: LinearModule
    slices: tuple[int, ...]
    d_head: int

    def columns(self, unit: int) -> slice:
        """The outputs of the module that are a unit's."""
        start = self.slices[unit] * self.d_head
        return slice(start, start + self.d_head)

    def take(self, output: Tensor) -> Tensor:
        """[..., out] -> [..., unit, d_head]; a view where the slices are evenly spaced."""
        by_slice: Tensor = output.unflatten(-1, (-1, self.d_head))
        first, last = self.slices[0], self.slices[-1]
        step = self.slices[1] - first if len(self.slices) > 1 else 1
        if self.slices == tuple(range(first, last + 1, step)):
            return by_slice[..., first : last + 1 : step, :]
        return by_slice[..., list(self.slices), :]

    def of(self, x: Tensor, units: Sequence[int] | np.ndarray) -> Tensor:
        """What units make of inputs of their own: [unit, token, in] -> [unit, token, d_head]."""
        every = len(units) == len(self.slices)
        some = slice(None) if every else torch.as_tensor(units, device=x.device)
        weight = self.weight.transpose(0, 1)[some]
        if self.bias is None:
            return torch.bmm(x, weight)
        return torch.baddbmm(self.bias[some][:, None], x, weight)  # rounded once

    def put(
        self,
        output: Tensor,
        tokens: Tensor | None,
        units: Sequence[int] | np.ndarray,
        values: Tensor,
    ) -> None:
        """Write [unit, token, d_head] into some units of an output [token, out], in place.

        ``tokens``: int64 [token], where; None for all of them.
        """
        slices = torch.tensor([self.slices[unit] for unit in units], device=output.device)
        by_slice = output.unflatten(-1, (-1, self.d_head))
        if tokens is None:
            by_slice[:, slices] = values.transpose(0, 1)
        else:
            by_slice[tokens[None, :], slices[:, None]] = values

    @property
    def weight(self) -> Tensor:
        """[in, unit, d_head]."""
        return self.take(in_out(self.module))

    @property
    def bias(self) -> Tensor | None:
        """[unit, d_head], or None."""
        bias = self.module.bias
        return None if bias is None else self.take(bias)


@dataclass(frozen=True, slots=True, eq=False)
class Norm:
    """A LayerNorm or RMSNorm: ``norm(x) = scale * xhat + bias``."""

    module: nn.Module
    kind: NormKind

    @property
    def centred(self) -> bool:
        """Whether the mean is taken away first, as LayerNorm does."""
        return self.kind == "layer"

    @property
    def scale(self) -> Tensor | None:
        """[d_model], or None for a norm without one."""
        weight = cast("Tensor | None", self.module.weight)
        return weight + 1 if self.kind == "rms+1" and weight is not None else weight

    @property
    def bias(self) -> Tensor | None:
        """The shift of a LayerNorm, [d_model]; None if it has none."""
        return cast("Tensor | None", self.module.bias) if self.centred else None

    @property
    def epsilon(self) -> float:
        """What is added to the variance."""
        name = "variance_epsilon" if hasattr(self.module, "variance_epsilon") else "eps"
        return cast(float, getattr(self.module, name))

    def standardize(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """xhat [..., d_model] and 1 / sigma [..., 1] of an input [..., d_model]."""
        if self.centred:
            x = x - x.mean(dim=-1, keepdim=True)
        inverse_sigma = torch.rsqrt(x.pow(2).mean(dim=-1, keepdim=True) + self.epsilon)
        return x * inverse_sigma, inverse_sigma

    def __call__(self, x: Tensor) -> Tensor:
        """The norm itself, past any hook on its module."""
        return cast(Tensor, self.module.forward(x))


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One transformer block; see `ctviz.models.families.table.Table` for what each part is.

    ``mlp_parts``: what projects to the neurons of each block of a cut MLP, a gate and what it lets
    through or just one; none if the MLP is whole.
    """

    module: nn.Module
    attention_norm: Norm | None
    q: Projection
    k: Projection
    v: Projection
    attention_out: LinearModule
    attention_post_norm: Norm | None
    mlp_norm: Norm | None
    mlp_read: nn.Module
    mlp_in: tuple[LinearModule, ...]
    mlp_out: LinearModule
    mlp_write: nn.Module
    mlp_post_norm: Norm | None
    mlp_parts: tuple[Projection, ...] = ()

    def projection(self, kind: str) -> Projection:
        """The projection of a slot kind, ``q``, ``k`` or ``v``."""
        return {"q": self.q, "k": self.k, "v": self.v}[kind]

    @property
    def projections(self) -> dict[LinearModule, list[str]]:
        """The modules that project to q, k and v, each with its kinds: one if they are fused."""
        found: dict[LinearModule, list[str]] = {}
        for kind in "qkv":
            found.setdefault(self.projection(kind).module, []).append(kind)
        return found

    def by_slot(self, outputs: Sequence[Tensor]) -> Tensor:
        """What `projections` return, each [..., out], as [..., slot, d_head]: q, then k, then v."""
        if len(outputs) == 1 and self._in_slot_order:
            view: Tensor = outputs[0].unflatten(-1, (-1, self.q.d_head))
            return view  # a view
        of = dict(zip(self.projections, outputs, strict=True))
        kinds = [self.projection(kind) for kind in "qkv"]
        return torch.cat([each.take(of[each.module]) for each in kinds], dim=-2)

    @property
    def _in_slot_order(self) -> bool:
        slices = [*self.q.slices, *self.k.slices, *self.v.slices]
        return slices == list(range(len(slices)))

    @property
    def shared_norm(self) -> bool:
        """Whether attention and MLP read through one and the same norm."""
        first, second = self.attention_norm, self.mlp_norm
        return first is not None and second is not None and first.module is second.module

    @property
    def written_together(self) -> bool:
        """Whether what a head, or a block of neurons, writes depends on its neighbours: on sigma of
        a norm behind them."""
        return self.attention_post_norm is not None or self.mlp_post_norm is not None

    @property
    def write_weight(self) -> Tensor:
        """What turns head outputs into writes, [heads * d_head, d_model].

        The output projection, times the scale of the norm that follows it if there is one.
        """
        return scaled(in_out(self.attention_out), self.attention_post_norm)

    @property
    def mlp_write_weight(self) -> Tensor:
        """The same for neurons, [neuron, d_model]: the MLP's output projection."""
        return scaled(in_out(self.mlp_out), self.mlp_post_norm)

    def by_block(self, outputs: Sequence[Tensor]) -> Tensor:
        """What the modules of ``mlp_in`` return, each [..., out], as [..., block, width]: what the
        parts project for a block's neurons, one part after the other."""
        of = dict(zip(self.mlp_in, outputs, strict=True))
        each = [part.take(of[part.module]) for part in self.mlp_parts]
        return each[0] if len(each) == 1 else torch.cat(each, dim=-1)


def scaled(weight: Tensor, norm: Norm | None) -> Tensor:
    return weight if norm is None or norm.scale is None else weight * norm.scale


def in_out(module: LinearModule) -> Tensor:
    return module.weight if isinstance(module, Conv1D) else module.weight.T
