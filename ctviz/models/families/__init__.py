"""Supported architecture families, one file each.

To add one, write its file (a table of module paths and the settings of a tiny specimen) and add it
to the tuple below. `make test` then holds the specimen to every identity of the conformance suite;
a family that fails one of them does not belong in the tuple.
"""

from __future__ import annotations

from ctviz.models.families import (
    falcon,
    gemma,
    gemma2,
    gemma3,
    gpt2,
    gpt_neo,
    gpt_neox,
    gptj,
    llama,
    mistral,
    olmo2,
    opt,
    phi,
    phi3,
    qwen2,
    qwen3,
    smollm3,
    stablelm,
)
from ctviz.models.families.table import Family, Table

__all__ = ["FAMILIES", "Family", "Table"]

_MODULES = (
    gpt2,
    gpt_neo,
    gpt_neox,
    gptj,
    opt,
    llama,
    smollm3,
    mistral,
    qwen2,
    qwen3,
    gemma,
    gemma2,
    gemma3,
    phi,
    phi3,
    olmo2,
    stablelm,
    falcon,
)

FAMILIES: dict[str, Family] = {m.FAMILY.model_type: m.FAMILY for m in _MODULES}
