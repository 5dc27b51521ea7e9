"""OPT."""

from __future__ import annotations

from typing import Any

from ctviz.errors import UnsupportedModel
from ctviz.models.families.table import Family, Table

__all__ = ["FAMILY"]


def table(config: Any) -> Table:
    """GPT-like, with the MLP's two projections directly in the block."""
    if not config.do_layer_norm_before or config._remove_final_layer_norm:
        raise UnsupportedModel(
            "This OPT model (OPT-350m) normalizes the residual stream itself after each sublayer, "
            "so what nodes write does not add up along it. Use another OPT size."
        )
    if config.word_embed_proj_dim != config.hidden_size:
        raise UnsupportedModel(
            f"The embeddings of this OPT model are {config.word_embed_proj_dim} wide and its "
            f"residual stream {config.hidden_size}, with a projection between the two that is no "
            "node of a circuit. Use another OPT size."
        )
    return Table(
        blocks="model.decoder.layers",
        final_norm="model.decoder.final_layer_norm",
        norm="layer",
        attention_norm="self_attn_layer_norm",
        qkv=tuple(f"self_attn.{kind}_proj" for kind in "qkv"),
        attention_out="self_attn.out_proj",
        mlp_norm="final_layer_norm",
        mlp_read="fc1",
        mlp_in=("fc1",),
        mlp_out="fc2",
        mlp_write="fc2",
    )


FAMILY = Family(
    "opt",
    "OPT",
    table,
    specimens={
        "opt": {
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "hidden_size": 32,
            "ffn_dim": 48,
            "word_embed_proj_dim": 32,
            "max_position_embeddings": 32,
        }
    },
)
