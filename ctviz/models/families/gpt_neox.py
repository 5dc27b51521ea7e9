"""GPT-NeoX and Pythia."""

from __future__ import annotations

from typing import Any

from ctviz.models.families.table import Family, Table

__all__ = ["FAMILY"]


def table(config: Any) -> Table:
    """Attention and MLP read the same residual stream, unless the config says otherwise."""
    return Table(
        blocks="gpt_neox.layers",
        final_norm="gpt_neox.final_layer_norm",
        norm="layer",
        attention_norm="input_layernorm",
        qkv=("attention.query_key_value",),
        fused="groups",
        attention_out="attention.dense",
        mlp_norm="post_attention_layernorm",
        mlp_in=("mlp.dense_h_to_4h",),
        mlp_out="mlp.dense_4h_to_h",
        parallel=config.use_parallel_residual,
    )


_SIZE = {
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_size": 32,
    "intermediate_size": 48,
}

FAMILY = Family(
    "gpt_neox",
    "GPT-NeoX, Pythia",
    table,
    specimens={
        "gpt-neox": {**_SIZE, "use_parallel_residual": True},
        "gpt-neox-sequential": {**_SIZE, "use_parallel_residual": False},
    },
)
