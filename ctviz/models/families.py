"""Where each Hugging Face family keeps what the graph needs: one small table a family.

A table holds module paths only. Every table assumes a pre-norm block in which attention reads the
residual stream first and the MLP reads it after attention has written. To add such a family, add
one `Family` and one entry in `FAMILIES`; the conformance tests run over all entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["FAMILIES", "Family"]


@dataclass(frozen=True, slots=True)
class Family:
    """Module paths of one architecture family; those after ``blocks`` are relative to a block.

    ``qkv`` is one path if queries, keys and values are one fused projection, else three.
    ``mlp_in`` are all projections that read the MLP's input (a gated MLP has two).
    """

    model_type: str
    blocks: str
    embedding: str
    final_norm: str
    norm: Literal["layer", "rms"]
    attention_norm: str
    qkv: tuple[str, ...]
    attention_out: str
    mlp: str
    mlp_norm: str
    mlp_in: tuple[str, ...]
    mlp_out: str


GPT2 = Family(
    model_type="gpt2",
    blocks="transformer.h",
    embedding="transformer.drop",  # token + position embeddings
    final_norm="transformer.ln_f",
    norm="layer",
    attention_norm="ln_1",
    qkv=("attn.c_attn",),
    attention_out="attn.c_proj",
    mlp="mlp",
    mlp_norm="ln_2",
    mlp_in=("mlp.c_fc",),
    mlp_out="mlp.c_proj",
)

LLAMA = Family(
    model_type="llama",
    blocks="model.layers",
    embedding="model.embed_tokens",
    final_norm="model.norm",
    norm="rms",
    attention_norm="input_layernorm",
    qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    attention_out="self_attn.o_proj",
    mlp="mlp",
    mlp_norm="post_attention_layernorm",
    mlp_in=("mlp.gate_proj", "mlp.up_proj"),
    mlp_out="mlp.down_proj",
)

FAMILIES: dict[str, Family] = {family.model_type: family for family in (GPT2, LLAMA)}
