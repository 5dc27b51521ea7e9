"""The model `few-heads`: random weights, and all but a few nodes silenced."""

from __future__ import annotations

import torch
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

from ctviz.english import FEW_THINGS
from ctviz.models.handmade import KNOWN_ANSWERS
from ctviz.models.handmade.sketch import block_of, new_model
from ctviz.models.handmade.vocabulary import new_tokenizer

__all__ = ["build"]

LAYERS, HEADS, WIDTH = 3, 4, 64
SEED = 3  # of 120, the one whose weakest true edge averages out least over examples


def build() -> tuple[GPT2LMHeadModel, PreTrainedTokenizerFast]:
    """The model and its tokenizer; always the same.

    The embeddings are also the unembedding, so that the residual stream's strongest part, the last
    word's embedding, is what is said. Norms are ordinary LayerNorms.
    """
    tokenizer = new_tokenizer(FEW_THINGS)
    model = new_model(tokenizer, layers=LAYERS, heads=HEADS, d_model=WIDTH, tied=True)
    random = torch.Generator().manual_seed(SEED)
    spread = {"wte": 1.0, "wpe": 0.3, "c_attn": 0.2, "c_proj": 0.09, "c_fc": 0.2}
    for name, parameter in model.named_parameters():
        matrix = name.split(".")[-2]
        if matrix.startswith("ln_"):
            parameter.data.normal_(float(name.endswith("weight")), 0.2, generator=random)
        else:
            parameter.data.normal_(0.0, spread[matrix], generator=random)
    d_head = WIDTH // HEADS
    for node in KNOWN_ANSWERS["few-heads"].silent:
        block = block_of(model, node)
        if node.startswith("m"):
            block.mlp.c_proj.weight.data.zero_()
            block.mlp.c_proj.bias.data.zero_()
        else:
            head = int(node.split(".h")[1])
            block.attn.c_proj.weight.data[head * d_head : (head + 1) * d_head].zero_()
    return model, tokenizer
