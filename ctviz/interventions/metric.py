"""Metrics: one value an example, higher is better."""

from __future__ import annotations

import torch
from torch import Tensor

from ctviz.circuits.choices import METRICS, Metric
from ctviz.errors import BadTask, UndefinedMetric, UnknownName
from ctviz.models.anatomy import Anatomy
from ctviz.tasks.batch import IGNORED, Batch

__all__ = ["BatchMetric", "check_batch", "check_metric"]


def check_batch(anatomy: Anatomy, batch: Batch, metric: Metric) -> None:
    """Raise BadTask, naming the example, for what no run of the model could make sense of.

    That is an answer that is its own foil where the metric compares the two, a token that the model
    does not have, and prompts longer than it can read.
    """
    if metric not in METRICS:
        raise UnknownName("metric", metric, METRICS)
    lengths = (batch.last if batch.first is None else batch.last - batch.first) + 1
    length = int(lengths.max())
    most = anatomy.context
    if most is not None and length > most:
        raise BadTask(
            f"Example {int(lengths.argmax())} has {length} tokens, but the model reads at most "
            f"{most}: {length - most} too many."
        )
    vocabulary = anatomy.unembedding.weight.shape[0]
    answers = batch.answer.masked_fill(batch.answer == IGNORED, 0)
    for what, ids in (
        ("prompt", batch.clean),
        ("corrupt prompt", batch.corrupt),
        ("answer", answers),
        ("foil", batch.foil[:, None]),
        *(
            (what, ids.masked_fill(ids == IGNORED, 0))
            for what, ids in (("right answer", batch.right), ("wrong answer", batch.wrong))
            if ids is not None
        ),
    ):
        wrong = ((ids < 0) | (ids >= vocabulary)).any(dim=1)
        if bool(wrong.any()):
            raise BadTask(
                f"The {what} of example {int(wrong.nonzero()[0])} has a token that the model does "
                f"not have: its vocabulary is 0 to {vocabulary - 1}."
            )
    same = batch.answer[:, -1] == batch.foil
    if metric in ("logit_difference", "probability_difference") and bool(same.any()):
        raise BadTask(
            f"Answer and foil of example {int(same.nonzero()[0])} are the same token, so {metric} "
            "is 0 whatever the model does."
        )


def check_metric(values: Tensor, done: int = 0) -> None:
    """Raise UndefinedMetric if a metric is not finite, naming it; ``done`` examples came before."""
    if not torch.isfinite(values).all():
        example = int((~torch.isfinite(values)).nonzero()[0])
        raise UndefinedMetric(
            f"The metric of example {done + example} is {values[example].item()}: the model's "
            "logits are not finite there."
        )


class BatchMetric:
    """A metric of a batch, read off final hidden states.

    ``logit_difference``: logit(answer) - logit(foil). ``probability_difference``: p(answer) -
    p(foil), or where a pair has several of them the sum of p over all right answers less that over
    all wrong ones (Hanna et al. 2023, arXiv 2305.00586). ``log_probability``: log p(answer |
    prompt) in nats, summed over the answer's tokens (the negative of its cross-entropy). ``kl``:
    -KL(clean run || this run) of the next token in nats, which is 0 for the clean run itself and
    negative otherwise.
    """

    def __init__(self, anatomy: Anatomy, batch: Batch, metric: Metric) -> None:
        self.anatomy, self.batch, self.metric = anatomy, batch, metric
        self._clean: Tensor | None = None  # log-probabilities of the clean run, for ``kl``
        if metric == "kl":
            with torch.no_grad():
                hidden = anatomy.hidden(batch.clean, batch.first)
                self._clean = self._logits(hidden)[:, -1].log_softmax(dim=-1)

    def __call__(self, hidden: Tensor) -> Tensor:
        """[copies * example, position, d_model] -> [copies * example]; differentiable.

        The examples of the batch may be repeated as a whole any number of times.
        """
        batch = self.batch
        copies = len(hidden) // len(batch)
        answer, foil = batch.answer.repeat(copies, 1), batch.foil.repeat(copies)
        logits = self._logits(hidden, copies)
        rows = torch.arange(len(hidden), device=hidden.device)
        if self.metric == "logit_difference":
            return logits[rows, -1, answer[:, -1]] - logits[rows, -1, foil]
        if self.metric == "probability_difference":
            p = logits[:, -1].softmax(dim=-1)
            if batch.right is None or batch.wrong is None:
                return p[rows, answer[:, -1]] - p[rows, foil]
            return _mass(p, batch.right.repeat(copies, 1)) - _mass(p, batch.wrong.repeat(copies, 1))
        log_p = logits.log_softmax(dim=-1)
        if self.metric == "log_probability":
            real = answer != IGNORED
            each = log_p.gather(-1, answer.clamp(min=0)[:, :, None])[:, :, 0]
            return torch.where(real, each, 0.0).sum(dim=1)
        assert self._clean is not None
        clean = self._clean.repeat(copies, 1)
        return -(clean.exp() * (clean - log_p[:, -1])).sum(dim=-1)

    def _logits(self, hidden: Tensor, copies: int = 1) -> Tensor:
        """[example, n, vocabulary] where answers are predicted, at least in float32."""
        logits = self.anatomy.logits_at(hidden, self.batch.positions.repeat(copies, 1))
        return logits if logits.dtype == torch.float64 else logits.float()


def _mass(p: Tensor, ids: Tensor) -> Tensor:
    """[example, vocabulary], [example, k] -> [example]: the sum over the ids that are none of
    IGNORED."""
    each = p.gather(-1, ids.clamp(min=0))
    return torch.where(ids != IGNORED, each, 0.0).sum(dim=1)
