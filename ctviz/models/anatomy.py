"""A loaded model seen as a graph: its blocks, projections and norms, found through its family.

`Anatomy(model)` resolves the module paths of the family's table once; the engine hooks and slices
through it and knows no family by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from ctviz.circuits.graph import Graph
from ctviz.errors import UnsupportedModel
from ctviz.models.activations import fused, written_out
from ctviz.models.config import check_causal, check_family, longest
from ctviz.models.families import FAMILIES, Table
from ctviz.models.families.table import NormKind
from ctviz.models.mode import evaluating
from ctviz.models.workspace import Workspace

__all__ = ["Anatomy", "Block", "LinearModule", "Norm", "Projection"]

LinearModule: TypeAlias = nn.Linear | Conv1D
PLAIN = ("torch.nn.", "transformers.pytorch_utils", "transformers.models.")  # modules of theirs


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

    def put(self, output: Tensor, units: slice, values: Tensor) -> None:
        """Write [..., unit, d_head] into some units of an output [..., out], in place."""
        by_slice = output.unflatten(-1, (-1, self.d_head))
        by_slice[..., list(self.slices[units]), :] = values

    @property
    def weight(self) -> Tensor:
        """[in, unit, d_head]."""
        return self.take(_in_out(self.module))

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
    """One transformer block; see `ctviz.models.families.table.Table` for what each part is."""

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
            every: Tensor = outputs[0].unflatten(-1, (-1, self.q.d_head))  # fused, and a view
            return every
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
    def write_weight(self) -> Tensor:
        """What turns head outputs into writes, [heads * d_head, d_model].

        The output projection, times the scale of the norm that follows it if there is one.
        """
        weight, norm = _in_out(self.attention_out), self.attention_post_norm
        return weight if norm is None or norm.scale is None else weight * norm.scale


class Anatomy:
    """A causal language model's blocks, norms and graph.

    Raises UnsupportedModel if the model's family has no table, if it is not causal, or if a module
    that the table names is missing or of another kind than it says.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        config = model.config
        check_family(config.model_type, f"This {type(model).__name__}")
        check_causal(config, f"This {type(model).__name__}")
        family = FAMILIES[config.model_type]
        unembedding = model.get_output_embeddings()
        if unembedding is None:
            raise UnsupportedModel(
                f"{type(model).__name__} has no unembedding, so it predicts no next token. Load "
                "the model with AutoModelForCausalLM."
            )
        self.model = model
        self.workspace = Workspace()  # for whoever computes with the model, one at a time
        self._activations = written_out(model)
        self.family = family.model_type
        self.table: Table = family.table(config)
        self.d_model: int = config.hidden_size
        n_heads: int = config.num_attention_heads
        n_kv_heads: int = (
            self.table.kv_heads or getattr(config, "num_key_value_heads", None) or n_heads
        )
        self.d_head: int = getattr(config, "head_dim", None) or self.d_model // n_heads
        self.graph = Graph(
            config.num_hidden_layers, n_heads, n_kv_heads, parallel=self.table.parallel
        )
        self.final_norm = self._norm(model, self.table.final_norm)
        self.unembedding = cast(nn.Linear, _plain(unembedding, "The unembedding"))
        self.blocks = [
            self._block(block)
            for block in cast(nn.ModuleList, self._module(model, self.table.blocks))
        ]

    @property
    def device(self) -> torch.device:
        """Device of the model's parameters."""
        return self.model.device

    @property
    def context(self) -> int | None:
        """The most tokens that the model reads, see `ctviz.models.config.longest`."""
        return longest(self.model.config)

    @property
    def vocabulary(self) -> int:
        """The number of tokens for which the model has an embedding: ids are below it."""
        return cast(nn.Embedding, self.model.get_input_embeddings()).weight.shape[0]

    def hidden(self, ids: Tensor, first: Tensor | None = None) -> Tensor:
        """Final hidden states, after the final norm: [batch, position] -> [batch, position, d].

        ``first`` [batch] is the position of each prompt's first token, None if all begin at 0.
        Padding on the right is not masked: a causal model's earlier positions cannot see it.
        """
        positions = None
        seen = torch.ones_like(ids)
        if first is not None:
            place = torch.arange(ids.shape[1], device=ids.device) - first[:, None]
            seen = (place >= 0).to(ids.dtype)
            positions = place.clamp(min=0)
        with fused(self._activations), evaluating(self.model):
            output = self.model.base_model(
                input_ids=ids,
                attention_mask=seen,
                position_ids=positions,
                use_cache=False,
                return_dict=True,
            )
        return cast(Tensor, output.last_hidden_state)

    def logits_at(self, hidden: Tensor, positions: Tensor) -> Tensor:
        """Next-token logits at some positions of each example.

        [batch, position, d_model], int [batch, n] -> [batch, n, vocabulary]
        """
        rows = torch.arange(hidden.shape[0], device=hidden.device)[:, None]
        return self.unembedded(hidden[rows, positions])

    def unembedded(self, hidden: Tensor) -> Tensor:
        """Next-token logits: [..., d_model] -> [..., vocabulary]."""
        logits = cast(Tensor, self.unembedding(hidden))
        cap = self.table.softcap
        return logits if cap is None else cap * torch.tanh(logits / cap)

    # ------------------------------------------------------------------ resolving

    def _module(self, parent: nn.Module, path: str) -> nn.Module:
        try:
            return parent.get_submodule(path)
        except AttributeError:
            raise UnsupportedModel(
                f"{type(self.model).__name__} is listed as {self.family!r}, but has no "
                f"module {path!r}."
            ) from None

    def _block(self, block: nn.Module) -> Block:
        table = self.table
        out = self._linear(block, table.attention_out)
        post = self._optional_norm(block, table.attention_post_norm)
        if post is not None and (out.bias is not None or post.centred):
            raise UnsupportedModel(
                f"{table.attention_out} of this {self.family} model has a bias in front of a norm, "
                "so what its heads write does not add up to what attention writes."
            )
        q, k, v = self._projections(block)
        return Block(
            module=block,
            attention_norm=self._optional_norm(block, table.attention_norm),
            q=q,
            k=k,
            v=v,
            attention_out=out,
            attention_post_norm=post,
            mlp_norm=self._optional_norm(block, table.mlp_norm),
            mlp_read=self._module(block, table.mlp_read),
            mlp_in=tuple(self._linear(block, path) for path in table.mlp_in),
            mlp_out=self._linear(block, table.mlp_out),
            mlp_write=self._module(block, table.mlp_write),
        )

    def _projections(self, block: nn.Module) -> list[Projection]:
        table, graph, d_head = self.table, self.graph, self.d_head
        heads, groups, each = graph.n_heads, graph.kv_heads, graph.group_size
        if len(table.qkv) == 3:
            counts = (heads, groups, groups)
            return [
                Projection(self._linear(block, path), tuple(range(count)), d_head)
                for path, count in zip(table.qkv, counts, strict=True)
            ]
        fused = self._linear(block, table.qkv[0])
        if table.fused == "kinds":
            slices = list(range(heads + 2 * groups))
            kinds = slices[:heads], slices[heads : heads + groups], slices[heads + groups :]
        else:
            wide = each + 2  # slices of a group: its query heads, its key, its value
            slices = list(range(groups * wide))
            queries = [i for i in slices if i % wide < each]
            kinds = queries, slices[each::wide], slices[each + 1 :: wide]
        return [Projection(fused, tuple(chosen), d_head) for chosen in kinds]

    def _linear(self, block: nn.Module, path: str) -> LinearModule:
        return _plain(self._module(block, path), path)

    def _optional_norm(self, parent: nn.Module, path: str | None) -> Norm | None:
        return None if path is None else self._norm(parent, path)

    def _norm(self, parent: nn.Module, path: str) -> Norm:
        module = self._module(parent, path)
        kind = self.table.norm
        named = type(module).__name__
        fits = isinstance(module, nn.LayerNorm) if kind == "layer" else named.endswith("RMSNorm")
        if not fits:
            raise UnsupportedModel(
                f"{path} is a {named}, but the table of {self.family!r} expects a {kind} norm."
            )
        return Norm(module, kind)


def _plain(module: nn.Module, path: str) -> LinearModule:
    """A module that computes nothing but its weight times its input plus its bias."""
    made = type(module)
    if isinstance(module, nn.Linear | Conv1D) and made.__module__.startswith(PLAIN):
        return module
    raise UnsupportedModel(
        f"{path} is a {made.__name__} of {made.__module__}, not a plain Linear or Conv1D, so its "
        "weight is not all that it computes. Merge adapters into the weights first "
        "(merge_and_unload of peft); load a quantized model in floating point."
    )


def _in_out(module: LinearModule) -> Tensor:
    return module.weight if isinstance(module, Conv1D) else module.weight.T
