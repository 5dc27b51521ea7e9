"""A copy of a model that is being trained, to look at without touching the training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ctviz.errors import UnsupportedModel
from ctviz.models.draws import draws_untouched

__all__ = ["Replica", "untouched", "unwrapped"]

WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module")  # DDP and accelerate, compiled, FSDP


def unwrapped(model: nn.Module) -> nn.Module:
    """What is inside of what wraps a model for training: DDP, torch.compile, accelerate."""
    while not isinstance(model, PreTrainedModel):
        inner = next((getattr(model, name) for name in WRAPPERS if hasattr(model, name)), None)
        if not isinstance(inner, nn.Module):
            break
        model = inner
    return getattr(model, "_orig_mod", model)


class Replica:
    """A model like the one that is trained, in evaluation mode and float32, with its weights.

    Adapters of peft are merged into the copy's weights, not into the model's. Raises
    UnsupportedModel for a model that is not one of transformers, or whose parameters are not whole
    in this process (FSDP, ZeRO 3).
    """

    def __init__(self, model: nn.Module) -> None:
        base = _base(model)
        kind = type(base)
        self.model: PreTrainedModel = kind._from_config(base.config, dtype=torch.float32)
        self.model.to(next(base.parameters()).device)
        self.model.name_or_path = base.name_or_path
        self.model.eval()
        self.update(model)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take over the weights as they are now."""
        found = _weights(_base(model))
        own = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}
        for name, tensor in own.items():
            now = found.get(name)
            if now is None or now.shape != tensor.shape:
                said = "is not there" if now is None else f"is {tuple(now.shape)} in this process"
                raise UnsupportedModel(
                    f"The model that is trained cannot be recorded: its {name} {said}, where the "
                    f"whole is {tuple(tensor.shape)}. Parameters must be whole in one process; "
                    "record the checkpoints instead (`ctviz record --checkpoints`)."
                )
            tensor.copy_(now)


def _base(model: nn.Module) -> PreTrainedModel:
    """The transformers model in it, adapters of peft still inside."""
    inner: Any = unwrapped(model)
    if hasattr(inner, "get_base_model") and hasattr(inner, "peft_config"):
        inner = inner.get_base_model()
    if not isinstance(inner, PreTrainedModel):
        raise UnsupportedModel(
            f"A model of type {type(inner).__name__} cannot be recorded: it must be a causal "
            "language model of transformers, which may be wrapped by DDP, accelerate, "
            "torch.compile or peft."
        )
    return inner


def _weights(model: PreTrainedModel) -> dict[str, Tensor]:
    """Parameters and buffers by the names that they have without adapters, these merged in."""
    found: dict[str, Tensor] = {}
    for prefix, module in model.named_modules():
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is not None:
                found[f"{prefix}.{name}".lstrip(".")] = tensor.detach()
    for prefix, module in model.named_modules():
        kept: Any = module
        if hasattr(module, "get_delta_weight") and hasattr(module, "base_layer"):
            weight = found[f"{prefix}.base_layer.weight"].float()
            for adapter in kept.active_adapters:
                if adapter in kept.lora_A:
                    weight = weight + kept.get_delta_weight(adapter).detach().float()
            found[f"{prefix}.weight"] = weight
            if (bias := found.get(f"{prefix}.base_layer.bias")) is not None:
                found[f"{prefix}.bias"] = bias
        elif hasattr(module, "modules_to_save") and hasattr(module, "original_module"):
            inner = kept.modules_to_save[kept.active_adapters[0]]
            for name, tensor in (*inner.named_parameters(), *inner.named_buffers()):
                found[f"{prefix}.{name}"] = tensor.detach()
    return found


@contextmanager
def untouched() -> Iterator[None]:
    """Give back what training draws from as it was, and let gradients be computed meanwhile."""
    with draws_untouched(), torch.enable_grad():
        yield
