"""What a model does with some of its updates in or out: the metric, and how far it is from the
untuned model elsewhere.

One node at a time is asked about cheaply: in front of its layer the model is as without the
exchange, so only the block of that layer is run with the node's update in or out, and what comes
after it is run for many nodes at once, as copies of the examples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ctviz.circuits.choices import Metric
from ctviz.interventions.metric import BatchMetric, check_batch, check_metric
from ctviz.models.loading import Loaded
from ctviz.models.prefix import after_block, stacked, starting
from ctviz.progress import tick
from ctviz.runs.causes import OTHER
from ctviz.tasks.batch import Batch, padded
from ctviz.tasks.neutral import neutral_texts
from ctviz.tasks.tokens import Tokens
from ctviz.tuning.updates import Updates

__all__ = ["NEUTRAL", "Reader", "Reading"]

NEUTRAL = 6  # texts on which the distance from the untuned model is measured: two of each kind
TOKENS = 4096  # of all copies of the prompts that run together, at most
AT_ONCE = 64  # examples


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """``metric``: float [example]; ``kl``: KL(untuned || model) in nats a token of neutral text."""

    metric: np.ndarray
    kl: float


@dataclass(frozen=True, slots=True, eq=False)
class _Prompts:
    """Prompts that are run together; ``read``: final hidden states [copy * prompt, position, d] and
    the number of copies -> [copy, value]."""

    ids: Tensor
    first: Tensor | None
    read: Callable[[Tensor, int], Tensor]


class Reader:
    """Reads the model as it is, on a batch and on neutral text.

    The model must be the untuned one when this is made. Raises what `check_batch` raises.
    """

    @torch.no_grad()
    def __init__(self, loaded: Loaded, batch: Batch, metric: Metric) -> None:
        check_batch(loaded.anatomy, batch, metric)
        self.anatomy, self.examples = loaded.anatomy, len(batch)
        self._prompts = [self._pairs(part, metric) for part in batch.split(AT_ONCE)]
        self._prompts.append(self._neutral(loaded))

    @torch.no_grad()
    def read(self) -> Reading:
        """The model as it is. Raises UndefinedMetric if a metric is not finite."""
        found = [each.read(self.anatomy.hidden(each.ids, each.first), 1) for each in self._prompts]
        return self._reading(torch.cat(found, dim=1)[0])

    @torch.no_grad()
    def metric(self) -> np.ndarray:
        """The metric alone, float [example]."""
        pairs = self._prompts[:-1]
        values = [each.read(self.anatomy.hidden(each.ids, each.first), 1)[0] for each in pairs]
        check_metric(torch.cat(values))
        found: np.ndarray = torch.cat(values).cpu().double().numpy()
        return found

    @torch.no_grad()
    def each(
        self, updates: Updates, done: Callable[[int], Any] = lambda _: None
    ) -> dict[str, Reading]:
        """For each node, the model as it is but for that node's update: out if it is in, and in if
        it is out. ``done`` is told how many nodes more have been read.
        """
        anatomy = self.anatomy
        layers = range(max((each.layer for each in updates.nodes.values()), default=-1) + 1)
        before: list[Any] = [None] * len(self._prompts)
        found: dict[str, Reading] = {}
        longest = max(each.ids.numel() for each in self._prompts)
        most = max(1, TOKENS // longest)
        for layer in layers:
            here = [each.node for each in updates.nodes.values() if each.layer == layer]
            for start in range(0, len(here), most):
                nodes = here[start : start + most]
                values = torch.cat(
                    [
                        self._exchanged(updates, nodes, layer, each, last)
                        for each, last in zip(self._prompts, before, strict=True)
                    ],
                    dim=1,
                )
                found |= {n: self._reading(v) for n, v in zip(nodes, values, strict=True)}
                done(len(nodes))
            if layer + 1 < len(layers):
                before = [
                    after_block(anatomy, layer, each.ids, each.first, last)
                    for each, last in zip(self._prompts, before, strict=True)
                ]
        if OTHER in updates.nodes:
            with updates.exchanged(OTHER):
                found[OTHER] = self.read()
            done(1)
        return found

    def _exchanged(
        self, updates: Updates, nodes: Sequence[str], layer: int, prompts: _Prompts, before: Any
    ) -> Tensor:
        """Values with each of some nodes of one layer exchanged, [node, value]."""
        outputs = []
        for node in nodes:
            with updates.exchanged(node):
                outputs.append(after_block(self.anatomy, layer, prompts.ids, prompts.first, before))
            tick()
        copies, first = len(nodes), prompts.first
        with starting(self.anatomy, layer + 1, stacked(outputs)):
            hidden = self.anatomy.hidden(
                prompts.ids.repeat(copies, 1), None if first is None else first.repeat(copies)
            )
        return prompts.read(hidden, copies)

    def _reading(self, values: Tensor) -> Reading:
        metric = values[: self.examples]
        check_metric(metric)
        return Reading(metric.cpu().double().numpy(), float(values[self.examples]))

    def _pairs(self, batch: Batch, metric: Metric) -> _Prompts:
        metric_of = BatchMetric(self.anatomy, batch, metric)
        return _Prompts(
            batch.clean, batch.first, lambda hidden, copies: metric_of(hidden).view(copies, -1)
        )

    def _neutral(self, loaded: Loaded) -> _Prompts:
        anatomy = self.anatomy
        tokens = Tokens(loaded.tokenizer, anatomy.vocabulary)
        texts = [tokens.prompt(text)[: anatomy.context] for text in neutral_texts(NEUTRAL)]
        ids = padded(texts, loaded.tokenizer).to(anatomy.device)
        lengths = torch.tensor([len(text) for text in texts], device=anatomy.device)
        real = torch.arange(ids.shape[1], device=anatomy.device) < lengths[:, None]

        def said(hidden: Tensor) -> Tensor:
            return anatomy.unembedded(hidden[real]).float().log_softmax(dim=-1)

        untuned = said(anatomy.hidden(ids))

        def read(hidden: Tensor, copies: int) -> Tensor:
            kl = []
            for own in hidden.chunk(copies):
                kl.append((untuned.exp() * (untuned - said(own))).sum() / len(untuned))
                tick()
            return torch.stack(kl)[:, None]

        return _Prompts(ids, None, read)
