"""Qwen 2 and 2.5."""

from __future__ import annotations

from ctviz.models.families.llama import SIZE, table
from ctviz.models.families.table import Family

__all__ = ["FAMILY"]

# Laid out like Llama. The q, k and v projections have biases.
FAMILY = Family("qwen2", "Qwen 2, Qwen 2.5", table, specimens={"qwen2": SIZE})
