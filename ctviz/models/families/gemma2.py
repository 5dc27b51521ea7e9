"""Gemma 2."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ctviz.models.families import llama
from ctviz.models.families.table import Family, Table

__all__ = ["FAMILY", "table"]


def table(config: Any) -> Table:
    """Norms before and after each sublayer; attention and final logits are soft-capped."""
    return replace(
        llama.table(config),
        norm="rms+1",
        attention_post_norm="post_attention_layernorm",
        mlp_norm="pre_feedforward_layernorm",
        mlp_write="post_feedforward_layernorm",
        softcap=config.final_logit_softcapping,
    )


FAMILY = Family(
    "gemma2",
    "Gemma 2",
    table,
    specimens={
        "gemma2": {
            **llama.SIZE,
            "head_dim": 12,
            "sliding_window": 3,
            "query_pre_attn_scalar": 12,
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 3.0,
        }
    },
)
