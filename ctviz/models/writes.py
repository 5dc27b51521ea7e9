"""What each source writes to the residual stream, recorded while the model runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ctviz.models.anatomy import Anatomy, Block
from ctviz.models.hooks import Hook, hooked

__all__ = ["Writes", "frozen", "head_outputs", "run_writes", "source_outputs", "writes"]


ALL = slice(None)


@dataclass(slots=True, eq=False)
class Writes:
    """What the model wrote in one run, before heads are told apart.

    ``embedding``: [batch, position, d_model]; ``heads[l]``: [batch, position, heads * d_head], the
    input of the output projection; ``mlps[l]``: [batch, position, d_model].
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

    def per_token(self) -> Writes:
        """The same with one row a token: [batch * position, width]."""
        return Writes.of([tensor.flatten(0, 1) for tensor in self.tensors])

    def minus(self, other: Writes) -> Writes:
        """The difference, write by write; ``other`` may broadcast."""
        pairs = zip(self.tensors, other.tensors, strict=True)
        return Writes.of([a - b for a, b in pairs])


@contextmanager
def writes(anatomy: Anatomy) -> Iterator[Writes]:
    """Keep what each source writes while the block runs the model."""
    kept = Writes()

    def embedding(output: Tensor) -> None:
        kept.embedding = output.detach()

    before: list[Hook] = [
        (b.attention_out, lambda z: kept.heads.append(z.detach())) for b in anatomy.blocks
    ]
    after: list[Hook] = [(b.mlp, lambda y: kept.mlps.append(y.detach())) for b in anatomy.blocks]
    with hooked(before=before, after=[(anatomy.embedding, embedding), *after]):
        yield kept


def head_outputs(z: Tensor, block: Block, n_heads: int, *, out: Tensor | None = None) -> Tensor:
    """What each head writes: [token, heads * d_head] -> [head, token, d_model].

    The output projection's bias belongs to no head.
    """
    weight = block.output_weight.to(z.dtype)
    per_head = z.view(len(z), n_heads, -1).transpose(0, 1)
    return torch.bmm(per_head, weight.view(n_heads, per_head.shape[2], -1), out=out)


def source_outputs(
    anatomy: Anatomy, kept: Writes, *, tokens: slice = ALL, out: Tensor | None = None
) -> Tensor:
    """Every source's output for some tokens of `Writes.per_token`: [source, token, d_model].

    Rows are in the order of ``graph.sources``. ``out`` takes the result, in its own precision.
    """
    heads = anatomy.graph.n_heads
    embedding = kept.tensors[0][tokens]
    if out is None:
        out = embedding.new_empty((len(anatomy.graph.sources), *embedding.shape))
    out[0] = embedding
    row = 1
    for block, z, mlp in zip(anatomy.blocks, kept.heads, kept.mlps, strict=True):
        head_outputs(z[tokens].to(out.dtype), block, heads, out=out[row : row + heads])
        out[row + heads] = mlp[tokens]
        row += heads + 1
    return out


@torch.no_grad()
def run_writes(anatomy: Anatomy, ids: Tensor) -> Writes:
    """Run the model once without gradients and keep what each source writes."""
    with writes(anatomy) as kept:
        anatomy.hidden(ids)
    return kept


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
