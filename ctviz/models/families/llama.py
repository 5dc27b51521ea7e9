"""Llama 2 and 3, SmolLM2, and the families that share their layout."""

from __future__ import annotations

from typing import Any

from ctviz.models.families.table import Family, Table

__all__ = ["FAMILY", "SIZE", "table"]


def table(config: Any) -> Table:
    """RMSNorm before each sublayer, separate projections, a gated MLP, rotary positions."""
    return Table(
        blocks="model.layers",
        final_norm="model.norm",
        norm="rms",
        attention_norm="input_layernorm",
        qkv=tuple(f"self_attn.{kind}_proj" for kind in "qkv"),
        attention_out="self_attn.o_proj",
        mlp_norm="post_attention_layernorm",
        mlp_in=("mlp.gate_proj", "mlp.up_proj"),
        mlp_out="mlp.down_proj",
    )


SIZE: dict[str, Any] = {
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_size": 32,
    "intermediate_size": 48,
}

FAMILY = Family(
    "llama",
    "Llama 2, Llama 3, SmolLM2",
    table,
    specimens={
        "llama": {**SIZE, "num_hidden_layers": 3, "num_key_value_heads": 4},
        "llama-grouped": {
            "num_hidden_layers": 2,
            "num_attention_heads": 6,
            "num_key_value_heads": 2,
            "hidden_size": 48,
            "head_dim": 12,
            "intermediate_size": 40,
            "attention_bias": True,
            "mlp_bias": True,
        },
    },
)
