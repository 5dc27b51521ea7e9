"""The bundled model with parts changed by hand, of which it is known what they do."""

from __future__ import annotations

import torch

from ctviz.models.loading import Loaded, load

FAINT = {"m1", "m2", "m3", "a1.h2", "a2.h3", "a3.h0"}
ROWS = slice(3 * 32, 4 * 32)  # of head 3 in the output projection: d_head is 32


def silence_head(model: torch.nn.Module) -> None:
    model.transformer.h[0].attn.c_proj.weight[ROWS] *= -1


def silence_mlp(model: torch.nn.Module) -> None:
    model.transformer.h[0].mlp.c_proj.weight *= 0.5


def faint(model: torch.nn.Module) -> None:
    """A change of six more nodes that does next to nothing."""
    for layer, head in ((1, 2), (2, 3), (3, 0)):
        model.transformer.h[layer].mlp.c_proj.weight[0, 0] += 1e-6
        model.transformer.h[layer].attn.c_proj.weight[32 * head, 0] += 1e-6


@torch.no_grad()
def changed(*changes) -> Loaded:
    """The model after some changes."""
    loaded = load("tiny")
    for change in changes:
        change(loaded.model)
    return loaded
