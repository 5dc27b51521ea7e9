"""What the second of two models does differently, measured on a recording of both.

1. Both answer the same test examples.
2. The nodes that differ most in their edges' scores, beyond noise, are *claims*: that the second
   model does the task otherwise because of them. Each is checked by a swap: the first one's
   parameters of that node are put into the second model, and the second one's into the first, on
   test examples. As many nodes drawn at random of those whose parameters differ stand beside them.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ctviz.circuits.choices import Metric
from ctviz.circuits.graph import Graph
from ctviz.errors import CtvizError
from ctviz.jobs.question import mean_and_error, plain
from ctviz.models.loading import Loaded
from ctviz.progress import phase
from ctviz.runs import Run
from ctviz.runs.causes import OTHER
from ctviz.runs.changes import edge_states
from ctviz.runs.difference import Answered, Difference, Swapped
from ctviz.runs.series import series_of
from ctviz.runs.snapshot import Snapshot
from ctviz.tasks import find_task
from ctviz.tasks.batch import encode
from ctviz.tasks.example import Example
from ctviz.tasks.fitting import fitting_examples
from ctviz.tasks.grading import Answer, answers
from ctviz.tasks.task import Task
from ctviz.tuning.dataset import pairs_of
from ctviz.tuning.readings import Reader
from ctviz.tuning.stored_weights import model_at, untuned_model
from ctviz.tuning.updates import Updates

__all__ = ["CLAIMS", "difference"]

CLAIMS = 5
SHOWN = 12  # examples that are written down
MOST_PAIRS = 64  # on which nodes are swapped


def difference(run: Run, *, device: str = "auto") -> Difference:
    """Measure what the last model of a recording does differently from its first.

    Nodes are drawn at random by the recording's own seed. Raises CtvizError for a run that is no
    recording or has fewer than two snapshots, DamagedRun if a model is no longer what was recorded,
    and BadTask and UndefinedMetric as recording does.
    """
    begun = time.perf_counter()
    if run.config.method != "recorded":
        raise CtvizError(
            f"{run.id} was tuned by ctviz: what its steps have changed is on Compare, and "
            "`ctviz causes` says which updates were needed. Two models are compared by "
            "`ctviz compare A B`."
        )
    snapshots = list(run.snapshots())
    if len(snapshots) < 2:
        raise CtvizError(
            f"{run.id} has {len(snapshots)} of the snapshots that it takes to compare two models: "
            f"`ctviz compare --run {run.id}` goes on with it."
        )
    return _Pair(run, snapshots[0], snapshots[-1], device).measured(run.config.seed, begun)


@dataclass(frozen=True, slots=True)
class _Role:
    """How much a node's edges differ; see `Swapped`."""

    node: str
    change: float
    growth: float
    edges: int


