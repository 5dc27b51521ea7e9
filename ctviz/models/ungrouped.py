"""A model whose heads share keys and values, as the same model in which each head has its own.

Other tools (TransformerLens with ungrouped keys and values, and with it EAP-IG and the Mechanistic
Interpretability Benchmark) give every head a key and a value slot. The key and value weights of a
group are repeated for each of its heads, so that the model computes the same and its graph is
theirs; all other weights are shared with the model in use.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ctviz.errors import UnsupportedModel
from ctviz.models.anatomy import Anatomy
from ctviz.models.parts import Block, Projection

__all__ = ["ungrouped"]


@torch.no_grad()
def ungrouped(anatomy: Anatomy) -> Anatomy:
    """The same model with a key and a value slot for each head; itself if it has these already.

    Its weights are those of now: a model that is tuned later is ungrouped again. Raises
    UnsupportedModel if it does not compute the same, which is tried.
    """
    graph, model = anatomy.graph, anatomy.model
    if graph.kv_heads == graph.n_heads:
        return anatomy
    config = copy.deepcopy(model.config)
    for name, value in (
        ("num_key_value_heads", graph.n_heads),
        ("num_kv_heads", graph.n_heads),
        ("multi_query", False),
    ):
        if hasattr(config, name):
            setattr(config, name, value)
    with torch.device("meta"):
        made = type(model)(config)
    names = {id(tensor): name for name, tensor in model.named_parameters()}
    weights: dict[str, Tensor] = dict(model.named_parameters())
    for block in anatomy.blocks:
        for name, rows in _expanded(anatomy, block, names).items():
            weights[name] = weights[name][rows]
    for name, weight in weights.items():
        _put(made, name, nn.Parameter(weight, requires_grad=False))
    for name, buffer in model.named_buffers():
        _put(made, name, buffer)
    for name, module in made.named_modules():  # what a module keeps without having registered it
        for attribute, value in vars(module).items():
            if isinstance(value, Tensor) and value.is_meta:
                setattr(module, attribute, getattr(model.get_submodule(name), attribute))
    made.tie_weights()
    made.eval()
    if any(parameter.is_meta for parameter in made.parameters()):
        raise UnsupportedModel(
            f"This {anatomy.family} model has weights for each key head that are not in the "
            "projections, so there is no ungrouped view of it yet."
        )
    found = Anatomy(made, mlp_block=anatomy.mlp_block)
    ids = torch.arange(8, device=anatomy.device)[None] % anatomy.vocabulary
    one, other = anatomy.hidden(ids), found.hidden(ids)
    if not torch.allclose(one, other, rtol=0, atol=1e-3 * float(one.abs().max())):
        raise UnsupportedModel(
            f"The {anatomy.family} model does not compute the same with keys and values of each "
            "head, so there is no ungrouped view of it."
        )
    return found


def _expanded(anatomy: Anatomy, block: Block, names: dict[int, str]) -> dict[str, Tensor]:
    """For each parameter that holds keys or values, the rows that make up the ungrouped one."""
    graph, d_head = anatomy.graph, anatomy.d_head
    group = [head // graph.group_size for head in range(graph.n_heads)]
    found: dict[str, Tensor] = {}
    for module, kinds in block.projections.items():
        if kinds == ["q"]:
            continue
        order = [_slices(block.projection(kind), kind, group) for kind in kinds]
        fused_by_head = anatomy.table.fused == "groups" and len(kinds) > 1
        chosen = [s for head in zip(*order, strict=True) for s in head]
        if not fused_by_head:
            chosen = [s for slices in order for s in slices]
        rows = _rows(chosen, d_head)
        for parameter in (module.weight, module.bias):
            if parameter is not None:
                found[names[id(parameter)]] = rows
    for name, parameter in block.module.named_parameters():  # a norm over all keys at once
        if name.endswith("k_norm.weight") and len(parameter) == graph.kv_heads * d_head:
            found[names[id(parameter)]] = _rows(group, d_head)
    return found


def _slices(projection: Projection, kind: str, group: list[int]) -> list[int]:
    """The slice of each head."""
    return list(projection.slices) if kind == "q" else [projection.slices[g] for g in group]


def _rows(slices: list[int], d_head: int) -> Tensor:
    return (torch.tensor(slices)[:, None] * d_head + torch.arange(d_head)).flatten()


def _put(model: nn.Module, name: str, tensor: Any) -> None:
    path, _, last = name.rpartition(".")
    module = model.get_submodule(path)
    if isinstance(tensor, nn.Parameter):
        module.register_parameter(last, tensor)
    else:
        module.register_buffer(
            last, tensor, persistent=last not in module._non_persistent_buffers_set
        )
