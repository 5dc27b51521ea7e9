"""Attention patterns, which a model computes only if it is made to."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from ctviz.models.anatomy import Anatomy
from ctviz.models.hooks import Hook, hooked
from ctviz.models.mode import evaluating

__all__ = ["attention_patterns", "eager_attention"]

SAME = {True: 1e-3, False: 0.1}  # of the largest value, in single and in half precision


@torch.no_grad()
def attention_patterns(
    anatomy: Anatomy, ids: Tensor, hidden: Tensor, layers: Sequence[int]
) -> list[Tensor] | None:
    """The patterns [batch, head, query, key] of some layers, from a run step by step on ids.

    ``ids``: int [batch, position], without padding.

    None if that run's final hidden states are not those of the usual one, ``hidden``.
    """
    found: dict[int, Tensor] = {}

    def keep(layer: int) -> Hook:
        owner = anatomy.table.attention_out.rpartition(".")[0]
        module = anatomy.blocks[layer].module.get_submodule(owner)
        return module, lambda y: found.__setitem__(layer, y[1])

    hooks = [keep(layer) for layer in layers]
    # some modules return their pattern always, others when they are asked to
    asks = "output_attentions" in inspect.signature(hooks[0][0].forward).parameters
    with evaluating(anatomy.model), eager_attention(anatomy), hooked(after=hooks):
        output = anatomy.model.base_model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            use_cache=False,
            output_attentions=asks,
            return_dict=True,
        )
    far = (output.last_hidden_state - hidden).abs().max() / hidden.abs().max()
    if far > SAME[hidden.dtype.itemsize > 2]:
        return None
    return [found[layer] for layer in layers]


@contextmanager
def eager_attention(anatomy: Anatomy) -> Iterator[None]:
    """Attention computed step by step inside the block, so that its patterns can be returned.

    The setting is changed in the model's config, where every family looks it up when it runs; the
    method of transformers for this leaves Falcon as it is.
    """
    config = anatomy.model.config
    usual = config._attn_implementation
    try:
        config._attn_implementation = "eager"
        yield
    finally:
        config._attn_implementation = usual
