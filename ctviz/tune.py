"""Circuit-tuning: discover the circuit on a batch, update only what it owns, repeat.

Li et al. 2025, arXiv 2502.06106. Full fine-tuning runs through the same loop and owns everything.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ctviz.attribute import attribute
from ctviz.circuit import Circuit
from ctviz.config import Metric, TuneConfig
from ctviz.errors import OutOfRange, UndefinedMetric
from ctviz.evaluate import faithfulness, metric_of_model
from ctviz.models.loading import Loaded
from ctviz.ownership import DriftMeter, UnitOptimizer, circuit_units, owned_units, whole_units
from ctviz.probe import read_probe
from ctviz.redundancy import circuit_redundancy, mass_redundancy
from ctviz.retention import Retention
from ctviz.selection import top_edges
from ctviz.snapshot import Snapshot, StepRecord
from ctviz.tasks import Pair, Split, find_task
from ctviz.tasks.batch import IGNORED, Batch, Fitting, encode, fitting

__all__ = ["Tuning", "encode_task"]

TRAIN_PAIRS = 512
PROBES = 2


def encode_task(
    loaded: Loaded,
    key: str,
    n: int,
    *,
    split: Split,
    seed: int,
    metric: Metric = "logit_difference",
) -> tuple[Batch, Fitting]:
    """``n`` pairs of a task that fit the model's tokenizer (fewer if the task has no more)."""
    if n < 1:
        raise OutOfRange("examples", n, 1, None)
    pairs = find_task(key).pairs(2 * n, split=split, seed=seed)
    chosen = fitting(pairs, loaded.tokenizer, metric=metric, limit=n)
    batch = encode(chosen.pairs, loaded.tokenizer, metric=metric)
    return batch.to(loaded.anatomy.device), chosen


class Tuning:
    """One run of the loop. Iterating yields a StepRecord a step and a Snapshot now and then.

    Raises OutOfRange if the circuit is larger than the graph, BadTask if no pair fits, and
    UndefinedMetric when the loss is no longer a finite number; all that was yielded stands.
    """

    def __init__(self, loaded: Loaded, config: TuneConfig) -> None:
        self.loaded, self.config = loaded, config
        self.anatomy = anatomy = loaded.anatomy
        self.train, _ = encode_task(
            loaded, config.task, TRAIN_PAIRS, split="train", seed=config.seed
        )
        self.dev, chosen = encode_task(
            loaded, config.task, config.examples, split="dev", seed=config.seed
        )
        self.probe_pairs = _two_kinds(chosen.pairs)
        units = circuit_units(anatomy) if config.method == "circuit" else whole_units(anatomy)
        self.optimizer = UnitOptimizer(units, self._make_optimizer)
        self.n_parameters = sum(p.numel() for p in anatomy.model.parameters())
        self.shuffle = torch.Generator().manual_seed(config.seed)
        self.order: list[int] = []  # train pairs that are yet to come before the next shuffle
        self.step = 0  # steps done: 0, or those of the checkpoint that was loaded into this
        self.retention = Retention(loaded)  # of the model as it is now, untuned

    def _make_optimizer(self, views: list[Tensor]) -> torch.optim.Optimizer:
        config = self.config
        rate, decay = config.learning_rate, config.weight_decay
        if config.optimizer == "sgd":
            return torch.optim.SGD(views, lr=rate, momentum=0.9, weight_decay=decay)
        return torch.optim.AdamW(views, lr=rate, weight_decay=decay)

    def __iter__(self) -> Iterator[StepRecord | Snapshot]:
        config, graph = self.config, self.anatomy.graph
        if self.step == 0:
            yield self.snapshot(0, Circuit(graph, np.zeros_like(graph.exists)))
        meter = DriftMeter(self.anatomy) if config.method == "circuit" else None
        for step in range(self.step + 1, config.steps + 1):
            batch = self.next_batch()
            started = time.perf_counter()
            circuit = self.own(batch)
            loss = self.loss(batch)
            if not math.isfinite(loss.item()):
                raise UndefinedMetric(f"The loss at step {step} is {loss.item()}: it diverged.")
            loss.backward()
            norm = self.optimizer.step(max_norm=config.max_norm)
            owned = [self.optimizer.units[name] for name in self.optimizer.owned]
            self.step = step
            yield StepRecord(
                step=step,
                loss=loss.item(),
                outside_drift=meter.measure(owned) if meter else None,
                trained_fraction=self.optimizer.n_owned / self.n_parameters,
                n_circuit_edges=circuit.n_edges if config.method == "circuit" else None,
                gradient_norm=norm,
                seconds=time.perf_counter() - started,
            )
            if step % config.every == 0 or step == config.steps:
                yield self.snapshot(step, circuit)

    def next_batch(self) -> Batch:
        """Some of the train pairs, all of them in a new order each time around."""
        size = min(self.config.batch_size, len(self.train))
        if len(self.order) < size:
            self.order = torch.randperm(len(self.train), generator=self.shuffle).tolist()
        rows, self.order = self.order[:size], self.order[size:]
        return self.train[torch.tensor(rows)]

    def own(self, batch: Batch) -> Circuit:
        """Let the optimizer move what the circuit of this batch owns, or all for ``full``."""
        if self.config.method == "full":
            self.optimizer.own(self.optimizer.units)
            return Circuit(self.anatomy.graph, self.anatomy.graph.exists)
        scores = attribute(self.anatomy, batch, ablation=self.config.ablation)
        circuit = top_edges(scores, self.config.edges)
        self.optimizer.own(owned_units(circuit))
        return circuit

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of the answer's tokens, a mean over them."""
        hidden = self.anatomy.hidden(batch.clean, batch.first)
        logits = self.anatomy.logits_at(hidden, batch.positions).float()
        return torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), batch.answer.flatten(), ignore_index=IGNORED
        )

    def snapshot(self, step: int, tuned: Circuit) -> Snapshot:
        """Discovery and evaluation on the dev pairs, as the model is now."""
        config = self.config
        scores = attribute(self.anatomy, self.dev, ablation=config.ablation)
        circuit = top_edges(scores, config.edges)
        each = metric_of_model(self.anatomy, self.dev)
        metrics = {
            "metric": float(each.mean()),
            "accuracy": float((each > 0).mean()),
            "retention_kl": self.retention.divergence(),
        }
        try:
            found = faithfulness(
                self.anatomy,
                self.dev,
                circuit,
                ablation=config.ablation,
                seed=config.seed,
            )
            metrics |= {
                "metric_corrupt": found.metric_empty,
                "faithfulness": found.faithfulness,
                "faithfulness_error": found.error,
                "random_faithfulness": found.random,
            }
        except UndefinedMetric:
            pass  # clean and corrupt do not differ any more: no number is better than a wrong one
        return Snapshot(
            step=step,
            scores=scores.values.astype(np.float32),
            circuit=circuit.mask,
            tuned=tuned.mask,
            redundancy={
                "circuit": circuit_redundancy(circuit).values.astype(np.float32),
                "mass": mass_redundancy(scores).values.astype(np.float32),
            },
            metrics=metrics,
            probes=tuple(read_probe(self.loaded, pair) for pair in self.probe_pairs),
            error=None if scores.error is None else scores.error.astype(np.float32),
        )


def _two_kinds(pairs: tuple[Pair, ...]) -> list[Pair]:
    """The first pair and the first one with another answer: they show the task from both sides."""
    chosen = [pairs[0]]
    chosen += [pair for pair in pairs if pair.answer != pairs[0].answer][: PROBES - 1]
    return chosen
