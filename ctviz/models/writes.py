"""What each source writes to the residual stream, recorded while the model runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ctviz.models.anatomy import Anatomy
from ctviz.models.hooks import Hook, hooked
from ctviz.models.parts import LinearModule, Norm

__all__ = [
    "Writes",
    "at_tokens",
    "frozen",
    "last_mlp_at",
    "run_writes",
    "scaled_input_hooks",
    "source_outputs",
    "unit_outputs",
    "writes",
]


@dataclass(slots=True, eq=False)
class Writes:
    """What the model wrote in one run, before heads are told apart.

    ``embedding``: [batch, position, d_model]; ``heads[l]``: [batch, position, heads * d_head], what
    `Block.write_weight` turns into the heads' writes; ``mlps[l]``: [batch, position, d_model] of a
    whole MLP; of one that is cut [batch, position, neuron], what `Block.mlp_write_weight` turns
    into its blocks' writes.
    """

    embedding: Tensor | None = None
    heads: list[Tensor] = field(default_factory=list)
    mlps: list[Tensor] = field(default_factory=list)

    @property
    def tensors(self) -> list[Tensor]:
        """The embedding, then ``heads``, then ``mlps``."""
        if self.embedding is None:
            raise ValueError("the model did not run inside the block of `writes`.")
        return [self.embedding, *self.heads, *self.mlps]

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> Writes:
        """The writes whose ``tensors`` these are."""
        layers = len(tensors) // 2
        return cls(tensors[0], list(tensors[1 : 1 + layers]), list(tensors[1 + layers :]))

    def map(self, function: Callable[[Tensor], Tensor]) -> Writes:
        """The same with a function applied to each tensor."""
        return Writes.of([function(tensor) for tensor in self.tensors])

    def minus(self, other: Writes) -> Writes:
        """The difference, write by write; ``other`` may broadcast."""
        pairs = zip(self.tensors, other.tensors, strict=True)
        return Writes.of([a - b for a, b in pairs])


@contextmanager
def writes(anatomy: Anatomy, *, read_at: Tensor | None = None) -> Iterator[Writes]:
    """Keep what each source writes while the block runs the model.

    With ``read_at`` the last MLP writes only there, see `last_mlp_at`.
    """
    kept = Writes()

    def embedding(x: Tensor) -> None:
        kept.embedding = x.detach()

    def heads(z: Tensor) -> None:
        kept.heads.append(z.detach())

    def mlp(y: Tensor) -> None:
        assert kept.embedding is not None
        # a copy, since some models go on to add to it in place; OPT drops the batch dimension
        kept.mlps.append(y.detach().clone().view(kept.embedding.shape))

    def neurons(h: Tensor) -> None:
        assert kept.embedding is not None
        shape, h = torch.Size((*kept.embedding.shape[:2], h.shape[-1])), h.detach()
        if read_at is not None and len(kept.mlps) == len(anatomy.blocks) - 1:
            kept.mlps.append(at_tokens(h, read_at, shape))
        else:
            kept.mlps.append(h.view(shape))

    before: list[Hook] = [(anatomy.blocks[0].module, embedding)]
    after: list[Hook] = []
    for block in anatomy.blocks:
        norm = block.attention_post_norm
        before += scaled_input_hooks(
            block.attention_out, norm, lambda z: kept.heads.append(z.detach())
        )
        if block.mlp_parts:
            before += scaled_input_hooks(block.mlp_out, block.mlp_post_norm, neurons)
        else:
            after.append((block.mlp_write, mlp))
    with last_mlp_at(anatomy, read_at), hooked(before=before, after=after):
        yield kept


def scaled_input_hooks(
    module: LinearModule, norm: Norm | None, keep: Callable[[Tensor], None]
) -> list[Hook]:
    """Hooks that call ``keep`` with what heads, or blocks of neurons, write: the input of their
    output projection, [batch, position, units * width], see `Block.write_weight`.

    Where a norm follows the projection it is divided by the norm's sigma: a unit's write is then
    its share of what the norm lets through.
    """
    if norm is None:
        return [(module, keep)]
    inputs: list[Tensor] = []
    return [
        (module, inputs.append),
        (norm.module, lambda x: keep(inputs.pop() * norm.standardize(x)[1])),
    ]


def unit_outputs(z: Tensor, weight: Tensor, units: int, *, out: Tensor | None = None) -> Tensor:
    """What each unit, a head or a block of neurons, writes.

    ``z``: [token, units * width], ``weight``: [units * width, d_model] -> [unit, token, d_model].
    The output projection's bias belongs to no unit.
    """
    per_unit = z.view(len(z), units, -1).transpose(0, 1)
    return torch.bmm(per_unit, weight.to(z.dtype).unflatten(0, (units, -1)), out=out)


@torch.no_grad()
def source_outputs(anatomy: Anatomy, kept: Writes, *, out: Tensor | None = None) -> Tensor:
    """Every source's output, [source, batch * position, d_model].

    Rows are in the order of ``graph.sources``. ``out`` takes the result, in its own precision.
    """
    graph = anatomy.graph
    embedding = kept.tensors[0].flatten(0, 1)
    if out is None:
        out = embedding.new_empty((len(graph.sources), *embedding.shape))
    out[0] = embedding
    for layer, block in enumerate(anatomy.blocks):
        rows, z = graph.rows(layer), kept.heads[layer].flatten(0, 1).to(out.dtype)
        unit_outputs(z, block.write_weight, graph.n_heads, out=out[rows["head"]])
        own = kept.mlps[layer].flatten(0, 1).to(out.dtype)
        if block.mlp_parts:
            weight = block.mlp_write_weight
            unit_outputs(own, weight, graph.mlp_blocks, out=out[rows["mlp"]])
        else:
            out[rows["mlp"]] = own
    return out


@torch.no_grad()
def run_writes(
    anatomy: Anatomy, ids: Tensor, first: Tensor | None = None, *, read_at: Tensor | None = None
) -> Writes:
    """Run the model once without gradients and keep what each source writes.

    With ``read_at`` the last MLP writes only there, see `last_mlp_at`.
    """
    with writes(anatomy, read_at=read_at) as kept:
        anatomy.hidden(ids, first)
    return kept


@contextmanager
def last_mlp_at(anatomy: Anatomy, tokens: Tensor | None) -> Iterator[None]:
    """The last MLP runs on some tokens only, and writes zero elsewhere.

    Nothing but the logits reads it, so what it writes matters only where the metric looks.
    ``tokens``: int [n], different indices into batch * position; None for all of them.
    """
    if tokens is None:
        yield
        return
    block, where = anatomy.blocks[-1], tokens
    shape: list[torch.Size] = []

    def narrow(x: Tensor) -> Tensor:
        shape[:] = [x.shape]
        return x.reshape(-1, x.shape[-1])[where]

    def widen(y: Tensor) -> Tensor:
        return at_tokens(y, where, shape[0])

    with hooked(before=[(block.mlp_read, narrow)], after=[(block.mlp_write, widen)]):
        yield


def at_tokens(values: Tensor, tokens: Tensor, shape: torch.Size) -> Tensor:
    """[n, d_model] put at some tokens of a tensor of that shape, [..., d_model], zero elsewhere."""
    out = values.new_zeros((shape[:-1].numel(), shape[-1]))
    return out.index_copy(0, tokens, values).view(shape)


@contextmanager
def frozen(anatomy: Anatomy) -> Iterator[None]:
    """No parameter asks for a gradient inside the block."""
    asked = [p for p in anatomy.model.parameters() if p.requires_grad]
    try:
        for parameter in asked:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in asked:
            parameter.requires_grad_(True)
