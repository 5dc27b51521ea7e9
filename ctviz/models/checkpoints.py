"""Checkpoints of a model that is trained from scratch: when they are taken, and how they lie."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["log_spaced", "move_files", "save_checkpoint"]


def log_spaced(first: int, last: int, count: int) -> tuple[int, ...]:
    """At most ``count`` steps from 0 to ``last``: 0, ``first``, then each later by about the same
    factor. What is learnt early is learnt fast.

    >>> log_spaced(10, 1000, 4)
    (0, 10, 100, 1000)
    """
    ratio = (last / first) ** (1 / max(1, count - 2))
    return tuple(sorted({0, *(round(first * ratio**k) for k in range(count - 1)), last}))


@torch.no_grad()
def save_checkpoint(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, step: int
) -> None:
    """Write weights in half precision, config and tokenizer into ``folder/checkpoint-STEP``.

    Tensors that are shared are written once.
    """
    place = folder / f"checkpoint-{step}"
    place.mkdir(parents=True, exist_ok=True)
    tied = set(model.all_tied_weights_keys)
    tensors = {
        name: tensor.detach().half().contiguous()
        for name, tensor in model.state_dict().items()
        if name not in tied
    }
    save_file(tensors, place / "model.safetensors", metadata={"format": "pt"})
    config = {**model.config.to_diff_dict(), "dtype": "float16"}
    tokenizer.save_pretrained(place)
    (place / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def move_files(folder: Path, out: Path) -> None:
    """Put all files below a folder into another one, replacing those of the same names."""
    for file in sorted(each for each in folder.rglob("*") if each.is_file()):
        target = out / file.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.chmod(0o644)
        os.replace(file, target)
