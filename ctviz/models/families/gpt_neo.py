"""GPT-Neo."""

from __future__ import annotations

from typing import Any

from ctviz.models.families.table import Family, Table

__all__ = ["FAMILY"]


def table(config: Any) -> Table:
    """GPT-2 with separate projections and, in every other layer, attention over a window."""
    return Table(
        blocks="transformer.h",
        final_norm="transformer.ln_f",
        norm="layer",
        attention_norm="ln_1",
        qkv=tuple(f"attn.attention.{kind}_proj" for kind in "qkv"),
        attention_out="attn.attention.out_proj",
        mlp_norm="ln_2",
        mlp_in=("mlp.c_fc",),
        mlp_out="mlp.c_proj",
    )


FAMILY = Family(
    "gpt_neo",
    "GPT-Neo",
    table,
    specimens={
        "gpt-neo": {
            "num_layers": 2,
            "num_heads": 4,
            "hidden_size": 32,
            "intermediate_size": 48,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 3,
            "max_position_embeddings": 32,
        }
    },
)
