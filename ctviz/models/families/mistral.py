"""Mistral."""

from __future__ import annotations

from ctviz.models.families.llama import SIZE, table
from ctviz.models.families.table import Family

__all__ = ["FAMILY"]

# Laid out like Llama. Attention may be limited to a window.
FAMILY = Family("mistral", "Mistral", table, specimens={"mistral": {**SIZE, "sliding_window": 3}})
