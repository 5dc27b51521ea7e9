"""Which of a run's updates were needed: each node's taken out and put in alone, and the fewest that
are enough.

1. Each node's update is put into the untuned model alone (*transplant*) and taken out of the tuned
   one (*revert*), on dev examples.
2. Ranked by both effects, the smallest set of nodes is searched whose updates alone carry a share
   of the gain, and the largest whose updates can all be taken back without a change, by one
   standard error: of the many sets that are looked at, those that do so by luck are left out.
3. Both are checked on test examples, beside sets drawn at random with as many parameters.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from math import log2
from typing import Any

import numpy as np

from ctviz.circuits.choices import Metric
from ctviz.errors import MissingModel, OutOfRange
from ctviz.interventions.faithfulness import share_between
from ctviz.jobs.question import mean_and_error, plain
from ctviz.models.loading import Loaded
from ctviz.progress import phase
from ctviz.runs import Run
from ctviz.runs.causes import Causes, Checked, NodeCause, does_nothing
from ctviz.runs.estimate import Estimate
from ctviz.runs.weights import playable_steps
from ctviz.tasks import Split, find_task
from ctviz.tasks.batch import encode
from ctviz.tasks.example import Example, Pair
from ctviz.tasks.fitting import fitting_examples
from ctviz.tasks.grading import grade
from ctviz.tasks.tokens import Tokens
from ctviz.tuning.dataset import pairs_of
from ctviz.tuning.needed import TRIES, largest_prefix, random_set, smallest_set
from ctviz.tuning.readings import Reader, Reading
from ctviz.tuning.stored_weights import untuned_model, weights_at
from ctviz.tuning.updates import Updates

FEW = 16  # examples on which single nodes are read, at most: there are many nodes

__all__ = ["Settings", "causes", "estimate_causes", "measured_step"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """``examples``: dev examples on which sets of nodes are chosen (single nodes are read on the
    first `FEW`), and as many test examples on which that is checked; ``share`` of the gain that the
    needed nodes have to carry; ``draws`` random sets, from ``seed``. Raises OutOfRange.
    """

    examples: int = 32
    share: float = 0.95
    draws: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (("examples", 2, 4096), ("share", 0.01, 1), ("draws", 1, 100)):
            if not low <= getattr(self, name) <= high:
                raise OutOfRange(name, getattr(self, name), low, high)


def measured_step(run: Run, step: int | None) -> int:
    """The step to measure: the last one whose weights were kept unless one is asked for. Of a
    recording all were, and what is measured is what sets them apart from the first.

    Raises MissingModel if its weights were not kept, naming the nearest that were.
    """
    kept = playable_steps(run)[1:]
    if not kept:
        raise MissingModel(
            f"{run.id} has kept no weights, and they are what is taken out and put in. Tune again "
            "with --keep-weights N, which keeps those of N snapshots."
        )
    if step is None or step in kept:
        return kept[-1] if step is None else step
    nearest = min(kept, key=lambda each: (abs(each - step), each))
    said = ", ".join(map(str, kept))
    if run.config.method == "recorded":
        raise MissingModel(
            f"Step {step} of {run.id} is not one whose updates can be measured; the nearest is "
            f"step {nearest} of {said}."
        )
    what = "is the untuned model" if step == 0 else "has kept no weights"
    raise MissingModel(
        f"Step {step} of {run.id} {what}; the nearest whose weights were kept is step {nearest}. "
        f"Kept: {said}. Runs keep more with --keep-weights."
    )


def causes(
    run: Run,
    *,
    step: int | None = None,
    settings: Settings = Settings(),
    device: str = "auto",
    tell: Callable[[Estimate], Any] = lambda _: None,
) -> Causes:
    """Measure which updates of a run were needed until a step (the last whose weights were kept).

    ``tell`` hears what it will take, once that is known. Raises MissingModel as `measured_step`
    does, DamagedRun for weights that cannot be read or a model that is no longer the one it was,
    BadTask and UndefinedMetric.
    """
    begun = time.perf_counter()
    trial = _Trial(run, measured_step(run, step), settings, device)
    tell(trial.estimate())
    return replace(trial.measured(), seconds=round(time.perf_counter() - begun, 1))


def estimate_causes(
    run: Run, *, step: int | None = None, settings: Settings, device: str = "auto"
) -> Estimate:
    """What `causes` will take, from one of each thing that it does many times."""
    return _Trial(run, measured_step(run, step), settings, device).estimate()


class _Trial:
    """A run's updates at a step, with what they are measured by."""

    def __init__(self, run: Run, step: int, settings: Settings, device: str) -> None:
        begun = time.perf_counter()
        config, tuned = run.config, weights_at(run, step)
        self.step, self.settings, self.task = step, settings, find_task(config.task)
        self.loaded = untuned_model(run, device=device)
        n, seed = settings.examples, config.examples_seed

        def examples(split: Split) -> list[Example]:
            return fitting_examples(self.loaded, self.task, n, split, seed)[0]

        chosen, self.test = examples("dev"), examples("test")
        paired = any(example.pair for example in chosen)
        self.metric: Metric = "logit_difference" if paired else "log_probability"
        self.pairs = pairs_of(chosen, paired=paired)
        test_pairs = pairs_of(self.test, paired=paired)
        self.few = self._reader(self.pairs[:FEW])
        self.chooser, self.checker = self._reader(self.pairs), self._reader(test_pairs)
        known = {pair.fingerprint for pair in self.pairs}
        self.in_sample = sum(pair.fingerprint in known for pair in test_pairs)
        self.grades = _graded_by_metric(self.loaded, self.task.grade, chosen[:FEW], self.metric)
        self.updates = Updates(self.loaded, tuned)
        self.sizes = {node: each.size for node, each in self.updates.nodes.items()}
        self.loading = time.perf_counter() - begun

    def _reader(self, pairs: Sequence[Pair]) -> Reader:
        vocabulary = self.loaded.anatomy.vocabulary
        batch = encode(pairs, self.loaded.tokenizer, metric=self.metric, vocabulary=vocabulary)
        return Reader(self.loaded, batch.to(self.loaded.anatomy.device), self.metric)

    def estimate(self) -> Estimate:
        """Seconds by phase, from a run of each kind."""
        self.few.metric()  # the first one is slower
        taken = []
        for job in (self.few.read, self.chooser.metric, self.checker.read, self._grade):
            begun = time.perf_counter()
            job()
            taken.append(time.perf_counter() - begun)
        read, metric, check, graded = taken
        layers, nodes = len(self.loaded.anatomy.blocks), self.updates.nodes.values()
        depths = sum(1 - max(0, each.layer - 1) / layers for each in nodes)
        count = len(nodes)
        sets = 4 * log2(count + 1) + min(TRIES, count)
        return Estimate(
            seconds={
                "load": self.loading,
                "nodes": 2 * read * depths,
                "sets": metric * sets,
                "checks": (check + graded) * (4 + self.settings.draws),
            },
            device=str(self.loaded.anatomy.device),
            whole=True,
        )

    def measured(self) -> Causes:
        """All of it; the model is the untuned one before and after."""
        every, config = tuple(self.sizes), self.settings
        nodes, node_gain = self._nodes()
        before, after = self._ends()
        gain, error = mean_and_error(after - before)
        with phase("checks", total=4 + config.draws, unit="set") as advance:
            untuned = self._checked((), advance)
            tuned = self._checked(every, advance)
            low, high = untuned[1].metric, tuned[1].metric
            test_gain, test_error = mean_and_error(high - low)
        learned = abs(gain) > 2 * error and not abs(test_gain) <= 2 * test_error
        needed: tuple[str, ...] = ()
        idle: tuple[str, ...] = ()
        checks: list[Checked] = []
        without: tuple[Checked, Reading] | None = None
        if learned:
            needed, idle = self._sets(nodes, before, after)
            wanted = sum(self.sizes[node] for node in needed)
            drawn = [
                random_set(self.sizes, wanted, seed=config.seed, draw=draw)
                for draw in range(config.draws)
            ]
            left = tuple(node for node in every if node not in idle)
            with phase("checks", at=2, total=4 + config.draws, unit="set") as advance:
                checks = [self._checked(s, advance, low, high)[0] for s in (needed, *drawn)]
                without = self._checked(left, advance, low, high)
        self.updates.put(())
        change, change_error = mean_and_error(without[1].metric - high) if without else (None, None)
        ends = (0.0, 1.0) if learned else (None, None)
        return Causes(
            step=self.step,
            metric=self.metric,
            judged_by=self.task.judged_by.name,
            chosen_on="dev",
            checked_on="test",
            asked=config.examples,
            examples=self.chooser.examples,
            node_examples=self.few.examples,
            node_gain=node_gain,
            test_examples=self.checker.examples,
            in_sample=self.in_sample,
            share=config.share,
            seed=config.seed,
            parameters=sum(p.numel() for p in self.loaded.model.parameters()),
            gain=gain,
            gain_error=plain(error),
            test_gain=test_gain,
            test_gain_error=plain(test_error),
            learned=learned,
            untuned=replace(untuned[0], carried=ends[0]),
            tuned=replace(tuned[0], carried=ends[1]),
            needed=checks[0] if learned else None,
            random=tuple(checks[1:]),
            without_idle=without[0] if without else None,
            idle_change=change,
            idle_change_error=plain(change_error),
            nodes=tuple(
                replace(each, needed=each.node in needed, idle=each.node in idle) for each in nodes
            ),
            seconds=0.0,
            device=str(self.loaded.anatomy.device),
        )

    def _ends(self) -> tuple[np.ndarray, np.ndarray]:
        """The metric of the untuned and of the tuned model, on the examples that sets are chosen
        on."""
        self.updates.put(())
        before = self.chooser.metric()
        self.updates.put(self.sizes)
        return before, self.chooser.metric()

    def _nodes(self) -> tuple[list[NodeCause], float]:
        """Every node's update alone and left out, and the gain of all on the same examples."""
        with phase("nodes", total=2 * len(self.sizes), unit="node") as advance:
            self.updates.put(())
            before = self.few.read()
            alone = self.few.each(self.updates, advance)
            self.updates.put(self.sizes)
            after = self.few.read()
            without = self.few.each(self.updates, advance)
        rows = []
        for node, size in self.sizes.items():
            carried, lost = alone[node].metric - before.metric, after.metric - without[node].metric
            rows.append(
                NodeCause(
                    node=node,
                    parameters=size,
                    carried=mean_and_error(carried)[0],
                    carried_error=mean_and_error(carried)[1],
                    lost=mean_and_error(lost)[0],
                    lost_error=mean_and_error(lost)[1],
                    grade_alone=self._accuracy(alone[node]),
                    grade_without=self._accuracy(without[node]),
                    kl_alone=alone[node].kl,
                    kl_without=without[node].kl,
                )
            )
        return rows, mean_and_error(after.metric - before.metric)[0]

    def _sets(
        self, nodes: Sequence[NodeCause], before: np.ndarray, after: np.ndarray
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The needed and the idle nodes, on the examples that they are chosen on."""
        gain = float((after - before).mean())
        effect = {each.node: (each.carried + each.lost) * np.sign(gain) for each in nodes}
        rankings = [
            sorted(effect, key=lambda node: -effect[node] / self.sizes[node]),
            sorted(effect, key=lambda node: -effect[node]),
        ]
        expected = 4 * log2(len(nodes) + 1) + min(TRIES, len(nodes))
        with phase("sets", total=round(expected), unit="set") as advance:

            def metric(chosen: Collection[str]) -> np.ndarray:
                self.updates.put(chosen)
                found = self.chooser.metric()
                advance(1)
                return found

            def enough(chosen: Collection[str]) -> bool:
                if len(chosen) == len(self.sizes):
                    return True
                found = share_between(metric(chosen), before, after)
                return found.value - found.error >= self.settings.share

            def nothing(gone: Collection[str]) -> bool:
                left = metric(set(self.sizes) - set(gone))
                return does_nothing(*mean_and_error(left - after), gain, errors=1)

            needed = smallest_set(self.sizes, rankings, enough)
            rest = [each for each in nodes if each.node not in needed]
            ranked = sorted(rest, key=lambda each: abs(each.lost))
            idle = largest_prefix([each.node for each in ranked], nothing)
        return needed, idle

    def _checked(
        self,
        nodes: Collection[str],
        advance: Callable[..., None],
        low: np.ndarray | None = None,
        high: np.ndarray | None = None,
    ) -> tuple[Checked, Reading]:
        """The model with the updates of some nodes, on test examples."""
        self.updates.put(nodes)
        found = self.checker.read()
        carried = error = None
        if low is not None and high is not None:
            share = share_between(found.metric, low, high)
            carried, error = share.value, plain(share.error)
        checked = Checked(
            parameters=sum(self.sizes[node] for node in nodes),
            metric=float(found.metric.mean()),
            carried=carried,
            error=error,
            grade=self._grade(),
            kl=found.kl,
        )
        advance(1)
        return checked, found

    def _grade(self) -> float:
        return grade(self.loaded, self.task, self.test)[self.task.judged_by.name]

    def _accuracy(self, reading: Reading) -> float | None:
        return float((reading.metric > 0).mean()) if self.grades else None


def _graded_by_metric(
    loaded: Loaded, grade: str, examples: Sequence[Example], metric: Metric
) -> bool:
    """Whether an example's grade is right exactly where its metric is above 0: the model chooses
    between the one token of the answer and the one token of the foil, after the same prompt."""
    tokens = Tokens(loaded.tokenizer, loaded.anatomy.vocabulary)

    def same(example: Example) -> bool:
        pair = example.pair
        if pair is None or example.prompt != pair.clean:
            return False
        cut = tokens.cut(pair)
        one = not cut.shared and len(cut.answer) == len(cut.foil) == 1
        return one and example.choices == (pair.answer, pair.foil)

    return grade == "choice" and metric == "logit_difference" and all(map(same, examples))
