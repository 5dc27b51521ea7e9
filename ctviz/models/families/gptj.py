"""GPT-J."""

from __future__ import annotations

from typing import Any

from ctviz.models.families.table import Family, Table

__all__ = ["FAMILY"]


def table(config: Any) -> Table:
    """Attention and MLP read the same residual stream through the same norm."""
    return Table(
        blocks="transformer.h",
        final_norm="transformer.ln_f",
        norm="layer",
        attention_norm="ln_1",
        qkv=tuple(f"attn.{kind}_proj" for kind in "qkv"),
        attention_out="attn.out_proj",
        mlp_norm="ln_1",
        mlp_in=("mlp.fc_in",),
        mlp_out="mlp.fc_out",
        parallel=True,
    )


FAMILY = Family(
    "gptj",
    "GPT-J",
    table,
    specimens={
        "gpt-j": {"n_layer": 2, "n_head": 4, "n_embd": 32, "rotary_dim": 4, "n_positions": 32}
    },
)
