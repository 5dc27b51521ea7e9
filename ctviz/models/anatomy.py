"""A loaded model seen as a graph: its blocks, projections and norms, found through its family.

`Anatomy(model)` resolves the module paths of `ctviz.models.families` once; the engine hooks and
slices through it and knows no family by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from ctviz.errors import UnsupportedModel
from ctviz.graph import Graph
from ctviz.models.families import FAMILIES, Family

__all__ = ["Anatomy", "Block", "LinearModule", "Norm", "Projection"]

LinearModule: TypeAlias = nn.Linear | Conv1D


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """The columns [start, stop) of a linear module's output: ``y = x @ weight + bias``.

    The module is a Linear (weight stored [out, in]) or a Conv1D (stored [in, out]).
    """

    module: LinearModule
    start: int
    stop: int

    @property
    def weight(self) -> Tensor:
        """View of the weight, [in, stop - start]."""
        return _in_out(self.module)[:, self.start : self.stop]

    @property
    def bias(self) -> Tensor | None:
        """View of the bias, [stop - start], or None."""
        bias = self.module.bias
        return None if bias is None else bias[self.start : self.stop]


@dataclass(frozen=True, slots=True, eq=False)
class Norm:
    """A LayerNorm (``centred``) or RMSNorm: ``norm(x) = weight * xhat + bias``."""

    module: nn.Module
    centred: bool

    @property
    def weight(self) -> Tensor:
        """The scale, [d_model]."""
        return cast(Tensor, self.module.weight)

    @property
    def bias(self) -> Tensor | None:
        """The shift of a LayerNorm, [d_model]; None if it has none."""
        return cast("Tensor | None", self.module.bias) if self.centred else None

    @property
    def epsilon(self) -> float:
        """What is added to the variance."""
        return cast(float, self.module.eps if self.centred else self.module.variance_epsilon)

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
    """One transformer block. ``q``, ``k``, ``v`` are all heads of a kind, side by side."""

    attention_norm: Norm
    q: Projection
    k: Projection
    v: Projection
    attention_out: LinearModule
    mlp: nn.Module
    mlp_norm: Norm
    mlp_in: tuple[LinearModule, ...]
    mlp_out: LinearModule

    def projection(self, kind: str) -> Projection:
        """The projection of a slot kind, ``q``, ``k`` or ``v``."""
        return {"q": self.q, "k": self.k, "v": self.v}[kind]

    @property
    def output_weight(self) -> Tensor:
        """View of the attention output projection, [heads * d_head, d_model]."""
        return _in_out(self.attention_out)


class Anatomy:
    """A causal language model's blocks, norms and graph.

    Raises UnsupportedModel if the model's family has no table, or if a module that the table names
    is missing or of another kind than it says.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        config = model.config
        family = FAMILIES.get(config.model_type)
        if family is None:
            raise UnsupportedModel(
                f"The model is of the family {config.model_type!r}, which has no architecture "
                f"table. Supported families: {', '.join(sorted(FAMILIES))}. The README says how "
                "to add one."
            )
        self.model = model
        self.family: Family = family
        self.d_model: int = config.hidden_size
        n_heads: int = config.num_attention_heads
        n_kv_heads: int = getattr(config, "num_key_value_heads", None) or n_heads
        self.d_head: int = getattr(config, "head_dim", None) or self.d_model // n_heads
        self.graph = Graph(config.num_hidden_layers, n_heads, n_kv_heads)
        self.embedding = self._module(model, family.embedding)
        self.final_norm = self._norm(model, family.final_norm)
        unembedding = model.get_output_embeddings()
        if unembedding is None:
            raise UnsupportedModel(f"{type(model).__name__} has no unembedding: not a causal LM.")
        self.unembedding = cast(nn.Linear, unembedding)
        self.blocks = [
            self._block(block) for block in cast(nn.ModuleList, self._module(model, family.blocks))
        ]

    @property
    def device(self) -> torch.device:
        """Device of the model's parameters."""
        return self.model.device

    def hidden(self, ids: Tensor) -> Tensor:
        """Final hidden states, after the final norm: [batch, position] -> [batch, position, d].

        Prompts are padded on the right, where a causal model's earlier positions cannot see the
        padding, so nothing is masked out.
        """
        seen = torch.ones_like(ids)
        output = self.model.base_model(input_ids=ids, attention_mask=seen, use_cache=False)
        return cast(Tensor, output.last_hidden_state)

    def logits_at(self, hidden: Tensor, positions: Tensor) -> Tensor:
        """Next-token logits at one position of each example: [batch, vocabulary]."""
        rows = torch.arange(hidden.shape[0], device=hidden.device)
        return cast(Tensor, self.unembedding(hidden[rows, positions]))

    # ------------------------------------------------------------------ resolving

    def _module(self, parent: nn.Module, path: str) -> nn.Module:
        try:
            return parent.get_submodule(path)
        except AttributeError:
            raise UnsupportedModel(
                f"{type(self.model).__name__} is listed as {self.family.model_type!r}, but has no "
                f"module {path!r}."
            ) from None

    def _block(self, block: nn.Module) -> Block:
        family, graph = self.family, self.graph
        q_width, kv_width = graph.n_heads * self.d_head, graph.kv_heads * self.d_head
        widths = (q_width, kv_width, kv_width)
        projections = []
        if len(family.qkv) == 1:
            fused = self._linear(block, family.qkv[0])
            start = 0
            for width in widths:
                projections.append(Projection(fused, start, start + width))
                start += width
        else:
            for path, width in zip(family.qkv, widths, strict=True):
                projections.append(Projection(self._linear(block, path), 0, width))
        q, k, v = projections
        return Block(
            attention_norm=self._norm(block, family.attention_norm),
            q=q,
            k=k,
            v=v,
            attention_out=self._linear(block, family.attention_out),
            mlp=self._module(block, family.mlp),
            mlp_norm=self._norm(block, family.mlp_norm),
            mlp_in=tuple(self._linear(block, path) for path in family.mlp_in),
            mlp_out=self._linear(block, family.mlp_out),
        )

    def _linear(self, block: nn.Module, path: str) -> LinearModule:
        module = self._module(block, path)
        if not isinstance(module, nn.Linear | Conv1D):
            raise UnsupportedModel(
                f"{path} is a {type(module).__name__}, not a Linear or Conv1D (a quantized model "
                "cannot be tuned; load it in floating point)."
            )
        return module

    def _norm(self, parent: nn.Module, path: str) -> Norm:
        module = self._module(parent, path)
        centred = self.family.norm == "layer"
        fits = isinstance(module, nn.LayerNorm) if centred else hasattr(module, "variance_epsilon")
        if not fits:
            raise UnsupportedModel(
                f"{path} is a {type(module).__name__}, but the table of "
                f"{self.family.model_type!r} expects a {self.family.norm} norm."
            )
        return Norm(module, centred)


def _in_out(module: LinearModule) -> Tensor:
    return module.weight if isinstance(module, Conv1D) else module.weight.T
