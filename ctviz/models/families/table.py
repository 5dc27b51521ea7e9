"""What a family's table says: where a model keeps what the graph needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Family", "NormKind", "Table"]

NormKind = Literal["layer", "rms", "rms+1"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Module paths of one model; those after ``final_norm`` are relative to a block.

    ``norm``: LayerNorm, RMSNorm, or an RMSNorm that scales by 1 + weight. ``qkv``: three paths, or
    one if queries, keys and values are one fused projection; ``fused`` then says in which order its
    columns stand: ``kinds`` (all q, all k, all v) or ``groups`` (for each key/value head its query
    heads, its key, its value). ``attention_norm`` and ``mlp_norm`` are None where attention or the
    MLP reads the residual stream as it is; ``attention_post_norm`` is a norm between the output
    projection and the residual stream. ``mlp_read`` is the module whose input is what the MLP
    reads, ``mlp_write`` the one whose output is added to the residual stream; ``mlp_in`` are all
    projections that read the MLP's input (a gated MLP has two). ``parallel``: attention and MLP of
    a block read the same residual stream. ``softcap``: final logits x become cap * tanh(x / cap).
    """

    blocks: str
    final_norm: str
    norm: NormKind
    attention_norm: str | None
    qkv: tuple[str, ...]
    fused: Literal["kinds", "groups"] = "kinds"
    attention_out: str
    attention_post_norm: str | None = None
    mlp_norm: str | None
    mlp_read: str = "mlp"
    mlp_in: tuple[str, ...]
    mlp_out: str
    mlp_write: str = "mlp"
    parallel: bool = False
    kv_heads: int | None = None
    softcap: float | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """An architecture family by its Hugging Face ``model_type``.

    ``table(config)`` reads a model's config and gives its table, or raises UnsupportedModel with
    the reason. ``specimens`` are settings of tiny random models, by name: the conformance tests
    hold each of them to every identity, and a family without specimens is not supported.
    """

    model_type: str
    title: str
    table: Callable[[Any], Table]
    specimens: dict[str, dict[str, Any]]
