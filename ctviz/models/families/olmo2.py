"""OLMo 2."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ctviz.models.families import llama
from ctviz.models.families.table import Family, Table

__all__ = ["FAMILY"]


def table(config: Any) -> Table:
    """Norms after the sublayers instead of before them.

    Queries and keys are normalized over all heads at once, so what one head's q slot reads also
    rescales its neighbours; a score is the derivative along its edge all the same.
    """
    return replace(
        llama.table(config),
        attention_norm=None,
        attention_post_norm="post_attention_layernorm",
        mlp_norm=None,
        mlp_write="post_feedforward_layernorm",
    )


FAMILY = Family("olmo2", "OLMo 2", table, specimens={"olmo2": llama.SIZE})
