"""Which elements of the parameters may move, told without the code under test."""

from __future__ import annotations

import torch

from ctviz.models.anatomy import Anatomy

__all__ = ["allowed", "bits"]


def bits(anatomy: Anatomy) -> dict[str, torch.Tensor]:
    return {k: v.detach().clone() for k, v in anatomy.model.named_parameters()}


def allowed(anatomy: Anatomy, names: list[str]) -> dict[str, torch.Tensor]:
    """Element masks of what may move, built by name and shape, not with the code under test."""
    graph, d = anatomy.graph, anatomy.d_head
    masks = {k: torch.zeros_like(v, dtype=torch.bool) for k, v in anatomy.model.named_parameters()}
    gpt2 = anatomy.family == "gpt2"
    for name in names:
        node, kind = name[:-1].split("<")
        layer = int(node[1:].split(".")[0])
        if node.startswith("m"):
            prefix = f"transformer.h.{layer}.mlp" if gpt2 else f"model.layers.{layer}.mlp"
            into = ("c_fc",) if gpt2 else ("gate_proj", "up_proj")
            if "." in node:
                block = int(node.split(".b")[1])
                own = slice(block * anatomy.mlp_block, (block + 1) * anatomy.mlp_block)
                if kind == "out" and gpt2:
                    masks[f"{prefix}.c_proj.weight"][own, :] = True
                elif kind == "out":
                    masks[f"{prefix}.down_proj.weight"][:, own] = True
                elif gpt2:
                    masks[f"{prefix}.c_fc.weight"][:, own] = True
                    masks[f"{prefix}.c_fc.bias"][own] = True
                else:
                    for part in into:
                        masks[f"{prefix}.{part}.weight"][own, :] = True
                        if f"{prefix}.{part}.bias" in masks:
                            masks[f"{prefix}.{part}.bias"][own] = True
                continue
            parts = into if kind == "in" else (("c_proj",) if gpt2 else ("down_proj",))
            for part in parts:
                for tail in ("weight", "bias"):
                    if f"{prefix}.{part}.{tail}" in masks:
                        masks[f"{prefix}.{part}.{tail}"][:] = True
            continue
        unit = int(node.split(".")[1][1:])
        span = slice(unit * d, unit * d + d)
        if gpt2:
            prefix = f"transformer.h.{layer}.attn"
            if kind == "out":
                masks[f"{prefix}.c_proj.weight"][span, :] = True
            else:
                base = "qkv".index(kind) * graph.n_heads * d + unit * d
                masks[f"{prefix}.c_attn.weight"][:, base : base + d] = True
                masks[f"{prefix}.c_attn.bias"][base : base + d] = True
        else:
            prefix = f"model.layers.{layer}.self_attn"
            if kind == "out":
                masks[f"{prefix}.o_proj.weight"][:, span] = True
            else:
                masks[f"{prefix}.{kind}_proj.weight"][span, :] = True
                if f"{prefix}.{kind}_proj.bias" in masks:
                    masks[f"{prefix}.{kind}_proj.bias"][span] = True
    return masks
