"""GPT-2."""

from __future__ import annotations

from typing import Any

from ctviz.models.families.table import Family, Table

__all__ = ["FAMILY"]


def table(config: Any) -> Table:
    """LayerNorm before each sublayer, one fused projection, learned positions."""
    return Table(
        blocks="transformer.h",
        final_norm="transformer.ln_f",
        norm="layer",
        attention_norm="ln_1",
        qkv=("attn.c_attn",),
        attention_out="attn.c_proj",
        mlp_norm="ln_2",
        mlp_in=("mlp.c_fc",),
        mlp_out="mlp.c_proj",
    )


FAMILY = Family(
    "gpt2",
    "GPT-2",
    table,
    specimens={"gpt2": {"n_layer": 3, "n_head": 4, "n_embd": 32, "n_positions": 32}},
)
