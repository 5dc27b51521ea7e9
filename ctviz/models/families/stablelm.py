"""StableLM."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ctviz.models.families import llama
from ctviz.models.families.table import Family, Table

__all__ = ["FAMILY"]


def table(config: Any) -> Table:
    """Llama's layout with LayerNorm; some sizes run attention and MLP in parallel."""
    parallel = config.use_parallel_residual
    return replace(
        llama.table(config),
        norm="layer",
        mlp_norm="input_layernorm" if parallel else "post_attention_layernorm",
        parallel=parallel,
    )


FAMILY = Family(
    "stablelm",
    "StableLM",
    table,
    specimens={
        "stablelm": {**llama.SIZE, "use_qkv_bias": True},
        "stablelm-parallel": {
            **llama.SIZE,
            "use_parallel_residual": True,
            "qk_layernorm": True,
        },
    },
)
