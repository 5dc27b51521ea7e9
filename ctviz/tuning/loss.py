"""What a step minimizes: cross-entropy of the tokens that the objective counts."""

from __future__ import annotations

import torch
from torch import Tensor

from ctviz.models.anatomy import Anatomy
from ctviz.runs.config import TuneConfig
from ctviz.tasks.batch import Batch
from ctviz.tasks.texts import Texts

__all__ = ["answer_loss", "leaning", "losses", "token_weights"]


def token_weights(texts: Texts, config: TuneConfig) -> Tensor:
    """float32 [example, position - 1]: how much the prediction of each next token counts."""
    prompt, target = {
        "target": (0.0, 1.0),
        "text": (1.0, 1.0),
        "weighted": (1.0, config.target_weight),
    }[config.objective]
    return texts.weights(prompt=prompt, target=target)


def losses(
    anatomy: Anatomy, texts: Texts, config: TuneConfig, sides: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the tokens that count, in nats, summed with their weights, and the sum over
    examples of \\|logit(answer) - logit(foil)\\|.

    ``sides``: int64 [example, 3], see `ctviz.tuning.dataset.Dataset`; without, the latter is 0.
    """
    weights = token_weights(texts, config)
    where = weights.nonzero()
    half = config.precision == "bfloat16"
    with torch.autocast(anatomy.device.type, dtype=torch.bfloat16, enabled=half):
        every = anatomy.hidden(texts.ids[:, :-1])
        logits = anatomy.unembedded(every[where[:, 0], where[:, 1]])
        lean = torch.zeros((), device=anatomy.device)
        if sides is not None and len(two := (sides[:, 0] >= 0).nonzero()[:, 0]):
            at, answer, foil = sides[two].T
            lean = leaning(anatomy.unembedded(every[two, at]), answer, foil).sum()
    next_token = texts.ids[where[:, 0], where[:, 1] + 1]
    each = torch.nn.functional.cross_entropy(logits.float(), next_token, reduction="none")
    return (each * weights[where[:, 0], where[:, 1]]).sum(), lean


def leaning(logits: Tensor, answer: Tensor, foil: Tensor) -> Tensor:
    """\\|logit(answer) - logit(foil)\\| of each example: [example, vocabulary] -> [example].

    The de-biasing term of circuit-tuning (arXiv 2502.06106). Its code takes the absolute value of
    the mean over a batch, in which opposite leanings cancel; here each example counts.
    """
    rows = torch.arange(len(logits), device=logits.device)
    return (logits[rows, answer] - logits[rows, foil]).float().abs()


def answer_loss(anatomy: Anatomy, hidden: Tensor, pairs: Batch, debias: float) -> Tensor:
    """Mean cross-entropy of the pairs' answers, in nats, from a run that is there already, and
    ``debias`` times their mean leaning.

    ``hidden``: [example, position, d_model], of the clean prompts.
    """
    logits = anatomy.logits_at(hidden, pairs.positions[:, -1:])[:, 0]
    answer = pairs.answer[:, -1]
    loss = torch.nn.functional.cross_entropy(logits.float(), answer)
    return loss + debias * leaning(logits, answer, pairs.foil).mean() if debias else loss
