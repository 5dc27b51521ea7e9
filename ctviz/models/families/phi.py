"""Phi-1, Phi-1.5 and Phi-2."""

from __future__ import annotations

from typing import Any

from ctviz.models.families.llama import SIZE
from ctviz.models.families.table import Family, Table

__all__ = ["FAMILY"]


def table(config: Any) -> Table:
    """Attention and MLP read the same residual stream through the same norm."""
    return Table(
        blocks="model.layers",
        final_norm="model.final_layernorm",
        norm="layer",
        attention_norm="input_layernorm",
        qkv=tuple(f"self_attn.{kind}_proj" for kind in "qkv"),
        attention_out="self_attn.dense",
        mlp_norm="input_layernorm",
        mlp_in=("mlp.fc1",),
        mlp_out="mlp.fc2",
        parallel=True,
    )


FAMILY = Family(
    "phi",
    "Phi-1, Phi-1.5, Phi-2",
    table,
    specimens={"phi": SIZE, "phi-qk-norm": {**SIZE, "qk_layernorm": True}},
)
