"""What a part of the residual stream does to the logits: logit lens and direct attribution.

The final norm and the unembedding are linear once the norm's sigma is taken as it is in the run at
hand. So a part a of the residual stream x (what one node or neuron writes) adds to the logits

    W_U (gamma * (a - mean a) / sigma(x))

without the mean for RMSNorm (nostalgebraist 2020; Elhage et al. 2021). Over all sources, the
attention output biases, the norm's bias and the unembedding's this adds up to the logits, in front
of their soft cap where a model has one. A constant on all logits changes no prediction: values are
given above the mean over all tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ctviz.models.anatomy import Anatomy
from ctviz.models.loading import Loaded
from ctviz.tasks.token_text import token_text

__all__ = [
    "added_logits",
    "direct_attribution",
    "extremes",
    "normed",
    "pushed_above",
    "pushed_logits",
]


def _directed(anatomy: Anatomy, parts: Tensor) -> Tensor:
    """Parts [..., d_model] through the final norm but for its sigma."""
    norm = anatomy.final_norm
    if norm.centred:
        parts = parts - parts.mean(dim=-1, keepdim=True)
    return parts if norm.scale is None else parts * norm.scale.to(parts.dtype)


def _unembedded(anatomy: Anatomy, parts: Tensor) -> Tensor:
    logits = parts @ anatomy.unembedding.weight.to(parts.dtype).T
    return logits - logits.mean(dim=-1, keepdim=True)


def normed(anatomy: Anatomy, parts: Tensor, residual: Tensor) -> Tensor:
    """What the final norm makes of parts [..., d_model] of its input ``residual`` [d_model]."""
    _, inverse_sigma = anatomy.final_norm.standardize(residual)
    return _directed(anatomy, parts) * inverse_sigma


def added_logits(anatomy: Anatomy, parts: Tensor, residual: Tensor) -> Tensor:
    """The logit lens of parts [..., d_model]: [..., vocabulary], above the mean over tokens."""
    return _unembedded(anatomy, normed(anatomy, parts, residual))


def pushed_logits(anatomy: Anatomy, parts: Tensor) -> Tensor:
    """The logit lens of parts of no run in particular, such as weights: what it is in any run is
    this times one positive number, 1 / sigma."""
    return _unembedded(anatomy, _directed(anatomy, parts))


def pushed_above(anatomy: Anatomy, parts: Tensor, tokens: Tensor) -> Tensor:
    """The same of some tokens alone, above the mean over these.

    ``parts``: [..., row, position, d_model], ``tokens``: int [row, n] -> [..., row, position, n].
    """
    weight = anatomy.unembedding.weight[tokens].to(parts.dtype)  # [row, n, d_model]
    logits = _directed(anatomy, parts) @ weight.transpose(-1, -2)
    return logits - logits.mean(dim=-1, keepdim=True)


def direct_attribution(
    anatomy: Anatomy, parts: Tensor, residual: Tensor, answer: int, foil: int | None
) -> Tensor:
    """What parts [..., d_model] add to logit(answer) - logit(foil): [...], in logits.

    Without a foil, to logit(answer) above the mean over all tokens.
    """
    weight = anatomy.unembedding.weight
    other = weight.mean(dim=0) if foil is None else weight[foil]
    return normed(anatomy, parts, residual) @ (weight[answer] - other).to(parts.dtype)


def extremes(
    loaded: Loaded, logits: Tensor, count: int
) -> tuple[tuple[tuple[str, float], ...], tuple[tuple[str, float], ...]]:
    """The tokens that [vocabulary] logits promote and suppress most, with their values."""
    count = min(count, logits.shape[-1])

    def named(found: torch.return_types.topk) -> tuple[tuple[str, float], ...]:
        pairs = zip(found.indices.tolist(), found.values.tolist(), strict=True)
        return tuple((token_text(loaded.tokenizer, token), value) for token, value in pairs)

    return named(logits.topk(count)), named(logits.topk(count, largest=False))
