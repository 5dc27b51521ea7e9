"""Circuit-tuning: discover the circuit on a batch, update only what it owns, repeat.

Li et al. 2025, arXiv 2502.06106. All methods (`ctviz.tuning.methods`) run through this one loop:
the same batches (`ctviz.tuning.batches`), the same loss (`ctviz.tuning.loss`), the same snapshots
(`ctviz.tuning.measure`).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ctviz.attribution.agreement import try_methods
from ctviz.attribution.attribute import attribute
from ctviz.attribution.gradients import SharedRun
from ctviz.circuits.scores import Circuit, General, Scores
from ctviz.errors import BadTask, CtvizError, DamagedRun, Diverged, UndefinedMetric
from ctviz.models.calls import calls_of
from ctviz.models.loading import Loaded
from ctviz.models.memory import fewer_at_a_time, free_memory, planned_with
from ctviz.models.untuned import Untuned
from ctviz.progress import Cancelled, parts, phase, share
from ctviz.runs.abilities import lm_eval_tasks
from ctviz.runs.config import TuneConfig
from ctviz.runs.snapshot import Notice, Snapshot, StepRecord
from ctviz.tasks.batch import Batch
from ctviz.tuning.abilities import Abilities
from ctviz.tuning.baselines import Baselines, key_of
from ctviz.tuning.batches import Batches
from ctviz.tuning.dataset import make_dataset
from ctviz.tuning.general import untuned_general
from ctviz.tuning.lora import merged
from ctviz.tuning.loss import answer_loss, losses, token_weights
from ctviz.tuning.measure import grades_on_test, snapshot_of
from ctviz.tuning.methods import make_method
from ctviz.tuning.motion import nodes_moved
from ctviz.tuning.owned_gradients import owned_gradients
from ctviz.tuning.ownership import MotionMeter, UnitOptimizer
from ctviz.tuning.retention import Retention

__all__ = ["BASELINE", "Tuning", "TuningState"]

log = logging.getLogger(__name__)
# Tokens of neutral prompts that a quick evaluation runs for each token that the steps between two
# snapshots train on: about an eighth of what they cost, at four runs of a token in a step.
KL_TOKENS = 0.4
T = TypeVar("T")
BASELINE = 3  # parts: how edges are scored, grades on test examples, what retention starts from
DISCOVERY, SCORES = 0.5, 0.3  # of the time of a step, of a snapshot


@dataclass(frozen=True, slots=True, eq=False)
class TuningState:
    """All that decides how a run goes on after ``step`` steps.

    ``model``: every parameter, by name; ``optimizer``, ``method`` and ``batches``: what these
    remember; ``micro``: examples that are run at a time; ``free``: bytes that were free when the
    run began, by which it is planned what is computed at a time; ``due``: for a step whose snapshot
    was not taken yet the circuit that it moved, ``tuned`` bool [source, slot], all False without
    one; else empty.
    """

    step: int
    micro: int
    free: int
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    method: dict[str, Tensor]
    batches: dict[str, Tensor]
    due: dict[str, Tensor]


class Tuning:
    """One run of the loop. ``attribution`` is what an earlier part of the run has found out about
    the methods to score edges (`ctviz.attribution.agreement.Trial.about`), ``baselines`` what is
    known of the untuned model, ``untuned`` its parameters, if snapshots are to say how far each
    node's have gone from them.

    Iterating yields a StepRecord a step, a Snapshot now and then, and a
    Notice when something was done otherwise than asked.

    Raises OutOfRange if the circuit is larger than the graph, BadTask if no example fits,
    EmptyCircuit if there is nothing to tune, and Diverged when loss, gradient or metric is no
    longer a finite number: the weights are then those after the last good step, and all that was
    yielded stands. So it does after Cancelled, and `state` is that of the last event.
    """

    def __init__(
        self,
        loaded: Loaded,
        config: TuneConfig,
        *,
        baselines: Baselines | None = None,
        untuned: Untuned | None = None,
        attribution: Mapping[str, Any] | None = None,
    ) -> None:
        self.loaded, self.config = loaded, config
        self.revision = loaded.revision  # of the weights that it starts from
        self.anatomy = anatomy = loaded.anatomy
        self.n_parameters = sum(p.numel() for p in anatomy.model.parameters())
        self.baselines, self.untuned = baselines, untuned
        self.micro = config.micro_batch or config.batch_size
        self.notices: list[str] = []
        self.first_scores: Scores | None = None  # of the untuned model, if its trial made them
        with phase("baseline", at=0, total=BASELINE):
            self.dataset = make_dataset(loaded, config)
            self.retention = Retention(
                loaded,
                self.dataset.task,
                config,
                baselines=baselines,
                quick_tokens=self._quick_tokens(),
            )
            asked = lm_eval_tasks(config.abilities)
            self.abilities = Abilities(loaded, asked, config.ability_examples)
            self.attribution = dict(attribution or self._try_methods())
            self.general = self._general()
        for parameter in anatomy.model.parameters():
            parameter.requires_grad_(False)  # whatever moves says so
        first = self.dataset.train_pairs[: config.first_pairs]
        self.method = make_method(anatomy, config, self.discover, first)
        self.optimizer = UnitOptimizer(self.method.units, self._make_optimizer)
        self.batches = Batches(len(self.dataset.train), config.batch_size, seed=config.seed)
        self.step = 0  # steps done: 0, or those of the state that was loaded into this
        self.begun = False  # whether the snapshot before the first step is there already
        self.owed: tuple[Circuit | None] | None = None  # what the snapshot that is due has moved
        self.free = free_memory(anatomy.device)
        self.shared: SharedRun | None = None  # the clean run of this step's discovery

    def _try_methods(self) -> dict[str, Any]:
        """The method that scores edges, and how well it agrees with exact patching."""
        asked, config, pairs = self.config.attribution, self.config, self.dataset.score_pairs
        how: dict[str, Any] = {
            "asked": None if asked == "auto" else asked,
            "ablation": config.ablation,
            "metric": self.dataset.metric,
            "seed": config.examples_seed,
        }
        cut = {"mlp_block": config.mlp_block} if config.mlp_block else {}

        def measure() -> dict[str, Any]:
            trial = try_methods(self.anatomy, pairs, **how)
            if self._limit(self.micro) is None:
                self.first_scores = trial.scores
            return trial.about()

        if self.baselines is None:
            return measure()
        return self.baselines.remembered("agreement", how | cut | {"pairs": key_of(pairs)}, measure)

    def _general(self) -> General | None:
        """What edges do for general text; None, and a notice, if that cannot be said and the
        circuit does not depend on it."""
        if not self.config.compares_general:
            return None
        try:
            return untuned_general(self.loaded, self.baselines)
        except (BadTask, UndefinedMetric) as error:
            if self.config.select == "specific":
                raise
            self.notices.append(f"How specific nodes are is not recorded. {error}")
            return None

    def _limit(self, micro: int) -> int | None:
        """How many examples discovery runs at a time; None leaves that to its plan, which finds
        room, while with batches of one all pairs have to be told as well."""
        return micro if micro < max(2, self.config.batch_size) else None

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
            with phase("discovery"):
                snapshot = self.snapshot(0, None)
            yield from self._with_notices(snapshot)
        self._prepare()  # whoever took the first snapshot may have done so
        if self.owed:
            yield from self._owed_snapshot()
        meter = None if config.method == "full" else MotionMeter(self.anatomy, self.method.units)
        for step in range(self.step + 1, config.steps + 1):
            with phase("steps", at=step - 1, total=config.steps, unit="step"):
                record = self._next_step(step, meter)
            yield from self._with_notices(record)
            if self.owed:
                yield from self._owed_snapshot()

    def _prepare(self) -> None:
        with phase("baseline", at=BASELINE - 1, total=BASELINE):
            self.retention.prepare()

    def _next_step(self, step: int, meter: MotionMeter | None) -> StepRecord:
        """Take a step; if it is cancelled, it has not begun."""
        started, config, before = time.perf_counter(), self.config, self.batches.state()
        rows = self.batches.draw()
        pairs = self.dataset.pairs_of(rows)
        self.shared = SharedRun() if self.sharable(rows) else None
        try:
            with _diverging(f"before step {step}"), share(0.0, DISCOVERY):
                owned = self.method.own(step, pairs)
            with share(DISCOVERY, 1.0):
                loss = self.within_memory(lambda micro: self.gradients(rows, owned.units, micro))
        except Cancelled:
            self.batches.load_state(before)
            raise
        if not math.isfinite(loss):
            raise Diverged(f"The loss at step {step} is {loss}: it diverged.")
        rate = config.rate_at(step)
        self.optimizer.set_rate(rate)
        norm = self.optimizer.step(max_norm=config.max_norm or None)
        if not math.isfinite(norm):
            raise Diverged(f"The gradient at step {step} is {norm}: it diverged.")
        self.step = step
        self.owed = (owned.circuit if rate else None,) if self.due(step) else None
        return StepRecord(
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

    def _owed_snapshot(self) -> Iterator[StepRecord | Snapshot | Notice]:
        """The snapshot after the last step."""
        assert self.owed is not None
        step, every = self.step, self.config.every
        with (
            phase("snapshots", at=-(-step // every) - 1, total=self.n_snapshots, unit="snapshot"),
            _diverging(f"at step {step}"),
        ):
            snapshot = self.snapshot(step, *self.owed)
        self.owed = None
        yield from self._with_notices(snapshot)

    def _with_notices(
        self, event: StepRecord | Snapshot
    ) -> Iterator[StepRecord | Snapshot | Notice]:
        """What was noticed on the way to an event, and the event."""
        noticed = [Notice(text) for text in self.notices]
        self.notices.clear()
        yield from noticed
        yield event

    def _quick_tokens(self) -> float:
        """Of how many neutral tokens the KL of a quick evaluation is."""
        config = self.config
        if config.evaluate != "quick":
            return math.inf
        return KL_TOKENS * config.every * self.dataset.tokens_a_step(config)

    def due(self, step: int) -> bool:
        """Whether a snapshot follows a step."""
        return step % self.config.every == 0 or step == self.config.steps

    @property
    def n_snapshots(self) -> int:
        """How many snapshots follow steps."""
        return -(-self.config.steps // self.config.every)

    def discover(self, pairs: Batch) -> Scores:
        """Score every edge on some pairs, as the model is now, beside what it did for general text
        when it was untuned."""
        config = self.config

        def scores(micro: int) -> Scores:
            if self.shared is not None:
                self.optimizer.ask()
            return attribute(
                self.anatomy,
                pairs,
                method=self.attribution["method"],
                ablation=config.ablation,
                metric=self.dataset.metric,
                micro_batch=self._limit(micro),
                shared=self.shared,
            )

        with planned_with(self.free):
            return replace(self.within_memory(scores), general=self.general)

    def sharable(self, rows: Sequence[int]) -> bool:
        """Whether the clean run of discovery does for training: the same tokens, all at once."""
        config = self.config
        return (
            config.method in ("circuit", "circuit-and-random")
            and self.attribution["method"] == "eap"
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
            return self._shared_gradients(shared, shared.hidden, rows)
        config, chosen = self.config, torch.tensor(rows, device=self.anatomy.device)
        texts = self.dataset.train[chosen]
        whole = float(token_weights(texts, config).sum())
        sides = self.dataset.sides[chosen] if config.debias else None
        weight = 0.0 if sides is None else config.debias / max(1, int((sides[:, 0] >= 0).sum()))

        def part_of_loss(some: slice) -> Tensor:
            side = None if sides is None else sides[some]
            told, lean = losses(self.anatomy, texts[some], config, side)
            return told / whole + weight * lean

        loss = 0.0
        for start in parts(range(0, len(rows), micro)):
            loss += self._add_gradients(part_of_loss, slice(start, start + micro))
        return loss

    def _add_gradients(self, part_of_loss: Callable[[slice], Tensor], some: slice) -> float:
        """The share of some examples in the gradients; returns that in the loss."""
        if self.config.discovers:  # units are parts of linear modules
            with calls_of(self.anatomy) as calls:
                loss = part_of_loss(some)
            self.optimizer.add(owned_gradients(loss, calls, self.optimizer.parts))
        else:
            loss = part_of_loss(some)
            loss.backward()
        return float(loss.detach())

    def _shared_gradients(self, shared: SharedRun, hidden: Tensor, rows: Sequence[int]) -> float:
        pairs = self.dataset.pairs_of(rows)
        assert pairs is not None
        loss = answer_loss(self.anatomy, hidden, pairs, self.config.debias)
        self.optimizer.add(owned_gradients(loss, shared.calls, self.optimizer.parts))
        return float(loss.detach())

    def within_memory(self, work: Callable[[int], T]) -> T:
        """Do something for so many examples at a time, fewer if the memory does not suffice."""
        return fewer_at_a_time(
            work,
            self.micro,
            device=self.anatomy.device,
            when=f"step {self.step + 1}",
            before_again=self._fewer,
        )

    def _fewer(self, micro: int) -> None:
        """Let go of what the last try has left, and say how many examples it is from here on."""
        self.optimizer.own(())  # lets go of gradients
        self.shared = None
        self.notices.append(
            f"Out of memory at step {self.step + 1}: {micro} examples at a time from here on, "
            f"instead of {2 * micro} or more. The result is the same up to rounding."
        )
        self.micro = micro
        log.warning(self.notices[-1])

    def test_grades(self) -> dict[str, float]:
        """The task's grade on its test split, and retention measured thoroughly, as it is now."""
        with merged(self.anatomy):
            return grades_on_test(
                self.loaded, self.config, self.dataset, self.retention, self.abilities
            )

    def untuned_grades(self) -> dict[str, float]:
        """The same of the untuned model, before anything has moved."""
        with merged(self.anatomy):
            return grades_on_test(
                self.loaded,
                self.config,
                self.dataset,
                self.retention,
                self.abilities,
                self.baselines,
            )

    def snapshot(self, step: int, tuned: Circuit | None) -> Snapshot:
        """Discovery, and evaluation on the dev examples, as the model is now."""
        with merged(self.anatomy):
            known, self.first_scores = self.first_scores, None
            with share(0.0, SCORES):
                scores = (
                    replace(known, general=self.general)
                    if known
                    else self.discover(self.dataset.score_pairs)
                )
            with share(SCORES, 1.0):
                return snapshot_of(
                    self.loaded,
                    self.config,
                    self.dataset,
                    self.retention,
                    scores,
                    step=step,
                    tuned=tuned,
                    moved=self._moved(),
                )

    def _moved(self) -> np.ndarray | None:
        """How far each node's parameters have gone; None, and a notice, if it cannot be said."""
        if self.untuned is None:
            return None
        try:
            return nodes_moved(self.loaded, self.untuned)
        except CtvizError as error:
            self.untuned = None
            self.notices.append(str(error))
            return None

    def state(self) -> TuningState:
        """All that it takes to go on from here; the tensors are those in use, not copies."""
        return TuningState(
            step=self.step,
            micro=self.micro,
            free=self.free,
            model={n: p.detach() for n, p in self.anatomy.model.named_parameters()},
            optimizer=self.optimizer.state(),
            method=self.method.state(),
            batches=self.batches.state(),
            due={} if self.owed is None else {"tuned": self._mask(*self.owed)},
        )

    def _mask(self, circuit: Circuit | None) -> Tensor:
        exists = self.anatomy.graph.exists  # a copy: the method may keep the same circuit
        return torch.from_numpy(circuit.mask.copy() if circuit else np.zeros_like(exists))

    @torch.no_grad()
    def load_state(self, state: TuningState) -> None:
        """Go on from a state of the same settings, as if there had been no interruption.

        Raises DamagedRun, before anything has changed, if the state is one of another model.
        """
        self._prepare()
        parameters = dict(self.anatomy.model.named_parameters())
        for name, parameter in parameters.items():
            if name not in state.model or state.model[name].shape != parameter.shape:
                raise DamagedRun(
                    f"The state does not fit the model: {name} is missing or of another shape."
                )
        for name, parameter in parameters.items():
            parameter.copy_(state.model[name])
        self.optimizer.load_state(state.optimizer)
        self.method.load_state(state.method)
        self.batches.load_state(state.batches)
        self.step, self.micro, self.free = state.step, state.micro, state.free
        tuned = state.due.get("tuned")
        if tuned is not None:
            circuit = Circuit(self.anatomy.graph, tuned.cpu().numpy().astype(bool))
            self.owed = (circuit if circuit.n_edges else None,)


@contextmanager
def _diverging(when: str) -> Iterator[None]:
    """Say when it was that a number of the model was no longer finite."""
    try:
        yield
    except UndefinedMetric as error:
        raise Diverged(f"The model diverged {when}: {error}") from error