class _Pair:
    """Two models of a recording: the second one's weights as updates of the first."""

    def __init__(self, run: Run, first: Snapshot, second: Snapshot, device: str) -> None:
        self.run, self.first, self.second = run, first, second
        config = run.config
        self.task: Task = find_task(config.task)
        with phase("load", at=0, total=2):
            other = model_at(run, second.step, device=device)
        with phase("answers", at=0, total=2, unit="model"):
            n, of = config.test_examples, config.examples_seed
            self.examples, _ = fitting_examples(other, self.task, n, "test", of)
            said = answers(other, self.task, self.examples)
        weights = {name: p.detach() for name, p in other.model.named_parameters()}
        del other
        with phase("load", at=1, total=2):
            self.loaded: Loaded = untuned_model(run, device=device)
        self.names = _names(run, first.step, second.step)
        with phase("answers", at=1, total=2, unit="model"):
            self.said = answers(self.loaded, self.task, self.examples), said
        paired = any(example.pair for example in self.examples)
        self.metric: Metric = "logit_difference" if paired else "log_probability"
        pairs = pairs_of(self.examples[:MOST_PAIRS], paired=paired)
        vocabulary = self.loaded.anatomy.vocabulary
        batch = encode(pairs, self.loaded.tokenizer, metric=self.metric, vocabulary=vocabulary)
        self.reader = Reader(self.loaded, batch.to(self.loaded.anatomy.device), self.metric)
        self.updates = Updates(self.loaded, weights)

    def measured(self, seed: int, begun: float) -> Difference:
        graph = self.run.graph
        assert graph is not None, "a finished recording has its graph"
        nodes = self.updates.nodes
        roles = _roles(self.first, self.second, graph)
        claimed = [role for role in roles if role.node in nodes][:CLAIMS]
        rest = sorted(set(nodes) - {role.node for role in claimed} - {OTHER})
        drawn = random.Random(f"difference {seed}").sample(rest, min(CLAIMS, len(rest)))
        by_node = {role.node: role for role in roles}
        others = [by_node.get(node, _Role(node, 0.0, 0.0, 0)) for node in drawn]
        self.updates.put(())
        low = self.reader.metric()
        self.updates.put(nodes)
        high = self.reader.read()
        with phase("swaps", total=2 * (len(claimed) + len(others)) + 2, unit="swap") as advance:
            claims, controls = (
                tuple(self._swapped(role, low, high.metric, advance) for role in each)
                for each in (claimed, others)
            )
            together, randomly = (
                self._lost_together(each, high.metric, advance) for each in (claimed, others)
            )
        self.updates.put(())
        gain, error = mean_and_error(high.metric - low)
        return Difference(
            first=self.names[0],
            second=self.names[1],
            first_step=self.first.step,
            second_step=self.second.step,
            judged_by=self.task.judged_by.name,
            better=self.task.judged_by.better,
            **self._answered(),
            metric=self.metric,
            pairs=self.reader.examples,
            first_metric=float(low.mean()),
            second_metric=float(high.metric.mean()),
            gain=gain,
            gain_error=plain(error),
            claims=claims,
            random=controls,
            claims_lost=together[0],
            claims_lost_error=together[1],
            random_lost=randomly[0],
            random_lost_error=randomly[1],
            unmoved=tuple(role.node for role in roles if role.node not in nodes),
            parameters=sum(p.numel() for p in self.loaded.model.parameters()),
            differing=sum(each.size for each in nodes.values()),
            kl=high.kl,
            seconds=round(time.perf_counter() - begun, 1),
            device=str(self.loaded.anatomy.device),
        )

    def _answered(self) -> dict[str, Any]:
        """Grades, counts and the examples that differ most."""
        first, second = self.said
        pairs = list(zip(first, second, strict=True))
        counts = dict.fromkeys(("both", "only_first", "only_second", "neither"))
        if self.task.grade in ("choice", "exact"):
            right = [(a.value > 0, b.value > 0) for a, b in pairs]
            kinds = ((True, True), (True, False), (False, True), (False, False))
            counts = {name: right.count(kind) for name, kind in zip(counts, kinds, strict=True)}
        leaning = self.task.grade == "bias"

        def apart(at: int) -> tuple[float, bool, int]:
            """The largest difference first, then answers of other words, then in order."""
            a, b = pairs[at]
            return (-abs(b.value - a.value), a.said == b.said, at)

        shown = sorted(range(len(pairs)), key=apart)[:SHOWN]
        return {
            **counts,
            "examples": len(pairs),
            "first_grade": _graded(first, leaning),
            "second_grade": _graded(second, leaning),
            "answers": tuple(
                _answered(self.examples[at], *pairs[at], leaning=leaning) for at in shown
            ),
        }

    def _swapped(
        self, role: _Role, low: np.ndarray, high: np.ndarray, advance: Callable[[int], Any]
    ) -> Swapped:
        """A node's parameters put into the other model, both ways."""
        self.updates.put({role.node})
        alone = self.reader.metric()
        advance(1)
        self.updates.put(set(self.updates.nodes) - {role.node})
        without = self.reader.metric()
        advance(1)
        carried, lost = mean_and_error(alone - low), mean_and_error(high - without)
        return Swapped(
            node=role.node,
            change=role.change,
            growth=role.growth,
            edges=role.edges,
            parameters=self.updates.nodes[role.node].size,
            lost=lost[0],
            lost_error=plain(lost[1]),
            carried=carried[0],
            carried_error=plain(carried[1]),
        )

    def _lost_together(
        self, roles: Sequence[_Role], high: np.ndarray, advance: Callable[[int], Any]
    ) -> tuple[float | None, float | None]:
        """What is lost with all of some nodes' parameters put back, and its standard error."""
        if not roles:
            return None, None
        self.updates.put(set(self.updates.nodes) - {role.node for role in roles})
        lost, error = mean_and_error(high - self.reader.metric())
        advance(1)
        return lost, plain(error)


def _roles(first: Snapshot, second: Snapshot, graph: Graph) -> list[_Role]:
    """The nodes whose edges differ beyond noise in either circuit, by how much, most first.

    An edge counts for the node that writes it and for the one that reads it; where heads share keys
    and values, reading these is their group's.
    """
    circuits = first.circuit, second.circuit
    found = edge_states(circuits, (first.scores, second.scores), (first.error, second.error))
    differs = found.beyond & (first.circuit | second.circuit)
    change = np.where(differs, np.abs(second.scores - first.scores), 0.0)
    growth = np.where(differs, np.abs(second.scores) - np.abs(first.scores), 0.0)
    roles: dict[str, list[float]] = {}
    for axis, names in ((1, graph.sources), (0, [slot.name for slot in graph.slots])):
        sums = [each.sum(axis=axis) for each in (change, growth, differs)]
        for at, name in enumerate(names):
            kept = roles.setdefault(name.partition("<")[0], [0.0, 0.0, 0.0])
            for place, values in enumerate(sums):
                kept[place] += float(values[at])
    made = [
        _Role(node, each[0], each[1], round(each[2]))
        for node, each in roles.items()
        if each[2] and node not in ("input", "logits")
    ]
    return sorted(made, key=lambda role: -role.change)


def _names(run: Run, *steps: int) -> tuple[str, str]:
    members = {member.step: member.words for member in series_of(run).members}
    first, second = (members[step] for step in steps)
    return first, second


def _graded(said: Sequence[Answer], leaning: bool) -> float:
    return sum(abs(each.value) if leaning else each.value for each in said) / len(said)


def _answered(example: Example, first: Answer, second: Answer, *, leaning: bool) -> Answered:
    right = "" if leaning else example.choices[0] if example.choices else example.target
    return Answered(
        prompt=example.prompt,
        right=right,
        first_said=first.said,
        second_said=second.said,
        first=first.value,
        second=second.value,
    )
