"""What each source writes to the residual stream, recorded while the model runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ctviz.models.anatomy import Anatomy, Block
from ctviz.models.hooks import Hook, hooked

__all__ = [
    "Writes",
    "at_tokens",
    "frozen",
    "head_outputs",
    "head_write_hooks",
    "last_mlp_at",
    "run_writes",
    "source_outputs",
    "writes",
]


@dataclass(slots=True, eq=False)
class Writes:
    """What the model wrote in one run, before heads are told apart.

    ``embedding``: [batch, position, d_model]; ``heads[l]``: [batch, position, heads * d_head], what
    `Block.write_weight` turns into the heads' writes; ``mlps[l]``: [batch, position, d_model].
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
def writes(anatomy: Anatomy) -> Iterator[Writes]:
    """Keep what each source writes while the block runs the model."""
    kept = Writes()

    def embedding(x: Tensor) -> None:
        kept.embedding = x.detach()

    def mlp(y: Tensor) -> None:
        assert kept.embedding is not None
        # a copy, since some models go on to add to it in place; OPT drops the batch dimension
        kept.mlps.append(y.detach().clone().view(kept.embedding.shape))

    before: list[Hook] = [(anatomy.blocks[0].module, embedding)]
    after: list[Hook] = []
    for block in anatomy.blocks:
        before += head_write_hooks(block, lambda z: kept.heads.append(z.detach()))
        after.append((block.mlp_write, mlp))
    with hooked(before=before, after=after):
        yield kept


def head_write_hooks(block: Block, keep: Callable[[Tensor], None]) -> list[Hook]:
    """Hooks that call ``keep`` with what `Block.write_weight` turns into the heads' writes.

    That is the output projection's input, [batch, position, heads * d_head]. Where a norm follows
    the projection it is divided by the norm's sigma: a head's write is then its share of what the
    norm lets through.
    """
    norm = block.attention_post_norm
    if norm is None:
        return [(block.attention_out, keep)]
    inputs: list[Tensor] = []
    return [
        (block.attention_out, inputs.append),
        (norm.module, lambda x: keep(inputs.pop() * norm.standardize(x)[1])),
    ]


def head_outputs(z: Tensor, block: Block, n_heads: int, *, out: Tensor | None = None) -> Tensor:
    """What each head writes: [token, heads * d_head] -> [head, token, d_model].

    The output projection's bias belongs to no head.
    """
    weight = block.write_weight.to(z.dtype)
    per_head = z.view(len(z), n_heads, -1).transpose(0, 1)
    return torch.bmm(per_head, weight.view(n_heads, per_head.shape[2], -1), out=out)


@torch.no_grad()
def source_outputs(anatomy: Anatomy, kept: Writes, *, out: Tensor | None = None) -> Tensor:
    """Every source's output, [source, batch * position, d_model].

    Rows are in the order of ``graph.sources``. ``out`` takes the result, in its own precision.
    """
    heads = anatomy.graph.n_heads
    embedding = kept.tensors[0].flatten(0, 1)
    if out is None:
        out = embedding.new_empty((len(anatomy.graph.sources), *embedding.shape))
    out[0] = embedding
    row = 1
    for block, z, mlp in zip(anatomy.blocks, kept.heads, kept.mlps, strict=True):
        flat = z.flatten(0, 1).to(out.dtype)
        head_outputs(flat, block, heads, out=out[row : row + heads])
        out[row + heads] = mlp.flatten(0, 1)
        row += heads + 1
    return out


@torch.no_grad()
def run_writes(
    anatomy: Anatomy, ids: Tensor, first: Tensor | None = None, *, read_at: Tensor | None = None
) -> Writes:
    """Run the model once without gradients and keep what each source writes.

    With ``read_at`` the last MLP writes only there, see `last_mlp_at`.
    """
    with last_mlp_at(anatomy, read_at), writes(anatomy) as kept:
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
