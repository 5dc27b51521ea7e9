"""What a step minimizes: cross-entropy of the tokens that the objective counts."""

from __future__ import annotations

import torch
from torch import Tensor

from ctviz.models.anatomy import Anatomy
from ctviz.runs.config import TuneConfig
from ctviz.tasks.batch import Batch
from ctviz.tasks.texts import Texts

__all__ = ["answer_loss", "token_weights", "weighted_loss"]


def token_weights(texts: Texts, config: TuneConfig) -> Tensor:
    """float32 [example, position - 1]: how much the prediction of each next token counts."""
    prompt, target = {
        "target": (0.0, 1.0),
        "text": (1.0, 1.0),
        "weighted": (1.0, config.target_weight),
    }[config.objective]
    return texts.weights(prompt=prompt, target=target)


def weighted_loss(anatomy: Anatomy, texts: Texts, config: TuneConfig) -> Tensor:
    """Cross-entropy of the tokens that count, in nats, summed with their weights."""
    weights = token_weights(texts, config)
    where = weights.nonzero()
    half = config.precision == "bfloat16"
    with torch.autocast(anatomy.device.type, dtype=torch.bfloat16, enabled=half):
        hidden = anatomy.hidden(texts.ids[:, :-1])[where[:, 0], where[:, 1]]
        logits = anatomy.logits_at(hidden[:, None], torch.zeros_like(where[:, :1]))[:, 0]
    next_token = texts.ids[where[:, 0], where[:, 1] + 1]
    each = torch.nn.functional.cross_entropy(logits.float(), next_token, reduction="none")
    return (each * weights[where[:, 0], where[:, 1]]).sum()


def answer_loss(anatomy: Anatomy, hidden: Tensor, pairs: Batch) -> Tensor:
    """Mean cross-entropy of the pairs' answers, in nats, from a run that is there already.

    ``hidden``: [example, position, d_model], of the clean prompts.
    """
    logits = anatomy.logits_at(hidden, pairs.positions[:, -1:])[:, 0]
    return torch.nn.functional.cross_entropy(logits.float(), pairs.answer[:, -1])
