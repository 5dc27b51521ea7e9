"""Falcon."""

from __future__ import annotations

from typing import Any

from ctviz.errors import UnsupportedModel
from ctviz.models.families.table import Family, Table

__all__ = ["FAMILY"]


def table(config: Any) -> Table:
    """Three generations: shared keys and values (7B), grouped ones (40B), or one a head (RW)."""
    new, parallel = config.new_decoder_architecture, config.parallel_attn
    if new and not parallel:
        raise UnsupportedModel(
            "A Falcon of the new decoder architecture without parallel attention adds its writes "
            "in an order that no released model uses."
        )
    two_norms = new and config.num_ln_in_parallel_attn in (None, 2)
    if two_norms:
        attention_norm, mlp_norm = "ln_attn", "ln_mlp"
    elif parallel:
        attention_norm = mlp_norm = "input_layernorm"
    else:
        attention_norm, mlp_norm = "input_layernorm", "post_attention_layernorm"
    if new:
        kv_heads = config.num_kv_heads
    else:
        kv_heads = 1 if config.multi_query else config.num_attention_heads
    return Table(
        blocks="transformer.h",
        final_norm="transformer.ln_f",
        norm="layer",
        attention_norm=attention_norm,
        qkv=("self_attention.query_key_value",),
        fused="groups",
        attention_out="self_attention.dense",
        mlp_norm=mlp_norm,
        mlp_in=("mlp.dense_h_to_4h",),
        mlp_out="mlp.dense_4h_to_h",
        parallel=parallel,
        kv_heads=kv_heads,
    )


_SIZE: dict[str, Any] = {
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_size": 32,
    "ffn_hidden_size": 48,
}

FAMILY = Family(
    "falcon",
    "Falcon",
    table,
    specimens={
        "falcon": {**_SIZE, "multi_query": True, "parallel_attn": True, "bias": False},
        "falcon-new": {**_SIZE, "new_decoder_architecture": True, "num_kv_heads": 2},
        "falcon-rw": {
            **_SIZE,
            "multi_query": False,
            "parallel_attn": False,
            "alibi": True,
            "bias": True,
        },
    },
)
