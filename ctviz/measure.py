"""Metrics: one value an example, higher is better."""

from __future__ import annotations

import torch
from torch import Tensor

from ctviz.tasks.batch import Batch

__all__ = ["logit_difference"]


def logit_difference(logits: Tensor, batch: Batch) -> Tensor:
    """The metric: logit(answer) - logit(foil), [batch, vocabulary] -> [batch]; higher is better."""
    rows = torch.arange(len(batch), device=logits.device)
    return logits[rows, batch.answer] - logits[rows, batch.foil]
