"""LoRA as a baseline, by the peft library: low-rank adapters on every linear layer of the blocks.

Hu et al. 2021, arXiv 2106.09685. The engine looks at a model's own weights, so whatever is measured
on an adapted model is measured while the adapters are merged into them (`merged`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from ctviz.extras import need
from ctviz.models.anatomy import Anatomy
from ctviz.tuning.ownership import Part, Unit

__all__ = ["adapter_units", "is_adapter", "merge_for_good", "merged", "plain_name"]


def adapter_units(anatomy: Anatomy, rank: int, seed: int) -> list[Unit]:
    """Put adapters into the model, which then does what it did before; one unit a layer.

    Their scale is 2 (alpha = 2 x rank), their dropout 0. The first factor is random by ``seed``,
    the second zero. Raises MissingExtra without peft.
    """
    need("lora", "LoRA")
    from peft import LoraConfig, inject_adapter_in_model

    model = anatomy.model
    modules = {module: name for name, module in model.named_modules()}
    targets = []
    for block in anatomy.blocks:
        for module in (*block.projections, block.attention_out, *block.mlp_in, block.mlp_out):
            targets.append(modules[module])
    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=0.0,
        target_modules=targets,
        fan_in_fan_out=isinstance(anatomy.blocks[0].mlp_out, Conv1D),
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        inject_adapter_in_model(config, model)
    model.eval()
    return [
        Unit(name, (Part(parameter, ()),))
        for name, parameter in model.named_parameters()
        if is_adapter(name)
    ]


def is_adapter(name: str) -> bool:
    """Whether a parameter's name is that of an adapter."""
    return "lora_" in name


def plain_name(name: str) -> str:
    """A parameter's name as it was before adapters were put into the model."""
    return name.replace(".base_layer.", ".")


@contextmanager
def merged(anatomy: Anatomy) -> Iterator[None]:
    """Let the model's own weights be those with the adapters, if it has any.

    Afterwards they are what they were, to the bit.
    """
    layers = _adapted_layers(anatomy)
    kept = [layer.get_base_layer().weight.detach().clone() for layer in layers]
    try:
        for layer in layers:
            layer.merge()
        yield
    finally:
        for layer, weight in zip(layers, kept, strict=True):
            if layer.merged:
                layer.merged_adapters.clear()
            layer.get_base_layer().weight.data.copy_(weight)


def merge_for_good(anatomy: Anatomy) -> None:
    """Let the model be an ordinary one again, whose own weights are those with the adapters."""
    model = anatomy.model
    for layer in _adapted_layers(anatomy):
        layer.merge()
        name = next(name for name, module in model.named_modules() if module is layer)
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, layer.get_base_layer())
    model.__dict__.pop("peft_config", None)


def _adapted_layers(anatomy: Anatomy) -> list[Any]:
    """The layers that have adapters; a model without any needs no peft."""
    model = anatomy.model
    if not any(is_adapter(name) for name, _ in model.named_parameters()):
        return []
    from peft.tuners.tuners_utils import BaseTunerLayer

    return [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
