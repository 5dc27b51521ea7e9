"""Gemma 3 (text)."""

from __future__ import annotations

from ctviz.models.families import llama
from ctviz.models.families.gemma2 import table
from ctviz.models.families.table import Family

__all__ = ["FAMILY"]

# Gemma 2's layout; queries and keys are normalized head by head after their projections.
FAMILY = Family(
    "gemma3_text",
    "Gemma 3 (text)",
    table,
    specimens={
        "gemma3": {
            **llama.SIZE,
            "head_dim": 12,
            "sliding_window": 3,
            "layer_types": ["sliding_attention", "full_attention"],
            "query_pre_attn_scalar": 12,
        }
    },
)
