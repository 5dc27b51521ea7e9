"""Phi-3 and Phi-4."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ctviz.models.families import llama
from ctviz.models.families.table import Family, Table

__all__ = ["FAMILY"]


def table(config: Any) -> Table:
    """Llama's layout with a fused q, k, v projection and a fused gate and up projection."""
    return replace(
        llama.table(config),
        qkv=("self_attn.qkv_proj",),
        mlp_in=("mlp.gate_up_proj",),
    )


FAMILY = Family(
    "phi3",
    "Phi-3, Phi-4",
    table,
    specimens={"phi3": {**llama.SIZE, "pad_token_id": 0, "eos_token_id": 0, "bos_token_id": 0}},
)
