"""Circuit-tuning: discover the circuit on a batch, update only what it owns, repeat.

Li et al. 2025, arXiv 2502.06106. All methods (`ctviz.tuning.methods`) run through this one loop:
the same batches, the same steps, the same evaluation.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ctviz.attribution.attribute import attribute
from ctviz.attribution.gradients import SharedRun
from ctviz.circuits.redundancy import circuit_redundancy, mass_redundancy
from ctviz.circuits.scores import Circuit, Scores
from ctviz.errors import CtvizError, UndefinedMetric
from ctviz.inspection.probe import read_probe
from ctviz.interventions.faithfulness import faithfulness, metric_of_model
from ctviz.models.loading import Loaded
from ctviz.models.memory import is_out_of_memory, release
from ctviz.runs.config import TuneConfig
from ctviz.runs.snapshot import Notice, Snapshot, StepRecord
from ctviz.tasks.batch import Batch
from ctviz.tasks.fitting import fitting_examples
from ctviz.tasks.grading import grade
from ctviz.tasks.texts import Texts
from ctviz.tuning.dataset import make_dataset
from ctviz.tuning.lora import merged
from ctviz.tuning.methods import make_method, select_circuit
from ctviz.tuning.ownership import MotionMeter, UnitOptimizer
from ctviz.tuning.retention import Retention

__all__ = ["Tuning"]

log = logging.getLogger(__name__)
T = TypeVar("T")


class Tuning:
    """One run of the loop. Iterating yields a StepRecord a step, a Snapshot now and then, and a
    Notice when something was done otherwise than asked.

    Raises OutOfRange if the circuit is larger than the graph, BadTask if no example fits,
    EmptyCircuit if there is nothing to tune, and UndefinedMetric when loss or gradient is no longer
    a finite number: the weights are then those after the last good step, and all that was yielded
    stands.
    """

    def __init__(
        self, loaded: Loaded, config: TuneConfig, *, others: Sequence[str] | None = None
    ) -> None:
        self.loaded, self.config = loaded, config
        self.anatomy = anatomy = loaded.anatomy
        self.n_parameters = sum(p.numel() for p in anatomy.model.parameters())
        self.dataset = make_dataset(loaded, config)
        # of the model as it is now, untuned
        self.retention = Retention(loaded, self.dataset.task, config, others=others)
        for parameter in anatomy.model.parameters():
            parameter.requires_grad_(False)  # whatever moves says so
        self.method = make_method(
            anatomy, config, self.discover, self.dataset.train_pairs[: config.first_pairs]
        )
        self.optimizer = UnitOptimizer(self.method.units, self._make_optimizer)
        self.shuffle = torch.Generator().manual_seed(config.seed)
        self.order: list[int] = []  # train examples that are yet to come before the next shuffle
        self.step = 0  # steps done: 0, or those of the checkpoint that was loaded into this
        self.begun = False  # whether the snapshot before the first step is there already
        self.micro = config.micro_batch or config.batch_size
        self.notices: list[str] = []
        self.shared: SharedRun | None = None  # the clean run of this step's discovery

    def _make_optimizer(self, views: list[Tensor]) -> torch.optim.Optimizer:
        config = self.config
        rate, decay = config.learning_rate, config.weight_decay
        if config.optimizer == "sgd":
            momentum = config.momentum
            return torch.optim.SGD(views, lr=rate, momentum=momentum, weight_decay=decay)
        return torch.optim.AdamW(views, lr=rate, weight_decay=decay, fused=True)

    def __iter__(self) -> Iterator[StepRecord | Snapshot | Notice]:
        config = self.config
        if self.step == 0 and not self.begun:
            yield from self._with_notices(self.snapshot(0, None))
        meter = None if config.method == "full" else MotionMeter(self.anatomy, self.method.units)
        for step in range(self.step + 1, config.steps + 1):
            started = time.perf_counter()
            rows = self.next_rows()
            pairs = self.dataset.pairs_of(rows)
            self.shared = SharedRun() if self.sharable(rows) else None
            with _diverging(f"before step {step}"):
                owned = self.method.own(step, pairs)
            loss = self.within_memory(lambda micro: self.gradients(rows, owned.units, micro))  # noqa: B023
            if not math.isfinite(loss):
                raise UndefinedMetric(f"The loss at step {step} is {loss}: it diverged.")
            rate = config.rate_at(step)
            self.optimizer.set_rate(rate)
            norm = self.optimizer.step(max_norm=config.max_norm or None)
            if not math.isfinite(norm):
                raise UndefinedMetric(f"The gradient at step {step} is {norm}: it diverged.")
            self.step = step
            record = StepRecord(
                step=step,
                loss=loss,
                outside_moved=len(meter.moved(owned.units)) if meter else None,
                trained_fraction=self.optimizer.n_owned / self.n_parameters if rate else 0.0,
                n_circuit_edges=owned.circuit.n_edges if owned.circuit else None,
                gradient_norm=norm,
                learning_rate=rate,
                micro_batch=self.micro,
                seconds=time.perf_counter() - started,
            )
            yield from self._with_notices(record)
            if self.due(step):
                with _diverging(f"at step {step}"):
                    snapshot = self.snapshot(step, owned.circuit if rate else None)
                yield from self._with_notices(snapshot)

    def _with_notices(
        self, event: StepRecord | Snapshot
    ) -> Iterator[StepRecord | Snapshot | Notice]:
        """What was noticed on the way to an event, and the event."""
        noticed = [Notice(text) for text in self.notices]
        self.notices.clear()
        yield from noticed
        yield event

    def due(self, step: int) -> bool:
        """Whether a snapshot follows a step."""
        return step % self.config.every == 0 or step == self.config.steps

    def next_rows(self) -> list[int]:
        """Some of the train examples, all of them in a new order each time around."""
        n = len(self.dataset.train)
        size = min(self.config.batch_size, n)
        if len(self.order) < size:
            self.order = torch.randperm(n, generator=self.shuffle).tolist()
        rows, self.order = self.order[:size], self.order[size:]
        return rows

    def discover(self, pairs: Batch) -> Scores:
        """Score every edge on some pairs, as the model is now."""
        config = self.config

        def scores(micro: int) -> Scores:
            if self.shared is not None:
                self.optimizer.ask()
            # else the plan finds room; with batches of one, dev pairs have to be told as well
            limit = micro if micro < max(2, config.batch_size) else None
            return attribute(
                self.anatomy,
                pairs,
                ablation=config.ablation,
                metric=self.dataset.metric,
                micro_batch=limit,
                shared=self.shared,
            )

        return self.within_memory(scores)

    def sharable(self, rows: Sequence[int]) -> bool:
        """Whether the clean run of discovery does for training: the same tokens, all at once."""
        config = self.config
        return (
            config.method == "circuit"
            and config.objective == "target"
            and config.precision == "float32"
            and self.dataset.same
            and self.micro >= len(rows)
        )

    def gradients(self, rows: Sequence[int], units: Sequence[str], micro: int) -> float:
        """Gradients of the loss on some train examples for some units; returns the loss.

        They go through the run of this step's discovery, if it was kept, else through runs of their
        own, of so many examples at a time.
        """
        shared, self.shared = self.shared, None  # a second try starts over
        self.optimizer.own(units)
        if shared is not None and shared.hidden is not None:
            return self._shared_gradients(shared.hidden, rows)
        texts = self.dataset.train[torch.tensor(rows, device=self.anatomy.device)]
        whole = float(self.weights(texts).sum())
        loss = 0.0
        for part in texts.split(micro):
            found = self.loss(part) / whole
            found.backward()
            loss += float(found.detach())
        return loss

    def _shared_gradients(self, hidden: Tensor, rows: Sequence[int]) -> float:
        pairs, moving = self.dataset.pairs_of(rows), self.optimizer.moving
        assert pairs is not None
        logits = self.anatomy.logits_at(hidden, pairs.positions[:, -1:])[:, 0]
        loss = torch.nn.functional.cross_entropy(logits.float(), pairs.answer[:, -1])
        found = torch.autograd.grad(loss, moving, allow_unused=True)
        for parameter, gradient in zip(moving, found, strict=True):
            parameter.grad = gradient
        return float(loss.detach())

    def weights(self, texts: Texts) -> Tensor:
        """float32 [example, position - 1]: how much the prediction of each next token counts."""
        objective = self.config.objective
        prompt, target = {
            "target": (0.0, 1.0),
            "text": (1.0, 1.0),
            "weighted": (1.0, self.config.target_weight),
        }[objective]
        return texts.weights(prompt=prompt, target=target)

    def loss(self, texts: Texts) -> Tensor:
        """Cross-entropy of the tokens that count, in nats, summed with their weights."""
        weights = self.weights(texts)
        where = weights.nonzero()
        device = self.anatomy.device.type
        half = self.config.precision == "bfloat16"
        with torch.autocast(device, dtype=torch.bfloat16, enabled=half):
            hidden = self.anatomy.hidden(texts.ids[:, :-1])[where[:, 0], where[:, 1]]
            logits = self.anatomy.logits_at(hidden[:, None], torch.zeros_like(where[:, :1]))[:, 0]
        next_token = texts.ids[where[:, 0], where[:, 1] + 1]
        each = torch.nn.functional.cross_entropy(logits.float(), next_token, reduction="none")
        return (each * weights[where[:, 0], where[:, 1]]).sum()

    def within_memory(self, work: Callable[[int], T]) -> T:
        """Do something for so many examples at a time, fewer if the memory does not suffice."""
        while True:
            try:
                return work(self.micro)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if self.micro == 1:
                    raise CtvizError(
                        f"The memory of {self.anatomy.device} does not suffice for one example at "
                        f"a time (step {self.step + 1}). Take shorter examples or a smaller model."
                    ) from error
            self.optimizer.own(())  # lets go of gradients
            self.shared = None
            release()
            self.micro //= 2
            self.notices.append(
                f"Out of memory at step {self.step + 1}: {self.micro} examples at a time from here "
                f"on, instead of {2 * self.micro} or more. The result is the same up to rounding."
            )
            log.warning(self.notices[-1])

    def standing(self) -> dict[str, float]:
        """The task's grade on its test split, and retention measured thoroughly, as it is now."""
        task, n, seed = self.dataset.task, self.config.test_examples, self.config.examples_seed
        test, _ = fitting_examples(self.loaded, task, n, "test", seed)
        with merged(self.anatomy):
            result = grade(self.loaded, task, test)
            return {**result, **self.retention.measure(thorough=True), "test_examples": len(test)}

    def snapshot(self, step: int, tuned: Circuit | None) -> Snapshot:
        """Discovery and evaluation on the dev examples, as the model is now."""
        with merged(self.anatomy):
            return self._snapshot(step, tuned)

    def _snapshot(self, step: int, tuned: Circuit | None) -> Snapshot:
        config, dataset, graph = self.config, self.dataset, self.anatomy.graph
        scores = self.discover(dataset.dev_pairs)
        circuit = select_circuit(scores, config, step)
        each = metric_of_model(self.anatomy, dataset.dev_pairs, metric=dataset.metric)
        metrics = {
            "metric": float(each.mean()),
            **grade(self.loaded, dataset.task, dataset.dev),
            **self.retention.measure(),
        }
        try:
            found = faithfulness(
                self.anatomy,
                dataset.dev_pairs,
                circuit,
                ablation=config.ablation,
                metric=dataset.metric,
                seed=config.seed,
                draws=config.draws,
            )
            metrics |= {
                "metric_corrupt": found.metric_empty,
                "faithfulness": found.faithfulness,
                "faithfulness_error": found.error,
                "random_faithfulness": found.random,
            }
        except UndefinedMetric:
            pass  # clean and corrupt do not differ any more: no number is better than a wrong one
        all_move = config.method in ("full", "lora") and step > 0
        none = np.zeros_like(graph.exists)
        return Snapshot(
            step=step,
            scores=scores.values.astype(np.float32),
            circuit=circuit.mask,
            tuned=tuned.mask if tuned else (graph.exists if all_move else none),
            redundancy={
                "circuit": circuit_redundancy(circuit).values.astype(np.float32),
                "mass": mass_redundancy(scores, tau=config.tau).values.astype(np.float32),
            },
            metrics=metrics,
            probes=tuple(read_probe(self.loaded, pair) for pair in dataset.probe_pairs),
            error=None if scores.error is None else scores.error.astype(np.float32),
        )


@contextmanager
def _diverging(when: str) -> Iterator[None]:
    """Say when it was that a number of the model was no longer finite."""
    try:
        yield
    except UndefinedMetric as error:
        raise UndefinedMetric(f"The model diverged {when}: {error}") from error
