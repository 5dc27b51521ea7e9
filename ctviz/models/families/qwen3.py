"""Qwen 3."""

from __future__ import annotations

from ctviz.models.families.llama import SIZE, table
from ctviz.models.families.table import Family

__all__ = ["FAMILY"]

# Laid out like Llama. Queries and keys are normalized head by head after their projections.
FAMILY = Family("qwen3", "Qwen 3", table, specimens={"qwen3": {**SIZE, "head_dim": 12}})
