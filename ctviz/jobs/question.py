"""The question that a discovery or a test of a circuit answers, and how its answer is written."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from ctviz.circuits.choices import METRIC_WORDS, Ablation, Metric, RandomKind
from ctviz.circuits.scores import Circuit
from ctviz.errors import OutOfRange
from ctviz.interventions.faithfulness import Evaluation, Faithfulness
from ctviz.models.loading import Loaded
from ctviz.tasks import find_task, located_task
from ctviz.tasks.batch import Batch, Fitting
from ctviz.tasks.fitting import encode_task
from ctviz.tasks.task import Split, Task

__all__ = ["Question", "carried", "in_sample", "mean_and_error", "plain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a model is asked: a task, its metric, what corrupting is, and on how many pairs.

    ``examples`` pairs of a split are drawn with ``seed``: a circuit is judged on those of
    ``split``, None being test, and found on train pairs. A small file without splits of its own is
    halved, since nothing is trained here, and test is dev; where a file has no pairs of a split,
    those of another one do, which is said. ``draws`` random circuits (or sets of
    edges) are drawn with ``seed`` too, of a kind (``random``, see
    `ctviz.circuits.random_circuits`). Raises OutOfRange without a draw: nothing is said of a
    circuit that is not said of random ones too.
    """

    task: str
    metric: Metric = "logit_difference"
    ablation: Ablation = "counterfactual"
    examples: int = 64
    seed: int = 0
    split: Split | None = "dev"
    draws: int = 5
    random: RandomKind = "connected"

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise OutOfRange("draws", self.draws, 1, None)

    @property
    def source(self) -> Task:
        """The task, with its examples divided as is right where nothing is trained."""
        return find_task(self.task).untrained()

    @property
    def found_on(self) -> Split:
        """The split that edges are scored on."""
        return self._with_examples("train", "dev", "test")

    @property
    def judged_on(self) -> Split:
        """The split that a circuit is judged on."""
        asked = self.split or "test"
        if asked == "test" and self.source != find_task(self.task):  # halved: test is dev
            asked = "dev"
        return self._with_examples(asked, "dev", "test", "train")

    def _with_examples(self, *splits: Split) -> Split:
        """The first of these splits of which there is anything."""
        source = self.source
        return next((split for split in splits if source.size(split) != 0), splits[0])

    def pairs(self, loaded: Loaded, split: Split) -> tuple[Batch, Fitting]:
        """Pairs of a split in this model's tokens, and which examples they are."""
        n, seed, metric = self.examples, self.seed, self.metric
        return encode_task(loaded, self.source, n, split=split, seed=seed, metric=metric)

    def evaluation(self, loaded: Loaded, batch: Batch) -> Evaluation:
        """What circuits are measured with on these pairs."""
        return Evaluation(loaded.anatomy, batch, ablation=self.ablation, metric=self.metric)

    def compared(self, evaluation: Evaluation, circuit: Circuit) -> Faithfulness:
        """What a circuit carries, beside random ones."""
        return evaluation.compare(circuit, seed=self.seed, draws=self.draws, kind=self.random)

    def about(self, loaded: Loaded, *, examples: int) -> dict[str, Any]:
        """The question in plain values; ``examples``: how many pairs it is judged on."""
        return {
            "model": loaded.name,
            "revision": loaded.revision,
            "notes": list(loaded.notes),
            "task": located_task(self.task),
            "metric": METRIC_WORDS.get(self.metric, find_task(self.task).metric),
            "metric_name": self.metric,
            "ablation": self.ablation,
            "seed": self.seed,
            "draws": self.draws,
            "random": self.random,
            "split": self.judged_on,
            "file_examples": self.source.size(),
            "examples": examples,
        }


def carried(found: Faithfulness) -> dict[str, Any]:
    """How much of the behaviour a circuit carries, beside random ones of its size."""
    return {
        "metric_clean": found.metric_full,
        "metric_corrupt": found.metric_empty,
        "metric_circuit": found.metric_circuit,
        "faithfulness": found.faithfulness,
        "faithfulness_error": plain(found.error),
        "random_faithfulness": found.random,
        "random_spread": plain(found.random_spread),
        "random_range": [found.random_low, found.random_high],
    }


def in_sample(judged: Fitting, found_on: Collection[str]) -> dict[str, Any]:
    """Whether a circuit is judged on pairs on which it was found, and on how many of them.

    ``found_on`` are fingerprints of pairs.
    """
    again = sum(pair.fingerprint in found_on for pair in judged.pairs)
    return {"in_sample": again > 0, "examples_in_sample": again}


def plain(value: Any) -> Any:
    """A number for JSON: NaN becomes None."""
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else float(value)
    return value


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """The mean over examples and its standard error, NaN for a single example."""
    n = len(values)
    error = float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    return float(values.mean()), error
