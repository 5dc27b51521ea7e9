"""SmolLM3."""

from __future__ import annotations

from ctviz.models.families.llama import SIZE, table
from ctviz.models.families.table import Family

__all__ = ["FAMILY"]

# Laid out like Llama. Some layers have no rotary positions.
FAMILY = Family(
    "smollm3",
    "SmolLM3",
    table,
    specimens={
        "smollm3": {**SIZE, "num_hidden_layers": 4, "no_rope_layer_interval": 2, "pad_token_id": 0}
    },
)
