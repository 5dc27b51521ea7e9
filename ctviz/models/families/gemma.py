"""Gemma."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ctviz.models.families import llama
from ctviz.models.families.table import Family, Table

__all__ = ["FAMILY"]


def table(config: Any) -> Table:
    """Llama's layout with norms that scale by 1 + weight and scaled embeddings."""
    return replace(llama.table(config), norm="rms+1")


FAMILY = Family("gemma", "Gemma", table, specimens={"gemma": {**llama.SIZE, "head_dim": 12}})
